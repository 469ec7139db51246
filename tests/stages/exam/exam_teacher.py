"""A teacher and a judge for tests of the exam: they live in one made-up world, and say what is true in it.

Every place of the world has a capital, a river and a founder (`fact`). A sample that asks for the capital of a place
needs knowledge, any other does not. The judge goes by what it reads: it looks an answer up in the text that it is
shown, and only a question or an option that really has a fault is turned down. So a fault is ordered of the writer, in
the instruction: `[length]` for the first draft, `[length!]` for what is written upon that too.

Use it as `scripted:tests/stages/exam/exam_teacher.py`, or `reply(request)` in process.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

from curate.types import Request, Sample

FACTS = {"capital": "city", "river": "river", "founder": "founder"}
PARTS = ("Bel", "Cor", "Dan", "Fel", "Gar", "Hol", "Kes", "Lor", "Mir", "Nor", "Pel", "Rav", "Sel", "Tor", "Vel", "Zan")
FAULT = re.compile(r"\[(\w+)(!?)\]")


def fact(kind: str, place: str) -> str:
    """What is true: a name of three syllables."""
    rng = random.Random(f"{kind}/{place}")
    return "".join(rng.choices(PARTS, k=3)).capitalize()


def sample(place: str, *, fault: str = "", true: bool = True, task: tuple[str, ...] = ("places", "capitals")) -> Sample:
    """A sample that needs to be known what a place's capital is; `fault` orders one of the writer ("length!")."""
    instruction = f"What is the capital of {place}?" + (f" [{fault}]" if fault else "")
    response = f"The capital of {place} is {fact('capital', place) if true else 'Wrongtown'}."
    return Sample(
        f"id-{place}-{fault}{'' if true else '-wrong'}",
        ({"role": "user", "content": instruction}, {"role": "assistant", "content": response}),
        task,
    )


def plain_sample(number: int) -> Sample:
    """A sample that needs no knowledge."""
    messages = (
        {"role": "user", "content": f"Write the number {number} backwards."},
        {"role": "assistant", "content": str(number)[::-1]},
    )
    return Sample(f"plain-{number}", messages, ("numbers",))


def place_of(instruction: str) -> str:
    found = re.search(r"capital of (\w+)", instruction)
    return found[1] if found else ""


def knowledge_of(place: str) -> str:
    lines = [f"The {kind} of {place} is {fact(kind, place)}." for kind in FACTS]
    return " ".join(lines)


def draft(kind: str, place: str) -> dict[str, Any]:
    """A sound question on one fact."""
    names = [fact(kind, f"{place}/{number}") for number in range(20)]
    wrong = [name for name in dict.fromkeys(names) if name != fact(kind, place)][:3]
    return {"question": f"What is the {kind} of {place}?", "right": fact(kind, place), "wrong": wrong}


def spoiled(question: dict[str, Any], fault: str, place: str) -> dict[str, Any]:
    """The question with a fault; what makes it one is there to be seen."""
    right, wrong = question["right"], question["wrong"]
    changes: dict[str, Any] = {
        "options": {"wrong": wrong[:2]},
        "options_equal": {"wrong": [wrong[0], f" {wrong[0].upper()}.", wrong[1]]},
        "refers_to_text": {"question": f"According to the text, what is the capital of {place}?"},
        "refers_to_options": {"wrong": [*wrong[:2], "None of the above"]},
        "length": {"wrong": [*wrong[:2], f"{wrong[2]}, which lies in the far north of the land"]},
        "overlap": {"question": f"What is the capital of {place}, near the {wrong[0]} hills?"},
        "duplicate": {"question": f"What is the river of {place} called?", "right": fact("river", place)},
        "unclear": {"question": "What is the capital of the country?"},
        "unanswerable": {"question": f"What is the anthem of {place}?"},
        "several_right": {"wrong": [*wrong[:2], f"{right} City"]},
        "wrong_key": {"right": wrong[0], "wrong": [right, *wrong[1:]]},
        "guessable": {"wrong": ["a spoon", "a shoe", "a cloud"]},
    }
    return {**question, **changes[fault]}


def questions(variables: dict[str, Any]) -> list[dict[str, Any]]:
    """The writer's reply: one question on each fact that is not asked for yet."""
    place = place_of(variables["instruction"])
    taken = " ".join(variables["kept"])
    kinds = [kind for kind in ("river", "founder", "capital") if f"the {kind} of" not in taken]
    drafts = [draft(kind, place) for kind in kinds][: variables["count"]]
    ordered = FAULT.search(variables["instruction"])
    if ordered and (ordered[2] or not variables["failed"]):
        if ordered[1] == "duplicate" and variables["failed"]:
            return [{**draft("river", place), "question": f"What is the river of {place} called?"}]
        drafts[-1] = spoiled(drafts[-1], ordered[1], place)
    return drafts


def review(text: str, shown: dict[str, Any], number: int) -> dict[str, Any]:
    """The judge's answer, from the text alone."""
    asked = re.search(r"the (\w+) of (\w+)", shown["question"])
    clear = bool(asked and asked[2][0].isupper())
    stated = re.search(rf"The {asked[1]} of {asked[2]} is (\w+)", text) if asked else None
    right = [letter for letter, option in shown["options"].items() if stated and option == stated[1]]
    also = [letter for letter, option in shown["options"].items() if stated and option == f"{stated[1]} City"]
    why = f"The text says {stated[1]}." if stated else "The text does not say."
    return {"number": number, "why": why, "clear": clear, "right": right, "defensible": also}


def guess(shown: dict[str, Any], number: int) -> dict[str, Any]:
    """The judge's guess from the options alone: the only name among things."""
    names = [letter for letter, option in shown["options"].items() if option[0].isupper()]
    return {"number": number, "why": "seen", "guess": names[0] if len(names) == 1 else "none"}


def answer(prompt: str, variables: dict[str, Any]) -> dict[str, Any]:
    """The reply to one of the exam's prompts."""
    if prompt == "exam/need":
        place = place_of(variables["instruction"])
        return {
            "reason": f"It takes the capital of {place}." if place else "The instruction says everything.",
            "needs_knowledge": bool(place),
            "queries": [f"{place} capital", f" {place}  capital ", ""] if place else [],
        }
    if prompt == "exam/knowledge":
        place = place_of(variables["instruction"])
        used = [shown["number"] for shown in variables["passages"] if place in shown["text"]]
        return {"knowledge": knowledge_of(place), "cited": used}
    if prompt == "exam/sound":
        sound = fact("capital", place_of(variables["instruction"])) in variables["response"]
        return {"why": "It is so." if sound else "The capital is another.", "sound": sound}
    if prompt == "exam/questions":
        return {"questions": questions(variables)}
    if prompt == "exam/review":
        shown = variables["questions"]
        return {"answers": [review(variables["knowledge"], one, at) for at, one in enumerate(shown, 1)]}
    assert prompt == "exam/blind"
    return {"guesses": [guess(one, at) for at, one in enumerate(variables["lists"], 1)]}


def reply(request: Request) -> str:
    """What `scripted:FILE.py` calls."""
    return json.dumps(answer(request.prompt, dict(request.variables)))
