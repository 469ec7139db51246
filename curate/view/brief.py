"""A sample in a line or two, as a list shows it."""

from __future__ import annotations

import re
from typing import Any

from curate.finished import Row
from curate.pipeline.reviews import Review

HEAD = 180
"""Characters of a sample's first message that a list shows."""

BEFORE = 50
"""Characters before a match that an excerpt shows."""


def turns_of(row: Row, review: Review | None) -> list[dict[str, str]]:
    """Return the messages of a sample: by hand where it has such."""
    if review is not None and review.messages is not None:
        return [{"role": turn["role"], "content": turn["content"]} for turn in review.messages]
    return list(row["messages"])


def brief(number: int, row: Row, review: Review | None, pattern: re.Pattern[str] | None) -> dict[str, Any]:
    """Return what a list shows of a sample; with a pattern, its text around the first match."""
    turns = turns_of(row, review)
    verdict = row.get("dropped") or {}
    judge = row["meta"].get("judge")
    return {
        "row": number,
        "id": row["id"],
        "head": _excerpt(turns, row, pattern),
        "task": row["task"][-1] if row["task"] else "",
        "stage": verdict.get("stage"),
        "reason": verdict.get("reason"),
        "score": judge.get("score") if isinstance(judge, dict) else None,
        "review": review
        and {
            "decision": review.decision,
            "reason": review.reason,
            "author": review.author,
            "time": review.time,
            "edited": review.messages is not None and [*review.messages] != row["messages"],
        },
    }


def _excerpt(turns: list[dict[str, str]], row: Row, pattern: re.Pattern[str] | None) -> str:
    """Return the head of the first user message, or the text around what is searched for where that lies elsewhere."""
    asked = next((turn["content"] for turn in turns if turn["role"] == "user"), "")
    if not turns:
        generate = row["meta"].get("generate")
        asked = str(generate.get("reply", "")) if isinstance(generate, dict) else ""
    if pattern is not None and not pattern.search(asked[:HEAD]):
        for turn in turns:
            if (found := pattern.search(turn["content"])) is not None:
                begin = max(0, found.start() - BEFORE)
                return ("…" if begin else "") + _line(turn["content"][begin : begin + HEAD + BEFORE])
    return _line(asked)


def _line(text: str) -> str:
    """Return the first HEAD characters of a text on one line."""
    line = " ".join(text[: 4 * HEAD].split())
    return line if len(line) <= HEAD and len(text) <= 4 * HEAD else line[:HEAD] + "…"
