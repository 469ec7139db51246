"""A served student that only writes letters: it knows half of the places, and what its prompt says."""

from __future__ import annotations

import random
import re

from exam_teacher import fact
from exam_world import knows

from curate.types import Request


def reply(request: Request) -> str:
    """What `scripted:FILE.py` calls."""
    text = request.messages[0]["content"]
    kind, place = re.findall(r"What is the (\w+) of (\w+)", text)[-1]
    options = re.findall(r"^([A-D])\. (.*)$", text, re.M)[-4:]
    if f"The {kind} of {place} is" in text or knows("votes", place):
        return next(letter for letter, option in options if option == fact(kind, place))
    return random.Random(text + request.attempt).choice("ABCD")
