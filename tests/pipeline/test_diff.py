"""Two runs side by side: what differs is named, what is equal is not, and every number is the runs' own."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import runs
import teacher
import yaml

from curate.cli.diff import lines
from curate.errors import InputError, RunError
from curate.finished import open_run
from curate.io import read_jsonl
from curate.pipeline.diff import diff
from curate.tree import append_edit
from curate.types import Completion

DEEP = {"explore": {"depth": 2, "width": [4, 2], "per_call": 2, "merge_candidates": 0}}


async def reply(request):
    text = await teacher.reply(request)
    return Completion(text=text, input_tokens=100, output_tokens=50, cost=0.5, latency=2.0, finish_reason="stop")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two runs of one domain whose seeds and minimum of words differ."""
    folder = tmp_path_factory.mktemp("diff")
    runs.run(runs.domain_file(folder, **DEEP), folder / "a", reply, rows=40)
    changed = runs.domain_file(folder, **DEEP, rules={"instruction": {"min_words": 11}}, rouge={"threshold": 0.8})
    runs.run(changed, folder / "b", reply, rows=30, seed=1)
    return folder / "a", folder / "b"


@pytest.fixture
def copied(two, tmp_path):
    """The first run and a copy of it."""
    shutil.copytree(two[0], tmp_path / "copy")
    return two[0], tmp_path / "copy"


def test_only_settings_that_differ_are_listed(two):
    made = diff(*two, figures=False)
    assert [(change.name, change.a, change.b) for change in made.settings] == [
        ("seed", 0, 1),
        ("domain.rules.instruction.min_words", 3, 11),
        ("domain.rouge.threshold", 0.7, 0.8),
    ]


def test_a_run_and_its_copy_differ_in_nothing(copied):
    made = diff(*copied, figures=False)
    rows = open_run(copied[0]).summary["accepted"]
    assert made.settings == [] and made.trees.only_a == made.trees.only_b == made.trees.renamed == []
    assert made.trees.common == made.trees.tasks[0] - 1
    assert (made.shared.same, made.shared.answered, made.shared.dropped_by_b) == (rows, 0, {})
    assert all(pair.a == pair.b for pair in [*made.cost, *made.drops]) and all(step.a == step.b for step in made.stages)


def test_prompts_and_what_one_run_has_not_are_settings_too(copied):
    path = copied[1] / "run.yaml"
    settings = yaml.safe_load(path.read_text())
    assert set(settings["prompts"]) >= {"generate/samples", "explore/lookahead", "judge/quality"}
    settings["prompts"]["repair"] = "0" * 16
    del settings["domain"]["rouge"]
    settings["encoder"]["threshold"] = 0.9
    path.write_text(yaml.safe_dump(settings))
    changes = {change.name: (change.a, change.b) for change in diff(*copied, figures=False).settings}
    assert changes.pop("encoder.threshold") == (0.95, 0.9)
    assert changes.pop("prompts.repair")[1] == "0" * 16
    assert changes == {"domain.rouge.threshold": (0.7, None), "domain.rouge.field": ("text", None)}


def test_a_run_without_hashes_of_its_prompts_is_no_other_run(copied):
    path = copied[1] / "run.yaml"
    settings = yaml.safe_load(path.read_text())
    del settings["prompts"]
    path.write_text(yaml.safe_dump(settings))
    made = diff(*copied, figures=False)
    assert made.settings == []
    assert made.notes == [f"{copied[1]} was made before prompts were noted in run.yaml: they are not compared"]


def test_trees_are_compared_task_by_task(copied):
    tree = open_run(copied[0]).tree
    first, second = tree.children(tree.root.id)[:2]
    journal = copied[1] / "tree.edits.jsonl"
    append_edit(journal, {"op": "rename", "task": first.id, "name": "Something else"})
    append_edit(journal, {"op": "prune", "task": second.id})
    append_edit(journal, {"op": "add", "task": tree.root.id, "name": "Quite new"})
    made = diff(*copied, figures=False).trees
    below = [path for path in (tree.path(task.id)[1:] for task in tree.walk()) if path[:1] == (second.name,)]
    assert made.only_a == below and made.only_b == [("Quite new",)]
    assert made.renamed == [((first.name,), ("Something else",))]
    assert made.tasks == (len(tree), len(tree) - len(below) + 1)


def test_trees_with_other_roots_are_compared_by_their_paths(two, tmp_path):
    shutil.copytree(two[0], tmp_path / "copy")
    tree = json.loads((two[0] / "tree.json").read_text())
    outline = {"name": "Another root", "tasks": [{"name": row["name"]} for row in tree["tasks"][1:3]]}
    (tmp_path / "outline.yaml").write_text(yaml.safe_dump(outline))
    runs.run(None, tmp_path / "other", reply, tree=str(tmp_path / "outline.yaml"), rows=5)
    made = diff(two[0], tmp_path / "other", figures=False).trees
    assert made.common == 2 and made.only_b == [] and len(made.only_a) == len(tree["tasks"]) - 3


