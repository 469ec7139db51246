"""Polynomials, powers, logarithms, radicals and functions: printed expressions evaluated by sympy."""

import math

import sympy
from sympy import S

from answer_checks.reading import k, read, x


def doublings(start, end):
    """Return how many doublings lead from start to end."""
    count = 0
    while start < end:
        start, count = 2 * start, count + 1
    assert start == end
    return count


CHECKS = {
    "remainder_value": lambda f: read(f["p"]).subs(x, f["a"]) == f["answer"],
    "remainder_linear": lambda f: (
        read(f["answer"]).subs(x, f["a"]) == f["pa"] and read(f["answer"]).subs(x, f["b"]) == f["pb"]
    ),
    "expand_coefficient": lambda f: (
        sympy.Poly(read(f["f"]) * read(f["g"]), x).coeff_monomial(x ** f["k"]) == f["answer"]
    ),
    "factor_cubic": lambda f: sum(r**2 for r in sympy.roots(read(f["p"]), multiple=True)) == f["answer"],
    "power_same_base": lambda f: (
        f["l"] ** read(f["u"]).subs(x, f["answer"]) == f["r"] ** read(f["w"]).subs(x, f["answer"])
    ),
    "logarithm_value": lambda f: S(f["base"]) ** f["answer"] == f["arg"],
    "logarithm_equation": lambda f: (
        read(f["p"]).subs(x, f["answer"]) * read(f["q"]).subs(x, f["answer"]) == f["n"]
        and min(read(f["p"]).subs(x, f["bad"]), read(f["q"]).subs(x, f["bad"])) < 0
    ),
    "logarithm_digits": lambda f: f["base"] ** (f["answer"] - 1) <= f["bound"] < f["base"] ** f["answer"],
    "radical_equation": lambda f: (
        sympy.sqrt(read(f["inner"]).subs(x, f["answer"])) == read(f["right"]).subs(x, f["answer"])
        and read(f["right"]).subs(x, f["other"]) < 0
    ),
    "radical_nested": lambda f: (
        abs(float(read(f["answer"])) - math.sqrt(f["sum"] + (1 if f["s"] == "+" else -1) * math.sqrt(f["prod"]))) < 1e-9
    ),
    "function_inverse": lambda f: (read(f["num"]) / read(f["den"])).subs(x, f["answer"]) == f["y"],
    "remainder_parameter": lambda f: (
        sympy.rem(read(f["head"]).subs(k, f["answer"]), read(f["by"]), x) == 0
        and sympy.rem(read(f["head"]).subs(k, f["answer"] + 1), read(f["by"]), x) != 0
    ),
    "power_substitution": lambda f: (
        (found := [n for n in range(12) if f["sq"] ** n - f["b"] * f["p"] ** n + f["c"] == 0])
        and len(found) == 2
        and sum(found) == f["answer"]
    ),
    "power_doubling": lambda f: doublings(f["start"], f["end"]) * f["every"] == f["answer"],
    "power_half_life": lambda f: doublings(f["answer"], f["start"]) * f["half"] == f["time"],
    "logarithm_combine": lambda f: (
        f["base"] ** f["answer"] == f["u"] * f["w"] and not {f["u"], f["w"]} & {f["base"] ** n for n in range(6)}
    ),
    "radical_simplify": lambda f: math.isclose(
        float(f["answer"]),
        math.sqrt(f["a"]) + math.sqrt(f["b"]) + (-1 if f["#sign"] else 1) * math.sqrt(f["c"]),
        abs_tol=1e-9,
    ),
    "function_compose": lambda f: read(f["f"]).subs(x, read(f["g"]).subs(x, f["x"])) == f["answer"],
    "function_linear": lambda f: (
        sympy.interpolate([(f["p"], f["fp"]), (f["q"], f["fq"])], x).subs(x, f["r"]) == f["answer"]
    ),
    "function_parabola": lambda f: (
        read(f["f"]).subs(x, sympy.solve(sympy.diff(read(f["f"]), x))[0]) == f["answer"]
        and (sympy.diff(read(f["f"]), x, 2) < 0) == bool(f["#top"])
    ),
    "function_revenue": lambda f: (
        f["answer"]
        == f["price"]
        + max(range(-f["price"], 99), key=lambda rise: (f["price"] + rise) * (f["sold"] - f["loss"] * rise))
    ),
}
