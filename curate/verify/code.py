"""Is a program right: the code of a response, run with its tests in the sandbox."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from curate.verify.sandbox import Ran, run_program

_FENCED = re.compile(r"^(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*\n(.*?)^\1[ \t]*$", re.DOTALL | re.MULTILINE)

PYTHON = ("", "python", "python3", "py")


def code_of(response: str) -> str:
    """Return the longest fenced block of Python in a response, or all of it where nothing is fenced."""
    blocks = [block for _, language, block in _FENCED.findall(response) if language.lower() in PYTHON]
    return max(blocks, key=len, default="" if _FENCED.search(response) else response)


def check_code(response: str, tests: str, *, seconds: int = 10, memory: int = 1 << 30) -> Ran:
    """Run the code of a response with its tests; a response without any code fails.

    `tests` is Python that uses what the code defines and raises where it is wrong. A time-out or an error is no wrong
    answer: whoever pairs right and wrong ones must leave those out.

    Raises:
        InputError: this system cannot confine a process.
    """
    code = code_of(response)
    if not code.strip():
        return Ran("fail", "no code in the response")
    return run_program(code, tests, seconds=seconds, memory=memory)


def check_codes(
    checks: Iterable[tuple[str, str]], *, workers: int | None = None, seconds: int = 10, memory: int = 1 << 30
) -> Iterator[Ran]:
    """Yield how each (response, tests) ended, in order, on all cores; a few are looked ahead."""
    workers = workers or len(os.sched_getaffinity(0))
    waiting: deque[Future[Ran]] = deque()
    with ThreadPoolExecutor(workers, "curate-code") as pool:
        for response, tests in checks:
            waiting.append(pool.submit(check_code, response, tests, seconds=seconds, memory=memory))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
