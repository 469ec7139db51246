"""What `try`, `why` and `diff` print: for a reader, for another program, and where they cannot."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from law_run import TEACHER, call

from curate.cli import root

STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
TRY = ("try", "law.yaml", "--teacher", TEACHER, "--rows", "30", "--calls", "20")


def asked(*arguments, code=0):
    """Run the command line in this process; return its stdout."""
    done = CliRunner().invoke(root, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.stdout


def test_a_trial_shows_tree_samples_and_price(law):
    done = call(law, *TRY, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout.splitlines()
    assert shown[0] == "law: what 9 calls show of a run of 30 rows"
    assert shown[2] == "  tree       4 tasks, the whole tree"
    assert any(re.fullmatch(r"  kept       10 of \d+", line) for line in shown)
    assert any(line.startswith("  rules: forbidden word, field instruction, value picture") for line in shown)
    assert any(line.startswith("  generate: unreadable") for line in shown)
    assert any(
        re.match(r"  yield      \d+ of \d+ samples asked in \d calls are good: [\d.]+ %, ", line) for line in shown
    )
    assert any(re.match(r"  run        30 rows over up to 4 tasks: about \d+ \(", line) for line in shown)
    assert shown[-1] == f"Next: curate explore --domain law.yaml --rows 30 --teacher {shlex.quote(TEACHER)}"
    assert not STEERING.search(done.stdout)


def test_a_trial_in_which_all_is_lost_does_not_send_one_on_to_the_run(law):
    (law / "vain.py").write_text("def reply(request): return 'ok'\n")
    done = call(law, *TRY[:2], "--teacher", "scripted:vain.py", "--quiet")
    shown = done.stdout.splitlines()
    assert (done.returncode, shown[2]) == (0, "  tree       1 task, the whole tree")
    assert shown[-1].startswith("Next: the same command with another teacher or domain file")


def test_a_trial_is_one_object_for_another_program_and_takes_the_words_of_explore(law):
    made = json.loads(asked(*TRY, "--json"))
    assert made["asked"] <= 20 and made["tree"]["whole"] and len(made["tree"]["tasks"]) == 4
    assert {row["dropped"]["stage"] for row in made["dropped"]} >= {"rules", "generate"}
    assert made["projection"]["calls"]["low"] <= made["projection"]["calls"]["high"]
    again = json.loads(asked("try", "--domain", *TRY[1:], "--json"))
    assert (again["replayed"], again["kept"]) == (again["asked"], made["kept"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["try", "math", "--domain", "code"], "two domains: 'math' and --domain 'code'; give one"),
        (["try", "math", "--calls", "3"], "3 is not in the range x>=5"),
        (["try"], "no domain"),
        (["try", "tax law"], "--teacher vllm:NAME"),
        (["why", "abc"], "which run? There is none in runs/ here"),
        (["why", "abc", "nope"], "nope: there is no such file or folder"),
        (["why", "runs/nope:3"], "runs/nope: there is no such file or folder"),
        (["diff", "a", "b"], "a: no run is here"),
        (["report", "law.yaml"], "law.yaml: this is a file, not a run's folder; `curate stats`, `view` and `show`"),
    ],
)
def test_what_cannot_be_shown_is_one_clear_message(law, arguments, said):
    done = call(law, *arguments)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr and done.stdout == ""


def test_ctrl_c_ends_a_trial_in_order_and_shows_what_there_is(law):
    teacher = law / "slow.py"
    teacher.write_text(
        f"import asyncio, sys; sys.path.insert(0, {str(Path(TEACHER[9:]).parent)!r}); import law_teacher\n"
        "async def reply(request):\n"
        "    if request.prompt == 'generate/samples':\n"
        "        print('asked', file=sys.stderr, flush=True); await asyncio.sleep(0.3)\n"
        "    return law_teacher.reply(request)\n"
    )
    command = [*TRY[:2], "--teacher", f"scripted:{teacher}", *TRY[4:], "--quiet"]
    code = "from curate.cli import main; main()"
    child = subprocess.Popen([sys.executable, "-c", code, *command], cwd=law, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    assert child.stderr.readline() == "asked\n"
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0 and "(stopped by hand)" in out.splitlines()[0] and "  tree  " in out


def test_why_is_for_eyes_and_for_programs(run):
    rows = [json.loads(line) for line in asked("show", run, "--dropped", "--json").splitlines()]
    for row in rows:
        text = asked("why", row["id"], run)
        assert text.startswith(f"{row['id']}  dropped  ") and not STEERING.search(text)
        assert "x dropped by " in text and "as it was sent" in text
    made = json.loads(asked("why", f"{run}:1", "--json"))
    assert made["kept"] and made["prompt"]["sent"] is True and made["calls"][0]["stage"] == "generate"
    assert asked("why", f"{run}:1", "--full").count("\n") > asked("why", f"{run}:1").count("\n")


def test_diff_is_for_eyes_and_for_programs(run, tmp_path):
    options = ("--teacher", TEACHER, "--rows", "10", "--seed", "1", "--out", tmp_path / "b", "--quiet")
    done = call(run.parent.parent, "explore", "--domain", "law.yaml", *options)
    assert done.returncode == 0, done.stderr
    out = asked("diff", run, tmp_path / "b", "--no-figures", "--quiet")
    assert not STEERING.search(out) and re.search(r"^  seed +0 +1$", out, re.MULTILINE)
    made = json.loads(asked("diff", run, tmp_path / "b", "--no-figures", "--json"))
    assert made["figures"] is None and made["settings"] == [{"name": "seed", "a": 0, "b": 1}]
