"""Parts of an alignment: time warping as published, maps against brute force, mass that is neither lost nor made."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from made_up_captures import drawn_rows, reading_of, sample_of
from tokenizer_zoo import byte_level, tokenizer_of

from curate.fuse.align.dtw import warped
from curate.fuse.align.published import most_often, published_weight
from curate.train.dists.maps import Maps, Target, exact_map, nearest_map, spelled_map
from curate.train.dists.project import NONE, Mass, gathered
from curate.train.dists.vocabulary import Vocabulary, vocabulary_of

NEITHER = (False, False)


def distance(one, other):
    """Return the edit distance of two texts, by the recurrence."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


def published_dtw(first, second):
    """FuseLLM's time warping (its TokenAligner.dtw, after simpledtw), in plain Python."""
    table = np.full((len(first) + 1, len(second) + 1), np.inf)
    table[0, 0] = 0
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            cost = distance(one.replace(b" ", b""), other.replace(b" ", b""))
            table[i + 1, j + 1] = cost + min(table[i, j + 1], table[i + 1, j], table[i, j])
    table = table[1:, 1:]
    i, j = len(first) - 1, len(second) - 1
    path = []
    while i > 0 or j > 0:
        path.append((i, j))
        both = table[i - 1, j - 1] if i > 0 and j > 0 else np.inf
        up = table[i - 1, j] if i > 0 else np.inf
        aside = table[i, j - 1] if j > 0 else np.inf
        move = np.argmin([both, up, aside])
        i, j = (i - 1, j - 1) if move == 0 else (i - 1, j) if move == 1 else (i, j - 1)
    return [*path, (0, 0)][::-1]


@pytest.mark.parametrize("seed", range(12))
def test_time_warping_is_the_published_one(seed):
    generator = np.random.default_rng(seed)
    words = [b"un", b"believ", b"able", b" un", b" red", b"r", b"ed", b" ", b"  ", b"\n"]
    first = [words[n] for n in generator.integers(0, len(words), generator.integers(1, 40))]
    second = [words[n] for n in generator.integers(0, len(words), generator.integers(1, 40))]
    assert [tuple(pair) for pair in warped(first, second).tolist()] == published_dtw(first, second)


def test_mass_is_summed_and_what_has_no_counterpart_is_in_the_tail():
    ids = np.array([[5, NONE, 5, 7], [NONE, NONE, 2, 2], [1, 2, 3, 4]])
    mass = np.array([[0.4, 0.2, 0.1, 0.1], [0.5, 0.2, 0.1, 0.1], [0.3, 0.25, 0.2, 0.15]])
    found, logprobs, tail = gathered(Mass(ids, mass, np.array([0.2, 0.1, 0.1])), 3)
    assert found.tolist() == [[5, 7, 0], [2, 0, 0], [1, 2, 3]]
    assert np.exp(logprobs) == pytest.approx(np.array([[0.5, 0.1, 0], [0.2, 0, 0], [0.3, 0.25, 0.2]]), abs=1e-6)
    assert np.exp(tail) == pytest.approx([0.4, 0.8, 0.25], abs=1e-6)


def vocabulary(*pieces, special=(), end=None, key="a"):
    return Vocabulary(tuple(pieces), frozenset(special), end, key)


def test_maps_by_bytes_leave_special_tokens_alone():
    source = vocabulary(b"</s>", b" a", b"ab", b"\xc3", None, b"<|x|>", special=(0, 5), end=0)
    target = vocabulary(b"ab", b"<end>", b"<|x|>", b" a", b"\xc3", special=(1, 2), end=1, key="b")
    found, others = exact_map(source, Target(target, None), NEITHER)
    assert found.tolist() == [1, 3, 0, 4, NONE, NONE]
    assert others == []


def test_a_space_that_is_not_in_the_text_is_left_out_on_one_side():
    source, target = vocabulary(b" a", b"b"), vocabulary(b"a", b" a", b" b", key="b")
    maps = {
        glued: exact_map(source, Target(target, None), glued)[0].tolist() for glued in ((True, False), (False, True))
    }
    assert maps == {(True, False): [0, NONE], (False, True): [NONE, 2]}


def test_other_tokens_are_mapped_to_the_first_of_their_spelling():
    fine, coarse = byte_level(290), byte_level(420)
    from transformers import PreTrainedTokenizerFast

    ours, theirs = (PreTrainedTokenizerFast(tokenizer_object=raw) for raw in (fine, coarse))
    source, target = vocabulary_of(theirs), vocabulary_of(ours)
    found = spelled_map(source, Target(target, ours), NEITHER, lambda *_: None)
    spelled = 0
    for number, piece in source.texts():
        first = target.pieces[found[number]]
        assert piece.startswith(first)
        try:
            ids = ours(piece.decode())["input_ids"]
        except UnicodeDecodeError:
            continue
        assert found[number] == ids[0]
        spelled += len(ids) > 1
    assert spelled > 20


