"""Plain documents are captured whole, in the pieces of the training, and aligned end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny_models import WORDS, make_model, make_tokenizer
from tokenizer_zoo import tokenizer_of
from transformers import AutoModelForCausalLM

from curate.errors import InputError
from curate.fuse.align import Options as AlignOptions
from curate.fuse.align import align
from curate.fuse.capture import Options, capture
from curate.fuse.capture import run as module
from curate.text import content_id
from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder
from curate.train.dists import open_dists
from curate.types import Sample

LONG = " ".join(WORDS[number * 5 % 13] for number in range(90)) + " <|im_end|> ¡naïve! 你"
TEXTS = ["red", "green  blue\n\nseven <|endoftext|>", LONG, " "]


@pytest.fixture(scope="module")
def tokenizer():
    """A base model's: without a template."""
    made = make_tokenizer([LONG], 320)
    made.chat_template = None
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory, tokenizer):
    return make_model(tmp_path_factory.mktemp("source") / "base", tokenizer)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


@pytest.fixture(scope="module")
def captured(base, data, tmp_path_factory):
    """What the model finds probable, 50 tokens at a time."""
    out = tmp_path_factory.mktemp("captured") / "out"
    return capture(data, Options(str(base), out, max_length=50))


def document(text):
    return ({"role": "assistant", "content": text},)


def test_rows_are_what_the_model_says_in_the_pieces_of_the_training(captured, base, tokenizer):
    assert (captured.samples, captured.records, captured.documents) == (4, 3, True)
    assert (captured.cut, captured.max_length, captured.dropped) == (1, 50, {"empty_text": 1})
    dists, model = open_dists(captured.out), AutoModelForCausalLM.from_pretrained(base)
    coder = Coder(tokenizer, find_template(None, tokenizer, needed=False), 50, "split")
    for text in TEXTS[:3]:
        dist = dists.get(content_id(document(text)), 0)
        (coded,) = coder.encode([Sample("", document(text))], "")
        logps = []
        with torch.no_grad():
            for piece in coded.documents:
                logits = model(input_ids=torch.tensor([piece.input_ids])).logits[0, :-1]
                logps.append(torch.log_softmax(logits.double(), 1))
        exact = torch.cat(logps)
        following = torch.tensor([label for piece in coded.documents for label in piece.labels[1:]])
        assert dist.text == text.encode() and dist.tokens.tolist() == following.tolist()
        assert dist.tokens[-1] == tokenizer.eos_token_id and dist.offsets[-1] == len(dist.text)
        assert np.array_equal(dist.ids, exact.topk(10, 1)[1].numpy())
        assert np.abs(np.exp(dist.logprobs) - exact.topk(10, 1)[0].exp().numpy()).max() < 1e-3
        nll = -exact.gather(1, following[:, None])[:, 0].numpy()
        assert np.abs(dist.nll - nll).max() < 1e-4
        first = len(tokenizer.decode(coded.documents[0].input_ids[:1]))
        if len(dist.tokens) > 1:
            assert dist.nll_per_byte == pytest.approx(nll[:-1].sum() / (len(dist.text) - first), rel=1e-5)
        # Every byte behind the first token is somebody's.
        assert dist.offsets[0] == first and (np.diff(dist.offsets) > 0).all()


def test_a_killed_capture_goes_on_to_the_same_bytes(captured, base, data, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROOM", 200)
    options = Options(str(base), tmp_path / "again", max_length=50)

    def kill(done, total):
        if done > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture(data, options, tick=kill)
    plans = []
    capture(data, options, planned=plans.append)
    assert [(plan.shards, plan.done) for plan in plans] == [(3, 1)]  # a long document is a shard of its own
    capture(data, Options(str(base), tmp_path / "whole", max_length=50))
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    for name in names:
        if name != ".lock":
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    one, other = open_dists(captured.out), open_dists(tmp_path / "whole")
    assert [record.dist.ids.tolist() for record in one] == [record.dist.ids.tolist() for record in other]


def test_the_same_tokens_are_aligned_as_they_are(captured, base, tmp_path):
    made = align(captured.out, AlignOptions(str(base), tmp_path / "same", cache=tmp_path / "maps"))
    assert (made.documents, made.rows, made.kinds) == (True, captured.rows, {"captured": captured.rows})


@pytest.mark.parametrize("name", ["byte_level", "sentencepiece_bpe", "unigram"])
def test_the_end_of_a_document_is_mapped_to_the_end_of_a_document(captured, name, tmp_path):
    target = tokenizer_of(name)
    target.eos_token = "<|endoftext|>"  # its turns end with another token than its documents
    folder = make_model(tmp_path / "target", target)
    made = align(captured.out, AlignOptions(str(folder), tmp_path / "aligned", cache=tmp_path / "maps"))
    assert made.records == 3 and made.rows > 30
    dists, end = open_dists(tmp_path / "aligned"), target.eos_token_id
    turn_end = target.convert_tokens_to_ids("<|im_end|>")
    for record in dists:
        dist = record.dist
        assert dist.tokens[-1] == end and dist.offsets[-1] == len(dist.text)
        assert not np.isin(dist.ids[np.isfinite(dist.logprobs)], [turn_end]).any()
        assert np.abs(np.exp(dist.logprobs).sum(1) + np.exp(dist.tail) - 1).max() < 1e-5


def test_a_folder_of_documents_is_no_folder_of_turns(captured, base, data, tmp_path):
    talks = tmp_path / "talks.jsonl"
    talks.write_text(json.dumps({"prompt": "Say red.", "completion": "red"}) + "\n" + json.dumps({"text": "red"}))
    with pytest.raises(InputError, match="no chat template, as base models have none"):
        capture(talks, Options(str(base), tmp_path / "talks"))
    other = make_tokenizer([LONG], 320)
    mixed = make_model(tmp_path / "chat", other)
    with pytest.raises(InputError, match=r"talks.jsonl:2: .*; documents and conversations go into files of their own"):
        capture(talks, Options(str(mixed), tmp_path / "talks"))
