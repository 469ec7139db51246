"""Algebra, second part: polynomials, powers, logarithms, radicals and functions."""

from __future__ import annotations

from sympy import Rational, factorint, sqrt

from curate.models.procedural.grammar import Draw, Facts, Form, forms, tex
from curate.models.procedural.maths.common import paren, poly, rows, signed


def remainder_value(d: Draw) -> Facts:
    """The remainder of a division by x - a."""
    a, cs = d.nonzero(-3, 4), [d.nonzero(-4, 5), d.num(-6, 6), d.nonzero(-9, 9), d.num(-12, 12)]
    value, steps = cs[0], [tex(cs[0])]
    for c in cs[1:]:
        steps.append(f"{tex(value)} \\cdot {paren(a)} {signed(c)} = {value * a + c}")
        value = value * a + c
    other = sum(c * (-a) ** (3 - i) for i, c in enumerate(cs))
    return {"p": poly(*cs), "a": a, "by": poly(1, -a), "steps": r",\quad ".join(steps), "answer": value, "wrong": other}


def remainder_parameter(d: Draw) -> Facts:
    """The coefficient that makes a polynomial divisible by x - a."""
    a, k, c = d.nonzero(-4, 4), d.nonzero(-9, 9), d.nonzero(-5, 6)
    e = -(a**3 + c * a**2 + k * a)
    return {"head": f"{poly(1, c, 0, 0)} + kx{' ' + signed(e) if e else ''}", "a": a, "by": poly(1, -a), "pa": paren(a),
            "known": a**3 + c * a * a + e, "answer": k}  # fmt: skip


def remainder_linear(d: Draw) -> Facts:
    """The remainder of a division by a product, from two values."""
    a, b = d.some([-3, -2, -1, 1, 2, 3, 4, 5], 2)
    m, n = d.nonzero(-5, 7), d.num(-9, 9)
    return {"a": a, "b": b, "pa": m * a + n, "pb": m * b + n, "by": f"({poly(1, -a)})({poly(1, -b)})", "m": m, "n": n,
            "up": m * (a - b), "run": a - b, "minus_ma": signed(-m * a),
            "bya": poly(1, -a), "byb": poly(1, -b), "answer": poly(m, n)}  # fmt: skip


def expand_coefficient(d: Draw) -> Facts:
    """One coefficient of a product of two polynomials."""
    f, g = [d.nonzero(-5, 6) for _ in range(3)], [d.nonzero(-5, 6) for _ in range(3)]
    k = d.num(1, 3)
    pairs = [(i, k - i) for i in range(3) if 0 <= k - i < 3]
    parts = [f[2 - i] * g[2 - j] for i, j in pairs]
    terms = " + ".join(f"{paren(f[2 - i])} \\cdot {paren(g[2 - j])}" for i, j in pairs)
    return {
        "f": poly(*f), "g": poly(*g), "xk": "x" if k == 1 else f"x^{k}", "k": k, "terms": terms,
        "answer": sum(parts),
    }  # fmt: skip


def factor_cubic(d: Draw) -> Facts:
    """A cubic with three integer roots, one of them told or found by trial."""
    a, b, c = d.some([k for k in range(-6, 8) if k], 3)
    cubic = (1, -(a + b + c), a * b + b * c + a * c, -a * b * c)
    return {"p": poly(*cubic), "a": a, "by": poly(1, -a), "rest": poly(1, -b - c, b * c), "low": min(a, b, c),
            "answer": a * a + b * b + c * c, "b": b, "c": c, "f": "".join(f"({poly(1, -r)})" for r in (a, b, c)),
            "squares": f"{paren(a)}^2 + {paren(b)}^2 + {paren(c)}^2"}  # fmt: skip


def power_same_base(d: Draw) -> Facts:
    """Two powers of one base in disguise."""
    p, (m, n) = d.pick([2, 3, 5]), d.pick([(1, 2), (2, 3), (3, 2), (1, 3), (2, 1), (3, 1)])
    a, c = d.num(2, 5), d.num(1, 4)
    b, e = d.nonzero(-6, 6), d.nonzero(-6, 6)
    if m * a == n * c:
        a += 1
    return {
        "l": p**m, "r": p**n, "p": p, "u": poly(a, b), "w": poly(c, e), "mu": poly(m * a, m * b),
        "nw": poly(n * c, n * e), "k": m * a - n * c, "rhs": n * e - m * b,
        "answer": Rational(n * e - m * b, m * a - n * c),
        "wrong": Rational(e - b, a - c) if a != c else Rational(b - e, 3),
    }  # fmt: skip


