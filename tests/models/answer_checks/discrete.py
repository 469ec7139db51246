"""Sequences, sets, logic, graphs and statistics: written out term by term, member by member."""

import itertools
import math
import re
import statistics
from fractions import Fraction

import sympy
from sympy import Rational, oo

from answer_checks.reading import numbers, read, x


def iterate(f):
    """Return the n-th iterate of the affine map of `recurrence_first`."""
    value = f["start"]
    for _ in range(f["n"]):
        value = f["p"] * value + f["fix"] * (1 - f["p"])
    return value


def slope(xs, ys):
    """Return the least-squares slope from plain sums."""
    n = len(xs)
    top = n * sum(a * b for a, b in zip(xs, ys, strict=True)) - sum(xs) * sum(ys)
    return Rational(top, n * sum(a * a for a in xs) - sum(xs) ** 2)


def three_sets(f):
    """Return three sets with the sizes and intersections of a draw of `sets_three`."""
    member = itertools.count()

    def fresh(n):
        assert n >= 0
        return {next(member) for _ in range(n)}

    abc = fresh(f["abc"])
    ab, ac, bc = (fresh(f[pair] - f["abc"]) for pair in ("ab", "ac", "bc"))
    shared = ab | ac | abc, ab | bc | abc, ac | bc | abc
    return [inner | fresh(f[size] - len(inner)) for inner, size in zip(shared, ("ta", "tb", "tc"), strict=True)]


def truth(formula, row):
    """Return the value of a printed formula for values of p, q, r."""
    signs = {r"\\lor": "|", r"\\land": "&", r"\\lnot": "~", r"\\to": ">>"}
    for sign, operator in signs.items():
        formula = re.sub(sign + r"\b", operator, formula)
    while r"\leftrightarrow" in formula:
        inner = re.sub(r"\((\w|E\(\w,\w\)) \\leftrightarrow (\w)\)", r"E(\1,\2)", formula)
        formula = inner if inner != formula else f"({formula})"
    p, q, r = sympy.symbols("p q r")
    value = sympy.sympify(formula, {"E": sympy.Equivalent, "p": p, "q": q, "r": r})
    return bool(value.subs(dict(zip((p, q, r), map(bool, row), strict=True))))


def build(degrees):
    """Return the number of edges of a simple graph that is built with these degrees (Havel and Hakimi)."""
    edges = 0
    while any(degrees):
        first, *rest = sorted(degrees, reverse=True)
        assert first <= sum(d > 0 for d in rest)
        degrees, edges = [d - 1 for d in rest[:first]] + rest[first:], edges + first
    return edges


CHECKS = {
    "telescoping_root": lambda f: math.isclose(
        f["answer"], sum(1 / (math.sqrt(k) + math.sqrt(k + 1)) for k in range(f["a"], f["b"]))
    ),
    "recurrence_stairs": lambda f: (
        f["answer"] == sum(math.comb(f["n"] - (f["big"] - 1) * j, j) for j in range(f["n"] // f["big"] + 1))
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
    "arithmetic_term": lambda f: (
        f["ai"] + Rational(f["aj"] - f["ai"], f["j"] - f["i"]) * (f["n"] - f["i"]) == f["answer"]
    ),
    "arithmetic_count": lambda f: (
        list(itertools.accumulate(f["a"] + f["d"] * i for i in range(99))).index(f["total"]) + 1 == f["answer"]
    ),
    "geometric_term": lambda f: (
        [f["ai"] * q ** (f["n"] - f["i"]) for q in range(-9, 10) if f["ai"] * q ** (f["j"] - f["i"]) == f["aj"]]
        == [f["answer"]]
    ),
    "geometric_series": lambda f: math.isclose(
        math.fsum(float(f["a"]) * float(f["r"]) ** i for i in range(400)), f["answer"]
    ),
    "recurrence_second": lambda f: (
        (sympy.Matrix([[*f["_pq"]], [1, 0]]) ** (f["n"] - 1) * sympy.Matrix([f["b"], f["a"]]))[0] == f["answer"]
    ),
    "sets_two": lambda f: [n for n in range(99) if f["a"] + f["b"] - n + f["none"] == f["n"]] == [f["answer"]],
    "sets_three": lambda f: len(set().union(*three_sets(f))) == f["answer"],
    "sets_subsets": lambda f: (
        sum(
            set(numbers(f["inside"])) <= chosen and not set(numbers(f["outside"])) & chosen
            for size in range(f["n"] + 1)
            for chosen in map(set, itertools.combinations(range(1, f["n"] + 1), size))
        )
        == f["answer"]
    ),
    "logic_table": lambda f: sum(truth(f["f"], row) for row in itertools.product((0, 1), repeat=3)) == f["answer"],
    "logic_equations": lambda f: (
        max(sympy.Matrix([[1, 1, 0], [0, 1, 1], [1, 0, 1]]).solve(sympy.Matrix([f["xy"], f["yz"], f["xz"]])))
        == f["answer"]
    ),
    "graph_edges": lambda f: build([f["a"]] * f["p"] + [f["b"]] * f["q"] + [f["c"]] * f["r"]) == f["answer"],
    "graph_planar": lambda f: (
        f["v"] - f["answer"] + f["f"] == 2 and 3 * max(f["v"], f["f"]) <= 2 * f["answer"]  # A polyhedron exists.
    ),
    "mean_groups": lambda f: (
        Rational(sum([f["a"]] * f["m"] + [f["b"]] * f["n"]), f["m"] + f["n"]) == f["answer"] != f["wrong"]
    ),
    "median_list": lambda f: statistics.median(map(Fraction, numbers(f["list"]))) == f["answer"],
    "spread_variance": lambda f: statistics.pvariance(map(Fraction, numbers(f["list"]))) == f["answer"],
    "spread_scaled": lambda f: math.isclose(
        statistics.pstdev(float(read(f["rule"]).subs(x, f["mean"] + s * f["sd"])) for s in (-1, 1)), f["answer"]
    ),
    "score_standard": lambda f: f["mean"] + f["answer"] * f["sd"] == f["x"] > 0,
    "sample_error": lambda f: math.isclose(math.sqrt(sum((f["sd"] / f["n"]) ** 2 for _ in range(f["n"]))), f["answer"]),
}
