"""Reading back what the teacher wrote."""

import re

import sympy
from sympy import symbols

from curate.models.procedural.grammar import tex

k, t, x, y = symbols("k t x y")


def read(text):
    """Parse LaTeX that the teacher wrote into sympy."""
    from latex2sympy2_extended import latex2sympy

    return latex2sympy(tex(text))


def sides(equation):
    """Return an equation as an expression that is to vanish."""
    parsed = read(equation)
    return parsed.lhs - parsed.rhs


def complex_of(text):
    """Return a complex number written with i."""
    text = re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"(\1/\2)", text)
    text = re.sub(r"(?<=[\d)])i", "*I", text)
    return sympy.sympify(text.replace("i", "I"))


def numbers(text):
    """Return the integers in a list or a tuple."""
    return [int(n) for n in re.findall(r"-?\d+", text)]
