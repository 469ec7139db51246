"""Calculus: limits, derivatives and integrals of the printed expressions; solutions put into their equations."""

import math

import sympy
from sympy import Rational, oo, sqrt

from answer_checks.reading import read, x


def solves(answer, equation, start):
    """Return whether a function satisfies a differential equation and starts at a value."""
    s = read(answer)
    return sympy.simplify(equation(s, sympy.diff(s, x), sympy.diff(s, x, 2))) == 0 and s.subs(x, 0) == start


def simpson(f, n=400):
    """Return the integral of f from 0 to 1 by Simpson's rule."""
    return sum((1 if i in (0, n) else 4 if i % 2 else 2) * float(f(i / n)) for i in range(n + 1)) / (3 * n)


CHECKS = {
    "limit_factor": lambda f: sympy.limit(read(f["num"]) / read(f["den"]), x, f["a"]) == f["answer"],
    "limit_infinity": lambda f: sympy.limit(read(f["num"]) / read(f["den"]), x, oo) == f["answer"],
    "limit_root": lambda f: sympy.limit((sqrt(read(f["inner"])) - f["r"]) / read(f["den"]), x, f["a"]) == f["answer"],
    "derivative_chain": lambda f: sympy.simplify(sympy.diff(f["_f"], x) - read(f["answer"])) == 0,
    "derivative_trig": lambda f: (
        sympy.simplify(
            sympy.diff(f["_akns"][0] * (sympy.cos if f["_akns"][3] else sympy.sin)(f["_akns"][1] * x), x, f["n"])
            - read(f["answer"])
        )
        == 0
    ),
    "extremum_cubic": lambda f: read(f["f"]).subs(x, f["p"]) == f["answer"] and f["p"] < f["q"],
    "optimise_box": lambda f: f["answer"] == max(k * (f["a"] - 2 * k) ** 2 for k in range(f["a"] // 2 + 1)),
    "integral_poly": lambda f: sympy.integrate(read(f["f"]), (x, f["low"], f["high"])) == f["answer"],
    "integral_area": lambda f: sympy.integrate(read(f["g"]) - read(f["f"]), (x, f["p"], f["q"])) == f["answer"],
    "integral_substitution": lambda f: sympy.integrate(x * (x**2 + f["a"]) ** f["n"], (x, 0, f["k"])) == f["answer"],
    "ode_separable": lambda f: f["answer"] ** 2 == f["y0"] ** 2 + 2 * sympy.integrate(read(f["k"]), (x, 0, f["at"])),
    "limit_sine": lambda f: sympy.limit(sympy.sin(f["a"] * x) / (f["b"] * x), x, 0) == f["answer"],
    "derivative_value": lambda f: sympy.diff(read(f["u"]) * read(f["v"]), x).subs(x, f["at"]) == f["answer"],
    "tangent_line": lambda f: sympy.rem(read(f["f"]) - read(f["answer"]).rhs, (x - f["at"]) ** 2, x) == 0,
    "optimise_fence": lambda f: max(w * (f["length"] - f["sides"] * w) for w in range(f["length"])) == f["answer"],
    "optimise_sum": lambda f: (
        min(f["p"] * u + f["q"] * Rational(f["n"], u) for u in sympy.divisors(f["n"])) == f["answer"]
        and f["answer"] ** 2 == 4 * f["p"] * f["q"] * f["n"]
    ),
    "integral_parts": lambda f: math.isclose(
        simpson(sympy.lambdify(x, read(f["f"]))), float(f["answer"]), rel_tol=1e-7, abs_tol=1e-7
    ),
    "mean_value": lambda f: sympy.integrate(read(f["f"]), (x, 0, f["t"])) == f["answer"] * f["t"],
    "motion": lambda f: (
        f["answer"]
        == sum(
            # Over each half second the mean speed is that of its middle.
            (f["v"] - f["brake"] * Rational(2 * i + 1, 4)) / 2
            for i in range(2 * f["t"])
        )
    ),
    "ode_cooling": lambda f: (
        f["room"]
        + (f["start"] - f["room"])
        * Rational(f["mid"] - f["room"], f["start"] - f["room"]) ** Rational(f["time"], f["after"])
        == f["answer"]
    ),
    "ode_growth": lambda f: solves(f["answer"], lambda s, first, _: first - f["k"] * s, f["y0"]),
    "ode_linear": lambda f: solves(f["answer"], lambda s, first, _: first + f["a"] * s - f["b"], f["y0"]),
    "ode_second": lambda f: (
        solves(f["answer"], lambda s, first, second: second - (f["r"] + f["s"]) * first + f["r"] * f["s"] * s, f["y0"])
        and sympy.diff(read(f["answer"]), x).subs(x, 0) == f["dy0"]
    ),
    "ode_oscillation": lambda f: (
        solves(f["answer"], lambda s, _, second: second + f["kk"] * s, f["a"])
        and sympy.diff(read(f["answer"]), x).subs(x, 0) == f["kb"]
    ),
}
