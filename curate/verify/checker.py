"""Check final answers in worker processes, in order, with a hard limit on each."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from types import TracebackType
from typing import Any, Protocol

from curate.errors import CurateError
from curate.types import Verdict, drop
from curate.verify.answers import NeedsMathematicsError, same_by_text
from curate.verify.verdicts import Check, Question, question_of, verdict_of
from curate.verify.worker import READY

MEANING = "1"
"""Raised when the same answers can get another verdict; with math-verify's version it is part of the cache key."""

DEPTH = 4
"""Questions handed to a worker before it has answered the first, so that it need not wait for the caller."""

IN_FLIGHT = 16_384
"""Bytes handed to a worker ahead of its replies: less than a pipe holds, so that neither side waits for the other."""

# Not multiprocessing: its fresh processes import the user's main script again, which a notebook does not have and a
# plain script without a main guard does not survive.
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from curate.verify.worker import serve; serve(float(sys.argv[2]))"
)


class VerdictCache(Protocol):
    """Where slow verdicts are kept; the ledger is one."""

    def get_verdict(self, function: str, version: str, options: Any, text: str) -> Any | None:
        """Return the JSON value kept for these, or None."""
        ...

    def put_verdict(self, function: str, version: str, options: Any, text: str, value: Any) -> None:
        """Keep a JSON value."""
        ...


@dataclass(eq=False, slots=True)
class _Job:
    question: Question
    line: bytes = b""
    verdict: Verdict | None = None


@dataclass(eq=False, slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    errors: Any
    ready: bool = False
    pending: deque[_Job] = field(default_factory=deque)
    unread: bytes = b""

    def takes(self, job: _Job) -> bool:
        if not self.pending:
            return True
        return len(self.pending) < DEPTH and sum(len(j.line) for j in self.pending) + len(job.line) < IN_FLIGHT


class MathChecker:
    """A pool of worker processes that check final answers; a context manager, used from one thread at a time.

    What equal texts decide is decided here at once. The workers are started for the first answer that needs
    mathematics, or early by `start`, and load in the background (seconds). A comparison that takes more than `seconds`
    of processor time ends its worker, which is replaced, and the verdict is a drop "math_timeout"; a worker that dies
    otherwise gives "math_crash". Verdicts are kept in `cache`, crashes excepted, since those may be the machine's.
    """

    def __init__(self, workers: int = 2, cache: VerdictCache | None = None, seconds: float = 5.0) -> None:
        self._size = workers
        self._cache = cache
        self._seconds = seconds
        self._workers: list[_Worker] = []
        self._waiting: deque[_Job] = deque()
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> MathChecker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the workers and return at once; they load while other work goes on."""
        while len(self._workers) < self._size:
            self._spawn()

    def close(self) -> None:
        """End the workers. The checker can be used again."""
        for worker in self._workers:
            worker.process.kill()
            self._forget(worker)
        self._workers.clear()
        self._waiting.clear()

    def check_many(self, checks: Iterable[Check], window: int = 256) -> Iterator[Verdict]:
        """Yield the verdict of each check, in order, looking at most `window` checks ahead.

        A check is (response, known answer) or (response, [solutions]); see `check_gold` and `check_votes` for the
        verdicts. A verdict is handed out as soon as it and those before it are there, before another check is pulled.
        Raises CurateError where the workers cannot start.
        """
        jobs: deque[_Job] = deque()
        for check in checks:
            jobs.append(self._job(question_of(check)))
            self._exchange(wait=False)
            while jobs and (jobs[0].verdict or len(jobs) >= window):
                yield self._wait_for(jobs.popleft())
        while jobs:
            yield self._wait_for(jobs.popleft())

    def _job(self, question: Question) -> _Job:
        """Decide a question by text or from the cache; otherwise queue it for the workers."""
        job = _Job(question)
        try:
            job.verdict = verdict_of(question, same_by_text)
        except NeedsMathematicsError:
            job.line = json.dumps(question).encode() + b"\n"
            if self._cache is not None and (known := self._cache.get_verdict(*self._key(job))) is not None:
                job.verdict = _verdict(known)
            else:
                self._waiting.append(job)
                self.start()
        return job

    def _key(self, job: _Job) -> tuple[str, str, Any, str]:
        return "math", _version(), {"seconds": self._seconds}, job.line.decode()

    def _wait_for(self, job: _Job) -> Verdict:
        while job.verdict is None:
            self._exchange(wait=True)
        return job.verdict

    def _exchange(self, wait: bool) -> None:
        """Hand waiting questions to workers that take more, and read the replies there are (or wait for one)."""
        if not self._workers:
            return
        self._hand_out()
        for key, _ in self._selector.select(None if wait else 0):
            worker: _Worker = key.data
            if data := os.read(key.fd, 65_536):
                self._read(worker, data)
            else:
                self._replace(worker)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting:
            worker = min(self._workers, key=lambda worker: len(worker.pending))
            if not worker.takes(self._waiting[0]):
                return
            job = self._waiting.popleft()
            try:
                assert worker.process.stdin is not None
                worker.process.stdin.write(job.line)
                worker.process.stdin.flush()
            except BrokenPipeError:
                # It died over an earlier question or from outside; this one is not to blame.
                self._waiting.appendleft(job)
                self._replace(worker)
            else:
                worker.pending.append(job)

    def _read(self, worker: _Worker, data: bytes) -> None:
        *lines, worker.unread = (worker.unread + data).split(b"\n")
        for line in lines:
            if not worker.ready:
                worker.ready = line == READY
                continue
            self._finish(worker.pending.popleft(), json.loads(line), keep=True)

    def _finish(self, job: _Job, value: list[Any], keep: bool) -> None:
        job.verdict = _verdict(value)
        if self._cache is not None and keep:
            self._cache.put_verdict(*self._key(job), value)

    def _replace(self, worker: _Worker) -> None:
        """Bury a worker that ended, give the question it ended over its verdict and the others to its successor."""
        code = worker.process.wait()
        assert worker.process.stdout is not None
        # What it still answered before it ended is answered.
        while data := os.read(worker.process.stdout.fileno(), 65_536):
            self._read(worker, data)
        worker.errors.seek(0)
        last_words = worker.errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        self._workers.remove(worker)
        self._forget(worker)
        if not worker.ready:
            raise CurateError(f"the worker that checks mathematics ended with code {code} as it started: {last_words}")
        if worker.pending:
            job = worker.pending.popleft()
            timed_out = code == -signal.SIGPROF
            verdict = drop("math_timeout", seconds=self._seconds) if timed_out else drop("math_crash", code=code)
            detail = {key: value for key, value in job.question._asdict().items() if value} | dict(verdict.detail)
            self._finish(job, [False, verdict.reason, detail], keep=timed_out)
        self._waiting.extendleft(reversed(worker.pending))
        if self._waiting:
            self.start()

    def _spawn(self) -> None:
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", BOOT, json.dumps(sys.path), str(self._seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            process_group=0,  # Ctrl-C on the terminal is for us; a worker ends when its standard input does
        )
        worker = _Worker(process, errors)
        self._workers.append(worker)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)

    def _forget(self, worker: _Worker) -> None:
        process = worker.process
        process.wait()
        if process.stdout is not None:
            self._selector.unregister(process.stdout)
            process.stdout.close()
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        worker.errors.close()


def _verdict(value: list[Any]) -> Verdict:
    keep, reason, detail = value
    return Verdict(keep, reason, None, detail)


@cache
def _version() -> str:
    return f"{MEANING}/{version('math-verify')}/{version('sympy')}"
