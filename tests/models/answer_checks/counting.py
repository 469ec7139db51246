"""Combinatorics and probability: every case listed and counted."""

import itertools
import math

import sympy
from sympy import Rational
from sympy.functions.combinatorial.numbers import stirling

from answer_checks.integers import brute_count
from answer_checks.reading import read, x


def paths(a, b, closed=None):
    """Count lattice paths by adding from cell to cell."""
    table = {(0, 0): 1}
    for i, j in itertools.product(range(a + 1), range(b + 1)):
        if i or j:
            table[i, j] = 0 if (i, j) == closed else table.get((i - 1, j), 0) + table.get((i, j - 1), 0)
    return table[a, b]


def chance_of_rolls(sides, test):
    """Return the probability that two dice fall so that a test holds."""
    rolls = list(itertools.product(range(1, sides + 1), repeat=2))
    return Rational(sum(test(a, b) for a, b in rolls), len(rolls))


def anagrams(word):
    """Count the arrangements of a word's letters by the letter that comes first."""
    if len(word) < 2:
        return 1
    return sum(anagrams(word.replace(c, "", 1)) for c in set(word)) if len(word) < 8 else places(word)


def places(word):
    """Count them by choosing the places of one letter after the other."""
    left, ways = len(word), 1
    for c in set(word):
        ways *= sum(1 for _ in itertools.combinations(range(left), word.count(c)))
        left -= word.count(c)
    return ways


def shares(n, k, least):
    """Count the ways to share n equal things by what the first one gets."""
    return 1 if k == 1 else sum(shares(n - i, k - 1, least) for i in range(least, n - least * (k - 1) + 1))


CHECKS = {
    "arrange_digits": lambda f: (
        f["answer"] == sum(1 for p in itertools.permutations(range(1, f["pool"] + 1), f["k"]) if p[-1] % 2 == f["#odd"])
    ),
    "choose_least": lambda f: (
        f["answer"] == sum(1 for c in itertools.combinations(range(f["all"]), f["k"]) if min(c) < f["m"])
    ),
    "binomial_coefficient": lambda f: (
        sympy.Poly(read(f["inner"]) ** f["n"], x).coeff_monomial(x ** f["k"]) == f["answer"]
    ),
    "inclusion_exclusion": lambda f: f["answer"] == brute_count(f["n"], lambda k: k % f["a"] == 0 or k % f["b"] == 0),
    "dice_sum": lambda f: chance_of_rolls(f["sides"], lambda a, b: a + b == f["s"]) == f["answer"],
    "urn_exact": lambda f: (
        f["answer"]
        == Rational(
            sum(1 for c in itertools.combinations(range(f["n"]), f["k"]) if sum(i < f["bad"] for i in c) == f["j"]),
            f["all"],
        )
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
    "dice_difference": lambda f: chance_of_rolls(f["sides"], lambda a, b: abs(a - b) == f["g"]) == f["answer"],
    "arrange_word": lambda f: anagrams(f["word"]) == f["answer"],
    "arrange_places": lambda f: sum(1 for _ in itertools.permutations(range(f["n"]), f["k"])) == f["answer"],
    "arrange_together": lambda f: (
        # The two take any two places; the others fill the rest.
        sum((abs(i - j) == 1) != bool(f["#apart"]) for i, j in itertools.permutations(range(f["n"]), 2))
        * math.factorial(f["n"] - 2)
        == f["answer"]
    ),
    "arrange_circle": lambda f: (
        # Someone sits anywhere; whoever follows clockwise is told one after the other.
        math.prod(len(set(range(f["n"])) - set(range(seat))) for seat in range(1, f["n"])) == f["answer"]
    ),
    "choose_committee": lambda f: (
        sum(
            sum(i < f["m"] for i in team) == f["a"]
            for team in itertools.combinations(range(f["m"] + f["n"]), f["a"] + f["b"])
        )
        == f["answer"]
    ),
    "choose_handshakes": lambda f: sum(1 for _ in itertools.combinations(range(f["answer"]), 2)) == f["pairs"],
    "stars_bars": lambda f: shares(f["n"], f["k"], f["#least"]) == f["answer"],
    "share_different": lambda f: (
        sum(stirling(f["n"], j) * math.perm(f["k"], j) for j in range(1, f["k"] + 1)) == f["answer"]
    ),
    "binomial_sum": lambda f: sum(sympy.Poly(read(f["inner"]) ** f["n"], x).all_coeffs()) == f["answer"],
    "binomial_constant": lambda f: (
        sympy.Poly(sympy.expand(read(f["inner"]) * x) ** f["n"], x).coeff_monomial(x ** f["n"]) == f["answer"]
    ),
    "inclusion_only": lambda f: brute_count(f["n"], lambda k: k % f["a"] == 0 and k % f["b"] > 0) == f["answer"],
    "inclusion_three": lambda f: brute_count(f["n"], lambda k: k % f["a"] and k % f["b"] and k % f["c"]) == f["answer"],
    "pigeonhole": lambda f: (
        # Spread as evenly as possible, the fullest class first reaches k with the answer.
        next(m for m in range(1, 999) if max(len(range(c, m, f["boxes"])) for c in range(f["boxes"])) >= f["k"])
        == f["answer"]
    ),
    "pigeonhole_kind": lambda f: (
        next(m for m in range(1, 99) if (["other"] * f["others"] + ["wanted"] * f["a"])[:m].count("wanted") >= f["k"])
        == f["answer"]
    ),
    "dice_least": lambda f: (
        Rational(sum(0 in rolls for rolls in itertools.product(range(f["sides"]), repeat=f["n"])), f["sides"] ** f["n"])
        == f["answer"]
    ),
    "urn_same": lambda f: (
        Rational(
            sum((i < f["a"]) == (j < f["a"]) for i, j in itertools.permutations(range(f["n"]), 2)),
            f["n"] * (f["n"] - 1),
        )
        == f["answer"]
    ),
    "bernoulli_exact": lambda f: (
        sum(
            math.prod(f["p"] if hit else 1 - f["p"] for hit in run)
            for run in itertools.product((0, 1), repeat=f["n"])
            if sum(run) == f["k"]
        )
        == f["answer"]
    ),
    "bayes_test": lambda f: (
        f["answer"] / (1 - f["answer"]) == Rational(f["prior"], 100 - f["prior"]) * Rational(f["hit"], f["false"])
    ),
    "bayes_factories": lambda f: (
        f["answer"] / (1 - f["answer"]) == Rational(f["a"], 100 - f["a"]) * Rational(f["p"], f["q"])
    ),
    "expected_game": lambda f: (
        Rational(sum(f["win"] * (face < f["k"]) - f["stake"] for face in range(f["sides"])), f["sides"]) == f["answer"]
    ),
    "expected_draws": lambda f: (
        sum(
            j * Rational(math.comb(f["a"], j) * math.comb(f["b"], f["k"] - j), math.comb(f["n"], f["k"]))
            for j in range(f["k"] + 1)
        )
        == f["answer"]
    ),
    "expected_until": lambda f: sympy.summation((1 - f["p"]) ** x, (x, 0, sympy.oo)) == f["answer"],
}
