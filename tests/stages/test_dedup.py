from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curate.embed import VectorIndex, Vectors, cosine, open_encoder
from curate.embed.static_table import StaticEncoder
from curate.errors import InputError
from curate.stages.dedup import Compared, Comparisons, Corpus, ExactIndex, dedup_samples
from curate.stages.rouge import RougeIndex
from curate.text import content_id, rouge_tokens
from curate.types import KEEP, Sample, Verdict


def sample(name: str, text: str, response: str = "Yes.", given: str = "") -> Sample:
    messages = ({"role": "user", "content": text}, {"role": "assistant", "content": response})
    return Sample(name, messages, meta={"source": {"input": given}} if given else {})


@pytest.fixture(scope="module")
def demo(shared_data: Path) -> list[Sample]:
    """The 2,662 real samples, twenty exact and twenty normalised copies, in an order mixed by a seed."""
    files = sorted((shared_data / "explore_instruct_demo").glob("*.json"))
    rows = [e for f in files for e in json.loads(f.read_text(encoding="utf-8")).get("examples", [])]
    rows += rows[:20] + [r | {"instruction": r["instruction"].upper()} for r in rows[20:40]]
    random.Random(0).shuffle(rows)
    made = [sample("", f"{r['instruction']}\n\n{r['input']}", r["output"], r["input"]) for r in rows]
    return [replace(s, id=f"{content_id(s.messages)}-{i}") for i, s in enumerate(made)]


@pytest.fixture(scope="module")
def encoder() -> StaticEncoder:
    return StaticEncoder()


def outcome(pairs: list[tuple[Sample, Verdict]]) -> list[tuple[str, str, float | None, object]]:
    return [(s.id, v.reason, v.score, v.detail.get("neighbour")) for s, v in pairs]


def test_exact_and_normalised_copies_name_the_kept_one() -> None:
    index = ExactIndex()
    index.add(sample("a", "Name a prime.", "2"))
    index.add(sample("p", "...", "2"))
    verdicts = [
        index.check(s)
        for s in (
            sample("b", "Name a prime.", "2"),
            sample("c", "Name a prime.", "3"),
            sample("d", "  name A  PRIME", "2"),
            sample("e", "Name a square.", "2"),
            sample("f", "!?", "2"),
        )
    ]
    assert [(v.reason, v.detail.get("neighbour")) for v in verdicts] == [
        ("exact_duplicate", "a"),
        ("normalised_duplicate", "a"),
        ("normalised_duplicate", "a"),
        ("", None),
        ("", None),
    ]


def test_the_cascade_keeps_its_promises_on_real_data(demo: list[Sample], encoder: StaticEncoder) -> None:
    result = list(dedup_samples(demo, rouge=0.7, encoder=encoder, threshold=0.9))
    assert [s for s, _ in result] == demo
    kept = {s.id: s for s, v in result if v.keep}
    dropped = [(s, v) for s, v in result if not v.keep]
    assert len(kept) + len(dropped) == len(demo) == 2702
    reasons = Counter(v.reason for _, v in dropped)
    assert set(reasons) == {"exact_duplicate", "normalised_duplicate", "rouge", "semantic_duplicate"}
    assert min(reasons.values()) > 3

    vectors = dict(zip((s.id for s in demo), encoder.encode([s.instruction for s in demo]), strict=True))
    for s, v in dropped:
        neighbour = kept[v.detail["neighbour"]]
        if v.reason == "rouge":
            index = RougeIndex()
            index.add("n", neighbour.instruction)
            assert index.check(s.instruction).score == v.score > 0.7
        elif v.reason == "semantic_duplicate":
            assert cosine(vectors[s.id], vectors[neighbour.id]) == v.score > 0.9

    rows = np.stack([vectors[name] for name in kept])
    assert np.triu(rows @ rows.T, k=1).max() <= 0.9 + 1e-6
    assert all(v is KEEP for _, v in dedup_samples(kept.values(), rouge=0.7, encoder=encoder, threshold=0.9))


def test_no_kept_pair_is_above_the_rouge_threshold(demo: list[Sample]) -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer")
    kept = [s for s, v in dedup_samples(demo, rouge=0.5) if v.keep]
    tokens = [rouge_tokens(s.instruction) for s in random.Random(1).sample(kept, 60)]
    assert len(kept) < 2600
    pairs = [(a, b) for i, a in enumerate(tokens) for b in tokens[:i]]
    assert max(scorer._score_lcs(a, b).fmeasure for a, b in pairs) <= 0.5


def test_the_block_size_changes_nothing(demo: list[Sample], encoder: StaticEncoder) -> None:
    def run(block: int) -> list[tuple[str, str, float | None, object]]:
        return outcome(list(dedup_samples(demo[:300], rouge=0.9, encoder=encoder, threshold=0.7, block=block)))

    whole = run(2000)
    assert Counter(reason for _, reason, _, _ in whole)["semantic_duplicate"] > 3
    assert run(1) == run(7) == run(64) == whole


