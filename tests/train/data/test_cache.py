from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.errors import InputError, RunError
from curate.io import read_samples, write_jsonl
from curate.train.data import cache as module
from curate.train.data.cache import place_of, tokenised
from curate.train.data.sources import Source
from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder


@pytest.fixture
def coder(make_tokenizer: Callable[..., Any]) -> Coder:
    tokenizer = make_tokenizer()
    return Coder(tokenizer, find_template("chatml", tokenizer), 60)


ROWS = [
    {"instruction": "Add.", "input": "1 and 2", "output": "3"},
    {"instruction": "Tell a tale.", "output": "one two " * 40},
    {"instruction": "Say nothing.", "output": " "},
    {"instruction": "word " * 80, "output": "A."},
]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    write_jsonl(tmp_path / "data.jsonl", ROWS)
    return Source(str(tmp_path / "data.jsonl"))


def test_what_is_kept_is_what_the_coder_makes(source: Source, coder: Coder, tmp_path: Path) -> None:
    found = tokenised(source, coder, tmp_path / "cache")
    coded = coder.encode(list(read_samples(source.path)), source.path)
    wanted = [document for one in coded for document in one.documents]
    assert [found[number] for number in range(len(found))] == wanted and len(wanted) == 2
    assert found.lengths.tolist() == [len(one.input_ids) for one in wanted]
    assert found.places.tolist() == [place_of(one.sample) for one in coded if one.verdict.keep]


def test_the_summary_and_the_dropped(source: Source, coder: Coder, tmp_path: Path) -> None:
    found = tokenised(source, coder, tmp_path / "cache")
    coded = coder.encode(list(read_samples(source.path)), "")
    summary = found.summary
    assert (summary.samples, summary.documents, summary.cut) == (4, 2, 1)
    assert summary.dropped == {"empty_response": 1, "answer_cut_away": 1}
    assert summary.tokens == found.lengths.sum()
    assert summary.lost == coded[0].tokens + coded[1].tokens - summary.tokens > 0
    assert summary.targets == sum(label != -100 for n in range(2) for label in found[n].labels)
    rows = [json.loads(line) for line in (found.folder / "dropped.jsonl").read_text().splitlines()]
    assert [(row["reason"], row["stage"]) for row in rows] == [
        ("empty_response", "train"),
        ("answer_cut_away", "train"),
    ]
    assert rows[0]["messages"][0]["content"] == "Say nothing." and rows[1]["limit"] == 60


def test_what_is_said_of_it(source: Source, coder: Coder, tmp_path: Path) -> None:
    found = tokenised(source, coder, tmp_path / "cache")
    assert found.notes == [
        f"{source.path}: 1 of 4 samples have more than 60 tokens and are cut; {found.summary.lost} tokens are not "
        "trained on",
        f"{source.path}: 2 of 4 samples are dropped (answer_cut_away 1, empty_response 1); they lie in "
        f"{found.folder}/dropped.jsonl",
    ]
    whole = tokenised(source, Coder(coder.tokenizer, coder.template, 4096), tmp_path / "cache")
    (note,) = whole.notes
    assert "1 of 4 samples are dropped (empty_response 1); they lie in " in note
    apart = tokenised(source, Coder(coder.tokenizer, coder.template, 60, "split"), tmp_path / "cache")
    assert "2 of 4 samples have more than 60 tokens and are split into several documents; " in apart.notes[0]


