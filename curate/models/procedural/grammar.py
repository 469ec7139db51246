"""The composing machinery: a walk through phrasings, a small template language, and the assembly of one problem.

A template is a text with `{name}` (a fact, printed as LaTeX if it is a sympy object) and three kinds of choice, which
nest: `<a|b>` takes one, `<who=a|b>` takes one and keeps it as the fact `who`, `<@who:x|y>` takes the one at the place
where `who` was taken. A template that begins with `~` is a verb phrase ("~find the sum of ...") which the language's
carriers turn into a sentence.

Choices are not drawn independently. Draw number `i` of a kind takes, in a slot of n options, the element `i mod n` of
a permutation that is renewed every n draws, so that n consecutive draws use every option once; a choice inside a choice
counts the visits of its own branch. Early draws are therefore as different from each other as the slots allow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")
Facts = dict[str, Any]
"""What a form computed: `answer`, and everything its templates name. `wrong`, if present, is a typical wrong answer.

A fact `#name` with `#name/n` lets templates branch on a case of the mathematics: `<@name:first case|second case>`."""


# `\begin{aligned}` is LaTeX; any other name in braces must be a fact.
_FACT = re.compile(r"(\\[a-z]+)?\{([A-Za-z]\w*)\}")


# A step that changed nothing: `\frac{2}{3} = \frac{2}{3}` in a chain, or `x = 4, \qquad x = 4`.
_ECHO = re.compile(r"(?:(?<=\$)|(?<== )|(?<=\$\$))([^$=&]+) = \1(?=[.,;。，；]?(?:\$|\n|$))")
_TWICE = re.compile(r"(\w = [^$=,，]+)[,，]\s*\\qquad \1(?=[.。]?\$)")


@lru_cache(maxsize=4096)
def _order(key: str, n: int) -> tuple[int, ...]:
    order = list(range(n))
    Random(key).shuffle(order)
    return tuple(order)


class Draw:
    """One draw of a kind: `rng` for numbers, `turn` for words. Equal (seed, kind, index) give equal problems."""

    def __init__(self, seed: str, kind: str, index: int, language: str = "en") -> None:
        self.seed, self.kind, self.index, self.language = seed, kind, index, language
        self.rng = Random(f"{seed}/{kind}/{index}")

    def turn(self, slot: str, n: int, index: int | None = None) -> int:
        """Return which of n options this draw takes in a slot (see the module's description of the walk)."""
        block, place = divmod(self.index if index is None else index, n)
        return _order(f"{self.seed}/{self.kind}/{slot}/{block}", n)[place]

    def num(self, low: int, high: int) -> int:
        """Return an integer in [low, high]."""
        return self.rng.randint(low, high)

    def nonzero(self, low: int, high: int) -> int:
        """Return an integer in [low, high] other than zero."""
        return self.rng.choice([k for k in range(low, high + 1) if k])

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return self.rng.choice(options)

    def some(self, options: Sequence[T], k: int) -> list[T]:
        """Return k different options."""
        return self.rng.sample(options, k)


@dataclass(frozen=True, slots=True)
class Wording:
    """How a form is told in one language: the ways to ask, and the worked solution (without the boxed answer)."""

    ask: tuple[str, ...]
    solution: str


@dataclass(frozen=True, slots=True)
class Form:
    """A sub-form of a kind: the mathematics, and its name, under which each language keeps its wording."""

    name: str
    facts: Callable[[Draw], Facts]


@dataclass(frozen=True, slots=True)
class Voice:
    """What a language adds around a form's own wording.

    `openers` and `closers` are sentences before and after the question, `carriers` turn a verb phrase into a sentence,
    `claims` turn a verb phrase and a value somebody obtained into a question, `verdicts` (right, wrong) answer it.
    `people` are mappings of facts (`A`, `he`, ...). `polish` repairs the small grammar of the finished text.
    """

    openers: tuple[str, ...]
    closers: tuple[str, ...]
    carriers: tuple[str, ...]
    claims: tuple[str, ...]
    verdicts: tuple[str, str]
    final: tuple[str, ...]
    people: tuple[Mapping[str, str], ...]
    gap: str
    polish: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Problem:
    """A finished problem. `solution` ends with the answer in a box; `facts` are what it was made from."""

    instruction: str
    solution: str
    answer: str
    kind: str
    form: str
    facts: Facts = field(repr=False)


def tex(value: Any) -> str:
    """Return a fact as text: words and integers as they are, anything of sympy as LaTeX."""
    if isinstance(value, str | int):
        return str(value)
    from sympy import latex

    return re.sub(r"^- ", "-", latex(value))


def expand(template: str, facts: Facts, draw: Draw, slot: str, index: int) -> str:
    """Return the template with its choices taken and its facts filled in; named choices are added to `facts`."""
    chosen, _ = _choose(template, 0, facts, draw, slot, index)
    return _FACT.sub(lambda m: (m[1] or "") + tex(facts[m[2]]) if m[2] in facts or not m[1] else m[0], chosen)


def _choose(text: str, at: int, facts: Facts, draw: Draw, slot: str, index: int) -> tuple[str, int]:
    """Expand `text` from `at` to its end or to the `|` or `>` that closes the option; return the text and the place."""
    out: list[str] = []
    while at < len(text):
        sign = text[at]
        if sign in "|>":
            break
        if sign == "<":
            piece, at = _choice(text, at, facts, draw, slot, index)
            out.append(piece)
        else:
            out.append(sign)
            at += 1
    return "".join(out), at


def _choice(text: str, start: int, facts: Facts, draw: Draw, slot: str, index: int) -> tuple[str, int]:
    options, end = _options(text, start + 1)
    place = f"{slot}:{start}"
    name = re.match(r"(\w+)=|@(\w+):", options[0])
    if name:
        options[0] = options[0][name.end() :]
    if name and name[2]:
        at = facts[f"#{name[2]}"]
        # The order of options is the link: a list of another length would pair the wrong words.
        if len(options) != facts[f"#{name[2]}/n"]:
            raise ValueError(f"{draw.kind}: <@{name[2]}: …> needs {facts[f'#{name[2]}/n']} options in {text!r}")
    else:
        at = draw.turn(place, len(options), index)
    piece, _ = _choose(options[at], 0, facts, draw, f"{place}.{at}", index // len(options))
    if name and name[1]:
        if name[1] in facts and f"#{name[1]}" not in facts:
            raise ValueError(f"{draw.kind}: <{name[1]}=…> would replace the fact {name[1]!r} in {text!r}")
        facts |= {name[1]: piece, f"#{name[1]}": at, f"#{name[1]}/n": len(options)}
    return piece, end


@lru_cache(maxsize=65536)
def _split(text: str, at: int) -> tuple[tuple[str, ...], int]:
    options, depth, begin = [], 0, at
    while True:
        sign = text[at]
        if sign == "<":
            depth += 1
        elif depth == 0 and sign in "|>":
            options.append(text[begin:at])
            begin = at + 1
            if sign == ">":
                return tuple(options), at + 1
        elif sign == ">":
            depth -= 1
        at += 1


def _options(text: str, at: int) -> tuple[list[str], int]:
    """Return the options of the choice whose first option begins at `at`, and the place after its `>`."""
    options, end = _split(text, at)
    return list(options), end


def compose(draw: Draw, forms: Sequence[Form], words: Mapping[str, Wording], voice: Voice) -> Problem:
    """Return the problem of this draw: a form of the kind, a way to ask, a situation around it, the solution."""
    form = forms[draw.turn("form", len(forms))]
    visit = draw.index // len(forms)
    wording = words[form.name]
    facts = {**voice.people[draw.turn("who", len(voice.people))], **form.facts(draw)}
    which = draw.turn(f"{form.name}/ask", len(wording.ask), visit)
    slot, visit = f"{form.name}/{which}", visit // len(wording.ask)
    core = expand(wording.ask[which].removeprefix("~"), facts, draw, slot, visit)
    verdict = ""
    if wording.ask[which].startswith("~"):
        core, verdict = _carry(core, facts, draw, voice)
    opener = _frame("open", voice.openers, facts, draw)
    if core.startswith("$") and not opener:  # A text should begin with a word.
        opener = expand(voice.openers[-1], facts, draw, "open", draw.index)
    parts = [opener, core, _frame("close", voice.closers, facts, draw)]
    final = expand(voice.final[draw.turn("final", len(voice.final))], facts, draw, "final", draw.index)
    solution = [expand(wording.solution, facts, draw, "solution", draw.index), verdict, final]
    return Problem(
        voice.polish(voice.gap.join(p for p in parts if p)),
        _TWICE.sub(r"\1", _ECHO.sub(r"\1", voice.polish("\n\n".join(p for p in solution if p)))),
        tex(facts["answer"]),
        draw.kind,
        form.name,
        facts,
    )


def _carry(phrase: str, facts: Facts, draw: Draw, voice: Voice) -> tuple[str, str]:
    """Make a sentence of a verb phrase; return it with the verdict on the claim it makes, if it makes one."""
    facts = {**facts, "vp": phrase, "Vp": phrase[:1].upper() + phrase[1:]}
    ways = len(voice.carriers) + (len(voice.claims) if "wrong" in facts else 0)
    way = draw.turn("carrier", ways)
    if way < len(voice.carriers):
        return expand(voice.carriers[way], facts, draw, f"carrier{way}", draw.index // ways), ""
    right = draw.num(1, 3) == 1 or tex(facts["wrong"]) == tex(facts["answer"])
    facts["claim"] = facts["answer"] if right else facts["wrong"]
    text = expand(voice.claims[way - len(voice.carriers)], facts, draw, f"claim{way}", draw.index // ways)
    return text, expand(voice.verdicts[not right], facts, draw, "verdict", draw.index)


def _frame(name: str, options: Sequence[str], facts: Facts, draw: Draw) -> str:
    at = draw.turn(name, len(options))
    return expand(options[at], facts, draw, f"{name}{at}", draw.index // len(options))


def forms(**kinds: Sequence[Callable[[Draw], Facts]]) -> dict[str, tuple[Form, ...]]:
    """Return a branch's table of kinds: each a tuple of forms named after their functions."""
    return {kind: tuple(Form(f.__name__, f) for f in functions) for kind, functions in kinds.items()}
