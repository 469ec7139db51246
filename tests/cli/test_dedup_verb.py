"""What `curate dedup` prints: the curve, how pairs were searched for, and what samples were compared with."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from curate.cli import root
from curate.io import read_jsonl, write_jsonl

TEXTS = (
    "Write a short poem about the sea at night.",
    "At night about the sea a short poem write.",
    "List seven kinds of cheese from Italy.",
)


def call(*arguments, code=0):
    done = CliRunner().invoke(root, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.stdout.splitlines(), done.stderr.splitlines()


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "data.jsonl", [{"instruction": text, "input": "", "output": "Well."} for text in TEXTS])
    return "data.jsonl"


def test_the_curve_and_the_threshold_that_was_applied(data):
    out, err = call("dedup", data, "--no-rouge", "--threshold", 0.9)
    assert err == []
    assert out[0] == "dedup data.jsonl (keep best, embedder static, threshold 0.9, field text, language en)"
    assert out[1].startswith("  3 in, 2 kept (67 %), 1 dropped in ")
    assert out[2] == "         1     33 %  dedup: semantic_duplicate"
    assert out[4] == "  cosine  kept"
    applied = [line for line in out if line.endswith("<- applied")]
    assert applied == [f"  0.9     2  {'█' * 20}  <- applied"]
    assert "  pairs    exact: float32, 256 of 256 columns" in out
    out, _ = call("dedup", data, "--no-rouge", "--threshold", 0.995)
    assert "  pairs    exact: float32, 256 of 256 columns, found by an earlier run" in out
    assert next(line for line in out if line.endswith("<- applied")).startswith("  0.995   ")


def test_json_has_the_whole_curve(data):
    out, _ = call("dedup", data, "--no-rouge", "--json", "--keep", "longest")
    report = json.loads("\n".join(out))
    assert (report["in"], report["kept"], report["again"], report["old"]) == (3, 2, False, 0)
    assert [level for level, _ in report["curve"]] == [level / 100 for level in range(70, 101)]
    assert dict(map(tuple, report["curve"]))[1.0] == 3
    assert report["settings"]["keep"] == "longest"


def test_against_and_add_to(data, tmp_path):
    write_jsonl(tmp_path / "new.jsonl", [{"instruction": text, "input": "", "output": "."} for text in TEXTS[1:]])
    out, _ = call("dedup", "new.jsonl", "--against", data)
    assert "  compared with 3 samples that stay" in out
    assert out[1].startswith("  2 in, 0 kept (0 %)")
    call("dedup", data, "--add-to", "all.jsonl", "--no-rouge")
    before = (tmp_path / "all.jsonl").read_bytes()
    out, _ = call("dedup", "new.jsonl", "--add-to", "all.jsonl", "--no-rouge")
    assert "  compared with 2 samples that stay" in out
    assert (tmp_path / "all.jsonl").read_bytes() == before
    assert len(list(read_jsonl(tmp_path / "all.dropped.jsonl"))) == 3


def test_kept_rows_go_down_a_pipe(data, tmp_path):
    out, err = call("dedup", data, "--out", "-", "--no-rouge")
    assert [json.loads(line)["messages"][0]["content"] for line in out][-1] == TEXTS[2]
    assert err[1].startswith("  3 in, 2 kept")
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_a_column_that_is_not_there(data):
    done = CliRunner().invoke(root, ["dedup", data, "--score", "rating"])
    assert str(done.exception).startswith(
        "data.jsonl: no row has a number in the column 'rating'; its columns are: none"
    )