def test_yield_drops_and_cost_are_those_of_the_runs(two):
    made = diff(*two, figures=False)
    a, b = map(open_run, two)
    assert [(step.name, step.a[1], step.b[1]) for step in (made.stages[0], made.stages[-1])] == [
        ("candidates", a.summary["candidates"], b.summary["candidates"]),
        ("accepted", 40, 30),
    ]
    assert {pair.name: pair.a for pair in made.drops if pair.a} == a.summary["dropped"]
    assert {pair.name: pair.b for pair in made.drops if pair.b} == b.summary["dropped"]
    assert next(pair for pair in made.drops if pair.name == "rules: too_short").a == 0
    cost = {pair.name.strip(): (pair.a, pair.b) for pair in made.cost}
    calls = [sum(usage.calls for usage in run.usage()) for run in (a, b)]
    assert cost["calls"] == tuple(calls) and cost["tokens in"] == tuple(100 * count for count in calls)
    assert cost["US dollars"] == tuple(0.5 * count for count in calls)
    assert cost["rows per million tokens"] == pytest.approx((40 * 1e6 / calls[0] / 150, 30 * 1e6 / calls[1] / 150))
    assert cost["generate"][0] + cost["explore"][0] == calls[0]


def test_samples_in_common_are_counted_by_id_and_by_instruction(copied):
    kept = next(path for path in copied[1].glob("accepted.*.jsonl") if "dropped" not in path.name)
    rows = list(read_jsonl(kept))
    rows[0] = {**rows[0], "id": "0" * 16, "messages": [rows[0]["messages"][0], {"role": "assistant", "content": "No."}]}
    gone = rows.pop()
    dropped = {**gone, "dropped": {"stage": "judge", "reason": "judge_low_score", "score": 1.0}}
    kept.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (kept.parent / kept.name.replace(".jsonl", ".dropped.jsonl")).open("a") as file:
        file.write(json.dumps(dropped) + "\n")
    summary = next(copied[1].glob("*.summary.json"))
    counts = json.loads(summary.read_text())
    counts["accepted"] -= 1
    counts["dropped"]["judge: judge_low_score"] = 1
    summary.write_text(json.dumps(counts))
    shared = diff(*copied, figures=False).shared
    assert (shared.same, shared.answered) == (38, 1)
    ((instruction, a, b),) = shared.examples
    first = next(iter(open_run(copied[0]).kept()))
    assert (instruction, a, b) == (first["messages"][0]["content"], first["messages"][1]["content"], "No.")
    assert shared.dropped_by_b == {"judge: judge_low_score": 1} and shared.dropped_by_a == {}


def test_figures_are_taken_at_equal_size(two):
    made = diff(*two)
    a, b = made.figures.files
    assert (a.figures.samples, b.figures.samples) == (40, 30)
    assert a.subset == "30 of its own" and b.subset == ""
    assert json.loads(json.dumps(made.as_json()))["figures"]["files"][0]["source"] == str(two[0])


def test_what_cannot_be_compared_is_said(two, tmp_path):
    with pytest.raises(InputError, match=r"a run does not differ from itself; name two runs"):
        diff(two[0], f"{two[0]}/../a")
    with pytest.raises(RunError, match=r"no run is here"):
        diff(two[0], tmp_path)


@pytest.mark.parametrize("width", [79, 119])
def test_the_table_fits_the_screen_and_names_everything(two, width):
    made = diff(*two)
    shown = [re.sub(r"\x1b\[\d+m", "", line) for line in lines(made, width)]
    # One file's figures may need more: the table is then as narrow as it can be.
    figures = next(place for place, line in enumerate(shown) if line.startswith("Figures "))
    assert max(map(len, shown[:figures])) <= width and not any(line.endswith(" ") for line in shown)
    for heading in ("Settings that differ", "Task trees", "Yield", "Drops", "Cost", "Samples in common"):
        assert heading in shown
    assert any(re.fullmatch(r"  domain\.rules\.instruction\.min_words +3 +11", line) for line in shown)
    assert any(re.fullmatch(r"  accepted +40 \(\d+ %\) +30 \(\d+ %\)", line) for line in shown)


def test_no_run_can_steer_a_terminal(copied):
    path = copied[1] / "run.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["domain"]["guidance"] = "Do \x1b]0;owned\x07 and \x1b[31mthat."
    path.write_text(yaml.safe_dump(settings))
    text = "\n".join(lines(diff(*copied, figures=False), 79))
    assert "\x07" not in text and "\x1b[31m" not in text and "domain.guidance" in text
