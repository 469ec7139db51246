from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from curate.stages import rouge
from curate.stages.rouge import RougeIndex, f_measure
from curate.text import rouge_tokens
from curate.types import KEEP

WORDS = ["the", "a", "of", "to", "in", "and", "find", "sum", "area", "lake", "tall", "red", "six", "seven", "long"]


@pytest.fixture(scope="module")
def instructions(shared_data: Path) -> list[str]:
    files = sorted((shared_data / "explore_instruct_demo").glob("*.json"))
    found = [e["instruction"] for f in files for e in json.loads(f.read_text(encoding="utf-8")).get("examples", [])]
    assert len(found) == 2662
    return found


def greedy(scores: np.ndarray, threshold: float) -> dict[int, int]:
    """Brute force: for each dropped text its closest kept one, given all scores."""
    kept: list[int] = []
    dropped = {}
    for i in range(len(scores)):
        best = max(kept, key=lambda j: scores[i, j], default=None)
        if best is not None and scores[i, best] > threshold:
            dropped[i] = best
        else:
            kept.append(i)
    return dropped


def run(index: RougeIndex, texts: list[str]) -> dict[int, tuple[int, float | None]]:
    dropped = {}
    for i, text in enumerate(texts):
        verdict = index.check(text)
        if verdict.keep:
            assert verdict is KEEP
            index.add(str(i), text)
        else:
            assert verdict.reason == "rouge"
            dropped[i] = (int(verdict.detail["neighbour"]), verdict.score)
    assert len(index) + len(dropped) == len(texts)
    return dropped


def all_scores(texts: list[str]) -> np.ndarray:
    numbers: dict[str, int] = {}
    coded = ["".join(chr(numbers.setdefault(t, len(numbers))) for t in rouge_tokens(text)) for text in texts]
    lengths = np.array([len(c) for c in coded])
    lcs = cdist(coded, coded, scorer=LCSseq.similarity, dtype=np.int32)
    precision, recall = lcs / np.maximum(lengths, 1)[None], lcs / np.maximum(lengths, 1)[:, None]
    both = precision + recall
    return np.where(lcs > 0, 2 * precision * recall / np.where(both > 0, both, 1), 0.0)


def test_all_decisions_on_the_demo_data_are_those_of_rouge_score(instructions: list[str]) -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer")
    texts = sorted(set(instructions))
    tokens = [rouge_tokens(t) for t in texts]
    scores = all_scores(texts)
    rng = random.Random(0)
    subset = sorted(rng.sample(range(len(texts)), 200))
    pairs = {(i, j) for i in subset for j in subset if i < j}
    # In steps of 1 / (n + m), the nearest scores beside 0.7 are further than this from it.
    edge = np.argwhere(np.triu(np.abs(scores - 0.7) < 1e-3, k=1))
    assert len(edge) > 400
    pairs |= {(int(i), int(j)) for i, j in edge}
    reference = {(i, j): scorer._score_lcs(tokens[i], tokens[j]).fmeasure for i, j in pairs}
    assert {p: float(scores[p]) for p in pairs} == reference
    at_edge = [reference[int(i), int(j)] > 0.7 for i, j in edge]
    assert 0 < sum(at_edge) < len(at_edge)


def test_the_index_decides_as_all_pairs_do_on_the_demo_data(instructions: list[str]) -> None:
    scores = all_scores(instructions)
    dropped = run(RougeIndex(), instructions)
    assert {i: j for i, (j, _) in dropped.items()} == greedy(scores, 0.7)
    assert all(score == scores[i, j] for i, (j, score) in dropped.items())


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9])
def test_the_index_decides_as_all_pairs_do_on_random_texts(threshold: float) -> None:
    rng = random.Random(int(threshold * 10))
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(0, 14))) for _ in range(700)]
    scores = all_scores(texts)
    assert {i: j for i, (j, _) in run(RougeIndex(threshold), texts).items()} == greedy(scores, threshold)


@pytest.mark.parametrize(
    ("lcs", "n", "m", "above"), [(7, 10, 10, False), (7, 9, 11, True), (14, 20, 20, False), (21, 24, 36, True)]
)
def test_exactly_at_the_threshold_the_floats_of_rouge_score_decide(lcs: int, n: int, m: int, above: bool) -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer")
    a = [f"s{i}" for i in range(lcs)] + [f"a{i}" for i in range(n - lcs)]
    b = [f"s{i}" for i in range(lcs)] + [f"b{i}" for i in range(m - lcs)]
    assert f_measure(lcs, n, m) == scorer._score_lcs(a, b).fmeasure
    index = RougeIndex()
    index.add("a", " ".join(a))
    assert index.check(" ".join(b)).keep is not above


def test_numbers_beyond_unicode_compare_with_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 9))) for _ in range(200)]
    expected = run(RougeIndex(), texts)
    monkeypatch.setattr(rouge, "_LAST_CODE_POINT", 7)
    index = RougeIndex()
    assert run(index, texts) == expected
    assert {type(s) for s in index._sequences} == {str, list}


def test_the_closest_is_named_and_among_equals_the_first() -> None:
    index = RougeIndex()
    index.add("far", "find the sum of two red numbers here now")
    index.add("first", "find the area of a red lake")
    index.add("second", "find the area of a tall lake")
    verdict = index.check("find the area of a lake")
    assert (verdict.keep, verdict.reason, verdict.detail) == (False, "rouge", {"neighbour": "first"})
    assert verdict.score == pytest.approx(12 / 13)


def test_texts_without_tokens_are_never_close() -> None:
    index = RougeIndex()
    index.add("a", "?!")
    assert index.check("?!") is KEEP
    assert index.check("") is KEEP


def test_chinese_compares_characters() -> None:
    index = RougeIndex(language="zh")
    index.add("a", "计算这个三角形的面积")
    assert index.check("计算这个正方形的面积").score == pytest.approx(0.8)
    assert index.check("请写一首关于秋天的诗").keep
    assert RougeIndex(language="en").check("计算这个三角形的面积").keep
