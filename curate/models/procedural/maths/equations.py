"""Algebra, first part: linear and quadratic equations, inequalities."""

from __future__ import annotations

from math import gcd, isqrt

from sympy import Rational, divisors

from curate.models.procedural.grammar import Draw, Facts, Form, forms
from curate.models.procedural.maths.common import paren, plus, poly, signed


def linear_solve(d: Draw) -> Facts:
    """Brackets on the left, the unknown on both sides."""
    x, a, b = d.nonzero(-9, 12), d.num(2, 9), d.nonzero(-9, 9)
    c = d.pick([k for k in range(-6, 10) if k not in (a, 0)])
    e = a * (x + b) - c * x
    left, right = f"{a}({poly(1, b)})", poly(c, e)
    return {"left": left, "right": right, "opened": poly(a, a * b), "kx": poly(a - c, 0), "m": e - a * b, "answer": x,
            "wrong": Rational(e - b, a - c), "lhs": a * (x + b), "_e": (a, b, c, e)}  # fmt: skip


def linear_fraction(d: Draw) -> Facts:
    """A sum of two fractions of the unknown."""
    a, b = d.pick([(2, 3), (3, 4), (2, 5), (3, 5), (4, 6), (4, 5), (2, 7), (3, 7), (6, 8), (5, 6)])
    lcm = a * b if (a, b) not in ((4, 6), (6, 8)) else {4: 12, 6: 24}[a]
    x = lcm * d.num(2, 9)
    total = x // a + x // b
    return {"a": a, "b": b, "lcm": lcm, "total": total, "u": lcm // a, "w": lcm // b, "s": lcm // a + lcm // b,
            "right": lcm * total, "answer": x}  # fmt: skip


def linear_number(d: Draw) -> Facts:
    """A riddle about one number."""
    a, c = d.some(range(2, 10), 2)
    a, c = max(a, c), min(a, c)
    x, b = d.num(4, 30), d.num(3, 40)
    return {"a": a, "b": b, "c": c, "e": a * x + b - c * x, "kx": poly(a - c, 0), "right": (a - c) * x, "answer": x}


