"""Is each response right, by rule: mathematics against the known answer, code by running its tests, others not at all.

An error or a time-out is no wrong answer: it has a status of its own, which no pair is made of.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from curate.fuse.prompts import Prompt
from curate.types import Verdict
from curate.verify import MathChecker
from curate.verify.code import check_codes, code_of
from curate.verify.sandbox import Ran, run_program

if TYPE_CHECKING:
    from curate.models import Ledger

Judged = tuple[Prompt, dict[str, Any]]
"""A prompt and the row of a response to it."""

BLOCK = 512
"""Responses that are checked before the first of their verdicts is handed out."""

SECONDS = 10
"""Of processor and of wall time for the tests of one response."""

VERIFIERS = {"none": "none", "math": "math", "code": "tests"}

CODE_MEANING = "1"
"""Raised when the same code and tests can get another verdict."""

MATH_STATUS = {
    "": "pass",
    "wrong_answer": "fail",
    "no_final_answer": "fail",
    "answer_unreadable": "error",
    "math_timeout": "timeout",
    "math_crash": "error",
}

CUT = "cut at max_tokens"


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule says of a response: one of STATUSES, the answer it extracted, and why."""

    status: str
    extracted: str | None = None
    why: str = ""


def check_sandbox() -> None:
    """Raise InputError where code cannot be tested on this machine."""
    run_program("", "")


def verdicts(responses: Iterable[Judged], ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Yield the verdict of every response, in order, as a row of verdicts.jsonl. What took long is kept in `ledger`.

    Statuses: pass, fail, skip (no rule checks it); timeout; error: the call failed, the answer cannot be compared, the
    code died or was out of memory, or the response was cut at max_tokens before it was right.
    """
    rest = iter(responses)
    with MathChecker(cache=ledger) as checker:
        while block := list(islice(rest, BLOCK)):
            found: dict[int, Found] = {}
            for place, (prompt, row) in enumerate(block):
                if row["failure"]:
                    found[place] = Found("error", None, f"no response: {row['failure']['kind']}")
                elif prompt.check.kind == "none":
                    found[place] = Found("skip")
            left = {kind: _of_kind(block, kind, found) for kind in ("math", "code")}
            found |= zip(left["math"], _math([block[place] for place in left["math"]], checker), strict=True)
            found |= zip(left["code"], _code([block[place] for place in left["code"]], ledger), strict=True)
            for place, (prompt, row) in enumerate(block):
                yield _row(prompt, row, found[place])


def _of_kind(block: Sequence[Judged], kind: str, found: dict[int, Found]) -> list[int]:
    return [place for place, (prompt, _) in enumerate(block) if place not in found and prompt.check.kind == kind]


def _math(judged: Sequence[Judged], checker: MathChecker) -> Iterator[Found]:
    checks = [(row["content"], prompt.check.gold) for prompt, row in judged]
    for verdict in checker.check_many(checks):
        yield Found(MATH_STATUS[verdict.reason], _extracted(verdict), verdict.reason)


def _extracted(verdict: Verdict) -> str | None:
    answer = verdict.detail.get("answer")
    return None if answer is None else str(answer)


def _code(judged: Sequence[Judged], ledger: Ledger) -> Iterator[Found]:
    """Run what has not been run before; how a program died is not kept, since that may be the machine's doing."""
    options = {"seconds": SECONDS}
    texts = [json.dumps([code_of(row["content"]), prompt.check.tests]) for prompt, row in judged]
    known = [ledger.get_verdict("code", CODE_MEANING, options, text) for text in texts]
    new = [(row["content"], prompt.check.tests) for (prompt, row), old in zip(judged, known, strict=True) if not old]
    ran = check_codes(new, seconds=SECONDS)
    for text, old in zip(texts, known, strict=True):
        ended = Ran(*old) if old else next(ran)
        if not old and ended.status != "error":
            ledger.put_verdict("code", CODE_MEANING, options, text, [ended.status, ended.why])
        yield Found(ended.status, None, ended.why)


def _row(prompt: Prompt, row: dict[str, Any], found: Found) -> dict[str, Any]:
    if row["finish_reason"] == "length" and found.status in ("fail", "skip"):
        # Nobody knows how it would have gone on, and half a response is nothing to learn from.
        found = Found("error", found.extracted, CUT)
    told = found.status in ("pass", "fail")
    return {
        "response_id": row["response_id"],
        "verifier_id": VERIFIERS[prompt.check.kind],
        "status": found.status,
        "extracted": found.extracted,
        "n_pass": int(found.status == "pass") if told else None,
        "n_total": 1 if told else None,
        "why": found.why,
    }
