"""Alignment: the identity for one tokenizer; for two, rows only where both begin, of the source's mass and no other."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_captures import captured, reading_of, sample_of, target_folder
from tokenizer_zoo import ZOO, tokenizer_of

from curate.errors import InputError, RunError
from curate.fuse.align import Options, align
from curate.fuse.align import run as module
from curate.train.dists import KINDS, open_dists
from curate.train.dists.boundaries import by_boundaries
from curate.train.dists.maps import Maps, Target, spelled_map
from curate.train.dists.pairing import pairs_of

TEXTS = [
    "Say red  green,\n\nunbelievable café 你好 naïve 678!",
    "the river walks past stones and counts 1 2 345",
    "RED Green says: <|endoftext|> is no end",
    "\n def add(a, b):\n    return a + b  ",
]


@pytest.fixture(scope="module")
def zoo():
    return {name: tokenizer_of(name) for name in ZOO}


@pytest.fixture(scope="module")
def targets(zoo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("targets")
    return {name: target_folder(folder / name, tokenizer) for name, tokenizer in zoo.items()}


@pytest.fixture(scope="module")
def sources(zoo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name, tokenizer in zoo.items():
        captured(folder / name, tokenizer, TEXTS)
    return folder


def options_of(target, out, method="bytes"):
    return Options(str(target), out, method, cache=out.parent / "maps")


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("offsets", "ids", "logprobs", "tail", "kind", "tokens", "nll", "nll_per_byte", "text")
    )


@pytest.mark.parametrize("method", list(module.METHODS))
def test_the_same_tokenizer_is_the_identity(tmp_path, sources, targets, method):
    made = align(sources / "byte_level", options_of(targets["byte_level"], tmp_path / "out", method))
    before, after = open_dists(sources / "byte_level"), open_dists(tmp_path / "out")
    assert after.header.aligned_to == before.header.tokenizer
    assert made.rows == made.positions
    assert made.kinds == {"captured": made.rows}
    for one, other in zip(before, after, strict=True):
        assert (one.sample, one.turn) == (other.sample, other.turn)
        assert same(one.dist, other.dist)


@pytest.mark.parametrize("name", list(ZOO))
def test_boundaries_alone_are_the_identity_too(sources, zoo, name, tmp_path):
    """Where the method is made to work on equal tokenizers, it changes nothing that it does not leave out."""
    dists = open_dists(sources / name)
    reading = reading_of(zoo[name])
    maps = Maps(reading.vocabulary, Target(reading.vocabulary, zoo[name]), spelled_map, tmp_path)
    rows = 0
    for record, pair in pairs_of(list(dists), reading.vocabulary, reading):
        dist = by_boundaries(pair, maps)
        places = np.searchsorted(record.dist.offsets, dist.offsets)
        assert np.array_equal(dist.offsets, record.dist.offsets[places])
        assert np.array_equal(dist.tokens, record.dist.tokens[places])
        for at, place in enumerate(places):
            assert _by_bytes(dist, at, reading) == pytest.approx(_by_bytes(record.dist, place, reading), rel=2e-2)
        rows += len(places)
    assert rows >= 0.5 * sum(len(record.dist.offsets) for record in dists)


def _by_bytes(dist, row, reading):
    """Return the probability of what the tokens of a row stand for; two may stand for the same ("##," and ",")."""
    found = {}
    for number, logprob in zip(dist.ids[row].tolist(), dist.logprobs[row].tolist(), strict=True):
        ends = number == reading.vocabulary.end
        piece = None if number in reading.vocabulary.special and not ends else reading.vocabulary.pieces[number]
        if piece and np.isfinite(logprob):
            found[piece] = found.get(piece, 0) + float(np.exp(logprob))
    return found


def _by_bytes(dist, row, reading):
    """Return the probability of what the tokens of a row stand for; two may stand for the same ("##," and ",")."""
    found = {}
    for number, logprob in zip(dist.ids[row].tolist(), dist.logprobs[row].tolist(), strict=True):
        ends = number == reading.vocabulary.end
        piece = None if number in reading.vocabulary.special and not ends else reading.vocabulary.pieces[number]
        if piece and np.isfinite(logprob):
            found[piece] = found.get(piece, 0) + float(np.exp(logprob))
    return found


def _no(*_):
    """Tell nobody."""


PAIRS = [(one, other) for one in ZOO for other in ZOO if one != other]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_rows_stand_where_both_begin_and_sum_to_one(tmp_path, sources, targets, zoo, source, target):
    made = align(sources / source, options_of(targets[target], tmp_path / "out"))
    reading, before, after = reading_of(zoo[target]), open_dists(sources / source), open_dists(tmp_path / "out")
    assert 0 < made.rows <= made.positions
    located = reading.locate([sample_of(text) for text in TEXTS])
    texts = {text.encode(): one.turns[0] for text, one in zip(TEXTS, located, strict=True)}
    ids = {text.encode(): one.ids for text, one in zip(TEXTS, located, strict=True)}
    size = len(reading.vocabulary.pieces)
    for record in after:
        dist, own, places = record.dist, before.get(record.sample, record.turn), texts[record.dist.text]
        assert set(dist.offsets.tolist()) <= set(own.offsets.tolist()) & set(places.offsets.tolist())
        at = np.searchsorted(places.offsets, dist.offsets)
        assert np.array_equal(dist.tokens, ids[dist.text][places.positions[at]])
        assert np.abs(np.exp(dist.logprobs).sum(1) + np.exp(dist.tail) - 1).max() < 1e-5
        assert (dist.ids < size).all()
        assert (np.diff(np.where(np.isfinite(dist.logprobs), dist.logprobs, -1e9), axis=1) <= 0).all()
        assert np.isfinite(dist.logprobs[:, 0]).all()
        used = set(dist.ids[np.isfinite(dist.logprobs)].tolist())
        assert not used & (reading.vocabulary.special - {reading.vocabulary.end})
        assert dist.nll_per_byte == own.nll_per_byte
        # What is put on tokens was on tokens of the source that has the same text before it.
        rows = np.searchsorted(own.offsets, dist.offsets)
        mass = np.exp(own.logprobs[rows]).sum(1)
        said = np.exp(-own.nll[rows])  # the source's own token may be in its tail, and a chain's product with it
        assert (np.exp(dist.logprobs).sum(1) <= mass + said + 1e-2).all()


def test_the_end_of_a_turn_is_the_end_of_a_turn(tmp_path, sources, targets, zoo):
    align(sources / "byte_level", options_of(targets["sentencepiece_bpe"], tmp_path / "out"))
    end, theirs = (zoo[name].convert_tokens_to_ids("<|im_end|>") for name in ("sentencepiece_bpe", "byte_level"))
    before = open_dists(sources / "byte_level")
    for record in open_dists(tmp_path / "out"):
        dist, own = record.dist, before.get(record.sample, record.turn)
        assert dist.offsets[-1] == len(dist.text)
        assert dist.tokens[-1] == end
        mass = np.exp(own.logprobs[-1])[own.ids[-1] == theirs].sum()
        assert np.exp(dist.logprobs[-1])[dist.ids[-1] == end].sum() == pytest.approx(mass, abs=1e-2)


@pytest.mark.parametrize("method", list(module.METHODS))
def test_no_row_is_a_fallback_to_its_own_input(tmp_path, sources, targets, zoo, method):
    """The published code fills unmatched places with the token before the place; here they have no row."""
    made = align(sources / "byte_level", options_of(targets["unigram"], tmp_path / "out", method))
    assert made.rows < made.positions
    before, table = open_dists(sources / "byte_level"), zoo["unigram"]
    checked = 0
    for record in open_dists(tmp_path / "out"):
        dist, own = record.dist, before.get(record.sample, record.turn)
        ids = reading_of(table).locate([sample_of(dist.text.decode())])[0]
        turn = ids.turns[0]
        for at, offset in enumerate(dist.offsets.tolist()):
            input_token = ids.ids[turn.positions[np.searchsorted(turn.offsets, offset)] - 1]
            mass = np.exp(dist.logprobs[at])
            assert mass.max() < 1
            row = np.searchsorted(own.offsets, offset)
            if mass[dist.ids[at] == input_token].sum() > np.exp(own.logprobs[row]).sum() + 1e-2:
                raise AssertionError("mass of nowhere")
            checked += 1
    assert checked == made.rows


def test_what_a_tokenizer_changes_has_no_row(tmp_path, sources, targets):
    align(sources / "wordpiece", options_of(targets["byte_level"], tmp_path / "out"))
    dist = next(record.dist for record in open_dists(tmp_path / "out") if record.dist.text.startswith(b"RED"))
    assert 0 not in dist.offsets.tolist()  # "RED" is read as "red"
    assert len(b"RED") not in dist.offsets.tolist()  # " Green" as " green"
    assert len(b"RED Green") in dist.offsets.tolist()


def test_a_source_that_spells_finer_gives_its_product(tmp_path, sources, targets, zoo):
    align(sources / "characters", options_of(targets["byte_level"], tmp_path / "out"))
    several, before = KINDS.index("several"), open_dists(sources / "characters")
    pieces = reading_of(zoo["byte_level"]).vocabulary.pieces
    checked = 0
    for record in open_dists(tmp_path / "out"):
        dist, own = record.dist, before.get(record.sample, record.turn)
        for at in np.flatnonzero(dist.kind == several):
            begin = int(dist.offsets[at])
            end = begin + len(pieces[dist.tokens[at]])
            inside = (own.offsets >= begin) & (own.offsets < end)
            product = np.exp(-own.nll[inside].sum())
            got = np.exp(dist.logprobs[at])[dist.ids[at] == dist.tokens[at]].sum()
            assert got == pytest.approx(product, rel=0.03, abs=1e-6)
            checked += 1
    assert checked > 10


def test_a_killed_alignment_goes_on_to_the_same_bytes(tmp_path, zoo, targets, monkeypatch):
    monkeypatch.setattr("curate.train.dists.folder.SHARD_ROWS", 20)
    texts = [f"red green {number} river" for number in range(12)]
    from curate.train.dists import folder

    monkeypatch.setattr("made_up_captures.write_dists", lambda *given: folder.write_dists(*given, rows=20))
    captured(tmp_path / "source", zoo["byte_level"], texts)
    assert len(open_dists(tmp_path / "source").shards) > 3
    align(tmp_path / "source", options_of(targets["unigram"], tmp_path / "whole"))

    class Killed(Exception):
        pass

    def kill(done, total):
        if total == 12 and done == 5:
            raise Killed

    with pytest.raises(Killed):
        align(tmp_path / "source", options_of(targets["unigram"], tmp_path / "again"), tick=kill)
    assert not (tmp_path / "again/dists.json").exists()
    align(tmp_path / "source", options_of(targets["unigram"], tmp_path / "again"))
    names = sorted(path.name for path in (tmp_path / "whole").iterdir() if path.name != ".lock")
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_a_map_is_made_once_for_two_tokenizers(tmp_path, sources, targets, monkeypatch):
    align(sources / "byte_level", options_of(targets["unigram"], tmp_path / "one", "mined"))
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "maps").iterdir()}
    monkeypatch.setattr("rapidfuzz.process.cdist", None)
    monkeypatch.setattr("curate.fuse.align.dtw._costs", lambda first, second: np.zeros((len(first), len(second)), int))
    align(sources / "byte_level", options_of(targets["unigram"], tmp_path / "two", "mined"))
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "maps").iterdir()} == kept


def test_what_cannot_be_aligned_is_said(tmp_path, sources, targets, zoo):
    source, target = sources / "byte_level", targets["unigram"]
    with pytest.raises(InputError, match="--method dtw: it takes bytes, em, mined"):
        align(source, options_of(target, tmp_path / "out", "dtw"))
    with pytest.raises(InputError, match="it holds no distributions"):
        align(tmp_path, options_of(target, tmp_path / "out"))
    align(source, options_of(target, tmp_path / "out"))
    with pytest.raises(InputError, match="it is aligned already"):
        align(tmp_path / "out", options_of(target, tmp_path / "two"))
    with pytest.raises(RunError, match=r"holds another alignment .*method was 'bytes' and is 'em'"):
        align(source, options_of(target, tmp_path / "out", "em"))
    captured(tmp_path / "damaged", zoo["byte_level"], TEXTS[:1])
    (tmp_path / "damaged/vocabulary.tokens").write_bytes(b"")
    with pytest.raises(InputError, match=r"vocabulary\.tokens: the file is missing or damaged"):
        align(tmp_path / "damaged", options_of(target, tmp_path / "three"))
