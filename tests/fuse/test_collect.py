"""Collecting responses: prompts and their checks, models from a file, verdicts, scores, resuming, and bad input."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import curate
from curate.cli import root
from curate.errors import ConfigError, InputError
from curate.fuse.collect import Options, collect
from curate.fuse.prompts import Check, read_prompts
from curate.fuse.sources import Sampling, Source, load_sources
from curate.io import read_jsonl, write_jsonl

PROMPTS = [
    {"question": "What is 9 + 9?", "answer": "9 + 9 = <<9+9=18>>18\n#### 18"},
    {"messages": [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Hi."}]},
    {"question": "What is 9 + 9?", "answer": "#### 18"},
    {"prompt": "Write f that doubles.", "test_list": ["assert f(2) == 4", "assert f(0) == 0"]},
]

REPLIES = {
    "What is 9 + 9?": ["\\boxed{18}", "Hm.", "18?"],
    "Say hello.": ["Hello.", "Hello!", "Hello, hello"],
    "Write f that doubles.": [
        "```python\ndef f(x): return 2 * x\n```",
        "```python\ndef f(x): return x\n```",
        "```python\ndef f(x):\n    open('../curate-escaped', 'w')\n    while True: pass\n```",
    ],
}

SCRIPT = f"""
REPLIES = {REPLIES!r}
def reply(request):
    return REPLIES[request.messages[-1]["content"]][int(request.attempt[-1])]
