"""Documents that know where their tokens stand in the turns."""

import json

import pytest

from curate.io import read_samples
from curate.train.data.cache import tokenised
from curate.train.data.sources import parse_sources
from curate.train.data.templates import Template, find_template
from curate.train.data.tokens import NO_LOSS, Coder
from curate.train.distill.lessons import lessons_of
from curate.train.dists import turn_key
from curate.train.dists.vocabulary import vocabulary_of

CHATS = [
    [("user", "Say it."), ("assistant", " né à 東京"), ("user", "Again?"), ("assistant", "red green blue")],
    [("user", "Shout."), ("assistant", "blue green")],
    [("user", "More."), ("assistant", "seven eight nine apple pear plum river stone cloud walk red green blue")],
]


@pytest.fixture
def source(tmp_path):
    rows = [{"messages": [{"role": role, "content": text} for role, text in chat]} for chat in CHATS]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return parse_sources([str(tmp_path / "chats.jsonl")])[0]


def coder_of(tokenizer, length=128, long="truncate", shout=False):
    template = find_template(None, tokenizer)
    if shout:
        shouted = template.text.replace("message['content']", "message['content'] | replace('blue green', 'BLUE')")
        template = Template("shouting", shouted, template.tokens)
    return Coder(tokenizer, template, length, long)


def lessons(source, coder, folder):
    return lessons_of(source, coder, vocabulary_of(coder.tokenizer), folder)


def test_tokens_are_found_at_their_bytes(source, tokenizer, tmp_path):
    coder = coder_of(tokenizer)
    pieces = vocabulary_of(tokenizer).pieces
    found = lessons(source, coder, tmp_path / "tokens")
    samples = list(read_samples(source.path))
    assert [one.sample for one in found] == [turn_key(one.messages) for one in samples]
    assert [[turn.number for turn in one.turns] for one in found] == [[0, 1], [0], [0]]
    for lesson, chat in zip(found, CHATS, strict=True):
        for turn, text in zip(lesson.turns, [text for role, text in chat if role == "assistant"], strict=True):
            written = text.encode()
            assert (turn.offsets[0], turn.offsets[-1]) == (0, len(written))
            assert lesson.input_ids[turn.positions[-1]] == tokenizer.convert_tokens_to_ids("<|im_end|>")
            for offset, position in zip(turn.offsets[1:-1], turn.positions[1:-1], strict=True):
                assert written[offset:].startswith(pieces[lesson.input_ids[position]])
                assert lesson.labels[position] != NO_LOSS


def test_the_documents_are_those_of_fine_tuning_and_are_made_once(source, tokenizer, tmp_path, monkeypatch):
    coder = coder_of(tokenizer)
    found = lessons(source, coder, tmp_path / "tokens")
    plain = tokenised(source, coder, tmp_path / "plain")
    assert [(one.input_ids, one.labels) for one in found] == [(one.input_ids, one.labels) for one in plain]
    monkeypatch.setattr("curate.train.distill.lessons.locate", None)
    assert list(map(repr, lessons(source, coder, tmp_path / "tokens"))) == list(map(repr, found))


def test_parts_of_a_long_sample_know_which_part_they_are(source, tokenizer, tmp_path):
    whole = lessons(source, coder_of(tokenizer), tmp_path / "tokens")
    parts = lessons(source, coder_of(tokenizer, 16, "split"), tmp_path / "tokens")
    assert len(parts) > len(whole)
    for lesson in whole:
        mine = [part for part in parts if part.sample == lesson.sample]
        for turn in lesson.turns:
            tokens = dict(zip(turn.offsets.tolist(), (lesson.input_ids[at] for at in turn.positions), strict=True))
            seen = {
                offset: part.input_ids[at]
                for part in mine
                for piece in part.turns
                if piece.number == turn.number
                for offset, at in zip(piece.offsets.tolist(), piece.positions.tolist(), strict=True)
            }
            assert seen.items() <= tokens.items()
            # The first token of a part is predicted by nothing; parts without a target are no documents.
            assert len(tokens) - len(seen) <= len(mine)


def test_a_template_that_writes_other_words_leaves_the_document_without_turns(source, tokenizer, tmp_path):
    found = lessons(source, coder_of(tokenizer, shout=True), tmp_path / "tokens")
    assert [len(one.turns) for one in found] == [2, 0, 1]
    assert "BLUE" in tokenizer.decode(found[1].input_ids)
    assert found.keys.tolist() == [int(found[0].sample, 16)] * 2 + [int(found[2].sample, 16)]
    assert found.numbers.tolist() == [0, 1, 0]
