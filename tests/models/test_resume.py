"""kill -9 in the middle of a run, then the same run again: nothing is paid twice, and little is wasted."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time

from loopback_server import Answer, chat

from curate.models import Ledger

COUNT, CONCURRENCY = 400, 16

RUN = """
    import sys
    from curate.models import Engine, Ledger, ModelOptions, open_model
    from curate.types import Request

    url, path, count, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    model = open_model("teacher", f"openai:tiny@{url}", ModelOptions(concurrency=concurrency))
    with Ledger(path) as ledger, Engine({"teacher": model}, ledger) as engine:
        requests = (Request("teacher", ({"role": "user", "content": str(n)},), 10) for n in range(count))
        for done in engine.run(requests):
            print(done.text, flush=True)
"""


def test_ctrl_c_leaves_at_once_and_loses_nothing_committed(server, tmp_path):
    server.answer = lambda body, n: Answer(body=chat("fast"), delay=0.0 if n < 30 else 60.0)
    command = [sys.executable, "-c", textwrap.dedent(RUN), server.url, str(tmp_path / "c.sqlite"), "100", "10"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert [process.stdout.readline() for _ in range(30)] == ["fast\n"] * 30
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, says = process.communicate(timeout=30)
    assert time.monotonic() - began < 20 and process.returncode == -signal.SIGINT
    assert says.rstrip().endswith("KeyboardInterrupt") and "never retrieved" not in says and "destroyed" not in says
    with Ledger(tmp_path / "c.sqlite") as ledger:
        calls = {total.kind: total.calls for total in ledger.totals()}
    assert calls == {"": 30, "possibly_billed": 10}


def test_kill_dash_nine_and_resume(server, tmp_path):
    server.answer = lambda body, n: Answer(body=chat("echo " + body["messages"][0]["content"]), delay=0.02)
    command = [sys.executable, "-c", textwrap.dedent(RUN), server.url, str(tmp_path / "c.sqlite")]
    command += [str(COUNT), str(CONCURRENCY)]
    rng = random.Random(3)
    kills, wasted = 3, 0
    for _ in range(kills):
        before, paid_before = len(server.bodies), sum(server.paid.values())
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while len(server.bodies) == before and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0.02, 0.15))
        process.kill()
        shown = process.stdout.read().split("\n")[:-1]
        process.wait()
        process.stdout.close()
        time.sleep(0.05)
        assert shown == [f"echo {n}" for n in range(len(shown))]
        with Ledger(tmp_path / "c.sqlite") as ledger:
            held = sum(total.calls for total in ledger.totals())
        assert held >= len(shown)
        wasted_now = sum(server.paid.values()) - held - wasted
        # At most what was out and one batch: 20 ms at 16 every 20 ms.
        assert 0 <= wasted_now <= 3 * CONCURRENCY, (held, paid_before)
        wasted += wasted_now
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split("\n")[:-1] == [f"echo {n}" for n in range(COUNT)] and done.stderr == ""
    assert sum(server.paid.values()) == COUNT + wasted
    paid = sum(server.paid.values())
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.stdout == done.stdout and sum(server.paid.values()) == paid
