"""What `show`, `filter`, `dedup`, `export`, `check` and `plan` print and write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from law_run import TEACHER

from curate.cli import root
from curate.io import read_jsonl, write_jsonl


def call(*arguments, code=0):
    """Run the command line in this process; return (lines of stdout, lines of stderr)."""
    done = CliRunner().invoke(root, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.stdout.splitlines(), done.stderr.splitlines()


@pytest.fixture
def data(law):
    texts = ["Name a river.", "Name a river!", "Name a tall mountain in the north.", "Draw a picture of it.", "Rest."]
    path = law / "data.jsonl"
    write_jsonl(path, [{"instruction": text, "input": "", "output": "Well."} for text in texts])
    return path


def rows(path):
    return [row["messages"][0]["content"] for row in read_jsonl(Path(path))]


def test_filter_writes_both_files_and_says_why(data, law):
    out, err = call("filter", data, "--domain", "law.yaml")
    assert err == []
    assert out[0] == f"filter {data} (domain law, language en)"
    assert out[1].startswith("  5 in, 3 kept (60 %), 2 dropped in ")
    assert out[2:4] == [
        "         1     20 %  rules: forbidden_word",
        "         1     20 %  rules: too_short",
    ]
    assert out[-1] == f"Next: curate show {law / 'data.filtered.jsonl'} --dropped"
    assert rows("data.filtered.jsonl") == ["Name a river.", "Name a river!", "Name a tall mountain in the north."]
    assert rows("data.filtered.dropped.jsonl") == ["Draw a picture of it.", "Rest."]


def test_filter_pipes(data, law):
    out, err = call("filter", data, "--domain", "law.yaml", "--out", "-")
    assert [json.loads(line)["messages"][0]["content"] for line in out] == [
        "Name a river.",
        "Name a river!",
        "Name a tall mountain in the north.",
    ]
    assert "5 in, 3 kept" in err[1]
    assert call("filter", data, "--domain", "law.yaml", "--out", "-", "--quiet") == (out, [])
    assert sorted(path.name for path in law.iterdir()) == ["data.jsonl", "law.yaml"]


def test_dedup_and_show_its_dropped(data):
    out, _ = call("dedup", data, "--out", "kept.jsonl", "--embedder", "none", "--keep", "first")
    assert out[0] == f"dedup {data} (keep first, rouge 0.7, field text, language en)"
    assert out[2] == "         1     20 %  exact: normalised_duplicate"
    assert rows("kept.dropped.jsonl") == ["Name a river!"]
    out, err = call("show", "kept.jsonl", "--dropped")
    near = next(read_jsonl(Path("kept.jsonl")))["id"]
    assert out[1:] == [
        f"dropped by exact: normalised_duplicate, score 1, neighbour {near}",
        "user",
        "  Name a river!",
        "assistant",
        "  Well.",
        f"too near to the kept {near}",
        "  Name a river.",
        "",
    ]
    assert err == []


def test_no_rouge(data):
    write_jsonl(data, [{"instruction": f"Name a tall {x} in the far north.", "output": "."} for x in ("hill", "tree")])
    assert json.loads(call("dedup", data, "--embedder", "none", "--json")[0][0])["reasons"] == {"rouge: rouge": 1}
    assert json.loads(call("dedup", data, "--embedder", "none", "--json", "--no-rouge")[0][0])["reasons"] == {}


def test_show_limits_and_filters(run):
    out, err = call("show", run, "--limit", 2)
    assert sum(line.startswith("──") for line in out) == 2
    assert err == ["2 shown, there are more: --limit N shows N, --json all of them"]
    everything = [json.loads(line) for line in call("show", run, "--json")[0]]
    assert len(everything) == 20
    name = next(row["task"][-1] for row in everything if len(row["task"]) == 2)
    of_task = [json.loads(line) for line in call("show", run, "--json", "--task", name)[0]]
    assert 0 < len(of_task) < 20
    assert {row["task"][-1] for row in of_task} == {name}
    out, err = call("show", run, "--stage", "rouge")
    assert out == []
    assert len(err) == 1
    assert err[0].startswith("no sample fits; there are ")
    assert "rules: forbidden_word" in err[0]


def test_export_of_a_run(run, tmp_path):
    out, _ = call("export", run, "--format", "alpaca", "--out", tmp_path / "x")
    assert out[0].startswith("20 rows as alpaca in ")
    files = ["README.md", "domain.yaml", "train.jsonl", "train.parquet"]
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == files
    assert out[1] == f"  dataset  {tmp_path / 'x'}  (train.jsonl, train.parquet, README.md, domain.yaml)"
    card = (tmp_path / "x" / "README.md").read_text(encoding="utf-8")
    assert "scripted:law" in card.replace("\\", "")
    assert "rules: forbidden" in card.replace("\\", "")


def test_check_names_the_line(law):
    out, err = call("check", "law.yaml")
    assert out[0] == "law.yaml: right"
    assert "  instruction 3+ words, 1 forbidden word" in out
    assert out[-1] == "Next: curate plan --domain law.yaml"
    (law / "law.yaml").write_text("root: {name: Law}\nrules:\n  instruction: {min_word: 3}\n", encoding="utf-8")
    out, err = call("check", "law.yaml", "math", code=2)
    assert out[0].startswith(
        "law.yaml:3: rules.instruction.min_word is not a key here; did you mean 'min_words'? (known: min_words, "
    )
    assert out[1] == "math: right"
    assert err == ["1 problem"]


def test_check_of_all_shipped_domains():
    results = [json.loads(line) for line in call("check", "--json")[0]]
    assert [result["domain"] for result in results] == ["brainstorming", "code", "math", "math-zh", "rewriting"]
    assert [result["problems"] for result in results] == [[]] * 5


def test_plan_prints_a_table(law):
    out, _ = call("plan", "--domain", "law.yaml", "--teacher", TEACHER, "--rows", 20)
    assert out[0] == "law: 20 accepted rows over about 4 tasks; teacher scripted:law_teacher.py"
    names = [line.split()[0] for line in out[3:6]]
    assert names == ["lookahead", "generate", "total"]
    assert out[3].split()[1] == "1"
    assert "  cost   nothing: the model runs here" in out
