"""The guarantee: no two kept samples are the same, and every dropped one names a kept one that it is the same as."""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.embed import Vectors, cosine, open_encoder
from curate.embed.pairs import TooManyPairs
from curate.errors import ModelError
from curate.io import read_samples, sample_to_row
from curate.io.files import to_line
from curate.stages.dedup import dedup_samples, text_of
from curate.stages.gather import Comparing, Gathering
from curate.stages.greedy import EXACT, KEPT, NORMALISED, REASONS, ROUGE, SEMANTIC, Decisions, curve, decide
from curate.stages.order import KEEPS, Keep, ordered
from curate.stages.rouge import RougeIndex
from curate.text import content_id, normalise
from curate.types import Sample


def sample(text: str, response: str = "Yes.") -> Sample:
    messages = ({"role": "user", "content": text}, {"role": "assistant", "content": response})
    return Sample(content_id(messages), messages)


class Planted:
    """Gives each text the vector that is written in it, as in "0.6 0.8 anything"."""

    name = "planted"
    default_threshold = 0.9
    dim = 2

    def encode(self, texts: list[str]) -> Vectors:
        return np.array([[float(number) for number in text.split()[:2]] for text in texts], dtype=np.float32)


def run(
    samples: Sequence[Sample],
    *,
    keep: Keep = "best",
    rouge: float | None = None,
    encoder: object = None,
    semantic: float | None = None,
    quality: Iterable[float] = (),
    fixed: int = 0,
    field: str = "text",
    most: int = 1_000_000,
) -> Decisions:
    known = [*quality] or [0.0] * len(samples)
    with tempfile.TemporaryFile() as file:
        gathering = Gathering(Comparing("en", field, rouge, encoder, most=most), file)  # type: ignore[arg-type]
        for place, (item, value) in enumerate(zip(samples, known, strict=True)):
            gathering.add(item, to_line(sample_to_row(item)).encode(), value, fixed=place < fixed)
        relations, _ = gathering.relations(semantic)
        return decide(relations.at(rouge, semantic), ordered(relations, keep))


def f_of(left: str, right: str) -> float:
    index = RougeIndex(1e-9)
    index.add("", left)
    return max((score for _, score in index.near(right)), default=0.0)


def promise(
    samples: Sequence[Sample],
    decisions: Decisions,
    *,
    rouge: float | None,
    semantic: float | None,
    vectors: Vectors | None,
    fixed: int = 0,
) -> None:
    """Check both halves of the guarantee pair by pair, by other code than made the decisions."""
    texts = [text_of(item, "text") for item in samples]
    kept = np.flatnonzero(decisions.reason == KEPT)
    for place, reason in enumerate(decisions.reason.tolist()):
        neighbour, score = int(decisions.neighbour[place]), float(decisions.score[place])
        if reason == KEPT:
            assert (neighbour, score) == (-1, 0.0)
            continue
        assert place >= fixed and decisions.reason[neighbour] == KEPT
        if reason == EXACT:
            assert samples[place].messages == samples[neighbour].messages and score == 1
        elif reason == NORMALISED:
            assert normalise(texts[place]) == normalise(texts[neighbour]) and score == 1
        elif reason == ROUGE:
            assert rouge is not None and f_of(texts[neighbour], texts[place]) == score > rouge
        else:
            assert vectors is not None and semantic is not None
            assert cosine(vectors[place], vectors[neighbour]) == score > semantic
    new = [place for place in kept.tolist() if place >= fixed]
    if vectors is not None and semantic is not None and new:
        inner = vectors[new].astype(np.float64) @ vectors[kept].T
        inner[np.arange(len(new)), np.searchsorted(kept, new)] = 0
        assert inner.max(initial=0) <= semantic + 1e-6
    plain = Counter(normalise(texts[place]) or samples[place].id for place in new)
    assert max(plain.values(), default=1) == 1
    if rouge is not None:
        index = RougeIndex(rouge)
        for place in [*range(fixed), *new]:
            if place >= fixed:
                assert index.check(texts[place]).keep
            index.add(str(place), texts[place])