def power_substitution(d: Draw) -> Facts:
    """An exponential equation that is quadratic in a power."""
    p = d.pick([2, 3, 5])
    r, s = sorted(d.some(range({2: 6, 3: 4, 5: 3}[p]), 2))
    u, w = p**r, p**s
    return {
        "sq": p * p, "p": p, "b": u + w, "c": u * w, "u": u, "w": w, "r": r, "s": s, "answer": r + s, "wrong": u + w,
    }  # fmt: skip


def power_doubling(d: Draw) -> Facts:
    """Growth by doubling, the time wanted."""
    start, every, k = d.pick([3, 5, 7, 12, 15, 20, 25, 40, 60]) * 10, d.pick([3, 4, 6, 8, 12, 15, 20]), d.num(3, 8)
    return {"start": start, "every": every, "end": start * 2**k, "k": k, "factor": 2**k, "answer": every * k}


def power_half_life(d: Draw) -> Facts:
    """Decay by halves, what is left wanted."""
    half, k, left = d.pick([5, 6, 8, 12, 14, 28, 30]), d.num(2, 6), d.num(3, 25)
    return {"half": half, "time": half * k, "start": left * 2**k, "k": k, "factor": 2**k, "answer": left}


def logarithm_value(d: Draw) -> Facts:
    """A logarithm whose base and number are powers of one number."""
    p = d.pick([2, 2, 3, 5])
    m, n = d.some(range(2, 7 if p == 2 else 5), 2)
    if n % m == 0:
        n += 1
    return {"p": p, "m": m, "n": n, "base": p**m, "arg": p**n, "answer": Rational(n, m), "wrong": Rational(m, n)}


def logarithm_equation(d: Draw) -> Facts:
    """A sum of two logarithms of the unknown."""
    base, total = d.pick(
        [(2, 3), (2, 4), (2, 5), (3, 2), (3, 3), (6, 2), (10, 1), (10, 2), (12, 1), (15, 1), (6, 1), (2, 6)]
    )
    n = base**total
    small = d.pick([k for k in range(1, n) if n % k == 0 and k * k < n])
    large, x = n // small, small + d.num(-4, 6)
    p, q = small - x, large - x
    return {"base": base, "p": poly(1, p), "q": poly(1, q), "total": total, "n": n, "small": small, "large": large,
            "answer": x, "quad": f"{poly(1, p + q, p * q - n)} = 0", "bad": -p - q - x}  # fmt: skip


