"""Number theory: by trying every number."""

import math
import re

import sympy

from answer_checks.reading import numbers


def brute_count(n, test):
    """Return for how many of 1, ..., n a test holds."""
    return sum(1 for k in range(1, n + 1) if test(k))


def walk(n, start, steps):
    """Return where a token on a ring of n fields stands after some steps."""
    for _ in range(steps):
        start = start + 1 if start + 1 < n else 0
    return start


CHECKS = {
    "gcd_euclid": lambda f: f["answer"] == sympy.gcd(f["a"], f["b"]),
    "lcm_cycles": lambda f: f["answer"] == sympy.ilcm(f["a"], f["b"], f["c"]),
    "divisors_number": lambda f: f["answer"] == len(sympy.divisors(f["n"])),
    "divisors_odd": lambda f: f["answer"] == sum(1 for k in sympy.divisors(f["n"]) if k % f["p"] == 0),
    "euler_totient": lambda f: f["answer"] == brute_count(f["n"], lambda k: math.gcd(k, f["n"]) == 1),
    "last_digits": lambda f: f["answer"] == f["a"] ** f["e"] % 10,
    "power_residue": lambda f: f["answer"] == f["a"] ** f["e"] % f["m"],
    "diophantine_count": lambda f: (
        f["answer"] == sum(1 for k in range(f["n"] + 1) if f["n"] >= f["a"] * k and (f["n"] - f["a"] * k) % f["b"] == 0)
    ),
    "base_to_ten": lambda f: int(f["word"], f["base"]) == f["answer"],
    "base_from_ten": lambda f: int(f["answer"], f["base"]) == f["n"],
    "digit_multiple": lambda f: (
        [n for n in range(10, 100) if n == f["k"] * (n // 10 + n % 10) and abs(n // 10 - n % 10) == f["gap"]]
        == [f["answer"]]
    ),
    "digit_missing": lambda f: (
        [k for k in range(10) if int(re.sub(r"\\square ", str(k), f["word"])) % 9 == 0] == [f["answer"]]
    ),
    "gcd_from_lcm": lambda f: (
        [n for n in range(1, f["l"] + 1) if math.gcd(n, f["a"]) == f["g"] and math.lcm(n, f["a"]) == f["l"]]
        == [f["answer"]]
    ),
    "lcm_remainder": lambda f: (
        next(n for n in range(f["r"] + 1, 10**4) if all(n % m == f["r"] for m in (f["a"], f["b"], f["c"])))
        == f["answer"]
    ),
    "lcm_count": lambda f: brute_count(f["span"], lambda n: n % f["a"] == n % f["b"] == n % f["c"] == 0) == f["answer"],
    "coprime_sum": lambda f: sum(n for n in range(1, f["n"] + 1) if math.gcd(n, f["n"]) == 1) == f["answer"],
    "divisors_sum": lambda f: sum(sympy.divisors(f["n"])) == f["answer"],
    "weekday": lambda f: walk(f["n"], f["start"], f["steps"]) == f["answer"],
    "congruence_linear": lambda f: [n for n in range(f["m"]) if (f["a"] * n - f["b"]) % f["m"] == 0] == [f["answer"]],
    "remainder_theorem": lambda f: (
        [n for n in range(f["mn"]) if n % f["m"] == f["r"] and n % f["n"] == f["s"]] == [f["answer"]]
        and f["answer"] > f["n"]
    ),
    "modular_inverse": lambda f: [n for n in range(1, f["m"]) if f["a"] * n % f["m"] == 1] == [f["answer"]],
    "diophantine_least": lambda f: (
        (least := next(n for n in range(1, 99) if (f["n"] - f["a"] * n) % f["b"] == 0))
        and numbers(f["answer"]) == [least, (f["n"] - f["a"] * least) // f["b"]]
        and min(numbers(f["answer"])) > 0
    ),
    "coin_frobenius": lambda f: (
        max(set(range(f["ab"])) - {f["a"] * i + f["b"] * j for i in range(f["b"]) for j in range(f["a"])})
        == f["answer"]
    ),
    "base_unknown": lambda f: [b for b in range(f["most"] + 1, 37) if int(f["word"], b) == f["value"]] == [f["answer"]],
    "digit_swap": lambda f: (
        [n for n in range(10, 100) if n // 10 + n % 10 == f["sum"] and 10 * (n % 10) + n // 10 - n == f["diff"]]
        == [f["answer"]]
    ),
}