def named(samples: Sequence[Sample], decisions: Decisions) -> dict[str, tuple[str, str, float]]:
    """Return what was decided by sample and not by place."""
    return {
        samples[place].id: (REASONS[reason], samples[neighbour].id if reason else "", score)
        for place, (reason, neighbour, score) in enumerate(
            zip(decisions.reason.tolist(), decisions.neighbour.tolist(), decisions.score.tolist(), strict=True)
        )
    }


@pytest.fixture(scope="module")
def demo(shared_data: Path) -> list[Sample]:
    """The demo's real samples, copies of some, and copies of others but for capitals."""
    samples = list(read_samples(shared_data / "explore_instruct_demo"))
    louder = [sample(item.instruction.upper(), item.response) for item in samples[20:40]]
    mixed = [*samples, *samples[:20], *louder]
    random.Random(0).shuffle(mixed)
    return mixed


@pytest.mark.parametrize("keep", KEEPS)
def test_the_guarantee_on_real_data(demo: list[Sample], keep: Keep) -> None:
    encoder = open_encoder("static")
    samples = demo[:700]
    quality = [float(len(item.response) % 5) for item in samples]
    decisions = run(samples, keep=keep, rouge=0.7, encoder=encoder, semantic=0.85, quality=quality)
    vectors = encoder.encode([item.instruction for item in samples])
    promise(samples, decisions, rouge=0.7, semantic=0.85, vectors=vectors)
    assert min(Counter(decisions.reason.tolist())[kind] for kind in (NORMALISED, ROUGE, SEMANTIC)) > 1


def test_the_guarantee_on_grade_school_problems(shared_data: Path) -> None:
    samples = list(read_samples(shared_data / "gsm8k" / "test.jsonl"))
    encoder = open_encoder("static")
    decisions = run(samples, encoder=encoder, semantic=0.8)
    promise(samples, decisions, rouge=None, semantic=0.8, vectors=encoder.encode([s.instruction for s in samples]))
    assert 20 < len(samples) - decisions.kept < 200


@pytest.mark.parametrize("keep", [keep for keep in KEEPS if keep != "first"])
def test_the_order_of_the_rows_changes_nothing(demo: list[Sample], keep: Keep) -> None:
    samples = list({item.id: item for item in demo[:300]}.values())
    other = samples[:]
    random.Random(1).shuffle(other)
    encoder = open_encoder("static")
    outcomes = [
        named(rows, run(rows, keep=keep, rouge=0.7, encoder=encoder, semantic=0.85, quality=map(graded, rows)))
        for rows in (samples, other)
    ]
    assert outcomes[0] == outcomes[1]
    assert {reason for reason, _, _ in outcomes[0].values()} >= {"", "rouge", "semantic_duplicate"}


def graded(item: Sample) -> float:
    return float(len(item.response) % 5)


def test_of_copies_the_same_one_stays_in_any_order() -> None:
    # Equal messages: only what else is known of a row tells them apart.
    copies = [Sample("0" * 16, sample("Name a prime.").messages, meta={"source": {"page": page}}) for page in range(9)]
    kept = set()
    for seed in range(5):
        rows = copies[:]
        random.Random(seed).shuffle(rows)
        decisions = run(rows)
        kept |= {rows[place].meta["source"]["page"] for place in np.flatnonzero(decisions.reason == KEPT)}
    assert len(kept) == 1


points = st.sampled_from(["1 0", "0.6 0.8", "0.8 0.6", "0.96 0.28", "0.28 0.96", "0 1", "0 0"])
rows_of = st.lists(st.tuples(points, st.sampled_from(["a b c", "A b c!", "a b d", "x y z", ""]), st.integers(0, 2)))