def test_it_is_made_once(source: Source, coder: Coder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tokenised(source, coder, tmp_path / "cache")
    monkeypatch.setattr(Coder, "encode", None)
    assert tokenised(source, coder, tmp_path / "cache").folder == first.folder


def test_what_makes_it_another(
    source: Source, coder: Coder, make_tokenizer: Callable[..., Any], tmp_path: Path
) -> None:
    def folder(coder: Coder) -> Path:
        return tokenised(source, coder, tmp_path / "cache").folder

    tokenizer, template = coder.tokenizer, coder.template
    found = {
        folder(coder),
        folder(Coder(tokenizer, template, 61)),
        folder(Coder(tokenizer, template, 60, "split")),
        folder(Coder(tokenizer, find_template("gemma", tokenizer), 60)),
    }
    more = make_tokenizer()
    more.add_tokens(["newtoken"])
    found.add(folder(Coder(more, template, 60)))
    write_jsonl(Path(source.path), ROWS[:2])
    found.add(folder(coder))
    assert len(found) == 6


def test_pieces_of_a_long_sample(source: Source, coder: Coder, tmp_path: Path) -> None:
    found = tokenised(source, Coder(coder.tokenizer, coder.template, 60, "split"), tmp_path / "cache")
    assert found.summary.cut == 2
    assert len(found) == found.summary.documents > 3
    # All pieces of one sample are on one side of a held-out split.
    assert len(set(found.places.tolist())) == 3


def test_a_call_that_is_killed_leaves_nothing(
    source: Source, coder: Coder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    whole = tokenised(source, coder, tmp_path / "other")
    monkeypatch.setattr(module.np, "save", lambda *_: os._exit(9))
    if (child := os.fork()) == 0:
        tokenised(source, coder, cache)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    monkeypatch.undo()
    assert [path.suffix for path in cache.iterdir() if path.is_dir()] == [".tmp"]
    found = tokenised(source, coder, cache)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [found.folder.name] == [whole.folder.name]
    for name in ("ids.npy", "loss.npy", "ends.npy", "places.npy", "dropped.jsonl", "summary.json"):
        assert (found.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_full_disk(source: Source, coder: Coder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.np, "save", full)
    with pytest.raises(RunError, match=r"cannot be written \(No space left on device\); free space or name another"):
        tokenised(source, coder, tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_progress(source: Source, coder: Coder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    said: list[tuple[int, int | None]] = []
    tokenised(source, coder, tmp_path / "cache", lambda done, total: said.append((done, total)))
    assert said == [(3, 4), (4, 4)]


def test_files_are_numpys_own(source: Source, coder: Coder, tmp_path: Path) -> None:
    folder = tokenised(source, coder, tmp_path / "cache").folder
    ids, loss = np.load(folder / "ids.npy"), np.load(folder / "loss.npy")
    assert (ids.dtype, loss.dtype, ids.shape) == (np.int32, np.bool_, loss.shape)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([], "data.jsonl: the dataset is empty"),
        ([{"instruction": "Q", "answer": "A"}], "data.jsonl:1: no known format has the fields answer, instruction"),
        ([{"instruction": "Q", "output": "A"}, {"instruction": "Q"}],
         "data.jsonl:2: expected text in the field 'output', found nothing (the file's format is alpaca)"),
        ([{"messages": [{"role": "user", "content": ["Q"]}, {"role": "assistant", "content": "A"}]}],
         "data.jsonl:1: expected text in the field 'content', found list (the file's format is messages)"),
        ([{"messages": [{"role": "robot", "content": "Q"}]}], "data.jsonl:1: 'messages' has a message from 'robot'"),
        ([{"instruction": "Q", "output": " "}] * 3,
         "data.jsonl: none of its 3 samples can be trained on (empty_response 3)"),
    ],
)  # fmt: skip
def test_datasets_that_cannot_be_trained_on(coder: Coder, tmp_path: Path, rows: list[Any], complaint: str) -> None:
    write_jsonl(tmp_path / "data.jsonl", rows)
    with pytest.raises(InputError) as error:
        tokenised(Source(str(tmp_path / "data.jsonl")), coder, tmp_path / "cache")
    assert complaint in str(error.value)
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_what_an_export_writes(coder: Coder, tmp_path: Path, make_tokenizer: Callable[..., Any]) -> None:
    """All formats of an export give the same tokens, and the reasoning of one is learnt."""
    from curate.export.formats import FORMATS
    from curate.types import Sample

    turns = ({"role": "user", "content": "Add 1 and 2."}, {"role": "assistant", "content": "3"})
    one = Sample("0123456789abcdef", turns, ("root",), {"reasoning": "One more than two."})
    found = []
    for name, made in FORMATS.items():
        write_jsonl(tmp_path / f"{name}.jsonl", [made(one, True)])
        found.append(tokenised(Source(str(tmp_path / f"{name}.jsonl")), coder, tmp_path / "cache")[0].input_ids)
    assert "<think>\nOne more than two.\n</think>\n\n3<|im_end|>" in coder.tokenizer.decode(found[0])
    assert all(ids == found[0] for ids in found)
