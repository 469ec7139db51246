"""A teacher for tests: every reply is a function of the request's messages and schema alone.

Use it as `scripted:tests/pipeline/teacher.py` or behind a loopback server. Two variables of the environment serve the
tests that kill and count: CURATE_TEST_LATENCY (seconds a reply takes) and CURATE_TEST_LOG (a file that gets the hash of
each call that was served, one line each).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

VERBS = ("Describe", "Compare", "List", "Outline", "Suggest", "Invent", "Explain", "Plan", "Sketch", "Name")


@cache
def vocabulary() -> list[str]:
    """English words that the shipped encoder knows."""
    import curate.embed.static_table as static

    table = json.loads((static.FOLDER / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    words = [token for token, _ in table] if isinstance(table, list) else list(table)
    return sorted(word for word in words if word.isascii() and word.isalpha() and 4 <= len(word) <= 9)


def digest(messages: Sequence[Mapping[str, str]]) -> str:
    """A hash of the messages' texts."""
    return hashlib.sha256(json.dumps([dict(m) for m in messages], sort_keys=True).encode()).hexdigest()


def some_words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(vocabulary()) for _ in range(count))


def sample(rng: random.Random) -> dict[str, str]:
    instruction = f"{rng.choice(VERBS)} {some_words(rng, rng.randint(8, 16))}."
    return {"instruction": instruction, "input": "", "output": f"{some_words(rng, 12)}. So it is \\boxed{{7}}."}


def task(rng: random.Random) -> dict[str, Any]:
    name = f"{rng.choice(VERBS)} {some_words(rng, 2)}"
    return {"name": name, "reason": f"About {some_words(rng, 6)}.", "examples": [sample(rng), sample(rng)]}


def answer(messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any] | None) -> str:
    """The reply's text."""
    rng = random.Random(digest(messages))
    wanted = (schema or {}).get("properties", {})
    if "samples" in wanted:
        return json.dumps({"samples": [sample(rng) for _ in range(wanted["samples"].get("maxItems", 3))]})
    if "tasks" in wanted and "seeds" in wanted:
        return json.dumps(draft(rng))
    if "tasks" in wanted:
        return json.dumps({"tasks": [task(rng) for _ in range(wanted["tasks"].get("maxItems", 3))]})
    if "same" in wanted:
        return json.dumps({"same": 0, "why": "they differ"})
    if "score:" in messages[-1]["content"]:
        return "Sound.\nscore: 5"
    return "Step by step.\n\\boxed{7}"


def draft(rng: random.Random) -> dict[str, Any]:
    return {
        "name": "drafted",
        "root": f"Help with {some_words(rng, 2)}",
        "description": some_words(rng, 8),
        "tasks": [{"name": some_words(rng, 3), "description": some_words(rng, 6)} for _ in range(3)],
        "guidance": some_words(rng, 10),
        "rubric": some_words(rng, 10),
        "seeds": [sample(rng) for _ in range(4)],
        "verify": "none",
    }


def served(messages: Sequence[Mapping[str, str]], attempt: str = "") -> None:
    """Note a call in the log, if there is one; one write, so that lines of a killed process stay whole."""
    path = os.environ.get("CURATE_TEST_LOG")
    if path:
        line = f"{digest(messages)} {attempt}\n".encode()
        descriptor = os.open(Path(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line)
        os.close(descriptor)


async def reply(request: Any) -> str:
    """What `scripted:FILE.py` calls."""
    await asyncio.sleep(float(os.environ.get("CURATE_TEST_LATENCY", "0")))
    served(request.messages, request.attempt)
    return answer(request.messages, request.schema)