@settings(max_examples=150, deadline=None)
@given(rows_of, st.sampled_from(KEEPS), st.sampled_from([None, 0.6, 1.0]), st.sampled_from([0.8, 0.95, 1.0]), st.data())
def test_the_guarantee_in_small(
    rows: list[tuple[str, str, int]], keep: Keep, rouge: float | None, semantic: float, data: st.DataObject
) -> None:
    samples = [sample(f"{point} {words}", f"{quality}") for point, words, quality in rows]
    fixed = data.draw(st.integers(0, len(rows)))
    quality = [float(value) for _, _, value in rows]
    decisions = run(samples, keep=keep, rouge=rouge, encoder=Planted(), semantic=semantic, quality=quality, fixed=fixed)
    vectors = Planted().encode([item.instruction for item in samples]) if samples else None
    promise(samples, decisions, rouge=rouge, semantic=semantic, vectors=vectors, fixed=fixed)


@settings(max_examples=60, deadline=None)
@given(rows_of, st.sampled_from([None, 0.6]), st.sampled_from([0.8, 0.95]))
def test_it_decides_as_one_sample_after_the_other_does(
    rows: list[tuple[str, str, int]], rouge: float | None, semantic: float
) -> None:
    # The generation loop compares a sample when it comes; in the order of the rows the outcome is the same.
    samples = [sample(f"{point} {words}", f"{number}") for number, (point, words, _) in enumerate(rows)]
    decisions = run(samples, keep="first", rouge=rouge, encoder=Planted(), semantic=semantic)
    singly = [
        (v.reason, v.detail.get("neighbour", ""), v.score or 0.0)
        for _, v in dedup_samples(samples, rouge=rouge, encoder=Planted(), threshold=semantic)
    ]
    assert list(named(samples, decisions).values()) == singly


@settings(max_examples=60, deadline=None)
@given(rows_of, st.sampled_from([None, 0.6, 1.0]), st.sampled_from(KEEPS), st.integers(0, 3))
def test_the_curve_is_what_each_threshold_keeps(
    rows: list[tuple[str, str, int]], rouge: float | None, keep: Keep, fixed: int
) -> None:
    samples = [sample(f"{point} {words}", f"{quality}") for point, words, quality in rows]
    levels = [0.7, 0.8, 0.95, 0.96, 1.0]
    with tempfile.TemporaryFile() as file:
        gathering = Gathering(Comparing("en", "text", rouge, Planted()), file)
        for place, item in enumerate(samples):
            gathering.add(item, b"", 0.0, fixed=place < fixed)
        relations, _ = gathering.relations()
    order = ordered(relations, keep)
    counts = [decide(relations.at(rouge, level), order).kept for level in levels]
    assert curve(relations, order, rouge, levels) == counts


def test_who_stays() -> None:
    chain = ["1 0 long long long", "0.96 0.28 mid", "0.8 0.6 c", "0.6 0.8 d d"]
    samples = [sample(text) for text in chain]

    def kept(keep: Keep, quality: Sequence[float] = ()) -> list[int]:
        found = run(samples, keep=keep, encoder=Planted(), semantic=0.9, quality=quality)
        return np.flatnonzero(found.reason == KEPT).tolist()

    assert kept("first") == [0, 2]
    assert kept("best", [0, 2, 1, 3]) == [1, 3]
    assert kept("best", [1, 0, 0, 2]) == [0, 3]
    assert kept("longest") == [0, 3]
    # Cosines .96, .936, .96 along the chain: two texts in the middle stand for all four, and one end for the rest.
    assert kept("facility", [0, 1, 0, 0]) == [1, 3]
    assert kept("center", [1, 0, 0, 0]) == [0, 3]


def test_a_judge_of_nothing_is_ordered_last() -> None:
    samples = [sample("1 0 a"), sample("1 0 b"), sample("1 0 c")]
    decisions = run(samples, encoder=Planted(), semantic=0.9, quality=[-np.inf, 0.0, -1.0])
    assert decisions.reason.tolist() == [SEMANTIC, KEPT, SEMANTIC]
    assert decisions.neighbour.tolist() == [1, -1, 1]


