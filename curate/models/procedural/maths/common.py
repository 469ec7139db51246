"""Small pieces of LaTeX that several branches print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from curate.models.procedural.grammar import tex


def signed(n: Any) -> str:
    """Return a number as a further term of a sum, `+ 3` or `- 3`."""
    return f"- {tex(-n)}" if n < 0 else f"+ {tex(n)}"


def paren(n: Any) -> str:
    """Return a number, in parentheses if it is negative."""
    return f"({tex(n)})" if n < 0 else tex(n)


def poly(*coefficients: Any, var: str = "x") -> str:
    """Return a polynomial from its coefficients, the highest first, without zero terms."""
    out, degree = "", len(coefficients) - 1
    for place, c in enumerate(coefficients):
        if c == 0:
            continue
        power = degree - place
        letter = "" if power == 0 else var if power == 1 else f"{var}^{{{power}}}"
        size = abs(c)
        body = letter if size == 1 and letter else f"{tex(size)}{letter}"
        out += (f" {'-' if c < 0 else '+'} " if out else "-" if c < 0 else "") + body
    return out or "0"


def rows(lines: Iterable[str]) -> str:
    """Return a displayed chain of equations, aligned at `&`."""
    return "$$\\begin{aligned} " + r" \\ ".join(lines) + " \\end{aligned}$$"


def matrix(entries: Sequence[Sequence[Any]]) -> str:
    """Return a matrix in parentheses."""
    body = r" \\ ".join(" & ".join(tex(x) for x in row) for row in entries)
    return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}"


def listing(values: Iterable[Any]) -> str:
    """Return values separated by commas."""
    return ", ".join(tex(v) for v in values)


def plus(n: Any, var: str) -> str:
    """Return a multiple of a letter as a further term of a sum, `- 3y` or `+ y`."""
    return f"{'-' if n < 0 else '+'} {'' if abs(n) == 1 else tex(abs(n))}{var}"
