"""A teacher for tests: every reply is a function of the request's messages, schema and attempt.

Use it as `scripted:tests/pipeline/teacher.py`, in process (`reply`), or behind a loopback server (`answer`). Most of
its samples are sound; some break a rule, repeat a stock sentence or nearly do, so that every filter has work.

Variables of the environment serve the tests that kill and count:

    CURATE_TEST_LATENCY       seconds a reply takes, on average
    CURATE_TEST_CONCURRENCY   replies that are written at the same time (default: any number)
    CURATE_TEST_LOG           a file that gets two lines for each call: `> KEY TIME` when it came, `< KEY TIME` when it
                              was answered; KEY is the ledger's
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from curate.models.keys import call_key

VERBS = ("Describe", "Compare", "List", "Outline", "Suggest", "Invent", "Explain", "Plan", "Sketch", "Name")
STOCK = "Suggest seven cheap ways to celebrate the birthday of an old neighbour who lives alone."
HABIT = "Name nine quiet corners of a big city where a student can read in winter."
FORBIDDEN = "Draw a picture of a quiet village beside the river."


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


def result(problem: str) -> int:
    """The answer to a problem: any number will do, as long as whoever solves it finds the same."""
    return int(hashlib.sha256(problem.encode()).hexdigest()[:6], 16) % 997


def sample(rng: random.Random) -> dict[str, str]:
    """A sample; 1 in 12 each breaks a rule, repeats a sentence, nearly repeats another, or has a wrong answer."""
    instruction = f"{rng.choice(VERBS)} {some_words(rng, rng.randint(8, 16))}."
    odd = rng.randrange(12)
    if odd == 0:
        instruction = FORBIDDEN
    elif odd == 1:
        instruction = HABIT
    elif odd == 2:
        instruction = STOCK.replace("neighbour", rng.choice(vocabulary()))
    text = some_words(rng, 20) if odd > 3 and rng.random() < 0.5 else ""
    answer = result(f"{instruction}\n\n{text}".strip()) + (odd == 3)
    return {"instruction": instruction, "input": text, "output": f"{some_words(rng, 12)}. It is \\boxed{{{answer}}}."}


def task(rng: random.Random) -> dict[str, Any]:
    name = f"{rng.choice(VERBS)} {some_words(rng, 2)}"
    return {"name": name, "reason": f"About {some_words(rng, 6)}.", "examples": [sample(rng), sample(rng)]}


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


def answer(messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any] | None, salt: str = "") -> str:
    """The reply's text; another `salt` gives another one to the same question."""
    rng = random.Random(digest(messages) + salt)
    wanted = (schema or {}).get("properties", {})
    if "samples" in wanted:
        return json.dumps({"samples": [sample(rng) for _ in range(wanted["samples"].get("maxItems", 3))]})
    if "tasks" in wanted and "seeds" in wanted:
        return json.dumps(draft(rng))
    if "tasks" in wanted:
        return json.dumps({"tasks": [task(rng) for _ in range(wanted["tasks"].get("maxItems", 3))]})
    if "same" in wanted:
        return json.dumps({"same": int(rng.random() < 0.05), "why": "an expert could not tell"})
    text = messages[-1]["content"]
    if "score:" in text:
        return f"Read with care.\nscore: {rng.choice([5, 5, 5, 5, 4, 2, 'N'])}"
    problem = re.search(r"```json\n(.*)\n```", text)
    return f"Step by step.\n\\boxed{{{result(json.loads(problem[1]) if problem else text)}}}"


def note(mark: str, key: str) -> None:
    """Note a call in the log, if there is one; one write, so that lines of a killed process stay whole."""
    path = os.environ.get("CURATE_TEST_LOG")
    if path:
        descriptor = os.open(Path(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{mark} {key} {time.time()}\n".encode())
        os.close(descriptor)


@cache
def seats() -> asyncio.Semaphore:
    return asyncio.Semaphore(int(os.environ.get("CURATE_TEST_CONCURRENCY", "100000")))


async def reply(request: Any) -> str:
    """What `scripted:FILE.py` calls."""
    key = call_key(f"scripted:{Path(__file__).name}", request).hex()
    latency = float(os.environ.get("CURATE_TEST_LATENCY", "0"))
    async with seats():
        note(">", key)
        if latency:
            await asyncio.sleep(latency * random.Random(key).uniform(0.5, 1.5))
        text = answer(request.messages, request.schema, request.attempt)
        note("<", key)
    return text