def test_old_decisions_stay_whatever_they_were() -> None:
    old = [sample("1 0 a"), sample("1 0 a", "No."), sample("1 0 A")]
    new = [sample("0.96 0.28 b"), sample("1 0 a"), sample("0 1 c"), sample("0 1 d")]
    decisions = run([*old, *new], encoder=Planted(), semantic=0.9, quality=[0, 0, 0, 9, 9, 0, 1], fixed=3)
    assert [REASONS[reason] for reason in decisions.reason] == [
        "", "", "", "semantic_duplicate", "exact_duplicate", "semantic_duplicate", "",
    ]  # fmt: skip
    assert decisions.neighbour.tolist()[5] == 6
    assert decisions.neighbour.tolist()[3:5] == [1, 0]


def test_empty_and_one_word_texts_are_near_to_nothing_unknown() -> None:
    samples = [sample(""), sample("", "No."), sample("..."), sample("lake"), sample("Lake!"), sample("\n\n", "Yes.")]
    decisions = run(samples, keep="first", rouge=0.7, encoder=open_encoder("static"), semantic=0.95)
    assert [REASONS[reason] for reason in decisions.reason] == ["", "", "", "", "normalised_duplicate", ""]


def test_languages_mix() -> None:
    texts = [
        "Name a prime.",
        "请描述泰姬陵的建筑风格。",
        "请描述泰姬陵的建筑风格",
        "Назови простое число.",
        "Nenne eine Primzahl 🎉",
    ]
    decisions = run(
        [sample(text) for text in texts], keep="first", rouge=0.7, encoder=open_encoder("chargrams"), semantic=0.9
    )
    assert decisions.reason.tolist() == [KEPT, KEPT, NORMALISED, KEPT, KEPT]


def test_a_hundred_thousand_copies_are_one_text() -> None:
    one = sample("1 0 a")
    decisions = run([one] * 100_000, rouge=0.7, encoder=Planted(), semantic=0.9)
    assert decisions.kept == 1 and set(decisions.reason.tolist()) == {KEPT, EXACT}


def test_more_near_pairs_than_are_held_are_said() -> None:
    samples = [sample(f"1 0 {number}") for number in range(300)]
    with pytest.raises(TooManyPairs):
        run(samples, encoder=Planted(), semantic=0.9, most=1_000)
    with pytest.raises(TooManyPairs):
        run([sample(f"a b c d e f g h i j {n}") for n in range(100)], rouge=0.7, most=1_000)


def test_an_encoder_that_gives_no_numbers_is_named_with_the_text() -> None:
    with pytest.raises(ModelError, match="length nan for the text 'nan 0 b'"):
        run([sample("1 0 a"), sample("nan 0 b")], encoder=Planted(), semantic=0.9)


def test_no_samples() -> None:
    assert run([], rouge=0.7, encoder=Planted(), semantic=0.9).kept == 0


def test_the_instruction_alone(shared_data: Path) -> None:
    rows = [json.loads(line) for line in (shared_data / "seed_tasks.jsonl").read_text().splitlines()][:2]
    assert rows
    texts = ["Rewrite the text below.\n\nThe lake is calm.", "Rewrite the text below.\n\nHe bought ten old bicycles."]
    inputs = ["The lake is calm.", "He bought ten old bicycles."]
    samples = [
        Sample(item.id, item.messages, meta={"source": {"input": given}})
        for item, given in zip(map(sample, texts), inputs, strict=True)
    ]
    assert run(samples, rouge=0.7).kept == 2
    found = run(samples, keep="first", rouge=0.7, field="instruction")
    assert (found.reason.tolist(), found.score.tolist()) == ([KEPT, ROUGE], [0.0, 1.0])
    found = run(samples, keep="first", encoder=open_encoder("static"), semantic=0.9, field="instruction")
    assert (found.reason.tolist(), found.neighbour.tolist()) == ([KEPT, SEMANTIC], [-1, 0])
    assert run(samples, encoder=open_encoder("static"), semantic=1.0, field="instruction").kept == 2
