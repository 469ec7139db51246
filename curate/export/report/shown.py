"""What a page shows of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.io import whole

if TYPE_CHECKING:
    from curate.finished import Row

LONGEST = 4_000
"""Bytes of one message that are shown."""


def as_shown(row: Row, longest: int = LONGEST) -> dict[str, Any]:
    """Return what the page shows of a sample: id, messages cut to `longest` bytes, and its score, grade and neighbour.

    "i" is the id, "m" the messages (role, text), "c" true where one was cut; of a dropped one "v" is the score, "n" the
    neighbour and "x" what else the stage noted.
    """
    messages = [(whole(str(turn["role"])), whole(str(turn["content"]))) for turn in row["messages"]]
    reply = row["meta"].get("generate", {}).get("reply")
    if not messages and reply:
        messages = [("reply", whole(str(reply)))]
    cut = [(role, _cut(text, longest)) for role, text in messages]
    shown: dict[str, Any] = {"i": whole(str(row["id"])), "m": cut}
    if cut != messages:
        shown["c"] = True
    if (grade := row["meta"].get("judge", {}).get("score")) is not None:
        shown["g"] = grade
    verdict = dict(row.get("dropped") or {})
    for name, key in (("score", "v"), ("neighbour", "n")):
        if (value := verdict.pop(name, None)) not in (None, ""):
            shown[key] = value
    rest = {
        name: value for name, value in verdict.items() if name not in ("stage", "reason") and value not in ("", None)
    }
    if rest:
        shown["x"] = whole(", ".join(f"{name}: {value}" for name, value in rest.items()))[:300]
    return shown


def size(text: str) -> int:
    """Return the bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _cut(text: str, longest: int) -> str:
    """Return the head of `text` that has at most `longest` bytes of UTF-8, with an ellipsis where it was cut."""
    if size(text) <= longest:
        return text
    return text.encode()[:longest].decode(errors="ignore").rstrip() + " …"
