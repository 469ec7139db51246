"""The prompts that models are asked, and how each response to one is checked: by a known answer, by tests, or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from curate.errors import InputError
from curate.io.read import read_rows
from curate.io.shapes import SHAPES, WrongRowError, join_input, to_sample
from curate.text import content_id
from curate.types import Message
from curate.verify import final_answer

Kind = Literal["none", "math", "code"]

KINDS = ("none", "math", "code")

LONGEST_ANSWER = 100
"""Characters of a column `answer` that is taken for a final answer as it stands; longer ones are prose."""

ASKED = ("prompt", "question", "problem", "instruction", "text")
"""Columns that hold what is asked, in rows that hold no response."""

DOMAINS = {"none": "general", "math": "math", "code": "code"}
"""The domain of a prompt whose row names none, by how its responses are checked."""


@dataclass(frozen=True, slots=True)
class Check:
    """How a response is checked: `gold` is a final answer of mathematics, `tests` Python that raises where it fails."""

    kind: Kind = "none"
    gold: str = ""
    tests: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the check as JSON values."""
        return {"kind": self.kind, "gold": self.gold, "tests": self.tests}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked, a conversation that ends with the user; `id` is the hash of its messages."""

    id: str
    messages: tuple[Message, ...]
    domain: str
    check: Check

    def as_json(self) -> dict[str, Any]:
        """Return the prompt as a row of prompts.jsonl."""
        return {
            "prompt_id": self.id,
            "messages": list(self.messages),
            "domain": self.domain,
            "check": self.check.as_json(),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Prompt:
        """Return the prompt of a row that `as_json` made."""
        return cls(row["prompt_id"], tuple(row["messages"]), row["domain"], Check(**row["check"]))


def read_prompts(source: str | Path, math_suffix: str = "") -> Iterator[tuple[Prompt, str]]:
    """Yield the prompts of a source of `read_samples`, each with the reason why it is left out ("" where it is not).

    A response in the row is left aside. A prompt is left out as "duplicate" where the same messages came before, as
    "duplicate_other_check" where they came with another answer or other tests. `math_suffix` goes after the last
    message of prompts with a known final answer.

    How responses are checked stands in `check: {kind, gold | tests}`, or follows from `tests` or `test_list` (text or a
    list), or from `answer` (one short line, or a text that marks its final answer: `#### 18`, a box), or from a
    `solution` with a box.

    Raises:
        InputError: a row without a prompt, or with a check that cannot be; the message names file and line.
    """
    seen: dict[str, Check] = {}
    for place, row in read_rows(str(source)):
        check = _check(row, place)
        messages = _messages(row, place)
        if check.kind == "math" and math_suffix:
            messages[-1] = {**messages[-1], "content": f"{messages[-1]['content']}\n\n{math_suffix}"}
        domain = row.get("domain")
        name = domain if isinstance(domain, str) and domain else DOMAINS[check.kind]
        prompt = Prompt(content_id(messages), tuple(messages), name, check)
        known = seen.setdefault(prompt.id, check)
        if known is check:
            yield prompt, ""
        else:
            yield prompt, "duplicate" if known == check else "duplicate_other_check"


def _messages(row: dict[str, Any], place: str) -> list[Message]:
    """Return the conversation up to the last message of the user."""
    fitting = (name for name, shape in SHAPES.items() if all(row.get(column) for column in shape.needed))
    shape = next((name for name in fitting if name not in ASKED), None)  # a text is what is asked, here
    try:
        turns = list(to_sample(row if shape else _wrapped(row), shape or "messages").messages)
    except WrongRowError as error:
        raise InputError(f"{place}: {error}") from error
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    if not turns or turns[-1]["role"] != "user" or not turns[-1]["content"].strip():
        raise InputError(f"{place}: the prompt is empty; expected a message of the user that asks something")
    return turns


def _wrapped(row: dict[str, Any]) -> dict[str, Any]:
    """Return the prompt of a row without a response as a row of messages."""
    name = next((name for name in ASKED if row.get(name)), None)
    if name is None:
        raise WrongRowError(
            f"no prompt in the fields {', '.join(sorted(map(str, row)))}; expected messages, {', '.join(ASKED)}, or "
            "any format that curate reads"
        )
    value = row[name]
    if not isinstance(value, str):
        return {"messages": value}
    more = row.get("input")
    return {"messages": [{"role": "user", "content": join_input(value, more if isinstance(more, str) else "")}]}


def _check(row: dict[str, Any], place: str) -> Check:
    given = row.get("check")
    if isinstance(given, Mapping):
        return _given(given, place)
    if given is not None:
        raise InputError(f"{place}: 'check' is {str(given)[:40]!r}; expected an object {{kind, gold or tests}}")
    tests = _tests(row, place)
    if tests:
        return Check("code", tests=tests)
    gold = _gold(row)
    return Check("math", gold) if gold else Check()


def _given(given: Mapping[str, Any], place: str) -> Check:
    """Return the check that a row names itself."""
    kind = given.get("kind")
    if kind not in KINDS:
        raise InputError(f"{place}: check.kind is {kind!r}; it takes {', '.join(KINDS)}")
    gold = given.get("gold")
    gold = str(gold).strip() if gold is not None else ""
    tests = _tests(given, place)
    if kind == "math" and not gold:
        raise InputError(f"{place}: check.kind is math, and check.gold, the final answer, is missing")
    if kind == "code" and not tests:
        raise InputError(f"{place}: check.kind is code, and check.tests, Python that raises where it fails, is missing")
    return Check(cast("Kind", kind), gold if kind == "math" else "", tests if kind == "code" else "")


def _tests(row: Mapping[str, Any], place: str) -> str:
    """Return the tests of a row as one program; MBPP keeps imports in a column of their own."""
    parts: list[str] = []
    name = next((name for name in ("tests", "test_list") if row.get(name)), None)
    if name is None:
        return ""
    for column in ("test_imports", "test_setup_code", name):
        value = row.get(column) or []
        lines = [value] if isinstance(value, str) else value
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise InputError(f"{place}: '{column}' is {str(value)[:40]!r}; expected Python as text, or a list of such")
        parts += lines
    return "\n".join(parts)


def _gold(row: Mapping[str, Any]) -> str:
    answer, solution = row.get("answer"), row.get("solution")
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        return str(answer)
    if isinstance(answer, str) and answer.strip():
        marked = final_answer(answer)
        short = len(answer.strip()) <= LONGEST_ANSWER and "\n" not in answer.strip()
        if marked or short:
            return marked or answer.strip()
    return (final_answer(solution) or "") if isinstance(solution, str) else ""
