"""Number theory: divisors, residues, Diophantine equations, digits."""

from __future__ import annotations

from math import gcd, lcm, prod

from sympy import divisor_count, divisor_sigma, factorint, mod_inverse, totient

from curate.models.procedural.grammar import Draw, Facts, Form, forms
from curate.models.procedural.maths.common import poly, rows

_PRIMES = (2, 3, 5, 7, 11, 13)


def factored(n: int) -> str:
    """Return the prime factorisation as LaTeX."""
    return r" \cdot ".join(f"{p}^{{{e}}}" if e > 1 else f"{p}" for p, e in factorint(n).items())


def gcd_euclid(d: Draw) -> Facts:
    """The greatest common divisor by Euclid's algorithm."""
    g, (u, v) = d.num(4, 45), d.some(range(5, 40), 2)
    a, b = max(u, v) * g, min(u, v) * g
    lines, x, y = [], a, b
    while y:
        lines.append(f"{x} &= {x // y} \\cdot {y} + {x % y}")
        x, y = y, x % y
    return {"a": a, "b": b, "rows": rows(lines), "answer": gcd(a, b), "wrong": lcm(a, b), "m": lcm(a, b), "_ab": (a, b)}


def lcm_cycles(d: Draw) -> Facts:
    """The least common multiple of two or three periods."""
    g = d.num(2, 6)
    a, b, c = (
        g * k for k in d.pick([(2, 3, 5), (3, 4, 2), (4, 5, 6), (2, 5, 7), (3, 5, 4), (4, 7, 2), (6, 4, 9), (8, 6, 3)])
    )
    return {
        "a": a, "b": b, "c": c, "fa": factored(a), "fb": factored(b), "fc": factored(c), "f": factored(lcm(a, b, c)),
        "answer": lcm(a, b, c), "wrong": a * b * c,
    }  # fmt: skip


def gcd_from_lcm(d: Draw) -> Facts:
    """One number from the other, their gcd and lcm."""
    g, (u, v) = d.num(3, 24), d.pick([(2, 3), (3, 4), (4, 5), (5, 7), (3, 8), (5, 9), (7, 8), (4, 9), (5, 6), (7, 10)])
    a, b = d.pick([(g * u, g * v), (g * v, g * u)])
    return {"a": a, "g": g, "l": g * u * v, "gl": g * g * u * v, "answer": b}


def _product(d: Draw, size: int, top: int) -> dict[int, int]:
    return dict(zip(sorted(d.some(_PRIMES[:5], size)), (d.num(1, top) for _ in range(size)), strict=True))


def divisors_number(d: Draw) -> Facts:
    """How many divisors a number has."""
    f = _product(d, 3, 4)
    n = prod(p**e for p, e in f.items())
    while n > 200000:
        f[max(f)] = 1
        f[sorted(f)[1]] = 2
        n = prod(p**e for p, e in f.items())
        if n > 200000:
            f[min(f)] = 1
            n = prod(p**e for p, e in f.items())
            break
    count = int(divisor_count(n))
    return {"n": n, "f": factored(n), "e": r" \cdot ".join(f"({e} + 1)" for e in f.values()), "answer": count,
            "wrong": prod(f.values())}  # fmt: skip


def divisors_sum(d: Draw) -> Facts:
    """The sum of the divisors of a number."""
    f = _product(d, 2, 3)
    n = prod(p**e for p, e in f.items())
    parts = [" + ".join(str(p**k) for k in range(e + 1)) for p, e in f.items()]
    sums = [sum(p**k for k in range(e + 1)) for p, e in f.items()]
    return {
        "n": n, "f": factored(n), "parts": "".join(f"({t})" for t in parts), "sums": r" \cdot ".join(map(str, sums)),
        "answer": int(divisor_sigma(n)), "wrong": int(divisor_sigma(n)) - n,
    }  # fmt: skip


