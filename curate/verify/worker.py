"""The process in which answers are compared as mathematics: questions in, verdicts out, one JSON line each."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys

from curate.verify.answers import equivalent
from curate.verify.verdicts import Question, verdict_of

MEMORY = 4 << 30
"""Bytes of address space; `10^{10^{10}}` would otherwise take what the machine has."""

READY = b"ready"
"""The first line a worker writes."""


def serve(seconds: float) -> None:
    """Answer the questions on standard input until it ends, spending at most `seconds` of processor time on each.

    The limit is the kernel's: its signal ends the process even inside one long multiplication, where no Python code
    runs. Processor time, as wall time would make the verdict depend on what else the machine does.
    """
    # What a library prints must not stand between the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    equivalent(r"\frac{\sqrt{2}x}{2}", r"x/\sqrt{2}")  # the first comparison loads and builds what all others use
    replies.write(READY + b"\n")
    replies.flush()
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        verdict = verdict_of(Question(*json.loads(line)))
        signal.setitimer(signal.ITIMER_PROF, 0)
        replies.write(json.dumps([verdict.keep, verdict.reason, dict(verdict.detail)]).encode() + b"\n")
        replies.flush()
