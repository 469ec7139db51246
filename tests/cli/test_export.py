"""`curate export --push` and `curate pull` from the command line, against a Hub on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import hub_server
import pytest

from curate.cli import main

TOKEN = "hf_ThisTokenMustNotBeSeen"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def hub():
    with hub_server.serving(**{TOKEN: {"name": "me"}}) as served:
        yield served


@pytest.fixture
def start(hub, run, tmp_path):
    """A function that starts a child process which knows the Hub, in a home of its own."""
    settings = {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",  # the server speaks classic LFS
        "HF_HUB_OFFLINE": "0",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(tmp_path),
    }

    def child(*arguments, code="from curate.cli import main; main()", **more):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **settings, **more}
        )

    return child


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=100)
    assert process.returncode == code, err
    assert TOKEN not in out + err
    return out, err


READ = """
import json, sys, curate, datasets
loaded = datasets.load_dataset("me/law")
folder = curate.pull("me/law", out=sys.argv[1], quiet=True)
kept = curate.dedup(folder, out=sys.argv[2], quiet=True)
print(json.dumps({"loaded": {name: list(part) for name, part in loaded.items()}, "kept": len(kept)}))
"""


def test_push_read_and_pull(hub, start, run, tmp_path):
    # The Hub's client then logs its requests, and must not log the token.
    push = ("--push", "me/law", "--licence", "apache-2.0", "--split", "test=0.3", "--out", tmp_path / "out")
    out, err = ended(start("export", run, *push, HF_DEBUG="1"))
    assert "Request " in err
    rows = {name: (tmp_path / "out" / f"{name}.jsonl").read_text().splitlines() for name in ("train", "test")}
    counts = f"train {len(rows['train'])}, test {len(rows['test'])}"
    said = next(line for line in err.splitlines() if line.startswith("pushing"))
    assert said.startswith(f"pushing 20 rows ({counts}), ")
    assert said.endswith(f"private, licence apache-2.0, to {hub.url}/datasets/me/law")
    lines = out.splitlines()
    assert lines[0].startswith(f"20 rows ({counts}) as messages in ")
    assert lines[2] == f"  hub      {hub.url}/datasets/me/law  (private, apache-2.0)"
    assert lines[-1] == "Next: python -c \"import datasets; print(datasets.load_dataset('me/law'))\""
    sent = hub.repos["me/law"].files
    names = {"README.md", "domain.yaml", "train.parquet", "test.parquet", "images/tree.png", "images/samples.png"}
    assert set(sent) == {*names, ".gitattributes"} and "## How varied it is" in sent["README.md"].decode()
    for name in names:
        assert sent[name] == (tmp_path / "out" / name).read_bytes()
    # What `datasets` reads from the Hub is what was exported, and what is pulled is work for the other verbs.
    seen = json.loads(ended(start(tmp_path / "back", tmp_path / "clean.jsonl", code=READ))[0])
    assert seen["loaded"] == {name: [json.loads(row) for row in lines] for name, lines in rows.items()}
    assert seen["kept"] == len(rows["train"])
    assert (tmp_path / "back" / "train.jsonl").read_text().splitlines() == rows["train"]
    written = (path for path in tmp_path.rglob("*") if path.is_file())
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("--out", "x", "--split", "test=2"), "curate: the split 'test' has the share 2", 2),
        (("--push", "me/law"), "curate: a dataset on the Hub needs a licence: add --licence apache-2.0", 2),
        (("--push", "law", "--licence", "mit"), "curate: 'law' names no owner", 2),
        (("--push", "me/law", "--licence", "mit"), "curate: no token for the Hub: set HF_TOKEN", 1),
    ],
)
def test_errors_are_one_line(run, monkeypatch, tmp_path, capsys, arguments, said, code):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(SystemExit) as ending:
        main(["export", str(run), *arguments])
    shown = capsys.readouterr()
    assert (ending.value.code, shown.out) == (code, "")
    assert shown.err.startswith(said) and shown.err.count("\n") == 1


def test_a_name_to_pull_that_cannot_be(run, capsys):
    with pytest.raises(SystemExit) as ending:
        main(["pull", "me/a b"])
    assert ending.value.code == 2 and capsys.readouterr().err.startswith("curate: 'me/a b' cannot be a dataset's name")


def test_from_python_splits_are_a_dict_of_datasets(run, tmp_path):
    import curate

    parts = curate.export(run, out=tmp_path / "x", splits={"test": 0.3}, licence="mit", quiet=True)
    assert list(parts) == ["train", "test"] and sum(part.num_rows for part in parts.values()) == 20
    assert curate.export(run, out=tmp_path / "x", format="alpaca", quiet=True).num_rows == 20
    assert not (tmp_path / "x" / "test.parquet").exists()