def divisors_odd(d: Draw) -> Facts:
    """How many divisors are even, or are multiples of a prime."""
    f = _product(d, 3, 3)
    p = d.pick(sorted(f))
    n = prod(q**e for q, e in f.items())
    rest = n // p
    return {"n": n, "f": factored(n), "p": p, "rest": rest, "fr": factored(rest) if rest > 1 else "1",
            "answer": int(divisor_count(rest)), "wrong": int(divisor_count(n))}  # fmt: skip


def euler_totient(d: Draw) -> Facts:
    """How many residues are coprime to n."""
    n = prod(p**e for p, e in _product(d, 2, 2).items()) * d.pick([1, 1, 2])
    primes = sorted(factorint(n))
    return {"n": n, "f": factored(n), "steps": "".join(f"\\left(1 - \\frac{{1}}{{{p}}}\\right)" for p in primes),
            "answer": int(totient(n)), "primes": ", ".join(map(str, primes)), "wrong": n - 1}  # fmt: skip


def power_residue(d: Draw) -> Facts:
    """The remainder of a high power."""
    m, a, e = d.pick([7, 9, 11, 13, 17, 19, 15, 16]), d.num(2, 12), d.num(20, 400)
    while gcd(a, m) > 1 or a % m == 1:
        a += 1
    powers, x = [], 1
    while True:
        x = x * a % m
        powers.append(x)
        if x == 1:
            break
    k = len(powers)
    steps = [f"{a}^{{{i}}} \\equiv {v}" for i, v in enumerate(powers, 1)]
    # Of a long period the first ones, the one that is the answer, and the last.
    shown = [i for i in range(1, k + 1) if k <= 8 or i <= 4 or i in (e % k, k)]
    chain = ", ".join(r"\dots, " * (i - 1 not in (0, *shown)) + steps[i - 1] for i in shown)
    return {
        "a": a, "m": m, "e": e, "chain": chain, "k": k, "q": e // k, "r": e % k, "answer": pow(a, e, m), "top": m - 1,
    }  # fmt: skip


def last_digits(d: Draw) -> Facts:
    """The last digit of a power."""
    a, e = 10 * d.num(1, 40) + d.pick([2, 3, 7, 8]), d.num(30, 999)
    u = a % 10
    cycle = [pow(u, k, 10) for k in range(1, 5)]
    return {
        "a": a, "e": e, "u": u, "cycle": ", ".join(map(str, cycle)), "q": e // 4, "r": e % 4,
        "answer": pow(a, e, 10), "place": e % 4 or 4,
    }  # fmt: skip


