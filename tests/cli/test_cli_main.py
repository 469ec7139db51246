"""The command line as a process: help, exit codes, pipes, and that no model text reaches a terminal as it is."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from law_run import EXPLORE, call

from curate.cli import VERBS, root

HEAVY = ("numpy", "torch", "rich", "datasets", "pyarrow", "faiss", "sympy", "pydantic", "networkx", "aiohttp", "yaml")
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def test_help_is_light_and_fast(curate):
    probe = (
        "import sys, time; began = time.perf_counter(); from curate.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as exit: assert exit.code == 0\n"
        f"print([name for name in {HEAVY} if name in sys.modules], time.perf_counter() - began)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded, _, seconds = done.stdout.splitlines()[-1].rpartition(" ")
    assert loaded == "[]"
    assert float(seconds) < 0.3


def test_every_verb_has_one_line_in_the_help():
    shown = CliRunner().invoke(root, ["--help"], terminal_width=80).output.splitlines()
    assert max(map(len, shown)) <= 80
    listed = [line.split()[0] for line in shown if re.match(r"  [a-z]+  +[A-Z]", line)]
    assert listed == list(VERBS)
    first = shown.index("Make a dataset:") + 1
    assert shown[first].split()[0] == "explore"
    assert len(shown[first : shown.index("", first)]) == 5


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches_and_fits_80_columns(verb):
    # The examples of `curate tree` name tasks, which are long.
    shown = CliRunner().invoke(root, [verb, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert "Examples:\n" in shown.output
    assert f"curate {verb} " in shown.output
    assert [line for line in shown.output.splitlines() if len(line) > 81] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shwo"], "no verb 'shwo'; did you mean 'show'?"),
        (["explore", "--domian", "math"], "No such option '--domian'. Did you mean '--domain'?"),
        (["explore", "--rows", "0"], "0 is not in the range x>=1"),
        (["explore"], "curate: no domain: give --domain"),
        (["explore", "--domain", "tax law"], "--teacher vllm:NAME"),
        (["plan", "--domain", "nope.yaml"], "curate: there is no domain file nope.yaml"),
        (["show", "runs/nope"], "curate: runs/nope: there is no such file or folder"),
        (["filter", "nope.jsonl", "--domain", "math"], "curate: nope.jsonl: there is no such file or folder"),
        (["dedup", "nope.jsonl", "--rouge", "2"], "2.0 is not in the range"),
        (["export", "nope.jsonl", "--out", "x", "--format", "csv"], "'csv' is not one of 'messages'"),
        (["check", "nope"], "1 problem"),
    ],
)
def test_bad_input_is_2_and_one_clear_message(arguments, said, law, capsys):
    from curate.cli import main

    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


def test_exit_codes_of_a_run(finished, curate):
    folder, done = finished
    # A busy machine takes over two seconds and sees progress; a mistake would begin otherwise.
    assert done.returncode == 0 and "curate: " not in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.startswith("law: 20 of 20 rows accepted in ")
    assert done.stdout.endswith("\nNext: curate view runs/law\n      curate show runs/law --dropped --stage rules\n")
    short = curate(*EXPLORE, "--budget-calls", 1, "--json")
    assert short.returncode == 3
    assert json.loads(short.stdout)["stopped"] == "budget"
    refused = call(folder, *EXPLORE, "--seed", 1)
    assert refused.returncode == 2
    assert refused.stderr.startswith("curate: runs/law: this folder holds another run (seed was 0 and is now 1)")
    assert refused.stderr.count("\n") == 1


def test_failing_teacher_is_1_and_no_traceback(curate, law):
    (law / "bad.py").write_text(
        "from curate.types import Failure\n"
        "def reply(request): return Failure('bad_request', 'it \\x1b[31mis\\x9b0m too hard')\n"
    )
    done = curate("explore", "--domain", "tax law", "--teacher", "scripted:bad.py", "--rows", 5)
    assert done.returncode == 1
    assert "curate: the teacher gave no usable draft of the domain 'tax law'" in done.stderr
    assert "it is0m too hard" in done.stderr
    assert not STEERING.search(done.stderr)
    assert "Traceback" not in done.stderr


def test_model_text_cannot_steer_a_terminal(finished, run):
    invoke = CliRunner().invoke
    dropped = invoke(root, ["show", str(run), "--dropped", "--limit", "50"])
    assert "Draw a picture of the house0m." in dropped.stdout
    assert "the model's reply, cut\n  Still not.\n" in dropped.stdout
    outputs = [finished[1].stdout, finished[1].stderr, dropped.output]
    outputs += [invoke(root, ["show", str(run)]).output, invoke(root, ["tree", "show", str(run)]).output]
    assert [STEERING.findall(output) for output in outputs] == [[]] * 5


def test_reader_that_leaves_early_is_no_error(law):
    (law / "long.jsonl").write_text('{"id": "0123456789abcdef", "task": [], "messages": [], "meta": {}}\n' * 50_000)
    child = [sys.executable, "-c", "from curate.cli import main; main()", "show", str(law / "long.jsonl"), "--json"]
    with subprocess.Popen(child, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert json.loads(process.stdout.readline())["id"] == "0123456789abcdef"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_ctrl_c_in_a_stage_is_130_and_leaves_no_file(law):
    (law / "data.jsonl").write_text('{"instruction": "Explain what a deposit is for.", "output": "Debts."}\n')
    endless = (
        "import itertools, time, curate.pipeline.dataset as dataset\n"
        "read = dataset.read_samples\n"
        "def slow(source, fields):\n"
        "    for number in itertools.count():\n"
        "        yield from read(source)\n"
        "        number or print('begun', flush=True)\n"
        "        time.sleep(0.01)\n"
        "dataset.read_samples = slow\n"
        "from curate.cli import main; main(['filter', 'data.jsonl', '--domain', 'math'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", endless], cwd=law, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 130
    assert sorted(path.name for path in law.iterdir()) == ["data.jsonl", "law.yaml"]


def test_json_is_all_of_stdout(run, tmp_path):
    for arguments in (
        ["plan", "--domain", "math", "--json"],
        ["check", "math", "--json"],
        ["dedup", run, "--json", "--quiet", "--out", tmp_path / "kept.jsonl"],
        ["filter", run, "--domain", "law.yaml", "--json", "--out", tmp_path / "kept.jsonl"],
        ["export", run, "--out", tmp_path / "x", "--json"],
    ):
        done = CliRunner().invoke(root, [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.output
        assert isinstance(json.loads(done.stdout), dict)


def test_notes_are_said_once(curate):
    """In plain lines, what the progress has said is not said again; with --quiet the summary says it."""
    code = (
        "import curate.cli.display as display; display.PLAIN_SECONDS = 0.05\n"
        "import curate.pipeline.grow as grow; before = grow.grow_tree\n"
        "def slow(job):\n"
        "    job.watch.note('an \\x1b[31mearly note'); import time; time.sleep(0.5)\n"
        "    return before(job)\n"
        "grow.grow_tree = slow\n"
        "import curate.pipeline.explore as explore; exported = explore.export_run\n"
        "def late(*a):\n"
        "    job = a[0]; done = exported(*a); job.watch.note('a late note'); return done\n"
        "explore.export_run = late\n"
        "from curate.cli import main; main()"
    )
    plain = curate(*EXPLORE, code=code)
    assert plain.returncode == 0, plain.stderr
    assert plain.stderr.count("note: an early note\n") == 1
    assert "early" not in plain.stdout
    assert (plain.stdout + plain.stderr).count("a late note") == 1
    quiet = curate(*EXPLORE, "--quiet", code=code)
    assert quiet.stderr == ""
    assert "  note       an early note\n  note       a late note\n" in quiet.stdout
