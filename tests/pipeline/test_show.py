"""Samples of a run and of a filtered file, as they lie on disk."""

from __future__ import annotations

import json

import pytest

from curate.errors import InputError, RunError
from curate.pipeline.show import Wish, as_dataset, show_samples
from curate.run import RunDirectory, write_summary
from curate.types import Sample, drop


def sample(number, *path):
    turns = ({"role": "user", "content": f"Question {number}"}, {"role": "assistant", "content": "Answer"})
    return Sample(f"{number:016x}", turns, path, {"source": {"n": number}})


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "law"
    with RunDirectory(folder) as directory:
        with directory.publish("accepted", "old") as out:
            out.keep(sample(99, "Law"))
        with directory.publish("accepted", "new") as out:
            out.keep(sample(1, "Law", "Tenancy"))
            out.keep(sample(2, "Law", "Tenancy", "Deposits"))
            out.keep(sample(3, "Law", "Contracts"))
            out.drop(sample(4, "Law", "Contracts"), "rules", drop("too_short", 1.0, field="input"))
            near = drop("rouge", 0.8, neighbour=sample(2).id)
            out.drop(sample(5, "Law", "Tenancy", "Notice periods"), "rouge", near)
            out.drop(Sample("call-1", (), ("Law",), {"generate": {"reply": "No."}}), "generate", drop("unreadable"))
    write_summary(folder, "accepted", "old", {})
    write_summary(folder, "accepted", "new", {})
    return folder


def numbers(samples):
    return [int(row["id"], 16) if row["messages"] else row["id"] for row in samples]


def test_kept_ones_are_those_published_last(run):
    assert numbers(show_samples(run)) == [1, 2, 3]
    assert numbers(show_samples(run, limit=2)) == [1, 2]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"dropped": True}, [4, 5, "call-1"]),
        ({"stage": "rouge"}, [5]),
        ({"reason": "too_short"}, [4]),
        ({"stage": "rouge", "reason": "too_short"}, []),
        ({"dropped": True, "task": "tenancy"}, [5]),
        ({"task": "TENANCY"}, [1, 2]),
        ({"task": "Tenancy/Deposits"}, [2]),
        ({"task": "Law > Tenancy > Deposits"}, [2]),
        ({"task": "Law/Deposits"}, []),
        ({"task": "Law"}, [1, 2, 3]),
    ],
)
def test_filters(run, wish, expected):
    assert numbers(show_samples(run, **wish)) == expected


def test_what_was_passed_is_counted(run):
    samples = show_samples(run, stage="judge")
    assert list(samples) == []
    assert samples.fitting == 0
    assert samples.seen == {"rules: too_short": 1, "rouge: rouge": 1, "generate: unreadable": 1}


def test_neighbours_are_the_kept_samples(run):
    samples = show_samples(run, dropped=True)
    assert samples.neighbours(list(samples)) == {sample(2).id: next(iter(show_samples(run, task="Deposits")))}
    assert samples.neighbours(show_samples(run)) == {}


def test_file_with_its_dropped_ones_beside_it(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "1" * 16, "task": [], "messages": [], "meta": {}}) + "\n")
    assert len(list(show_samples(tmp_path / "a.jsonl"))) == 1
    with pytest.raises(InputError, match=r"a\.dropped\.jsonl: not there, so .*a\.jsonl has no dropped samples"):
        show_samples(tmp_path / "a.jsonl", dropped=True)


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(InputError, match="nope: there is no such file or folder"):
        show_samples(tmp_path / "nope")
    with pytest.raises(RunError, match="nothing has been published here yet; run `curate explore"):
        show_samples(tmp_path)
    (tmp_path / "latest.json").write_text('{"name": ')
    with pytest.raises(RunError, match=r"latest\.json: damaged; the same `curate explore` again"):
        show_samples(tmp_path)
    (tmp_path / "x.csv").touch()
    with pytest.raises(InputError, match=r"neither a run's folder nor a \.jsonl file"):
        show_samples(tmp_path / "x.csv")


def test_stage_or_reason_means_dropped():
    assert [Wish().of_dropped, Wish(stage="rules").of_dropped, Wish(reason="x").of_dropped] == [False, True, True]


def test_dataset_has_the_same_columns_for_all(run):
    kept, dropped = as_dataset(show_samples(run)), as_dataset(show_samples(run, dropped=True))
    assert kept.features == dropped.features
    assert kept["stage"] == [None, None, None]
    assert json.loads(kept[0]["meta"]) == {"source": {"n": 1}}
    assert kept[1]["task"] == ["Law", "Tenancy", "Deposits"]
    assert dropped[1] == {
        "id": sample(5).id,
        "task": ["Law", "Tenancy", "Notice periods"],
        "messages": [{"role": "user", "content": "Question 5"}, {"role": "assistant", "content": "Answer"}],
        "meta": '{"source": {"n": 5}}',
        "stage": "rouge",
        "reason": "rouge",
        "score": 0.8,
        "neighbour": sample(2).id,
        "detail": None,
    }
    assert dropped[0]["detail"] == '{"field": "input"}'
    assert len(as_dataset([])) == 0


def test_half_a_surrogate_pair_does_not_stop_a_dataset():
    broken = {
        "id": "a",
        "task": ["\ud83d"],
        "messages": [{"role": "user", "content": "x\ud83d"}],
        "meta": {"n": "\ud83d"},
    }
    row = as_dataset([broken])[0]
    assert (row["task"], row["messages"][0]["content"], row["meta"]) == (["\ufffd"], "x\ufffd", '{"n": "\ufffd"}')