def test_the_same_object_twice_is_an_exact_copy(encoder: StaticEncoder) -> None:
    first, other = sample("a", "Name a prime."), sample("b", "Describe a calm lake.")
    result = list(dedup_samples([first, first, other, first], encoder=encoder))
    assert [v.reason for _, v in result] == ["", "exact_duplicate", "", "exact_duplicate"]


def test_a_dropped_sample_drops_nothing_itself() -> None:
    # b is near a, and c is near b only: c stays, as nothing that is kept resembles it.
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    a = sample("a", " ".join(words))
    b = sample("b", " ".join([*words[2:], "x", "y"]))
    c = sample("c", " ".join([*words[4:], "x", "y", "z", "w"]))
    result = list(dedup_samples([a, b, c], rouge=0.7))
    assert [v.reason for _, v in result] == ["", "rouge", ""]
    assert result[1][1].detail == {"neighbour": "a"}


def test_the_instruction_alone_can_be_compared(encoder: StaticEncoder) -> None:
    left = sample("a", "Rewrite the text below.\n\nThe lake is calm.", given="The lake is calm.")
    right = sample("b", "Rewrite the text below.\n\nHe bought ten old bicycles.", given="He bought ten old bicycles.")
    assert [v.reason for _, v in dedup_samples([left, right], encoder=encoder)] == ["", ""]
    assert [v.reason for _, v in dedup_samples([left, right], field="instruction")] == ["", "rouge"]
    only = dedup_samples([left, right], rouge=None, encoder=encoder, field="instruction")
    assert [(v.reason, v.score) for _, v in only] == [("", None), ("semantic_duplicate", 1.0)]


def test_comparisons_can_be_left_out() -> None:
    near = [sample("a", "find the area of a red lake"), sample("b", "find the area of a tall lake")]
    assert [v.keep for _, v in dedup_samples(near, rouge=None)] == [True, True]
    assert [v.reason for _, v in dedup_samples(near, rouge=0.8)] == ["", "rouge"]


def test_an_encoder_without_a_threshold_asks_for_one(tmp_path: Path) -> None:
    encoder = StaticEncoder()
    encoder.default_threshold = None
    with pytest.raises(InputError, match="--threshold"):
        list(dedup_samples([sample("a", "x")], encoder=encoder))


def test_chinese_is_compared_by_characters() -> None:
    texts = ["请描述泰姬陵的建筑风格。", "描述泰姬陵的建筑风格", "写一首关于秋天的诗"]
    samples = [sample(str(i), t) for i, t in enumerate(texts)]
    lexical = [v.reason for _, v in dedup_samples(samples, language="zh")]
    semantic = [v.reason for _, v in dedup_samples(samples, rouge=None, encoder=open_encoder("chargrams"))]
    assert (lexical, semantic) == (["", "rouge", ""], ["", "semantic_duplicate", ""])


def test_a_good_sample_is_told_its_nearest_neighbour(encoder: StaticEncoder) -> None:
    corpus = Corpus(Comparisons(rouge=None, encoder=encoder, semantic=0.95))
    first = [sample("x", "A calm lake."), sample("y", "Ten old bicycles."), sample("z", "Ten old bicycles on a hill.")]
    verdicts = []
    for item, verdict in corpus.decide([Compared(s) for s in first]):
        verdicts.append(verdict)
        if item.sample.id != "z":  # good and not kept, as a sample is that its task no longer owes
            corpus.add(item)
    assert [v.detail.get("neighbour") for v in verdicts][::2] == [None, "y"]
    second = [sample("q", "Ten old bicycles on that hill."), sample("r", "")]
    verdicts = [verdict for _, verdict in corpus.decide([Compared(s) for s in second])]
    assert [(v.keep, v.detail.get("neighbour")) for v in verdicts] == [(True, "y"), (True, "x")]
    assert 0.5 < verdicts[0].score < 0.95 and verdicts[1].score == 0.0


class Counting(StaticEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def encode(self, texts: list[str]) -> Vectors:
        self.texts += texts
        return super().encode(texts)


def test_a_copy_of_what_is_kept_is_not_encoded() -> None:
    counting = Counting()
    samples = [sample(str(i), text) for i, text in enumerate(["A lake.", "A tree.", "A LAKE", "A wall.", "A tree."])]
    assert [v.keep for _, v in dedup_samples(samples, encoder=counting, block=2)] == [True, True, False, True, False]
    assert counting.texts == ["A lake.", "A tree.", "A wall."]


def test_vector_index_names_the_first_of_equals() -> None:
    index = VectorIndex()
    eye = np.eye(3, dtype=np.float32)
    assert index.best(eye[:1]) == ([-1.0], [""])
    index.add(["a", "b", "c"], eye[[0, 1, 1]])
    half = np.sqrt(np.float32(0.5)) * (eye[:1] + eye[1:2])
    assert index.best(np.concatenate([eye[1:2], half, eye[2:]])) == ([1.0, 0.707107, 0.0], ["b", "a", "a"])
    with pytest.raises(ValueError, match="1 ids and 2 vectors"):
        index.add(["d"], eye[:2])