def weekday(d: Draw) -> Facts:
    """A residue of a sum of months or days: where a cycle stands after many steps."""
    n, start, steps = d.pick([7, 12, 24, 5, 8, 9, 11]), d.num(1, 4), d.num(100, 5000)
    total = start + steps
    return {"n": n, "start": start, "steps": steps, "sum": total, "q": total // n, "answer": total % n, "top": n - 1}


def congruence_linear(d: Draw) -> Facts:
    """A linear congruence with one solution."""
    m = d.pick([11, 13, 17, 19, 23, 25, 29, 31, 37])
    a, x = d.num(3, m - 2), d.num(2, m - 1)
    while gcd(a, m) > 1:
        a -= 1
    inverse = int(mod_inverse(a, m))
    return {
        "a": a, "m": m, "b": a * x % m, "inv": inverse, "ai": a * inverse, "bi": a * x % m * inverse, "answer": x,
        "top": m - 1,
    }  # fmt: skip


def remainder_theorem(d: Draw) -> Facts:
    """The Chinese remainder theorem for two moduli."""
    m, n = d.pick([(5, 7), (7, 9), (8, 11), (9, 13), (7, 12), (11, 13), (5, 12), (8, 15), (10, 13), (9, 11), (7, 16)])
    x = d.num(n + 1, m * n - 1)
    r, s = x % m, x % n
    tries = [s + n * k for k in range(m)][: (x - s) // n + 1]
    shown = tries if len(tries) <= 6 else [*tries[:3], r"\dots", tries[-1]]
    return {"m": m, "n": n, "r": r, "s": s, "mn": m * n, "list": ", ".join(map(str, shown)), "answer": x,
            "bound": (m * n // 10 + 1) * 10 if (m * n // 10 + 1) * 10 < m * n + x else m * n}  # fmt: skip


def modular_inverse(d: Draw) -> Facts:
    """The inverse of a residue by the extended algorithm."""
    m, a = d.pick([17, 19, 23, 26, 29, 31, 35, 37, 41, 43, 47, 53]), d.num(3, 15)
    while gcd(a, m) > 1:
        a += 1
    v = int(mod_inverse(a, m))
    return {"a": a, "m": m, "answer": v, "av": a * v, "k": (a * v - 1) // m, "top": m - 1}


def diophantine_count(d: Draw) -> Facts:
    """How many ways to pay a sum with two denominations."""
    a, b = d.pick([(3, 5), (4, 7), (5, 7), (5, 8), (3, 7), (4, 9), (6, 7), (5, 9), (7, 9), (3, 8), (7, 11), (5, 12)])
    n = d.num(6, 16) * a + d.num(4, 12) * b
    found = [(x, (n - a * x) // b) for x in range(n // a + 1) if (n - a * x) % b == 0]
    return {"a": a, "b": b, "n": n, "pairs": ", ".join(map(str, found)), "x0": found[0][0], "answer": len(found)}


def diophantine_least(d: Draw) -> Facts:
    """The solution with the least positive x."""
    a, b = d.pick([(7, 5), (11, 7), (9, 13), (8, 13), (12, 17), (15, 11), (13, 10), (9, 16), (14, 9), (17, 6)])
    x, y = d.num(1, b - 1), d.num(2, 9)
    n = a * x + b * y
    return {"a": a, "b": b, "n": n, "x": x, "y": y, "am": a % b, "nm": n % b, "ax": a * x, "answer": f"({x}, {y})"}


def coin_frobenius(d: Draw) -> Facts:
    """The largest sum that two coprime denominations cannot pay."""
    a, b = d.pick([(a, b) for a in range(3, 12) for b in range(a + 1, 17) if gcd(a, b) == 1])
    n = a * b - a - b
    reach = ", ".join(f"{n + k}" for k in range(1, a + 1))
    return {"a": a, "b": b, "ab": a * b, "answer": n, "run": reach, "wrong": a * b}


def base_to_ten(d: Draw) -> Facts:
    """A numeral in another base, read in base ten."""
    base = d.pick([2, 3, 5, 6, 7, 8, 9])
    digits = [d.num(1, base - 1), *(d.num(0, base - 1) for _ in range({2: 6, 3: 4}.get(base, 3)))]
    value = sum(c * base**i for i, c in enumerate(reversed(digits)))
    terms = " + ".join(f"{c} \\cdot {base}^{{{len(digits) - 1 - i}}}" for i, c in enumerate(digits))
    return {"base": base, "word": "".join(map(str, digits)), "terms": terms, "answer": value}


def base_from_ten(d: Draw) -> Facts:
    """A number written in another base."""
    base, n = d.pick([2, 3, 4, 5, 6, 7, 8, 9]), d.num(60, 1500)
    lines, digits, x = [], "", n
    while x:
        lines.append(f"{x} &= {x // base} \\cdot {base} + {x % base}")
        digits = str(x % base) + digits
        x //= base
    return {"base": base, "n": n, "rows": rows(lines), "answer": digits}


def base_unknown(d: Draw) -> Facts:
    """The base in which a numeral has a given value."""
    base = d.pick([5, 6, 7, 8, 9, 11, 12, 13, 14])
    a, b, c = d.num(1, 4), d.num(0, 4), d.num(1, 4)
    value = a * base * base + b * base + c
    return {
        "word": f"{a}{b}{c}", "value": value,
        "eq": f"{'' if a == 1 else a}b^2" + (f" + {'' if b == 1 else b}b" if b else "") + f" + {c} = {value}",
        "answer": base, "most": max(a, b, c), "lower": base - 1, "low": a * (base - 1) ** 2 + b * (base - 1) + c,
    }  # fmt: skip


def digit_swap(d: Draw) -> Facts:
    """A two-digit number from its digit sum and the effect of swapping."""
    t, u = d.num(1, 8), d.num(1, 9)
    while t >= u:
        t, u = d.num(1, 8), d.num(1, 9)
    return {
        "sum": t + u, "diff": 9 * (u - t), "gap": u - t, "t": t, "u": u, "answer": 10 * t + u, "swapped": 10 * u + t,
    }  # fmt: skip


def digit_multiple(d: Draw) -> Facts:
    """A two-digit number that is a multiple of its digit sum."""
    t, u = divmod(d.pick([18, 27, 45, 54, 72, 81, 12, 24, 36, 48, 21, 42, 63, 84]), 10)
    k = (10 * t + u) // (t + u)
    g = gcd(10 - k, k - 1)
    left, right = poly((10 - k) // g, 0, var="t"), poly((k - 1) // g, 0, var="u")
    return {
        "k": k, "gap": abs(t - u), "t": t, "u": u, "left": poly(10 - k, 0, var="t"), "right": poly(k - 1, 0, var="u"),
        "answer": 10 * t + u, "#big": int(t > u), "#big/n": 2, "ratio": f"{left} = {right}",
        "#same": int(g == 1), "#same/n": 2,
    }  # fmt: skip


def digit_missing(d: Draw) -> Facts:
    """The digit that makes a number divisible by nine."""
    digits = [d.num(1, 9) for _ in range(d.num(4, 7))]
    while sum(digits) % 9 == 0:
        digits[0] = d.num(1, 9)
    place, x = d.num(1, len(digits) - 1), -sum(digits) % 9
    word = "".join(map(str, digits[:place])) + r"\square " + "".join(map(str, digits[place:]))
    return {"word": word, "sum": sum(digits), "next": sum(digits) + x, "answer": x, "_digits": digits}


def lcm_remainder(d: Draw) -> Facts:
    """The second smallest number that leaves one remainder on three divisions."""
    a, b, c = d.pick(
        [(6, 8, 9), (4, 5, 6), (8, 10, 12), (6, 10, 15), (5, 8, 12), (7, 8, 14), (9, 12, 15), (10, 12, 16)]
    )
    r = d.num(1, min(a, b, c) - 1)
    a, b, c = d.some([a, b, c], 3)
    m = lcm(a, b, c)
    return {"a": a, "b": b, "c": c, "r": r, "f": factored(m), "lcm": m, "answer": m + r, "wrong": a * b * c + r}


def lcm_count(d: Draw) -> Facts:
    """How often three periods end together in a time."""
    a, b, c = d.pick([(4, 6, 10), (6, 8, 12), (5, 6, 9), (8, 12, 15), (6, 9, 10), (4, 7, 8), (10, 12, 15), (3, 8, 10)])
    m = lcm(a, b, c)
    span = m * d.num(3, 12) + d.num(1, m - 1)
    a, b, c = d.some([a, b, c], 3)
    return {"a": a, "b": b, "c": c, "f": factored(m), "lcm": m, "span": span, "rest": span % m, "answer": span // m}


def coprime_sum(d: Draw) -> Facts:
    """The sum of the numbers up to n that are coprime to n."""
    n = d.pick([k for k in range(12, 211) if len(factorint(k)) > 1])
    count = int(totient(n))
    return {"n": n, "f": factored(n), "count": count, "pairs": count // 2, "answer": n * count // 2,
            "wrong": n * (n + 1) // 2}  # fmt: skip


KINDS: dict[str, tuple[Form, ...]] = forms(
    gcd=(gcd_euclid, gcd_from_lcm),
    lcm=(lcm_cycles, lcm_remainder, lcm_count),
    divisors=(divisors_number, divisors_sum, divisors_odd),
    totient=(euler_totient, coprime_sum),
    power_mod=(power_residue, last_digits, weekday),
    congruence=(congruence_linear, remainder_theorem, modular_inverse),
    diophantine=(diophantine_count, diophantine_least, coin_frobenius),
    number_base=(base_to_ten, base_from_ten, base_unknown),
    digits=(digit_swap, digit_multiple, digit_missing),
)
