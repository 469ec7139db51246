"""Find the final answer of a solution, and compare two answers: by text where that decides, else as mathematics."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

MAX_LENGTH = 400
"""Characters. What is longer than this is a derivation and no answer; it is compared as text only."""

Same = Callable[[str, str], bool | None]
"""Compares two answers; None where it cannot be said."""

_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
# The runs of marks are bounded: an unbounded one before an optional word takes quadratic time on a page of dashes.
_LINE = re.compile(
    r"^[ \t>#*_-]{0,9}(?:(?:the )?(?:final )?answer|(?:最终|最后)?(?:答案|答))[ \t*_]{0,9}[:：](.*)$"
    r"|^[ \t]{0,9}####(?!#)(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_WRAPPED = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (r"\$\$([^$]*)\$\$", r"\$([^$]*)\$", r"\\\(((?:(?!\\\)).)*)\\\)", r"\\\[(.*)\\\]")
)

# Full-width forms, the ideographic space and signs that have a spelling in LaTeX.
_SIGNS = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | str.maketrans(
    {
        "\u3000": " ",
        "\u2212": "-",
        "×": r"\times ",
        "·": r"\cdot ",
        "÷": r"\div ",
        "π": r"\pi ",
        "∞": r"\infty ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "°": r"^\circ ",
        "²": "^{2}",
        "³": "^{3}",
    }
)
_MIXED = re.compile(r"([+-]?\d+) +(\d+)/(\d+)")
_SCIENTIFIC = re.compile(r"([+-]?\d+(?:\.\d+)?)[eE]([+-]?\d+)")

_WRITTEN = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_NO_MEANING = re.compile(r"\\(?:left|right|displaystyle)(?![a-zA-Z])|\\[,;:!\s]|\$")
# A space that holds two numbers or two words apart does mean something: "1 1/2" is not "11/2".
_SPACE = re.compile(r"(?<![0-9]) (?![a-zA-Z])|(?<![a-zA-Z]) (?![0-9])")
_FRACTION = re.compile(r"\\[dt]frac(?![a-z])")
_FUNCTION = re.compile(
    r"(?:arc)?(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|max|min|gcd|lcm|det|pi|theta|alpha|beta|inf(?:ty)?)[a-z]{0,2}"
)


class NeedsMathematicsError(Exception):
    """The texts of two answers do not decide whether they are the same."""


def final_answer(text: str) -> str | None:
    r"""Return the final answer a solution marks as such, without `$` and a full stop, or None.

    It is the content of the last `\boxed{…}`; without one, the rest of the last line `Answer: …`, `#### …` or
    `答案：…`. An empty mark, and a last box that is never closed (a reply cut short), give None: an earlier number is
    not taken in its place.
    """
    boxes = list(_BOXED.finditer(text))
    if boxes:
        return tidy(_balanced(text, boxes[-1].end())) or None
    lines = list(_LINE.finditer(text))
    return (tidy(lines[-1][1] or lines[-1][2] or "") or None) if lines else None


def _balanced(text: str, begin: int) -> str:
    """Return what stands between position `begin` and the brace that closes it, or the empty string."""
    depth = 1
    position = begin
    while position < len(text):
        if text[position] == "\\":
            position += 1  # an escaped brace belongs to the answer
        elif text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if not depth:
                return text[begin:position]
        position += 1
    return ""


def tidy(answer: str) -> str:
    """Return the answer without white space, dollar signs, emphasis and a full stop around it."""
    before = None
    while answer != before:
        before = answer
        answer = answer.strip().strip("*").rstrip("。").strip()
        # "0." and "1.5." end in a full stop, "\." and "..." do not.
        answer = answer[:-1].strip() if answer.endswith(".") and not answer.endswith(("..", "\\.")) else answer
        for wrapped in _WRAPPED:
            if match := wrapped.fullmatch(answer):
                answer = match[1]
    return answer


def same_by_text(a: str, b: str) -> bool | None:
    """Compare two answers by their text alone. Raises NeedsMathematicsError where that does not decide.

    Equal spellings are the same; two different words or names ("even", "odd") are not; of texts too long to be answers
    nothing can be said (None).
    """
    left, right = _spelling(a), _spelling(b)
    if left and left == right:
        return True
    if not left or not right or max(len(a), len(b)) > MAX_LENGTH:
        return None
    # Read as mathematics, "even" is e·v·e·n, and "listen" equals "silent".
    if _is_word(left, 3) and left.casefold() == right.casefold():
        return True
    # Of three letters or fewer both may be products; "odd" stands against a longer word.
    if _is_word(left, 3) and _is_word(right, 3) and (_is_word(left, 4) or _is_word(right, 4)):
        return False
    raise NeedsMathematicsError


def _spelling(answer: str) -> str:
    """Return the answer without what has no meaning: spaces, sizes of brackets and fractions, text marks."""
    answer = _NO_MEANING.sub("", _WRITTEN.sub(r"\1", tidy(answer).translate(_SIGNS)))
    return _FRACTION.sub(r"\\frac", _SPACE.sub("", " ".join(answer.split())))


def _is_word(spelling: str, length: int) -> bool:
    """Whether it is a word or several: `length` letters or more that name no function, or any number of characters."""
    plain = re.sub(r"[-' ]", "", spelling)
    if not plain.isalpha():
        return False
    return min(plain) >= "\u3040" or (len(plain) >= length and not _FUNCTION.fullmatch(plain.lower()))


def equivalent(a: str, b: str) -> bool | None:
    """Whether two answers are the same, by text or as mathematics (math-verify, both ways round); None: cannot be said.

    It sets no time limit and no signal, so it works in any thread; an expression that takes forever does so here too,
    and MathChecker is what puts a limit on it. Units are not compared where math-verify drops them ("5 cm", "5 m").
    """
    try:
        return same_by_text(a, b)
    except NeedsMathematicsError:
        return _same_by_mathematics(a, b)


def _same_by_mathematics(a: str, b: str) -> bool | None:
    from math_verify import verify

    left, right = _expressions(a), _expressions(b)
    if not left or not right:
        return None
    try:
        # verify() takes a gold and an answer and is not symmetric; two answers are one if either order says so.
        return bool(
            verify(left, right, timeout_seconds=None, raise_on_error=True)
            or verify(right, left, timeout_seconds=None, raise_on_error=True)
        )
    # Computer algebra raises anything, down to RecursionError and MemoryError, on expressions it was not made for.
    except Exception:
        return None


def _expressions(answer: str) -> list[Any]:
    """Return what math-verify reads in the answer; empty where it can make no mathematics of it."""
    from math_verify import LatexExtractionConfig, parse

    # It warns once that its own time limit is off, which is meant: that limit works in the main thread only.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    text = tidy(answer).translate(_SIGNS)
    # math-verify would read only the 1 of "1 1/2" and take "1e3" for a product with Euler's number.
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text) if _MIXED.fullmatch(text) else text
    text = _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", text) if _SCIENTIFIC.fullmatch(text) else text
    found = parse(
        rf"\boxed{{{text}}}",
        extraction_config=[LatexExtractionConfig()],
        fallback_mode="no_fallback",
        parsing_timeout=None,
    )
    return list(found)


def majority(answers: Sequence[str | None], same: Same = equivalent) -> tuple[int | None, list[list[int]]]:
    """Group equal answers; return (index of the first answer of the winning group or None, the groups as indices).

    The winner has more than half of all votes; a vote without an answer (None) counts among them and is for nothing. An
    answer joins the first group whose first member it equals.
    """
    groups: list[list[int]] = []
    for index, answer in enumerate(answers):
        if answer is None:
            continue
        home = next((group for group in groups if same(answers[group[0]] or "", answer)), None)
        if home is None:
            groups.append([index])
        else:
            home.append(index)
    winner = next((group[0] for group in groups if 2 * len(group) > len(answers)), None)
    return winner, groups
