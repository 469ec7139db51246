"""The verbs from Python: light to import, typed like the command line, and at home in a running event loop."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from keyword import iskeyword
from pathlib import Path

import click
import pytest

import curate
from curate.cli import VERBS, root
from curate.errors import InputError
from curate.pipeline.plan import Plan
from curate.tree import TaskTree

TEACHER = f"scripted:{Path(__file__).parent / 'cli' / 'law_teacher.py'}"
HEAVY = ("numpy", "torch", "rich", "datasets", "pyarrow", "faiss", "sympy", "pydantic", "networkx", "yaml", "click")

LAW = """\
root: {name: Help with tenancy, description: Whatever a tenant may ask.}
seeds:
  - {instruction: Explain what a deposit is for., output: It covers what the tenant owes when the lease ends.}
explore: {depth: 1, width: [3], per_call: 3, merge_candidates: 0}
rules:
  instruction: {min_words: 3, forbidden_words: [picture]}
"""


@pytest.fixture
def law(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "law.yaml"
    path.write_text(LAW, encoding="utf-8")
    return path


def child(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_is_light():
    assert child(f"import sys, curate; print(*[name for name in {HEAVY} if name in sys.modules])") == []


def test_verbs_are_functions_whatever_was_imported():
    code = (
        "import curate, inspect\n"
        "first = curate.explore, curate.export\n"
        "import curate.explore, curate.export\n"
        "from curate.explore import Explorer\n"
        "assert (curate.explore, curate.export) == first\n"
        "print(*[name for name in curate.__all__ if inspect.isfunction(getattr(curate, name))])"
    )
    assert child(code) == curate.__all__
    assert set(curate.__all__) <= set(dir(curate))
    with pytest.raises(AttributeError, match="module 'curate' has no attribute 'exlore'"):
        _ = curate.exlore


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("tree", "train", "fuse")])
def test_parameters_are_the_options(verb):
    command = root.get_command(click.Context(root), verb)
    # What only a terminal has, and what Python says with a value or a method (`stats(…).plot(path)`).
    shown = {parameter.name for parameter in command.params if not getattr(parameter, "hidden", False)}
    options = shown - {"as_json", "full", "no_rouge", "no_browser", "plot"}
    plural = {"domains": "domains"}
    function = getattr(curate, f"{verb}_" if iskeyword(verb) else verb)
    signature = inspect.signature(function)
    if verb == "dedup":  # whose --calibrate is a function of its own
        asked = {"precision", "pairs", "judge"}
        assert asked <= set(inspect.signature(curate.calibrate).parameters)
        options -= {"calibrate", *asked}
    assert set(signature.parameters) == {plural.get(name, name) for name in options}
    for name, parameter in signature.parameters.items():
        option = next(one for one in command.params if one.name == name)
        if parameter.default is not inspect.Parameter.empty and option.default.__class__ is parameter.default.__class__:
            assert parameter.default == option.default
    assert "Raises:" in function.__doc__ or verb == "check"


def test_explore_and_what_follows(law, capsys):
    rows = curate.explore(law, rows=12, teacher=TEACHER)
    assert rows.column_names == ["id", "task", "messages"]
    assert len(rows) == 12
    assert [turn["role"] for turn in rows[0]["messages"]] == ["user", "assistant"]
    assert capsys.readouterr().out == ""
    kept = curate.show("runs/law")
    assert kept["id"] == rows["id"]
    dropped = curate.show("runs/law", stage="rules", limit=2)
    assert dropped["reason"] == ["forbidden_word", "forbidden_word"]
    assert len(curate.dedup("runs/law", out="kept.jsonl")) == 12
    clean = curate.filter("kept.jsonl", domain="math")
    assert clean.column_names == ["id", "task", "messages", "meta"]
    assert Path("kept.filtered.dropped.jsonl").exists()
    assert curate.export("runs/law", out="x", format="alpaca").column_names == [
        "id", "task", "instruction", "input", "output",
    ]  # fmt: skip
    assert next(iter(curate.tree_show("runs/law", depth=0))) == "Help with tenancy  (+3 below)"
    gone = curate.tree_prune("runs/law", rows[-1]["task"][-1])
    added = curate.tree_add("runs/law", "Help with tenancy", "Deposits", "Getting them back")
    assert curate.tree_rename("runs/law", "Deposits", "Rent deposits").id == added.id
    tree = curate.explore(law, rows=12, teacher=TEACHER, tree_only=True, quiet=True)
    assert isinstance(tree, TaskTree)
    assert len(tree) == 5 - len(gone) and tree.get(added.id).name == "Rent deposits"


def test_try_shows_what_explore_then_finds_in_its_ledger(law, capsys):
    trial = curate.try_(law, calls=6, rows=30, teacher=TEACHER)
    assert trial.kept.column_names == trial.dropped.column_names
    assert len(trial.tree) == 4 and len(trial.kept) > 5 and "rules" in trial.dropped["stage"]
    assert trial.projection.rows == 30 and trial.projection.calls.value > 0
    assert capsys.readouterr().out == ""
    assert len(curate.explore(law, rows=30, teacher=TEACHER, quiet=True)) == 30


def test_fewer_rows_are_a_warning(law):
    with pytest.warns(UserWarning, match=r"short: \d+ of 12 rows stand \(budget\)"):
        rows = curate.explore(law, rows=12, teacher=TEACHER, out="short", budget_calls=2, quiet=True)
    assert len(rows) < 12
    with pytest.warns(UserWarning, match=r"none: 0 of 12 rows stand \(budget\)"):
        rows = curate.explore(law, rows=12, teacher=TEACHER, out="none", budget_calls=0, quiet=True)
    assert (len(rows), rows.column_names) == (0, ["id", "task", "messages"])


def test_inside_a_running_event_loop(law, capsys):
    async def notebook():
        before = asyncio.get_running_loop()
        rows = curate.explore("law.yaml", rows=8, teacher=TEACHER, quiet=True)
        assert asyncio.get_running_loop() is before
        return len(rows)

    assert asyncio.run(notebook()) == 8
    assert capsys.readouterr().err == ""


def test_plan_and_check(law):
    made = curate.plan(law, rows=12, teacher=TEACHER)
    assert isinstance(made, Plan)
    assert (made.rows, made.tasks, made.free) == (12, 4, True)
    assert curate.check(law, "math") == {str(law): [], "math": []}
    law.write_text("root: {name: Law}\nrows: 3\n", encoding="utf-8")
    assert curate.check(law)[str(law)][0].startswith(f"{law}:2: rows is not a key here")


def test_errors_are_of_one_family(law):
    with pytest.raises(InputError, match="which rules"):
        curate.filter(law)
    with pytest.raises(InputError, match="no domain: give --domain"):
        curate.explore()