def test_the_nearest_token_is_that_of_brute_force():
    theirs, ours = tokenizer_of("byte_level"), tokenizer_of("unigram")
    source, target = vocabulary_of(theirs), Target(vocabulary_of(ours), ours)
    found = nearest_map(source, target, NEITHER, lambda *_: None)
    known = sorted((number, piece) for piece, number in target.ids.items())
    exact, others = exact_map(source, target, NEITHER)
    assert len(others) > 100
    for number, piece in others[::17]:
        distances = [distance(piece, other) for _, other in known]
        assert found[number] == known[int(np.argmin(distances))][0]
    assert (found[exact != NONE] == exact[exact != NONE]).all()


def test_counts_choose_what_is_put_together_most_often():
    exact = np.array([3, NONE, NONE, NONE])
    ids, counts = np.array([[1, 0], [1, 2], [2, 1], [2, 2]]), np.array([1, 50, 4, 4])
    near = {(1, 0): 1.0, (1, 2): 2.0, (2, 1): 3.0, (2, 2): 1.0}
    assert most_often(exact, ids, counts, lambda *pair: near[pair]).tolist() == [3, 2, 2, NONE]
    # The published weight prefers the rare pair: sigmoid(1) * 1 is less than sigmoid(50) * 2.
    assert published_weight(exact, ids, counts, lambda *pair: near[pair]).tolist() == [3, 0, 2, NONE]


def test_maps_are_kept_by_both_tokenizers_and_the_method(tmp_path):
    made = []

    def counted(source, target, glued, tick):
        made.append(glued)
        return exact_map(source, target, glued)[0]

    source, target = vocabulary(b"a", b"b"), Target(vocabulary(b"b", b"a", key="b"), None)
    for _ in range(2):
        maps = Maps(source, target, counted, tmp_path)
        assert maps[NEITHER].tolist() == [1, 0]
        assert maps[NEITHER] is maps[NEITHER]
    assert made == [NEITHER]
    assert Maps(source, Target(vocabulary(b"x", key="c"), None), counted, tmp_path)[NEITHER].tolist() == [NONE, NONE]


TEXT = "the river walks past unbelievable stones and counts 1 2 3 45"


def split_finer(rows, turn, finer):
    """Return the same improbability of the same text, dealt to a finer tokenizer's tokens."""
    generator = np.random.default_rng(1)
    shares = []
    for nll, (begin, end) in zip(rows.nll, pairwise([*turn.offsets[:-1].tolist(), len(TEXT)]), strict=False):
        inside = (finer.offsets >= begin) & (finer.offsets < end)
        shares += list(nll * generator.dirichlet(np.ones(int(inside.sum()))))
    return np.array([*shares, rows.nll[-1]], np.float32)


def test_the_least_improbable_source_stays_so_when_a_tokenizer_is_split_finer():
    """MinCE goes by nats for a byte. By a token's mean, as published, the worse source wins once it is split finer."""
    coarse, fine = (reading_of(tokenizer_of(name)) for name in ("byte_level", "characters"))
    ((large,), (small,)) = (reading.locate([sample_of(TEXT)]) for reading in (coarse, fine))
    generator = np.random.default_rng(0)
    rows = drawn_rows(large.ids[coarse.wanted(large)], len(coarse.vocabulary.pieces), 4, generator)
    other = drawn_rows(small.ids[fine.wanted(small)], len(fine.vocabulary.pieces), 4, generator)

    def dist(scale, finer):
        """Return a source's distributions; a larger scale is a worse source."""
        scaled = replace(rows, nll=rows.nll * np.float32(scale))
        if not finer:
            return next(coarse.records(large, scaled)).dist
        return next(fine.records(small, replace(other, nll=split_finer(scaled, large.turns[0], small.turns[0])))).dist

    assert dist(1, True).nll_per_byte == pytest.approx(dist(1, False).nll_per_byte, rel=1e-5)
    assert len(dist(1, True).nll) > 1.5 * len(dist(1, False).nll)
    for finer in [(False, False), (False, True), (True, False), (True, True)]:
        better, worse = dist(1.0, finer[0]), dist(1.2, finer[1])
        assert better.nll_per_byte < worse.nll_per_byte
    assert dist(1.2, True).nll[:-1].mean() < dist(1.0, False).nll[:-1].mean()
