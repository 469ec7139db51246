"""Plain documents: learnt whole, without a template, from any make of tokenizer."""

from __future__ import annotations

import json

import pytest
from tokenizer_zoo import tokenizer_of
from tokenizers.processors import TemplateProcessing

from curate.errors import InputError
from curate.io.read import as_samples
from curate.train.data.cache import place_of, tokenised
from curate.train.data.documents import ROOM
from curate.train.data.mixture import held
from curate.train.data.sources import Source
from curate.train.data.stream import Stream
from curate.train.data.templates import find_template
from curate.train.data.tokens import NO_LOSS, Coder

MAKES = ("byte_level", "sentencepiece_bpe", "unigram", "wordpiece")

TEXT = "Say red  green,\n\nunbelievable café 你好 naïve 678!"


@pytest.fixture(scope="module")
def zoo():
    return {name: tokenizer_of(name) for name in MAKES}


@pytest.fixture
def base():
    """A tokenizer as base models have it: without a template."""
    tokenizer = tokenizer_of("byte_level")
    tokenizer.chat_template = None
    return tokenizer


def coder_of(tokenizer, length=512, long="truncate"):
    return Coder(tokenizer, find_template(None, tokenizer, needed=False), length, long)


def samples_of(*texts):
    return list(as_samples([(f"row {n}", {"text": text}) for n, text in enumerate(texts, 1)], documents=True))


def encoded(coder, *texts):
    return coder.encode(samples_of(*texts), "texts")


@pytest.mark.parametrize("name", MAKES)
def test_a_document_is_the_tokens_of_its_text_and_an_end(zoo, name):
    ((document,),) = (one.documents for one in encoded(coder_of(zoo[name]), TEXT))
    ids = zoo[name](TEXT)["input_ids"]
    assert document.input_ids == [*ids, zoo[name].eos_token_id]
    assert document.labels == [NO_LOSS, *ids[1:], zoo[name].eos_token_id]


@pytest.mark.parametrize("name", MAKES)
def test_what_is_spelled_like_a_special_token_is_text(zoo, name):
    tokenizer, text = zoo[name], "red <|im_end|> is <|endoftext|> text <|im_end|>"
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    assert special & set(tokenizer(text)["input_ids"])
    ((document,),) = (one.documents for one in encoded(coder_of(tokenizer), text))
    assert not special & set(document.input_ids[:-1])
    assert special & set(tokenizer(text)["input_ids"])  # nor is the tokenizer another one than before


def test_a_tokenizer_that_begins_every_text_begins_a_document_and_its_first_token_is_learnt(base):
    base.add_special_tokens({"bos_token": "<s>"})
    plain = encoded(coder_of(base), TEXT)[0].documents[0]
    # A token that the tokenizer has and does not put before texts is not put before documents.
    assert plain.input_ids[0] != base.bos_token_id
    begin = [("<s>", base.bos_token_id)]
    base.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=begin)
    document = encoded(coder_of(base), TEXT)[0].documents[0]
    assert document.input_ids == [base.bos_token_id, *plain.input_ids]
    assert document.labels == [NO_LOSS, *plain.input_ids]


def test_every_token_of_a_long_document_is_predicted_once(base):
    (whole,) = encoded(coder_of(base), TEXT * 20)
    for length in (2, 16, 61):
        (coded,) = encoded(coder_of(base, length, "split"), TEXT * 20)
        assert max(len(one.input_ids) for one in coded.documents) == length
        assert [i for one in coded.documents for i in one.labels[1:]] == whole.documents[0].labels[1:]
        for one, other in zip(coded.documents, coded.documents[1:], strict=False):
            assert other.input_ids[0] == one.input_ids[-1] and other.labels[0] == NO_LOSS
    (cut,) = encoded(coder_of(base, 16), TEXT * 20)
    assert cut.documents[0].input_ids == whole.documents[0].input_ids[:16] and cut.cut
    (left,) = encoded(coder_of(base, 16, "drop"), TEXT * 20)
    assert (left.verdict.reason, left.documents) == ("too_long", [])


def test_documents_that_teach_nothing_are_dropped_with_a_reason(base):
    empty, blank, good = encoded(coder_of(base), "", " \n ", "red")
    assert [one.verdict.reason for one in (empty, blank, good)] == ["empty_text", "empty_text", ""]
    base.eos_token = None
    (alone,) = encoded(coder_of(base), "r")
    assert (alone.verdict.reason, alone.verdict.detail["tokens"]) == ("one_token", 1)


def test_documents_are_encoded_alike_whatever_stands_beside_them(base):
    long = TEXT * (ROOM // len(TEXT) // 2 + 1)
    together = encoded(coder_of(base, 64, "split"), TEXT, long, TEXT, long)
    (alone,) = encoded(coder_of(base, 64, "split"), long)
    assert together[1].documents == together[3].documents == alone.documents
    assert together[0].documents == together[2].documents == encoded(coder_of(base, 64, "split"), TEXT)[0].documents


def test_conversations_need_a_template_and_documents_stand_beside_them(base, zoo):
    row = {"prompt": "Say red.", "completion": "red"}
    talks = list(as_samples([("row 1", row)]))
    with pytest.raises(InputError, match="no chat template, as base models have none; choose one with --template"):
        coder_of(base).encode(talks, "chats")
    coder = coder_of(zoo["byte_level"])
    mixed = coder.encode([*talks, *samples_of(TEXT), *talks], "all")
    assert [one.documents for one in mixed] == [
        one.documents for one in (*coder.encode(talks, "all"), *coder.encode(samples_of(TEXT), "all"), mixed[0])
    ]


def test_tokens_on_disk_and_in_a_stream_are_those_of_the_documents(base, tmp_path):
    texts = [TEXT * (1 + number % 4) + str(number) for number in range(12)] + [" "]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"body": text, "text": 7}) + "\n" for text in texts))
    coder, source = coder_of(base, 50, "split"), Source(str(path), fields={"text": "body"})
    found = tokenised(source, coder, tmp_path / "tokens")
    wanted = [document for one in encoded(coder, *texts) for document in one.documents]
    assert [one.input_ids for one in found] == [one.input_ids for one in wanted]
    assert (found.summary.lost, found.summary.dropped) == (0, {"empty_text": 1})
    assert found.summary.targets == sum(len(one.input_ids) - 1 for one in wanted)
    assert found.notes[0] == f"{path}: 6 of 13 samples have more than 50 tokens and are split into several documents"
    stream = Stream([source], coder, 4)
    streamed = [one.input_ids for number in range(stream.in_epoch) for one in stream.update(number)]
    assert sorted(streamed) == sorted(one.input_ids for one in wanted)
    # All pieces of a document are held out or none, and documents differ in their places.
    places = {place_of(one) for one in samples_of(*texts[:12])}
    assert len(places) == 12 and set(found.places.tolist()) == places
    assert 0 < held(found.places, 0.5, 0).sum() < len(found)
