"""Equations: solved by sympy, or by trying every candidate."""

import sympy
from sympy import S, oo

from answer_checks.reading import k, read, sides, x, y

CHECKS = {
    "linear_solve": lambda f: sympy.solve(f["_e"][0] * (x + f["_e"][1]) - f["_e"][2] * x - f["_e"][3]) == [f["answer"]],
    "linear_ages": lambda f: f["k"] * f["answer"] + f["n"] == f["m"] * (f["answer"] + f["n"]) and f["n"] > 0,
    "linear_number": lambda f: f["a"] * f["answer"] + f["b"] == f["c"] * f["answer"] + f["e"],
    "system_solve": lambda f: (
        sympy.linsolve(
            [f["_e"][0] * x + f["_e"][1] * y - f["_e"][2], f["_e"][3] * x + f["_e"][4] * y - f["_e"][5]], x, y
        )
        == sympy.FiniteSet((f["x"], f["y"]))
    ),
    "quadratic_roots": lambda f: max(sympy.solve(read(f["eq"]))) == f["answer"],
    "vieta_squares": lambda f: (
        sympy.simplify(sum(r**2 for r in sympy.roots(read(f["eq"]).lhs, multiple=True)) - f["answer"]) == 0
    ),
    "inequality_linear": lambda f: (
        sympy.solveset(f["_e"][0] * x + f["_e"][1] < f["_e"][2] * x + f["_e"][3], x, S.Reals)
        == (
            sympy.Interval.open(-oo, f["x"]) if f["answer"].startswith(r"(-\infty") else sympy.Interval.open(f["x"], oo)
        )
    ),
    "inequality_quadratic": lambda f: (
        sum(v <= 0 for v in map(sympy.lambdify(x, read(f["left"])), range(-99, 99))) == f["answer"]
    ),
    "linear_fraction": lambda f: f["answer"] / S(f["a"]) + f["answer"] / S(f["b"]) == f["total"],
    "linear_parameter": lambda f: (
        sympy.solve(k * f["x"] + f["_e"][1] - read(f["right"]).subs(x, f["x"]), k) == [f["answer"]]
        and sympy.solve(f["answer"] * x + f["_e"][1] - read(f["right"]), x) == [f["x"]]
    ),
    "system_tickets": lambda f: (
        [n for n in range(f["n"] + 1) if f["dear"] * n + f["cheap"] * (f["n"] - n) == f["sum"]] == [f["answer"]]
    ),
    "system_legs": lambda f: [n for n in range(f["n"] + 1) if 4 * n + 2 * (f["n"] - n) == f["legs"]] == [f["answer"]],
    "system_prices": lambda f: (
        sympy.linsolve([f["a"] * x + f["b"] * y - f["p"], f["c"] * x + f["e"] * y - f["q"]], x, y)
        == sympy.FiniteSet((f["answer"], f["y"]))
    ),
    "quadratic_area": lambda f: [w for w in range(1, 99) if w * (w + f["gap"]) == f["area"]] == [f["answer"]],
    "quadratic_consecutive": lambda f: (
        [n for n in range(1, 99) if n * (n + f["step"]) == f["product"]] == [f["answer"]]
        and sympy.roots(sides(f["zero"])) == {f["answer"]: 1, f["neg"]: 1}
    ),
    "quadratic_parameter": lambda f: (
        f["answer"] > 0 and sympy.roots(read(f["lead"]) - f["answer"] * x + f["c"], x) == {f["at"]: 2}
    ),
    "vieta_reciprocals": lambda f: (
        sympy.simplify(sum(1 / r for r in sympy.roots(sides(f["eq"]), multiple=True)) - f["answer"]) == 0
    ),
    "vieta_shifted": lambda f: (
        sympy.expand(sympy.prod(r + f["k"] for r in sympy.roots(sides(f["eq"]), multiple=True))) == f["answer"]
        and all(r.is_real for r in sympy.roots(sides(f["eq"]), multiple=True))
    ),
    "inequality_budget": lambda f: (
        max(n for n in range(99) if f["price"] * n + f["fixed"] <= f["budget"]) == f["answer"]
    ),
    "absolute_equation": lambda f: (
        sum(sympy.solve(abs(read(f["inner"]).subs(x, sympy.Symbol("x", real=True))) - f["c"])) == f["answer"]
    ),
    "absolute_count": lambda f: (
        sum(abs(v) <= f["r"] for v in map(sympy.lambdify(x, read(f["inner"])), range(-40, 50))) == f["answer"]
    ),
    "factor_pairs": lambda f: (
        sum(
            value == 0
            for left in [sympy.lambdify((x, y), sides(f["eq"]))]
            for value in (left(u, v) for u in range(f["a"] + 1, 150) for v in range(f["b"] + 1, 150))
        )
        == f["answer"]
    ),
    "factor_squares": lambda f: (
        sum(u * u - v * v == f["n"] for u in range(1, f["n"] + 1) for v in range(max(1, u - 99), u)) == f["answer"]
    ),
}
