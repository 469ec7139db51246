"""What is captured is what the model says, a killed capture ends with the same bytes, nothing is lost in silence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny_models import make_model, make_tokenizer, sample_rows
from transformers import AutoModelForCausalLM

from curate.errors import InputError, RunError
from curate.fuse.capture import Options, capture
from curate.fuse.capture import run as module
from curate.text import content_id
from curate.train.dists import open_dists
from curate.train.dists.vocabulary import vocabulary_of

CHAT = [
    {"role": "system", "content": "Rule."},
    {"role": "user", "content": "Say red."},
    {"role": "assistant", "content": "red ¡naïve! 你"},
    {"role": "user", "content": "Again?"},
    {"role": "assistant", "content": "red\n\nred"},
]


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer([row["instruction"] + row["output"] for row in sample_rows(200)])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, tokenizer):
    return make_model(tmp_path_factory.mktemp("source") / "tiny", tokenizer)


def write(path, chats):
    path.write_text("".join(json.dumps({"messages": chat}, ensure_ascii=False) + "\n" for chat in chats))
    return path


def chat(question, *answers):
    turns = [{"role": "user", "content": question}]
    for answer in answers:
        turns += [{"role": "assistant", "content": answer}, {"role": "user", "content": "And?"}]
    return turns[:-1]


def test_rows_are_what_the_model_says(tmp_path, tiny, tokenizer):
    data = write(tmp_path / "chats.jsonl", [CHAT])
    made = capture(data, Options(str(tiny), tmp_path / "out"))
    assert (made.samples, made.records, made.cut, made.dropped) == (1, 2, 0, {})
    dists = open_dists(tmp_path / "out")
    assert (dists.header.k, dists.header.vocab_size, dists.header.aligned_to) == (10, len(tokenizer), None)
    text = tokenizer.apply_chat_template(CHAT, tokenize=False)
    ids = tokenizer(text)["input_ids"]
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(tiny)(input_ids=torch.tensor([ids])).logits[0]
    exact = torch.log_softmax(logits.double(), 1)
    for turn, answer in enumerate((CHAT[2], CHAT[4])):
        dist = dists.get(content_id(CHAT), turn)
        assert dist.text == answer["content"].encode()
        pieces = tokenizer(answer["content"])["input_ids"]
        begin = next(at for at in range(len(ids)) if ids[at : at + len(pieces)] == pieces and at > turn * 50)
        assert dist.tokens.tolist() == [*pieces, tokenizer.eos_token_id]
        rows = exact[begin - 1 : begin + len(pieces)]
        expected, places = rows.topk(10, 1)
        assert np.array_equal(dist.ids, places.numpy())
        assert np.abs(np.exp(dist.logprobs) - expected.exp().numpy()).max() < 1e-3
        assert np.abs(np.exp(dist.logprobs).sum(1) + np.exp(dist.tail) - 1).max() < 1e-5
        nll = -rows.gather(1, torch.from_numpy(dist.tokens.astype(np.int64))[:, None])[:, 0].numpy()
        assert np.abs(dist.nll - nll).max() < 1e-4
        assert dist.nll_per_byte == pytest.approx(nll[:-1].sum() / len(dist.text), rel=1e-5)
        lengths = [len(vocabulary_of(tokenizer).pieces[number]) for number in pieces]
        assert dist.offsets.tolist() == [0, *np.cumsum(lengths)]


def test_a_killed_capture_goes_on_to_the_same_bytes(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(module, "GROUP", 8)
    data = write(tmp_path / "chats.jsonl", [chat(row["instruction"], row["output"]) for row in sample_rows(20)])
    options = Options(str(tiny), tmp_path / "whole")
    capture(data, options)

    class Killed(Exception):
        pass

    def kill(done, total):
        if done > 8:
            raise Killed

    with pytest.raises(Killed):
        capture(data, Options(str(tiny), tmp_path / "again"), tick=kill)
    assert [path.name for path in tmp_path.glob("again/*.dists")] == ["shard-00000.dists"]
    assert not (tmp_path / "again/dists.json").exists()
    plans = []
    capture(data, Options(str(tiny), tmp_path / "again"), planned=plans.append)
    assert (plans[0].shards, plans[0].done) == (3, 1)
    names = sorted(path.name for path in (tmp_path / "whole").iterdir() if path.name != ".lock")
    assert names == ["capture.json", "dists.json", "dropped.jsonl", *(f"shard-0000{n}.dists" for n in range(3)),
                     "vocabulary.tokens"]  # fmt: skip
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_a_whole_capture_loads_no_model(tmp_path, tiny, monkeypatch):
    data = write(tmp_path / "chats.jsonl", [CHAT])
    first = capture(data, Options(str(tiny), tmp_path / "out"))
    monkeypatch.setattr("curate.train.dists.local.open_model", None)
    again = capture(data, Options(str(tiny), tmp_path / "out"))
    assert {**again.as_json(), "seconds": 0} == {**first.as_json(), "seconds": 0}


def test_what_is_too_long_is_cut_and_counted(tmp_path, tiny, tokenizer):
    long = " ".join(["river stone"] * 30)
    chats = [chat("Say it.", long), chat(long, "red"), chat("Say.", "red", long, "blue")]
    data = write(tmp_path / "chats.jsonl", chats)
    made = capture(data, Options(str(tiny), tmp_path / "out", max_length=40))
    assert made.cut == 2
    assert made.dropped == {"answer_cut_away": 1}
    row = json.loads((tmp_path / "out/dropped.jsonl").read_text())
    assert row["dropped"]["reason"] == "answer_cut_away"
    assert row["dropped"]["limit"] == 40
    dists = open_dists(tmp_path / "out")
    dist = dists.get(content_id(chats[0]), 0)
    assert dist.text.decode() == long
    assert 0 < dist.offsets[-1] < len(long)
    covered = int(dist.offsets[-1]) + len(tokenizer.decode([int(dist.tokens[-1])]))
    assert dist.nll_per_byte == pytest.approx(float(dist.nll.sum()) / covered, rel=1e-5)
    assert dists.get(content_id(chats[1]), 0) is None
    assert dists.get(content_id(chats[2]), 0) is not None
    assert dists.get(content_id(chats[2]), 2) is None


def test_samples_without_distributions_have_a_reason(tmp_path, tiny):
    chats = [CHAT, CHAT, CHAT[:2], chat("Say.", "  "), chat("Say.", "red")]
    made = capture(write(tmp_path / "chats.jsonl", chats), Options(str(tiny), tmp_path / "out"))
    assert (made.samples, made.records) == (5, 3)
    assert made.dropped == {"duplicate": 1, "no_answer": 1, "empty_response": 1}
    rows = [json.loads(line) for line in (tmp_path / "out/dropped.jsonl").read_text().splitlines()]
    assert [row["dropped"]["reason"] for row in rows] == ["duplicate", "no_answer", "empty_response"]


def test_what_cannot_be_captured_is_said_before_the_model_is_loaded(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr("curate.train.dists.local.open_model", None)
    data = write(tmp_path / "chats.jsonl", [CHAT])
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"none of its 1 samples can be captured .no_answer 1"):
        capture(write(tmp_path / "none.jsonl", [CHAT[:2]]), Options(str(tiny), out))
    with pytest.raises(InputError, match=r"--top-k 5000: .* has .* tokens"):
        capture(data, Options(str(tiny), out, k=5000))
    with pytest.raises(InputError, match="--top-k 0: it takes 1 or more"):
        capture(data, Options(str(tiny), out, k=0))
    with pytest.raises(InputError, match=r"--max-length 9999: the context of .* is 256 tokens"):
        capture(data, Options(str(tiny), out, max_length=9999))
    with pytest.raises(InputError, match="the dataset is empty"):
        capture(write(tmp_path / "empty.jsonl", []), Options(str(tiny), out))
    with pytest.raises(InputError, match="there is no such folder, and no model on the Hub is called so"):
        capture(data, Options("no/such/model", out))


def test_a_folder_with_another_capture_is_refused(tmp_path, tiny):
    data = write(tmp_path / "chats.jsonl", [CHAT])
    capture(data, Options(str(tiny), tmp_path / "out"))
    with pytest.raises(RunError, match=r"holds another capture .k was 10 and is 5"):
        capture(data, Options(str(tiny), tmp_path / "out", k=5))


def test_log_probabilities_that_are_no_numbers_are_refused(tmp_path, tiny, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    with torch.no_grad():
        model.lm_head.weight[7, 3] = float("nan")
    model.save_pretrained(tmp_path / "nan")
    tokenizer.save_pretrained(tmp_path / "nan")
    with pytest.raises(InputError, match=r"are there NaN in its weights\?|its own loss of a short text is nan"):
        capture(write(tmp_path / "chats.jsonl", [CHAT]), Options(str(tmp_path / "nan"), tmp_path / "out"))
    assert not list(tmp_path.glob("out/*.dists"))
