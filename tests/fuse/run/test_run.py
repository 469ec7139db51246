"""Whole runs on a tiny model: what is done, what is not done again, and what is said."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import curate
from curate.cli import root
from curate.errors import ModelError, RunError
from curate.fuse.run.results import chance, verdict
from curate.io import read_jsonl
from curate.models import Ledger
from curate.run import RunDirectory
from curate.train.scores import Difference, Mean

pytestmark = pytest.mark.timeout(400)


def recipe(text: str, name: str = "other.yaml") -> str:
    """Write the shared recipe with other stages, and return its name."""
    head = Path("recipe.yaml").read_text().partition("stages:")[0]
    Path(name).write_text(f"{head}stages:\n{text}")
    return name


def test_a_run_measures_the_target_every_stage_and_the_sources(finished):
    results = json.loads((finished / "out" / "results.json").read_text())
    rows = {row["name"]: row for row in results["rows"]}
    assert list(rows) == ["target", "sft", "source right.py", "source wrong.py"]
    before, after = (rows[name]["scores"]["loss"]["value"] for name in ("target", "sft"))
    assert after < before
    assert rows["sft"]["verdict"] == {"answers": "same", "loss": "better"}
    asked = [rows[f"source {name}.py"]["answers"]["exact"] for name in ("right", "wrong")]
    assert [(one["right"], one["of"]) for one in asked] == [(24, 24), (0, 24)]
    assert (finished / results["model"] / "model.safetensors").is_file()
    steps = json.loads((finished / "out" / "stages.json").read_text())["stages"]
    assert [(step["step"], step["done"]) for step in steps] == [
        ("collect", True), ("build sft", True), ("train sft", True)]  # fmt: skip


def test_samples_are_the_best_responses(finished):
    (folder,) = (finished / "out").glob("build-sft-*")
    rows = list(read_jsonl(folder / "samples.jsonl"))
    assert len(rows) == 40
    for row in rows:
        question, answer = (turn["content"] for turn in row["messages"])
        a, b = (int(word.strip("?")) for word in question.split() if word.strip("?").isdigit())
        assert answer == f"It is \\boxed{{{a + b}}}"


@pytest.fixture
def copy(finished, here) -> Path:
    shutil.copytree(finished / "out", here / "out", symlinks=True)
    return here


def test_the_same_command_again_does_nothing(copy):
    before = Path("out/results.json").read_bytes()
    again = curate.fuse_run("recipe.yaml", quiet=True)
    assert (again.done, again.plan.missing, again.stopped) == ([], [], "")
    assert Path("out/results.json").read_bytes() == before


def test_a_changed_option_redoes_its_stage_and_going_back_does_nothing(copy):
    Path("other.yaml").write_text(Path("recipe.yaml").read_text().replace("epochs: 1", "epochs: 2"))
    assert [step.name for step in curate.fuse_run("other.yaml", quiet=True).done] == ["train sft"]
    assert curate.fuse_run("recipe.yaml", quiet=True).done == []


def test_a_result_that_is_gone_is_made_again_to_the_same_bytes_and_nothing_else(copy):
    (model,) = Path("out").glob("train-sft-*/model")
    (samples,) = Path("out").glob("build-sft-*")
    weights = (model / "model.safetensors").read_bytes()
    shutil.rmtree(samples)
    assert curate.fuse_run("recipe.yaml", quiet=True).done == []  # nothing needs them any more
    shutil.rmtree(model.parent)
    again = curate.fuse_run("recipe.yaml", quiet=True)
    assert [step.name for step in again.done] == ["build sft", "train sft"]
    assert (model / "model.safetensors").read_bytes() == weights


def test_wrpo_learns_from_the_targets_own_responses_too(here):
    text = "- collect: {n: 2}\n- sft: {epochs: 1, batch: 8, samples: 0}\n- collect: {n: 3, target: true}\n"
    Path("own.py").write_text(Path("right.py").read_text().replace("It is", "Let me see:"))
    head = Path("recipe.yaml").read_text().replace(
        "target: target", "target: {model: target, spec: 'scripted:own.py'}"
    ).partition("stages:")[0].replace("new_tokens: 8", "new_tokens: 0")  # fmt: skip
    Path("w.yaml").write_text(f"{head}stages:\n{text}- wrpo: {{batch: 8, lr: 1.0e-3, samples: 0}}\n")
    fused = curate.fuse_run("w.yaml", quiet=True)
    names = [step.name for step in fused.done]
    # Samples of the first collection are built before the first training, those of the second behind it.
    assert names == ["collect", "build sft", "train sft", "collect", "build wrpo", "train wrpo"]
    # The second one asks the target alone, the prompts that preferences are learnt from, and the sources nothing new.
    models = json.loads(Path("out/collected/collected.json").read_text())["models"]
    assert [(one["role"], one["responses"]) for one in models] == [("source", 80), ("source", 80), ("target", 3 * 28)]
    (folder,) = Path("out").glob("build-wrpo-*")
    rows = list(read_jsonl(folder / "samples.jsonl"))
    assert len(rows) == 28
    (row, *_), first, second = rows, *fused.plan.calls.values()
    assert [(one.role, one.calls) for one in first.steps] == [("source", 80), ("source", 80)]
    assert [(one.role, one.calls, one.output_tokens) for one in second.steps] == [("target", 84, 84 * 400)]
    with Ledger("out/collected/calls.sqlite") as ledger:
        assert sum(total.calls for total in ledger.totals()) == 160 + 84
    assert row["chosen"][0]["content"].startswith("Let me see")
    assert row["chosen_source"][0]["content"].startswith("It is")
    steps = [row for row in fused.rows if row.before]
    assert [(row.name, row.before) for row in steps] == [("sft", "target"), ("wrpo", "sft")]
    # Both collections lie in one folder, of which the first is a part: neither is done again.
    assert curate.fuse_run("w.yaml", quiet=True).done == []


def test_a_spent_budget_stops_and_more_goes_on(here):
    stopped = CliRunner().invoke(root, ["fuse", "run", "recipe.yaml", "--budget-calls", "50"])
    assert stopped.exit_code == 3
    assert stopped.stdout.splitlines()[0] == "fuse run out: not finished (the budget allows no further call)"
    assert not list(Path("out").glob("train-*"))


def test_a_source_that_never_answers_stops_before_any_training(here):
    Path("dead.py").write_text(
        "from curate.types import Failure\ndef reply(request):\n    return Failure('server', 'down')\n"
    )
    with pytest.raises(ModelError, match=r"collect: scripted:dead\.py: not one of 80 responses can be used"):
        curate.fuse_run("recipe.yaml", source="scripted:dead.py", quiet=True)
    assert not list(Path("out").glob("build-*"))


def test_a_source_that_fails_for_some_prompts_is_said_and_the_run_goes_on(here):
    body = Path("right.py").read_text().replace(
        "    a, b", "    if '3 plus' in str(request.messages):\n        return Failure('server', 'down')\n    a, b"
    )  # fmt: skip
    Path("some.py").write_text(f"from curate.types import Failure\n{body}")
    name = recipe("- collect: {n: 1}\n- dpo: {samples: 0, batch: 8}\n")
    done = CliRunner().invoke(root, ["fuse", "run", name, "--source", "scripted:some.py", "--json"])
    assert "calls failed after all attempts; they count as no answers" in done.stderr
    # One response of each source: none has a right and a wrong one, which is said before any training.
    assert str(done.exception) == (
        "build dpo: out/collected: no sample could be built of 40 prompts (no_model_has_both 40)"
    )


def test_a_second_process_is_refused(here):
    with RunDirectory(here / "out"), pytest.raises(RunError, match=r"another process .* is working here"):
        curate.fuse_run("recipe.yaml", quiet=True)


def test_the_plan_does_nothing(here):
    done = CliRunner().invoke(root, ["fuse", "run", "recipe.yaml", "--plan", "--data", "prompts2.jsonl"])
    assert "prompts2.jsonl: there is no such file" in str(done.exception)
    Path("both.jsonl").write_text(
        Path("held.jsonl").read_text() + '{"instruction": "What is 1 plus 1?", "output": "2"}'
    )
    done = CliRunner().invoke(root, ["fuse", "run", "recipe.yaml", "--plan", "--data", "both.jsonl"])
    assert done.exit_code == 0, done.output
    lines = done.stderr.splitlines()
    assert "plan: 3 steps into out" in lines
    assert "       source  scripted:right.py: 80 calls, about 400 tokens in, 32.0k out; nothing" in lines
    assert "   3 to do  train sft  1 epochs of 8 samples an update, lr 0.001" in lines
    assert not Path("out").exists()


def test_what_the_command_says(copy):
    done = CliRunner().invoke(root, ["fuse", "run", "recipe.yaml"])
    lines = done.stdout.splitlines()
    assert lines[0] == "held.jsonl: 24 samples, 24 problems"
    assert lines[1].split() == ["loss", "exact", "match"]
    assert [line.split()[0] for line in lines[2:6]] == ["target", "sft", "source", "source"]
    assert lines[4].split()[2:5] == ["-", "100", "%"]
    assert lines[6].startswith("  sft against target: loss -")
    assert " (better); problems +" in lines[6] and lines[6].endswith(" (same)")
    assert "  build sft  kept 40 of 40 prompts" in lines
    assert "Next: vllm serve out/train-sft-" in done.stdout
    assert max(map(len, lines)) <= 80


def test_a_stage_that_does_not_help_is_said():
    def said(gained, lost, value=-0.1, half=0.2):
        return verdict(Difference("m", "d", Mean(value, half), gained, lost))

    assert said(9, 1) == {"answers": "better", "loss": "same"}
    assert said(1, 9, 0.3) == {"answers": "worse", "loss": "worse"}
    assert said(5, 1, -0.3) == {"answers": "same", "loss": "better"}
    assert said(0, 0, -1e-5, 1e-6) == {"answers": "same", "loss": "same"}
    assert (chance(0, 0), chance(9, 1), chance(3, 3)) == (1.0, 22 / 1024, 1.0)


def test_parameters_of_the_function_are_the_options():
    group = root.get_command(click.Context(root), "fuse")
    names = {one.name for one in group.commands["run"].params} - {"as_json"}
    assert names == set(inspect.signature(curate.fuse_run).parameters)