"""


@pytest.fixture
def prompts(tmp_path):
    write_jsonl(tmp_path / "prompts.jsonl", PROMPTS)
    return tmp_path / "prompts.jsonl"


@pytest.fixture
def script(tmp_path):
    (tmp_path / "model.py").write_text(SCRIPT)
    return f"scripted:{tmp_path / 'model.py'}"


def model(folder: Path, body: str) -> str:
    """Write a scripted model of this body and return its spec."""
    (folder / "written.py").write_text(f"from curate.types import *\ndef reply(request):\n{body}\n")
    return f"scripted:{folder / 'written.py'}"


def rows(path: Path) -> list[dict]:
    return list(read_jsonl(path))


def collected(prompts: Path, out: Path, *replies, n: int = 3, **options):
    sources = [Source(reply, "source", Sampling(n=n)) for reply in replies]
    return collect(prompts, Options(tuple(sources), out, **options))


@pytest.mark.parametrize(
    "row, check",
    [
        ({"question": "q", "answer": "so\n#### 1,000"}, Check("math", "1,000")),
        ({"problem": "q", "answer": "\\frac{1}{2}"}, Check("math", "\\frac{1}{2}")),
        ({"problem": "q", "solution": "Hence \\boxed{3}."}, Check("math", "3")),
        ({"prompt": "q", "answer": 7}, Check("math", "7")),
        ({"question": "q", "answer": "A long story.\nIt has lines."}, Check()),
        ({"text": "q", "test_list": ["f()"], "test_setup_code": "import re"}, Check("code", "", "import re\nf()")),
        ({"prompt": "q", "tests": "assert f()", "answer": "1"}, Check("code", "", "assert f()")),
        ({"prompt": "q", "answer": "1", "check": {"kind": "none", "gold": None}}, Check()),
        ({"instruction": "q", "output": "a"}, Check()),
    ],
)  # fmt: skip
def test_how_a_response_is_checked_stands_in_the_row(tmp_path, row, check):
    write_jsonl(tmp_path / "p.jsonl", [row])
    ((prompt, reason),) = read_prompts(tmp_path / "p.jsonl")
    assert (prompt.check, prompt.messages, reason) == (check, ({"role": "user", "content": "q"},), "")


@pytest.mark.parametrize(
    "row, message",
    [
        ({"prompt": "q", "check": {"kind": "maths"}}, "p.jsonl:1: check.kind is 'maths'; it takes none, math, code"),
        ({"prompt": "q", "check": {"kind": "math"}}, "check.gold, the final answer, is missing"),
        ({"prompt": "q", "test_list": [1]}, "'test_list' is "),
        ({"answer": "1"}, "p.jsonl:1: no prompt in the fields answer"),
        ({"prompt": " "}, "the prompt is empty"),
    ],
)
def test_a_row_that_is_no_prompt_names_its_line(tmp_path, row, message):
    write_jsonl(tmp_path / "p.jsonl", [row])
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        list(read_prompts(tmp_path / "p.jsonl"))


def test_duplicates_are_left_out_and_another_answer_is_said(tmp_path):
    write_jsonl(tmp_path / "p.jsonl", [{"prompt": "q", "answer": answer} for answer in ("1", "1", "2")])
    found = [reason for _, reason in read_prompts(tmp_path / "p.jsonl", "Box it.")]
    assert found == ["", "duplicate", "duplicate_other_check"]
    prompt, _ = next(read_prompts(tmp_path / "p.jsonl", "Box it."))
    assert prompt.messages[-1]["content"] == "q\n\nBox it."


def test_a_file_of_models_gives_each_its_own_sampling(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("n: 4\nsources:\n- vllm:A\n- {spec: vllm:B, temperature: 0.7, price_in: 1}\ntarget: hf:C\n")
    found, shared = load_sources(path, Sampling(max_tokens=99))
    assert shared == Sampling(n=4, max_tokens=99)
    assert [(one.spec, one.role, one.sampling.temperature, one.sampling.n) for one in found] == [
        ("vllm:A", "source", 0.8, 4), ("vllm:B", "source", 0.7, 4), ("hf:C", "target", 0.8, 4)]  # fmt: skip
    assert found[1].options.price_in == 1.0


@pytest.mark.parametrize(
    "text, message",
    [
        ("sources:\n- {spec: vllm:A, temprature: 1}\n", r"m.yaml:2: no setting is called 'temprature'; did you mean"),
        ("n: 2.5\n", r"m.yaml:1: n is 2.5; it takes a whole number"),
        ("sources:\n- 3\n", r"m.yaml:2: expected a model's spec"),
    ],
)
def test_a_mistake_in_the_file_of_models_names_its_line(tmp_path, text, message):
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_sources(tmp_path / "m.yaml", Sampling())


def test_a_collection_end_to_end(prompts, script, tmp_path, monkeypatch):
    monkeypatch.setattr("curate.fuse.verdicts.SECONDS", 1)
    out = tmp_path / "out"
    command = ["fuse", "collect", str(prompts), "--source", script, "--out", str(out), "--n", "3"]
    done = CliRunner().invoke(root, command)
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith(
        "plan: 3 prompts (1 with a known answer, 1 that no rule checks, 1 with tests); left out"
    )
    found = [(row["status"], row["extracted"]) for row in rows(out / "verdicts.jsonl")]
    skip = [("skip", None)] * 3
    code = [("pass", None), ("fail", None)]
    # The last program is refused a file outside of its folder, which is its own mistake.
    assert found == [("pass", "18"), ("fail", None), ("fail", None), *skip, *code, ("fail", None)]
    assert not (Path(tempfile.gettempdir()) / "curate-escaped").exists()
    assert [row["dropped"]["reason"] for row in rows(out / "prompts.dropped.jsonl")] == ["duplicate"]
    assert "  scripted:model.py         9      2      4      0       0      3   33 %      -" in done.stdout
    again = CliRunner().invoke(root, [*command, "--json"])
    assert json.loads(again.stdout)["calls"] == 0


def test_tests_that_hang_are_no_wrong_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("curate.fuse.verdicts.SECONDS", 1)
    write_jsonl(tmp_path / "p.jsonl", [PROMPTS[3]])
    hanging = model(tmp_path, "    return '```python\\ndef f(x):\\n    while True: pass\\n```'")
    collected(tmp_path / "p.jsonl", tmp_path / "out", hanging, n=1)
    assert [row["status"] for row in rows(tmp_path / "out" / "verdicts.jsonl")] == ["timeout"]


def test_failed_calls_and_cut_responses_are_errors_and_keep_their_place(prompts, tmp_path):
    body = """
    if request.messages[-1]["content"] == "Say hello.":
        return Failure("context_length", "too long")
    return Completion(text="Well, 9 + 9 <|im_end|>", finish_reason="length")"""
    report = collected(prompts, tmp_path / "out", model(tmp_path, body), n=2)
    assert [row["why"] for row in rows(tmp_path / "out" / "verdicts.jsonl")] == [
        *["cut at max_tokens"] * 2, *["no response: context_length"] * 2, *["cut at max_tokens"] * 2]  # fmt: skip
    (tally,) = report.models
    assert (tally.statuses, tally.failures) == (Counter(error=6), Counter(context_length=2))
    assert report.exit_code == 0
    assert rows(tmp_path / "out" / "responses.jsonl")[0]["content"] == "Well, 9 + 9 <|im_end|>"


def test_what_may_come_yet_is_asked_again(prompts, tmp_path):
    failing = """
    if request.messages[-1]["content"] == "Say hello.":
        return Failure("server", "down")
    return "\\\\boxed{18}" """
    first = collected(prompts, tmp_path / "out", model(tmp_path, failing), n=1)
    assert (first.transient, first.exit_code) == (1, 3)
    second = collected(prompts, tmp_path / "out", model(tmp_path, "    return 'Hello.'"), n=1)
    assert (second.calls, second.transient, second.exit_code) == (1, 0, 0)


def test_a_spent_budget_keeps_what_was_paid_and_more_goes_on_to_the_same_bytes(prompts, script, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    collected(prompts, whole, script)
    stopped = collected(prompts, part, script, budget_calls=4)
    assert (stopped.stopped, stopped.calls, stopped.exit_code) == ("budget", 4, 3)
    with pytest.raises(InputError, match="no whole collection lies here"):
        curate.fuse_build("sft", part)
    assert collected(prompts, part, script).calls == 5
    for name in ("prompts", "responses", "verdicts"):
        assert (part / f"{name}.jsonl").read_bytes() == (whole / f"{name}.jsonl").read_bytes()
    assert (part / "collected.json").read_bytes() == (whole / "collected.json").read_bytes()
    assert not list(part.glob(".*responses*"))


def test_a_target_that_is_a_source_gives_responses_of_its_own(prompts, script, tmp_path):
    same = [Source(script, role, Sampling(n=3)) for role in ("source", "target")]
    report = collect(prompts, Options(tuple(same), tmp_path / "out"))
    assert report.calls == 18
    assert [one.role for one in report.models] == ["source", "target"]
    assert len({row["response_id"] for row in rows(tmp_path / "out" / "responses.jsonl")}) == 18


def test_a_judge_grades_what_can_be_used(prompts, script, tmp_path):
    body = "    return 'Good.\\nscore: 7' if 'Hello' in request.messages[-1]['content'] else 'No idea.'"
    judge = model(tmp_path, body)
    report = collected(prompts, tmp_path / "out", script, judge=judge)
    scores = rows(tmp_path / "out" / "scores.jsonl")
    assert [row["score"] for row in scores[3:6]] == [7.0, 7.0, 7.0]
    assert {row["why"] for row in scores if row["score"] is None} == {"off_menu"}
    assert (report.models[0].scored, report.models[0].unscored) == (3, Counter(off_menu=6))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "which models?"),
        (["--source", "scripted:x.py", "--source", "scripted:x.py"], "given twice"),
        (
            ["--source", "vllm:A", "--n", "2", "--temperature", "0"],
            "at temperature 0 the 2 responses would be the same",
        ),
        (["--source", "vllm:A", "--top-p", "1.5"], "top_p is 1.5"),
        (["--source", "procedural", "--reward", "hf:X", "--judge", "procedural"], "give one of the two"),
        (["--source", "nonsense"], "no model is named 'nonsense'"),
        (["--source", "procedural", "--reward", "./nowhere"], "--reward ./nowhere: there is no such folder"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_asked(prompts, tmp_path, arguments, message):
    done = CliRunner().invoke(root, ["fuse", "collect", str(prompts), "--out", str(tmp_path / "out"), *arguments])
    assert message in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_parameters_of_the_functions_are_the_options():
    import inspect

    group = root.get_command(click.Context(root), "fuse")
    for verb, renamed in (("collect", {}), ("build", {"no_verdicts": "verdicts"})):
        names = {renamed.get(one.name, one.name) for one in group.commands[verb].params} - {"as_json"}
        assert names == set(inspect.signature(getattr(curate, f"fuse_{verb}")).parameters)


def test_models_of_one_name_cannot_be_told_apart(prompts, script, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.py").write_text(SCRIPT)
    with pytest.raises(InputError, match="responses cannot be told apart; rename one"):
        collected(prompts, tmp_path / "out", script, f"scripted:{tmp_path / 'other' / 'model.py'}")
