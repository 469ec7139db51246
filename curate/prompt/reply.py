r"""Reading the JSON reply of a language model: strict about the shape, forgiving about LaTeX.

Models often forget to double the backslash inside JSON strings. Some such escapes are no JSON (`\(`, `\alpha`), and
some are valid JSON that means something else: `\frac` is a form feed and "rac", `\times` a tab and "imes", `\nu` a
newline and "u". A form feed or a backspace is never wanted; a tab, newline or carriage return whose letters
complete the name of a LaTeX command is that command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Protocol

from curate.errors import ParseError

COMMANDS = re.compile(
    r"tag|tan|tanh|tau|tbinom|text|textbf|textcolor|textit|textrm|textstyle|texttt|tfrac|"
    r"therefore|theta|thickapprox|tilde|times|tiny|triangle|triangleleft|triangleq|triangleright|"
    r"nabla|ncong|nearrow|newcommand|newline|ngeq|nleq|nolimits|nonumber|normalsize|not|notag|"
    r"notin|nprec|nrightarrow|nsubseteq|nsucc|nsupseteq|nwarrow|rangle|rbrace|rbrack|rceil|ref|"
    r"renewcommand|rfloor|rgroup|rho|right|rightarrow|rightharpoonup|rightleftharpoons|rm|root|"
    r"rtimes|rule|rvert|rVert"
)
"""LaTeX commands in t, n and r whose remaining letters are no word that follows a tab or a newline."""

AMBIGUOUS = re.compile(r"to|top|ne|neg|neq|nexists|ni|nless|nmid|nparallel|nsim|nu")
"""Commands whose remaining letters may start a line of text or code ("\nmid = 3"): taken as commands within mathematics
only."""

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.S)
_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf"\\(\\\\\\|{_PAIR}|u[0-9a-fA-F]{{4}}|[A-Za-z]+|.)", re.S)
_CODE_POINT = re.compile(rf"{_PAIR}|u[0-9a-fA-F]{{4}}")
_HALF_PAIR = re.compile(r"u[dD][89a-fA-F][0-9a-fA-F]{2}")
_CLEAN = re.compile(
    rf"""(?:[^\\]++|\\["\\/]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{{4}}"""
    rf"""|\\(?!(?:{COMMANDS.pattern}|{AMBIGUOUS.pattern})(?![A-Za-z]))[tnr])*+"""
)
"""A text in which every backslash is an escape that the writer wanted: most replies, read without a second look."""
_ROW_BREAK = re.compile(r"\s|\d|-|\\[^\\]|$")
_OPENED = re.compile(r"\\[(\[]")
_CLOSED = re.compile(r"\\[)\]]")
_RAW_SURROGATE = re.compile("[\ud800-\udfff]")
_THINKING = re.compile(r"\A\s*<think>.*?</think>", re.S)


def read_json(text: str, validate: Validator) -> Any:
    """Return the first object in `text` that `validate` accepts; prose, code fences and thinking around it are skipped.

    Raises ParseError with the first thing that was wrong.
    """
    text = _RAW_SURROGATE.sub("\ufffd", _THINKING.sub("", text))
    problem = ""
    for value, error in _objects(text):
        if not error:
            try:
                return validate(value)
            except ParseError as wrong:
                error = str(wrong)
        problem = problem or error
    raise ParseError(problem or "there is no JSON object in the reply")


class Validator(Protocol):
    """A check of a decoded value: returns it, or raises ParseError."""

    def __call__(self, value: Any) -> Any:
        """Return `value` if it has the right shape."""


@lru_cache(maxsize=256)
def compile_schema(schema: str) -> Validator:
    """Return the check for a JSON schema given as JSON text, compiled once per distinct schema."""
    import fastjsonschema

    check = fastjsonschema.compile(json.loads(schema), use_default=False)

    def validate(value: Any) -> Any:
        try:
            return check(value)
        except fastjsonschema.JsonSchemaValueException as error:
            raise ParseError(re.sub(r"^data", "the reply", error.message)) from None

    return validate


def _objects(text: str) -> Iterator[tuple[Any, str]]:
    """Yield (value, "") or (None, what is wrong) for each place where an outermost object may begin."""
    decoder = json.JSONDecoder(strict=False, parse_constant=_no_constant)
    start = text.find("{")
    if start < 0:
        return
    if not _CLEAN.fullmatch(text, start):
        text, start = _STRING.sub(_fix_string, text[start:]), 0
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            # What stands before the error is inside this object: an object in there is not an outermost one.
            end = max(error.pos, start + 1)
            cut = end >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
            near = text[max(start, error.pos - 20) : error.pos + 20]
            yield None, "the JSON object is cut off" if cut else f"not valid JSON: {error.msg}, near {near!r}"
        except (ValueError, RecursionError) as error:
            yield None, f"not valid JSON: {error}"
            return
        else:
            yield value, ""
        start = text.find("{", end)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _fix_string(literal: re.Match[str]) -> str:
    """Return a JSON string literal in which every backslash that was meant as a backslash is doubled."""
    if "\\" not in literal[1]:
        return literal[0]
    body = literal[1]
    # One escape that can only be forgotten doubling says how this string was written.
    loose = any(_undoubled(m[1]) for m in _ESCAPE.finditer(body))
    in_mathematics = _formulas(body, loose)

    def fix(escape: re.Match[str]) -> str:
        what = escape[1]
        if what == "'":
            return "'"
        if _HALF_PAIR.fullmatch(what):
            return r"\ufffd"
        if what == "\\":
            # The row break of a matrix: a writer who doubles nothing means two backslashes.
            row = loose and "begin{" in body and _ROW_BREAK.match(body, escape.end())
            return "\\\\\\\\" if row else escape[0]
        if _undoubled(what) or (AMBIGUOUS.fullmatch(what) and in_mathematics(escape.start())):
            return "\\" + escape[0]
        return escape[0]

    return f'"{_ESCAPE.sub(fix, body)}"'


def _formulas(body: str, loose: bool) -> Callable[[int], bool]:
    """Return a function that says, for positions in rising order, whether a formula is open there.

    Where delimiters do not tell, the writer's habits do: one who doubles backslashes elsewhere wants the escape; one
    who does not (`loose`) and writes a space before it wants a command.
    """
    careful = not loose and re.search(r"\\\\[A-Za-z(\[{,;!]", body) is not None
    seen = depth = dollars = 0

    def open_at(position: int) -> bool:
        nonlocal seen, depth, dollars
        between = body[seen:position]
        depth += len(_OPENED.findall(between)) - len(_CLOSED.findall(between))
        dollars += between.count("$")
        seen = position
        return not careful and (depth > 0 or dollars % 2 == 1 or (loose and between.endswith(" ")))

    return open_at


def _undoubled(what: str) -> bool:
    """Whether a backslash before `what` cannot be an escape that the writer wanted."""
    if _CODE_POINT.fullmatch(what) or what[0] in "\\\"/'":
        return False
    return COMMANDS.fullmatch(what) is not None if what[0] in "tnr" else True