def linear_ages(d: Draw) -> Facts:
    """Ages now and later: k times as old, then m times."""
    k, m = d.pick([(5, 3), (4, 2), (7, 4), (6, 3), (5, 2), (4, 3), (9, 3), (7, 3), (8, 2), (9, 5), (6, 4)])
    g = gcd(m - 1, k - m)
    # The older may be a parent: between 18 and 45 years lie between the two.
    t = d.pick([t for t in range(1, 16) if 18 <= (k - 1) * t * (m - 1) // g <= 45])
    b, n = t * (m - 1) // g, t * (k - m) // g
    return {
        "k": k, "m": m, "n": n, "answer": b, "old": k * b, "kmb": poly(k - m, 0, var="b"), "right": (m - 1) * n,
        "later": b + n, "mn": m * n, "later_old": k * b + n,
    }  # fmt: skip


def linear_parameter(d: Draw) -> Facts:
    """The coefficient that makes a given number a solution."""
    x, k, b = d.nonzero(-6, 8), d.nonzero(-7, 9), d.nonzero(-12, 12)
    c = d.pick([t for t in range(-5, 6) if t not in (0, k)])  # With c = k both sides would be the same line.
    right = k * x + b - c * x
    return {
        "x": x, "b": signed(b), "right": poly(c, right), "value": c * x + right, "px": paren(x),
        "rest": c * x + right - b, "answer": k, "_e": (x, b, c, right),
    }  # fmt: skip


def system_solve(d: Draw) -> Facts:
    """Two linear equations in x and y."""
    x, y = d.nonzero(-7, 9), d.nonzero(-7, 9)
    a, b, c, e = d.num(1, 7), d.nonzero(-7, 7), d.num(2, 8), d.nonzero(-7, 7)
    while a * e == b * c:
        e += 1
    e = e or -9
    p, q = a * x + b * y, c * x + e * y
    det = a * e - b * c
    return {
        "first": f"{poly(a, 0)} {plus(b, 'y')} = {p}", "second": f"{poly(c, 0)} {plus(e, 'y')} = {q}", "det": det,
        "pe": p * e - b * q, "e": e, "b": b, "x": x, "y": y, "answer": f"({x}, {y})", "sum": x + y,
        "check": f"{a}\\cdot {paren(x)} {signed(b)}\\cdot {paren(y)} = {p}", "_e": (a, b, p, c, e, q),
    }  # fmt: skip


def system_tickets(d: Draw) -> Facts:
    """Two prices and a total number."""
    dear, cheap = d.num(7, 18), d.num(2, 6)
    x, y = d.num(8, 90), d.num(8, 90)
    return {"dear": dear, "cheap": cheap, "n": x + y, "sum": dear * x + cheap * y, "all": cheap * (x + y),
            "more": (dear - cheap) * x, "gap": dear - cheap, "y": y, "answer": x}  # fmt: skip


def system_legs(d: Draw) -> Facts:
    """Heads and legs, or wheels."""
    x, y = d.num(6, 40), d.num(6, 40)
    return {"n": x + y, "legs": 4 * x + 2 * y, "base": 2 * (x + y), "extra": 2 * x, "y": y, "answer": x}


def system_prices(d: Draw) -> Facts:
    """Two purchases of the same two goods."""
    x, y = d.num(2, 15), d.num(2, 15)
    a, b, c, e = d.pick([(3, 2, 2, 5), (4, 3, 2, 5), (5, 2, 3, 4), (2, 7, 3, 4), (6, 5, 4, 3), (5, 3, 7, 2)])
    p, q = a * x + b * y, c * x + e * y
    return {
        "a": a, "b": b, "c": c, "e": e, "p": p, "q": q, "det": a * e - b * c, "top": p * e - b * q, "pe": p * e,
        "bq": b * q, "ae": a * e, "bc": b * c, "y": y, "answer": x,
    }  # fmt: skip


def quadratic_roots(d: Draw) -> Facts:
    """A quadratic that factors over the integers."""
    r, s = sorted(d.some([k for k in range(-11, 13) if k], 2))
    a = d.pick([1, 1, 1, 2, 3])
    disc = (r + s) ** 2 - 4 * r * s
    return {
        "eq": f"{poly(a, -a * (r + s), a * r * s)} = 0", "monic": f"{poly(1, -r - s, r * s)} = 0", "p": r + s,
        "q": r * s, "f": f"(x {signed(-r)})(x {signed(-s)}) = 0", "r": r, "answer": s, "disc": disc, "wrong": -r,
    }  # fmt: skip


def quadratic_area(d: Draw) -> Facts:
    """A rectangle from its area and the difference of its sides."""
    w, gap = d.num(5, 30), d.num(2, 14)
    return {"gap": gap, "area": w * (w + gap), "length": w + gap, "answer": w, "disc": gap * gap + 4 * w * (w + gap),
            "root": 2 * w + gap, "perimeter": 2 * (2 * w + gap)}  # fmt: skip


def quadratic_consecutive(d: Draw) -> Facts:
    """Consecutive numbers from their product."""
    step, n = d.pick([1, 2]), d.num(6, 40)
    product = n * (n + step)
    return {
        "step": step, "product": product, "disc": step * step + 4 * product,
        "root": isqrt(step * step + 4 * product), "next": n + step, "answer": n,
        "eq": f"{poly(1, step, 0, var='n')} = {product}", "neg": -n - step, "#two": step - 1, "#two/n": 2,
        "zero": f"{poly(1, step, -product, var='n')} = 0",
    }  # fmt: skip


def quadratic_parameter(d: Draw) -> Facts:
    """The positive coefficient that gives a double root."""
    a, root = d.pick([1, 1, 4, 9]), d.num(2, 12)
    half = isqrt(a) * root
    return {"lead": poly(a, 0, 0), "c": root * root, "fourac": 4 * a * root * root, "answer": 2 * half, "a": a,
            "at": Rational(root, isqrt(a))}  # fmt: skip


def vieta_squares(d: Draw) -> Facts:
    """The sum of squares of two roots, without the roots."""
    p, q = d.nonzero(-9, 11), d.nonzero(-12, 6)
    q = -q if p * p == 4 * q else q  # Two different roots.
    return {"eq": f"{poly(1, -p, q)} = 0", "p": p, "q": q, "pp": paren(p), "qq": paren(q), "answer": p * p - 2 * q,
            "wrong": p * p}  # fmt: skip


def vieta_reciprocals(d: Draw) -> Facts:
    """The sum of the reciprocals of two roots."""
    a, p, q = d.num(1, 5), d.nonzero(-9, 9), d.nonzero(-9, 9)
    q = -q if p * p == 4 * a * q else q  # Two different roots.
    return {"eq": f"{poly(a, p, q)} = 0", "sum": Rational(-p, a), "product": Rational(q, a), "answer": Rational(-p, q)}


def vieta_shifted(d: Draw) -> Facts:
    """The product of both roots moved by a number."""
    p, q, k = d.nonzero(-9, 9), d.nonzero(-15, 9), d.num(1, 4)
    q = -q if p * p <= 4 * q else q  # Real roots, as they are moved on the number line.
    return {
        "eq": f"{poly(1, -p, q)} = 0", "p": p, "q": q, "k": k, "kp": k * p, "kk": k * k, "answer": q + k * p + k * k,
        "middle": signed(k * p),
    }  # fmt: skip


def inequality_linear(d: Draw) -> Facts:
    """A linear inequality, as an interval."""
    a, c = d.some([k for k in range(-6, 8) if k], 2)
    x, b = d.num(-8, 10), d.nonzero(-15, 15)
    e = a * x + b - c * x
    up = a > c
    return {"left": poly(a, b), "right": poly(c, e), "k": a - c, "kx": poly(a - c, 0), "m": e - b, "x": x,
            "#one": int(a - c == 1), "#one/n": 2,
            "answer": rf"(-\infty, {x})" if up else rf"({x}, \infty)", "sign": r"\lt" if up else r"\gt",
            "#turn": int(not up), "#turn/n": 2, "_e": (a, b, c, e)}  # fmt: skip


def inequality_quadratic(d: Draw) -> Facts:
    """The number of integers between two roots."""
    r = d.num(-12, 6)
    s = r + d.num(3, 15)
    return {
        "left": poly(1, -r - s, r * s), "r": r, "s": s,
        "f": "".join(f"({poly(1, -t)})" if t else "x" for t in sorted((r, s), key=bool)), "answer": s - r + 1,
        "wrong": s - r,
    }  # fmt: skip


def inequality_budget(d: Draw) -> Facts:
    """The largest number of things a sum can pay for."""
    price, fixed, n = d.num(6, 40), d.num(15, 120), d.num(5, 30)
    budget = fixed + price * n + d.num(1, price - 1)
    return {"price": price, "fixed": fixed, "budget": budget, "left": budget - fixed, "answer": n,
            "quotient": Rational(budget - fixed, price), "next": n + 1, "over": fixed + price * (n + 1)}  # fmt: skip


def absolute_equation(d: Draw) -> Facts:
    """|ax + b| = c, the sum of its solutions."""
    a, b, c = d.num(2, 6), d.nonzero(-12, 12), d.num(3, 20)
    one, two = Rational(c - b, a), Rational(-c - b, a)
    return {"inner": poly(a, b), "c": c, "one": one, "two": two, "answer": one + two, "wrong": one,
            "sum": f"{paren(one)} + {paren(two)}"}  # fmt: skip


def absolute_count(d: Draw) -> Facts:
    """The integers within a distance."""
    m, r = d.nonzero(-15, 25), d.num(3, 14)
    return {"inner": poly(1, -m), "m": m, "r": r, "low": m - r, "high": m + r, "answer": 2 * r + 1, "wrong": 2 * r}


def factor_pairs(d: Draw) -> Facts:
    """The number of positive integer solutions of xy = n, or of (x - a)(y - b) = n."""
    n = d.pick(
        [12, 18, 20, 24, 28, 30, 36, 40, 42, 45, 48, 50, 54, 60, 64, 66, 70, 72, 75, 80, 84, 90, 96, 98, 100, 120]
    )
    a, b = d.num(1, 5), d.num(1, 5)
    n = next(k for k in range(n, 2000) if k >= a * b)
    found = len(divisors(n))
    return {
        "a": a, "b": b, "n": n, "right": n - a * b, "eq": f"xy {plus(-b, 'x')} {plus(-a, 'y')} = {n - a * b}",
        "count": found, "answer": found, "list": ", ".join(map(str, divisors(n))),
    }  # fmt: skip


def factor_squares(d: Draw) -> Facts:
    """The positive pairs whose squares differ by a given number."""
    # Odd, or a multiple of four, and no square: each pair of factors of one parity gives a solution.
    n = d.pick([k for k in range(15, 241) if k % 4 != 2 and isqrt(k) ** 2 != k and len(divisors(k)) > 5])
    pairs = [(u, n // u) for u in divisors(n) if u * u < n and (u + n // u) % 2 == 0]
    return {
        "n": n, "pairs": ", ".join(f"{u} \\cdot {v}" for u, v in pairs),
        "found": ", ".join(f"({(u + v) // 2}, {(v - u) // 2})" for u, v in pairs), "#odd": n % 2, "#odd/n": 2,
        "answer": len(pairs), "wrong": len(divisors(n)) // 2 if n % 2 == 0 else 2 * len(pairs),
    }  # fmt: skip


KINDS: dict[str, tuple[Form, ...]] = forms(
    linear_equation=(linear_solve, linear_number, linear_ages, linear_fraction, linear_parameter),
    linear_system=(system_solve, system_tickets, system_prices, system_legs),
    quadratic_equation=(quadratic_roots, quadratic_area, quadratic_consecutive, quadratic_parameter),
    vieta=(vieta_squares, vieta_reciprocals, vieta_shifted),
    inequality=(inequality_linear, inequality_quadratic, inequality_budget),
    absolute_value=(absolute_equation, absolute_count),
    factoring_trick=(factor_pairs, factor_squares),
)
