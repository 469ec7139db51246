"""Any domain: the shipped ones, a phrase that the teacher drafts, and a tree of one's own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import runs
import teacher
import yaml

from curate.config import load_domain, shipped_domains
from curate.errors import ModelError, RunError
from curate.pipeline.explore import Options, explore_run

PHRASE = "tenancy law"


@pytest.mark.parametrize("name", ["math", "rewriting", "brainstorming", "code", "math-zh"])
def test_every_shipped_domain_runs_with_a_teacher_of_one_s_own(tmp_path, name):
    report = runs.run(name, tmp_path / "out", rows=20)
    assert (report.accepted, report.exit_code, report.stopped) == (20, 0, "")
    domain = load_domain(name)
    tree = json.loads((tmp_path / "out/tree.json").read_text(encoding="utf-8"))
    names = {task["name"] for task in tree["tasks"]}
    assert {domain.root.name, *(task.name for task in domain.tasks)} <= names
    if name.startswith("math"):
        assert all(row["meta"]["verify"]["calls"] for row in runs.accepted(report))
        assert any(row["dropped"]["stage"] == "verify" for row in runs.dropped(report))


def test_the_five_are_all_there_are():
    assert shipped_domains() == ["brainstorming", "code", "math", "math-zh", "rewriting"]


class Drafting:
    """A teacher that drafts tenancy law; the first `bad` drafts are `wrong`. `drafts` counts how often it was asked."""

    def __init__(self, bad=0, wrong="Well, tenancy law is a large field."):
        self.bad, self.wrong, self.drafts = bad, wrong, 0
        self.shown = []

    async def __call__(self, request):
        if "domain" not in request.attempt:
            self.shown.append(request)
            return teacher.answer(request.messages, request.schema, request.attempt)
        self.drafts += 1
        if self.drafts <= self.bad:
            return self.wrong
        return json.dumps({
            "name": "../law", "root": "Advise on tenancy law", "description": "Questions of tenants and landlords.",
            "tasks": [{"name": "Explain clauses", "description": "Of a lease."},
                      {"name": "Draft letters", "description": "To the other side."},
                      {"name": "explain clauses.", "description": "Once more."}],
            "guidance": "Name the country.", "rubric": "5: right. 1: wrong.", "verify": "none",
            "seeds": [{"instruction": "May my landlord keep a key?", "input": "", "output": "Only if you agree."},
                      {"instruction": "Write a notice of defects.", "input": "", "output": "Dear Sir or Madam."}],
        })  # fmt: skip


def test_a_phrase_is_drafted_checked_kept_and_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = Drafting()
    report = runs.run(PHRASE, None, model, rows=15)
    out = Path("runs/tenancy-law")
    assert report.accepted == 15 and report.out == out and model.drafts == 1
    domain = load_domain(str(out / "domain.yaml"))
    assert domain.name == "tenancy-law" and domain.root.name == "Advise on tenancy law"
    assert [task.name for task in domain.tasks] == ["Explain clauses", "Draft letters"]
    assert len(domain.seed_examples()) == 2
    written = yaml.safe_load((out / "domain.yaml").read_text())
    assert {"explore", "rules", "guidance", "rubric", "seeds", "root", "tasks"} <= set(written)
    assert any("Name the country." in message["content"] for r in model.shown for message in r.messages)
    again = runs.run(PHRASE, None, Drafting(), rows=15)
    assert again.stats.calls == 0 and again.accepted == 15


def test_a_draft_can_be_edited_before_going_on_even_its_root(tmp_path):
    out, seen = tmp_path / "out", []

    def refuse(domain, path):
        seen.append((domain.name, path))
        return False

    options = Options(domain=PHRASE, out=out, rows=12, teacher=Drafting())
    first = explore_run(options, confirm=refuse)
    assert seen == [("tenancy-law", out / "domain.yaml")]
    assert (first.accepted, first.stopped, first.exit_code, first.stats.calls) == (0, "stopped", 3, 1)
    assert not (out / "tree.json").exists()
    text = (out / "domain.yaml").read_text()
    edited = text.replace("Advise on tenancy law", "Advise tenants").replace("Draft letters", "Settle disputes")
    (out / "domain.yaml").write_text(edited)
    second = explore_run(Options(domain=PHRASE, out=out, rows=12, teacher=Drafting()), confirm=refuse)
    assert second.accepted == 12 and len(seen) == 1, "a draft that was shown is not shown again"
    names = {task["name"] for task in json.loads((out / "tree.json").read_text())["tasks"]}
    assert {"Advise tenants", "Settle disputes"} <= names and "Draft letters" not in names


def test_numbers_edited_in_a_draft_after_the_run_began_are_taken(tmp_path):
    out = tmp_path / "out"
    runs.run(PHRASE, out, Drafting(), rows=12)
    value = yaml.safe_load((out / "domain.yaml").read_text())
    value["rules"]["instruction"]["min_words"] = 14
    (out / "domain.yaml").write_text(yaml.safe_dump(value))
    report = runs.run(PHRASE, out, Drafting(), rows=12)
    assert report.accepted == 12
    assert all(len(row["messages"][0]["content"].split()) >= 14 for row in runs.accepted(report))


def test_an_edit_that_cannot_reach_the_grown_tree_is_not_passed_over_in_silence(tmp_path):
    kept = "keeps the tree it has: change that with `curate tree`"
    out = tmp_path / "out"
    runs.run(PHRASE, out, Drafting(), rows=10)
    again = runs.run(PHRASE, out, Drafting(), rows=12)
    assert not any(kept in note for note in again.notes)
    path = out / "domain.yaml"
    path.write_text(path.read_text().replace("name: Draft letters", "name: Draft short letters"))
    for _ in range(2):
        edited = runs.run(PHRASE, out, Drafting(), rows=10)
        assert any(kept in note for note in edited.notes) and edited.accepted == 10
    names = [task["name"] for task in json.loads((out / "tree.json").read_text())["tasks"]]
    assert "Draft letters" in names and "Draft short letters" not in names


def test_a_wrong_edit_of_a_draft_is_named_with_its_line(tmp_path):
    from curate.errors import ConfigError

    out = tmp_path / "out"
    runs.run(PHRASE, out, Drafting(), rows=5)
    text = (out / "domain.yaml").read_text()
    (out / "domain.yaml").write_text(text + "exploore: {}\n")
    line = len(text.splitlines()) + 1
    with pytest.raises(ConfigError, match=rf"domain.yaml:{line}: .*exploore.*did you mean 'explore'"):
        runs.run(PHRASE, out, Drafting(), rows=5)


NAMELESS = json.dumps({
    "name": "x", "root": "Law", "description": "d", "guidance": "g", "rubric": "r", "verify": "none",
    "tasks": [{"name": "...", "description": "d"}, {"name": "B", "description": "d"}],
    "seeds": [{"instruction": "a", "input": "", "output": "b"}, {"instruction": "c", "input": "", "output": "d"}],
})  # fmt: skip


@pytest.mark.parametrize(("wrong", "bad"), [("no draft at all", 4), (NAMELESS, 2)])
def test_an_unusable_draft_is_asked_for_again(tmp_path, wrong, bad):
    model = Drafting(bad, wrong)
    assert runs.run(PHRASE, tmp_path / "out", model, rows=5).accepted == 5
    assert model.drafts == bad + 1


def test_three_unusable_drafts_end_the_run_with_the_reason_and_nothing_written(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ModelError, match=r"no usable draft of the domain 'tenancy law' in 3 attempts \(unreadable: "):
        runs.run(PHRASE, out, Drafting(99), rows=5)
    assert not (out / "domain.yaml").exists() and not (out / "tree.json").exists()


def test_a_budget_that_ends_before_the_draft_is_no_failure(tmp_path):
    out = tmp_path / "out"
    report = runs.run(PHRASE, out, Drafting(), rows=5, budget_tokens=10)
    assert (report.stopped, report.exit_code, report.accepted, report.dataset) == ("budget", 3, 0, None)
    assert runs.run(PHRASE, out, Drafting(), rows=5).accepted == 5


def test_a_tree_of_one_s_own_needs_no_domain_file_and_is_not_grown(tmp_path):
    outline = tmp_path / "outline.txt"
    outline.write_text("Gardening\n  Plan a bed\n    Choose herbs\n  Fight pests\n")
    asked = []

    async def model(request):
        asked.append(request.prompt)
        return teacher.answer(request.messages, request.schema, request.attempt)

    report = runs.run(None, tmp_path / "out", model, tree=str(outline), rows=12)
    assert report.accepted == 12 and set(asked) == {"generate/samples"}
    paths = {tuple(task["task"]) for task in report.counts["per_task"]}
    assert paths == {("Gardening",), ("Gardening", "Plan a bed"), ("Gardening", "Plan a bed", "Choose herbs"),
                     ("Gardening", "Fight pests")}  # fmt: skip


def test_a_changed_outline_is_not_passed_over_in_silence(tmp_path):
    outline, out = tmp_path / "outline.txt", tmp_path / "out"
    outline.write_text("Gardening\n  Plan a bed\n  Fight pests\n")
    runs.run(None, out, tree=str(outline), rows=6)
    assert runs.run(None, out, tree=str(outline), rows=9).accepted == 9
    assert runs.run(None, out, tree=str(out / "tree.json"), rows=9).accepted == 9
    outline.write_text("Gardening\n  Plan a bed\n  Mow the lawn\n")
    with pytest.raises(RunError, match=r"outline.txt now holds another; change the run's with `curate tree`.*--out"):
        runs.run(None, out, tree=str(outline), rows=9)


def test_only_the_tree_is_grown_where_no_more_is_asked(tmp_path):
    report = runs.run(runs.domain_file(tmp_path), tmp_path / "out", tree_only=True)
    assert report.exit_code == 0 and report.tree_only and len(report.tree_lines) > 0
    assert not (tmp_path / "out/dataset").exists()
    calls = report.stats.calls
    full = runs.run(runs.domain_file(tmp_path), tmp_path / "out", rows=10)
    assert full.accepted == 10 and calls == 2
    assert not any("explore" in stage for stage in full.stats.by_stage)


def test_a_pruned_task_gets_no_rows_and_does_not_come_back(tmp_path):
    domain, out = runs.domain_file(tmp_path), tmp_path / "out"
    runs.run(domain, out, rows=20)
    gone = json.loads((out / "tree.json").read_text())["tasks"][1]["name"]
    (out / "tree.edits.jsonl").write_text(json.dumps({"op": "prune", "task": [gone]}) + "\n")
    report = runs.run(domain, out, rows=20)
    assert report.accepted == 20 and report.stats.by_stage.keys() <= {"generate"}
    assert not any(gone in task["task"] for task in report.counts["per_task"])
    # Growing on, because the domain file asks for more, does not undo it.
    wider = runs.run(runs.domain_file(tmp_path, explore={"width": [6]}), out, rows=20)
    assert not any(gone in task["task"] for task in wider.counts["per_task"])
    assert len(wider.counts["per_task"]) == 1 + 6


def test_the_job_runs_inside_a_running_event_loop(tmp_path):
    async def notebook():
        return runs.run(runs.domain_file(tmp_path), tmp_path / "out", rows=8)

    assert asyncio.run(notebook()).accepted == 8
