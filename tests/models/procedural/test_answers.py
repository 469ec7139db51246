"""Answers, checked by another way than the one that made them."""

import itertools
import math
import re

import pytest
import sympy
from sympy import Rational, S, oo, sqrt, symbols

from curate.models.procedural import book
from curate.models.procedural.grammar import Draw, tex

x, y = symbols("x y")
FORMS = {form.name: form for forms in book.KINDS.values() for form in forms}


def facts(name, n=15):
    return [FORMS[name].facts(Draw("check", name, i)) for i in range(n)]


def read(text):
    """Parse LaTeX that the teacher wrote into sympy."""
    from latex2sympy2_extended import latex2sympy

    return latex2sympy(tex(text))


def brute_count(n, test):
    return sum(1 for k in range(1, n + 1) if test(k))


CHECKS = {
    "percent_chain": lambda f: Rational(f["base"]) * (100 + f["a"]) * (100 - f["b"]) / 10000 == Rational(f["answer"]),
    "ratio_share": lambda f: f["x"] + f["y"] + f["z"] == f["total"] and f["x"] * f["b"] == f["y"] * f["a"],
    "work_together": lambda f: f["answer"] / f["a"] + f["answer"] / f["b"] == 1,
    "work_joined": lambda f: Rational(f["alone"], f["a"]) + f["answer"] / f["a"] + f["answer"] / f["b"] == 1,
    "speed_average": lambda f: f["answer"] * (f["leg"] / S(f["v"]) + f["leg"] / S(f["w"])) == 2 * f["leg"],
    "speed_chase": lambda f: f["w"] * f["answer"] == f["lead"] + f["v"] * f["answer"],
    "interest_compound": lambda f: Rational(f["p"]) * (1 + Rational(f["r"], 100)) ** f["t"] == Rational(f["answer"]),
    "mixture": lambda f: f["high"] * f["answer"] + f["low"] * f["weak"] == f["goal"] * f["total"],
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
    "factor_pairs": lambda f: (
        sum(1 for u in range(f["a"] + 1, f["n"] + f["a"] + 2) if f["n"] % (u - f["a"]) == 0) == f["answer"]
    ),
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
    "function_revenue": lambda f: sympy.diff((f["price"] + x) * (f["sold"] - f["loss"] * x), x).subs(x, f["rise"]) == 0,
    "gcd_euclid": lambda f: f["answer"] == sympy.gcd(f["a"], f["b"]),
    "lcm_cycles": lambda f: f["answer"] == sympy.ilcm(f["a"], f["b"], f["c"]),
    "divisors_number": lambda f: f["answer"] == len(sympy.divisors(f["n"])),
    "divisors_odd": lambda f: f["answer"] == sum(1 for k in sympy.divisors(f["n"]) if k % f["p"] == 0),
    "euler_totient": lambda f: f["answer"] == brute_count(f["n"], lambda k: math.gcd(k, f["n"]) == 1),
    "last_digits": lambda f: f["answer"] == f["a"] ** f["e"] % 10,
    "power_residue": lambda f: f["answer"] == f["a"] ** f["e"] % f["m"],
    "congruence_linear": lambda f: f["a"] * f["answer"] % f["m"] == f["b"],
    "remainder_theorem": lambda f: (
        next(k for k in range(1, 10**4) if k % f["m"] == f["r"] and k % f["n"] == f["s"])
        in (f["answer"], f["answer"] - f["mn"])
    ),
    "diophantine_count": lambda f: (
        f["answer"] == sum(1 for k in range(f["n"] + 1) if f["n"] >= f["a"] * k and (f["n"] - f["a"] * k) % f["b"] == 0)
    ),
    "coin_frobenius": lambda f: (
        not any((f["answer"] - f["a"] * k) % f["b"] == 0 for k in range(f["answer"] // f["a"] + 1))
    ),
    "base_to_ten": lambda f: int(f["word"], f["base"]) == f["answer"],
    "base_from_ten": lambda f: int(f["answer"], f["base"]) == f["n"],
    "digit_swap": lambda f: int(str(f["answer"])[::-1]) - f["answer"] == f["diff"],
    "arrange_word": lambda f: (
        f["answer"] == sympy.factorial(f["n"]) / math.prod(math.factorial(f["word"].count(c)) for c in set(f["word"]))
    ),
    "arrange_digits": lambda f: (
        f["answer"] == sum(1 for p in itertools.permutations(range(1, f["pool"] + 1), f["k"]) if p[-1] % 2 == f["#odd"])
    ),
    "arrange_together": lambda f: (
        f["answer"]
        == sum(
            1 for p in itertools.permutations(range(f["n"])) if (abs(p.index(0) - p.index(1)) == 1) != bool(f["#apart"])
        )
        if f["n"] < 8
        else True
    ),
    "choose_least": lambda f: (
        f["answer"] == sum(1 for c in itertools.combinations(range(f["all"]), f["k"]) if min(c) < f["m"])
    ),
    "binomial_coefficient": lambda f: (
        sympy.Poly(read(f["inner"]) ** f["n"], x).coeff_monomial(x ** f["k"]) == f["answer"]
    ),
    "inclusion_exclusion": lambda f: f["answer"] == brute_count(f["n"], lambda k: k % f["a"] == 0 or k % f["b"] == 0),
    "dice_sum": lambda f: (
        f["answer"] == Rational(sum(1 for a in range(1, 7) for b in range(1, 7) if a + b == f["s"]), 36)
    ),
    "urn_exact": lambda f: (
        f["answer"]
        == Rational(
            sum(1 for c in itertools.combinations(range(f["n"]), f["k"]) if sum(i < f["bad"] for i in c) == f["j"]),
            f["all"],
        )
    ),
    "triangle_heron": lambda f: math.isclose(abs(sympy.Triangle(sss=f["_sides"]).area.evalf(12)), f["answer"]),
    "triangle_cosines": lambda f: math.isclose(
        float(f["answer"]) ** 2, f["a"] ** 2 + f["b"] ** 2 - 2 * f["a"] * f["b"] * math.cos(math.radians(f["angle"]))
    ),
    "line_area": lambda f: abs(sympy.Polygon(*f["_pqr"]).area) == f["answer"],
    "lattice_gcd": lambda f: f["answer"] == f["a"] + f["b"] - math.gcd(f["a"], f["b"]),
    "trig_double": lambda f: math.isclose(
        float(f["answer"]), (math.sin if f["#w"] else math.cos)(2 * math.asin(float(f["sin"]))), abs_tol=1e-9
    ),
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
    "determinant_three": lambda f: sympy.Matrix(f["_m"]).det(method="berkowitz") == f["answer"],
    "matrix_inverse": lambda f: sympy.Matrix(f["_m"]).inv() == read(f["answer"]),
    "matrix_product": lambda f: sympy.Matrix(f["_mn"][0]) * sympy.Matrix(f["_mn"][1]) == read(f["answer"]),
    "matrix_power": lambda f: sympy.Matrix(f["_m"][0]) ** f["_m"][1] == read(f["answer"]),
    "eigen_two": lambda f: max(read(f["m"]).eigenvals()) == f["answer"],
    "complex_power": lambda f: (
        sympy.expand(sympy.sympify(re.sub(r"(\d*)i", r"\1*I", f["z"]).replace(" *I", " 1*I")) ** f["n"]) == f["answer"]
    ),
    "digit_multiple": lambda f: (
        [n for n in range(10, 100) if n == f["k"] * (n // 10 + n % 10) and abs(n // 10 - n % 10) == f["gap"]]
        == [f["answer"]]
    ),
    "digit_missing": lambda f: (
        [k for k in range(10) if int(re.sub(r"\\square ", str(k), f["word"])) % 9 == 0] == [f["answer"]]
    ),
    "grid_blocked": lambda f: f["answer"] == paths(f["a"], f["b"], (f["c"], f["e"])),
    "grid_paths": lambda f: f["answer"] == paths(f["a"], f["b"]) - paths(f["a"], f["b"], (f["c"], f["e"])),
    "trials_least": lambda f: (
        f["answer"]
        == sum(
            math.prod(f["p"] if hit else 1 - f["p"] for hit in run)
            for run in itertools.product((0, 1), repeat=f["n"])
            if sum(run) >= f["n"] - 1
        )
    ),
    "dice_difference": lambda f: (
        f["answer"] == Rational(sum(1 for a in range(1, 7) for b in range(1, 7) if abs(a - b) == f["g"]), 36)
    ),
    "mixture_dilute": lambda f: f["p"] * f["v"] == f["q"] * (f["v"] + f["answer"]),
    "interest_principal": lambda f: f["answer"] * Rational(100 + f["r"], 100) ** 2 == Rational(f["end"]),
    "telescoping_root": lambda f: math.isclose(
        f["answer"], sum(1 / (math.sqrt(k) + math.sqrt(k + 1)) for k in range(f["a"], f["b"]))
    ),
    "recurrence_stairs": lambda f: (
        f["answer"] == sum(math.comb(f["n"] - (f["big"] - 1) * j, j) for j in range(f["n"] // f["big"] + 1))
    ),
    "eigen_parameter": lambda f: (
        sympy.Matrix([[f["answer"] - f["t"], f["_e"][0]], [f["_e"][1], f["_e"][2] - f["t"]]]).det() == 0
    ),
    "arithmetic_sum": lambda f: f["answer"] == sum(f["a"] + f["d"] * k for k in range(f["n"])),
    "geometric_bounce": lambda f: f["answer"] == f["h"] + 2 * sympy.summation(f["h"] * f["r"] ** x, (x, 1, oo)),
    "telescoping": lambda f: (
        f["answer"] == sum(Rational(1, (1 + f["k"] * j) * (1 + f["k"] * j + f["k"])) for j in range(f["n"]))
    ),
    "recurrence_first": lambda f: f["answer"] == iterate(f),
    "graph_tree": lambda f: f["answer"] + 3 * f["a"] + f["k"] * f["b"] == 2 * (f["answer"] + f["a"] + f["b"] - 1),
    "mean_missing": lambda f: 0 <= f["answer"] <= 100 and f["sum"] + f["answer"] == f["goal"] * f["n1"],
    "regression_line": lambda f: f["answer"] == slope(*f["_xy"]),
}


def paths(a, b, closed=None):
    """Count lattice paths by adding from cell to cell."""
    table = {(0, 0): 1}
    for i, j in itertools.product(range(a + 1), range(b + 1)):
        if i or j:
            table[i, j] = 0 if (i, j) == closed else table.get((i - 1, j), 0) + table.get((i, j - 1), 0)
    return table[a, b]


def iterate(f):
    value = f["start"]
    for _ in range(f["n"]):
        value = f["p"] * value + f["fix"] * (1 - f["p"])
    return value


def slope(xs, ys):
    n = len(xs)
    top = n * sum(a * b for a, b in zip(xs, ys, strict=True)) - sum(xs) * sum(ys)
    return Rational(top, n * sum(a * a for a in xs) - sum(xs) ** 2)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_answers_by_another_way(name):
    for f in facts(name):
        assert CHECKS[name](f), {k: v for k, v in f.items() if not k.startswith("#")}


def test_solutions_of_differential_equations_satisfy_them():
    for name in ("ode_second", "ode_oscillation", "ode_linear", "ode_growth"):
        for f in facts(name, 8):
            solution = read(f["answer"])
            first, second = sympy.diff(solution, x), sympy.diff(solution, x, 2)
            rest = {
                "ode_second": second
                - (f.get("r", 0) + f.get("s", 0)) * first
                + f.get("r", 0) * f.get("s", 0) * solution,
                "ode_oscillation": second + f.get("kk", 0) * solution,
                "ode_linear": first + f.get("a", 0) * solution - f.get("b", 0),
                "ode_growth": first - f.get("k", 0) * solution,
            }[name]
            assert sympy.simplify(rest) == 0
            assert solution.subs(x, 0) == (f["a"] if name == "ode_oscillation" else f["y0"])


@pytest.mark.parametrize("kind", list(book.KINDS))
def test_the_box_is_what_the_checker_reads(kind):
    from math_verify import parse, verify

    for i in range(2):
        problem = book.write(kind, "verify", i)
        assert verify(
            parse(f"${problem.answer}$", parsing_timeout=None),
            parse(problem.solution, parsing_timeout=None),
            timeout_seconds=None,
        ), problem