def logarithm_combine(d: Draw) -> Facts:
    """Two logarithms joined to one."""
    base, k = d.pick([(6, 2), (6, 3), (10, 2), (10, 3), (12, 2), (14, 2), (15, 2), (20, 2), (30, 2), (18, 2)])
    n = base**k
    # Neither logarithm alone is an integer.
    u = d.pick([t for t in range(2, n) if n % t == 0 and t * t < n and t < 60 and t != base])
    return {"base": base, "u": u, "w": n // u, "n": n, "answer": k, "k": k}


def radical_equation(d: Draw) -> Facts:
    """A square root that equals a linear term; one root of the squared equation is false."""
    x, t = d.num(2, 15), d.num(1, 8)
    b = x - t
    a = t * t - x
    if a == -b:  # Both sides would be the same expression under and outside the root.
        t, b, a = t + 1, b - 1, (t + 1) ** 2 - x
    # (x - b)^2 = x + a: the other root is 2b + 1 - x, where x - b is negative if t > 0.
    other = 2 * b + 1 - x
    return {"inner": poly(1, a), "right": poly(1, -b), "quad": f"{poly(1, -2 * b - 1, b * b - a)} = 0", "other": other,
            "answer": x, "wrong": x + other, "t": t, "neg": other - b, "squared": poly(1, -2 * b, b * b)}  # fmt: skip


def radical_simplify(d: Draw) -> Facts:
    """A sum of square roots of one surd."""
    r = d.pick([2, 3, 5, 6, 7, 10, 11])
    a, b, c = d.some(range(2, 9), 3)
    sign = d.pick([1, -1 if a + b != c else 1])
    return {
        "a": a * a * r, "b": b * b * r, "c": c * c * r, "r": r, "ka": a, "kb": b, "kc": c,
        "s": "+" if sign > 0 else "-", "#sign": int(sign < 0), "#sign/n": 2, "answer": (a + b + sign * c) * sqrt(r),
    }  # fmt: skip


def function_compose(d: Draw) -> Facts:
    """A value of a composition of two functions."""
    a, b, c, e, x = d.nonzero(-4, 5), d.num(-9, 9), d.nonzero(-3, 3), d.num(-7, 7), d.nonzero(-4, 5)
    inner = c * x * x + e
    return {"f": poly(a, b), "g": poly(c, 0, e), "x": x, "inner": inner, "answer": a * inner + b,
            "wrong": c * (a * x + b) ** 2 + e, "fi": f"{a} \\cdot {paren(inner)} {signed(b)}",
            "gi": f"{c} \\cdot {paren(x)}^2 {signed(e)}"}  # fmt: skip


def function_inverse(d: Draw) -> Facts:
    """A value of the inverse of a linear fractional function."""
    x, a, c = d.nonzero(-5, 8), d.nonzero(-5, 7), d.nonzero(-6, 9)
    y, den = d.nonzero(-4, 6), x + c
    if den == 0:
        c, den = c + 1, 1
    if y == a:
        y += 9
    b = y * den - a * x
    return {
        "num": poly(a, b), "den": poly(1, c), "y": y, "k": a - y, "rhs": y * c - b, "answer": x,
        "wrong": Rational(a * y + b, y + c) if y + c else a, "yden": f"{ {1: '', -1: '-'}.get(y, y) }({poly(1, c)})",
        "kx": poly(a - y, 0),
    }  # fmt: skip


def function_linear(d: Draw) -> Facts:
    """A third value of a linear function from two."""
    m, n = d.nonzero(-7, 9), d.num(-20, 20)
    p, q = sorted(d.some(range(-4, 9), 2))
    r = q + d.num(2, 12)
    return {
        "p": p, "q": q, "r": r, "fp": m * p + n, "fq": m * q + n, "rise": m * (q - p), "run": q - p, "m": m,
        "line": poly(m, n), "answer": m * r + n, "fr": f"{m} \\cdot {r} {signed(n)}",
    }  # fmt: skip


def function_parabola(d: Draw) -> Facts:
    """The least or greatest value of a quadratic function."""
    a, h, k = d.nonzero(-4, 4), d.nonzero(-7, 8), d.nonzero(-20, 30)
    return {
        "f": poly(a, -2 * a * h, a * h * h + k), "h": h, "a": a,
        "form": f"{'' if a == 1 else '-' if a == -1 else a}(x {signed(-h)})^2 {signed(k)}", "#top": int(a < 0),
        "#top/n": 2, "answer": k, "wrong": h, "axis": -2 * a * h, "twice": 2 * a,
    }  # fmt: skip


def function_revenue(d: Draw) -> Facts:
    """The price that earns most when demand falls linearly."""
    price, best, loss = d.num(8, 80), d.num(1, 12), d.pick([2, 3, 4, 5])
    # The revenue (price + r)(sold - loss r) is largest at r = best, a whole number.
    sold = loss * (price + 2 * best)
    x = price + best
    return {"price": price, "sold": sold, "loss": loss, "rise": best, "answer": x, "top": x * (sold - loss * best),
            "zero": Rational(sold, loss), "then": sold - loss * best, "lr": f"{loss}r"}  # fmt: skip


def logarithm_digits(d: Draw) -> Facts:
    """An exponent pinned between two powers: how many doublings pass a bound."""
    base, bound = d.pick([2, 3, 5, 7]), d.num(2, 9) * 10 ** d.num(3, 6) + d.num(1, 999)
    k = 0
    while base**k <= bound:
        k += 1
    chain = [f"{base}^{{{j}}} &= {base**j}" for j in (k - 1, k)]
    return {"base": base, "bound": bound, "rows": rows(chain), "before": k - 1, "answer": k}


def radical_nested(d: Draw) -> Facts:
    """A nested root that is a sum of two roots."""
    p, q = sorted(d.some([k for k in range(2, 16) if max(factorint(k).values(), default=1) == 1], 2))
    sign = d.pick([1, -1])
    value = f"\\sqrt{{{q}}} {'+' if sign > 0 else '-'} \\sqrt{{{p}}}"
    return {
        "sum": p + q, "prod": 4 * p * q, "p": p, "q": q, "s": "+" if sign > 0 else "-", "pq": p * q, "value": value,
        "answer": value,
    }  # fmt: skip


KINDS: dict[str, tuple[Form, ...]] = forms(
    polynomial_remainder=(remainder_value, remainder_parameter, remainder_linear),
    polynomial_product=(expand_coefficient, factor_cubic),
    exponential=(power_same_base, power_substitution, power_doubling, power_half_life),
    logarithm=(logarithm_value, logarithm_equation, logarithm_combine, logarithm_digits),
    radical=(radical_equation, radical_simplify, radical_nested),
    function_values=(function_compose, function_inverse, function_linear),
    parabola=(function_parabola, function_revenue),
)
