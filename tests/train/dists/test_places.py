"""Where tokens begin, in bytes, and what bytes they stand for: every make of tokenizer has a defined answer."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizer_zoo import ZOO, tokenizer_of

from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder
from curate.train.dists.places import INSIDE, locate, token_starts
from curate.train.dists.vocabulary import read_vocabulary, vocabulary_of, write_vocabulary
from curate.types import Sample

TEXT = "Say red  green,\n\nunbelievable café 你好 naïve 678!"

EXACT = ("byte_level", "byte_level_small", "sentencepiece_bpe", "characters")
"""Makes that lose nothing of this text."""


@pytest.fixture(scope="module")
def zoo():
    return {name: tokenizer_of(name) for name in ZOO}


def starts_of(tokenizer, text):
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    vocabulary = vocabulary_of(tokenizer)
    starts, _ = token_starts(text, found["input_ids"], found["offset_mapping"], vocabulary)
    return found["input_ids"], starts, vocabulary


@pytest.mark.parametrize("name", EXACT)
def test_tokens_stand_for_the_bytes_between_their_beginnings(zoo, name):
    ids, starts, vocabulary = starts_of(zoo[name], TEXT)
    written = TEXT.encode()
    ends = [*starts[1:].tolist(), len(written)]
    assert starts[0] == 0
    for number, begin, end in zip(ids, starts.tolist(), ends, strict=True):
        piece, part = vocabulary.pieces[number], written[begin:end]
        if piece is not None:  # the characters of one that has no bytes to fall back to are unknown to it
            assert part == piece or (piece[:1] == b" " and part == piece[1:])


@pytest.mark.parametrize("name", list(ZOO))
def test_beginnings_ascend_and_lie_between_characters_or_their_bytes(zoo, name):
    _, starts, _ = starts_of(zoo[name], TEXT)
    known = starts[starts != INSIDE]
    assert (np.diff(known) >= 0).all()
    assert known.min() == 0
    assert known.max() < len(TEXT.encode())


def test_bytes_of_every_make(zoo):
    def piece(name, token):
        vocabulary = vocabulary_of(zoo[name])
        return vocabulary.pieces[zoo[name].convert_tokens_to_ids(token)]

    assert piece("byte_level", "Ġred") == b" red"
    assert piece("byte_level", "Ã") == b"\xc3"
    assert piece("sentencepiece_bpe", "<0xE4>") == b"\xe4"
    assert piece("sentencepiece_bpe", "▁") == b" "
    assert piece("unigram", "▁") == b" "
    marked = next(token for token in zoo["unigram"].get_vocab() if token[0] == "▁" and len(token) > 2)
    assert piece("unigram", marked) == marked.replace("▁", " ").encode()
    assert piece("wordpiece", "red") == b" red"
    assert piece("wordpiece", "##s") == b"s"
    assert piece("wordpiece", ",") == b","
    assert piece("words", "green") == b" green"
    assert piece("characters", "r") == b"r"
    assert piece("characters", "▁") == b" "
    for name in ZOO:
        assert piece(name, "<|im_end|>") == b"<|im_end|>"
        assert vocabulary_of(zoo[name]).special >= {0, 1, 2, 3}


def test_a_space_that_a_tokenizer_adds_has_no_bytes(zoo):
    ids, starts, vocabulary = starts_of(zoo["sentencepiece_bpe"], "river")
    assert vocabulary.pieces[ids[0]][:1] == b" "
    assert b"".join(vocabulary.pieces[number] for number in ids) == b" river"
    assert starts[0] == 0
    assert starts.tolist()[1:2] in ([], [0], [1], [2], [3], [4])
    assert sum(len(vocabulary.pieces[number]) for number in ids) - 1 == 5


def test_what_is_lower_cased_ends_where_its_characters_end(zoo):
    _, starts, _ = starts_of(zoo["wordpiece"], "RED Green")
    text = "RED Green"
    assert 3 in starts.tolist()  # the second word begins behind the first, its space is its own
    assert max(starts.tolist()) < len(text)


def test_characters_that_a_normaliser_takes_apart_have_one_beginning(zoo):
    # U+FB01 becomes "f" and "i" in NFKC: what begins within it begins nowhere in the text.
    ids, starts, vocabulary = starts_of(zoo["unigram"], "r\ufb01d")
    pieces = b"".join(vocabulary.pieces[number] or b"?" for number in ids)
    assert pieces.strip() == b"rfid"
    written = "r\ufb01d".encode()
    valid = {0, 1, 4, INSIDE}
    assert set(starts.tolist()) <= valid
    assert written[4:] == b"d"


def test_a_vocabulary_survives_the_disk(zoo, tmp_path):
    for name in ("byte_level", "unigram"):
        vocabulary = vocabulary_of(zoo[name], 3)
        write_vocabulary(tmp_path / name, vocabulary)
        assert read_vocabulary(tmp_path / name) == vocabulary
    (tmp_path / "unigram").write_bytes(b"no")
    assert read_vocabulary(tmp_path / "unigram") is None
    assert read_vocabulary(tmp_path / "missing") is None


def sample_of(*turns):
    roles = ("user", "assistant")
    return Sample("", tuple({"role": roles[n % 2], "content": text} for n, text in enumerate(turns)))


@pytest.mark.parametrize("name", list(ZOO))
def test_turns_are_found_and_end_with_their_end(zoo, name):
    tokenizer = zoo[name]
    coder = Coder(tokenizer, find_template(None, tokenizer), 1 << 20)
    vocabulary = vocabulary_of(tokenizer)
    sample = sample_of("red?", " green blue\n", "red <|im_end|> ?", TEXT)
    (located,) = locate(coder, vocabulary, [sample])
    assert located.verdict.keep
    assert [turn.text for turn in located.turns] == [b" green blue\n", TEXT.encode()]
    (encoded,) = coder.encode([sample], "")
    assert located.ids.tolist() == encoded.documents[0].input_ids
    for turn in located.turns:
        assert (np.diff(turn.offsets.astype(int)) > 0).all()
        assert turn.offsets[0] == 0
        assert turn.offsets[-1] == len(turn.text)
        assert located.ids[turn.positions[-1]] == tokenizer.convert_tokens_to_ids("<|im_end|>")
        assert np.array_equal(turn.states, turn.positions - 1)


def test_white_space_that_a_template_takes_away_leaves_the_rest_its_places(zoo, tmp_path):
    (tmp_path / "trim.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer = zoo["byte_level"]
    coder = Coder(tokenizer, find_template(str(tmp_path / "trim.jinja"), tokenizer), 1 << 20)
    (located,) = locate(coder, vocabulary_of(tokenizer), [sample_of("say", "\n\tred green  ")])
    (turn,) = located.turns
    assert turn.text == b"\n\tred green  "
    assert turn.offsets[0] == 2
    assert turn.offsets[-1] == len(turn.text)
    assert turn.offsets[-2] < len(b"\n\tred green")


def test_samples_that_cannot_be_read_have_a_reason(zoo):
    tokenizer = zoo["byte_level"]
    coder = Coder(tokenizer, find_template(None, tokenizer), 1 << 20)
    one = locate(
        coder, vocabulary_of(tokenizer), [Sample("", ({"role": "user", "content": "a"},)), sample_of("a", "b")]
    )
    assert [located.verdict.reason for located in one] == ["no_answer", ""]


def test_a_template_that_changes_what_is_said_drops_the_sample(zoo, tmp_path):
    (tmp_path / "shout.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
        "{{ m['content'] | replace('red', 'RED') if m['role'] == 'assistant' else m['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer = zoo["byte_level"]
    coder = Coder(tokenizer, find_template(str(tmp_path / "shout.jinja"), tokenizer), 1 << 20)
    samples = [sample_of("say", "red"), sample_of("say", "blue")]
    found = locate(coder, vocabulary_of(tokenizer), samples)
    assert [located.verdict.reason for located in found] == ["template_changes_text", ""]
