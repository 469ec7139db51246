"""Calculus and differential equations."""

from __future__ import annotations

from sympy import Rational, diff, exp, log, sqrt, symbols

from curate.models.procedural.grammar import Draw, Facts, Form, forms, tex
from curate.models.procedural.maths.common import paren, poly, signed

X = symbols("x")


def limit_factor(d: Draw) -> Facts:
    """A quotient of quadratics with a common zero."""
    a = d.nonzero(-6, 7)
    b, c = d.some([k for k in range(-8, 10) if k != a], 2)
    return {
        "num": poly(1, -a - b, a * b), "den": poly(1, -a - c, a * c), "a": a, "f": poly(1, -a), "g": poly(1, -b),
        "h": poly(1, -c), "answer": Rational(a - b, a - c), "wrong": 0 if a != b else 1,
    }  # fmt: skip


def limit_infinity(d: Draw) -> Facts:
    """The limit of a rational function at infinity."""
    n, top, low = d.num(2, 3), [d.nonzero(-9, 9) for _ in range(3)], [d.nonzero(-9, 9) for _ in range(3)]
    tail = [0] * (n - 2)
    f, g = (top[0], *tail, *top[1:]), (low[0], *tail, *low[1:])
    return {
        "num": poly(*f), "den": poly(*g), "n": n, "a": top[0], "b": low[0], "xn": f"x^{n}",
        "answer": Rational(top[0], low[0]), "wrong": Rational(top[-1], low[-1]),
    }  # fmt: skip


def limit_root(d: Draw) -> Facts:
    """A difference of roots over a difference."""
    r, m = d.num(2, 9), d.num(1, 4)
    a = d.num(1, 20)
    c = r * r - m * a
    return {
        "inner": poly(m, c), "r": r, "a": a, "m": m, "mx": poly(m, -m * a), "den": poly(1, -a),
        "answer": Rational(m, 2 * r),
    }  # fmt: skip


def limit_sine(d: Draw) -> Facts:
    """A quotient built on sin(x)/x."""
    a, b = d.some(range(2, 12), 2)
    return {"a": a, "b": b, "answer": Rational(a, b), "wrong": 1}


def derivative_value(d: Draw) -> Facts:
    """The derivative of a product or quotient, at a point."""
    p, q, r, s, at = d.nonzero(-4, 5), d.nonzero(-6, 6), d.nonzero(-4, 4), d.nonzero(-6, 6), d.nonzero(-2, 3)
    u, v = p * X**2 + q, r * X + s
    du, dv = 2 * p * X, r
    value = diff(u * v, X).subs(X, at)
    return {
        "u": poly(p, 0, q), "v": poly(r, s), "du": tex(du), "dv": dv, "at": at, "u0": u.subs(X, at),
        "v0": v.subs(X, at), "du0": 2 * p * at,
        "put": f"{2 * p * at} \\cdot {paren(v.subs(X, at))} + {paren(u.subs(X, at))} \\cdot {paren(dv)}",
        "answer": value, "wrong": 2 * p * at * dv,
    }  # fmt: skip


def derivative_chain(d: Draw) -> Facts:
    """The derivative of a power or exponential of an inner function."""
    a, b, n = d.num(1, 5), d.nonzero(-7, 7), d.num(3, 7)
    kind = d.pick([0, 1, 2])
    inner = a * X**2 + b
    f = (inner**n, exp(a * X**2 + b), log(a * X**2 + abs(b)))[kind]
    outer = (f"{n}({poly(a, 0, b)})^{{{n - 1}}}", f"e^{{{poly(a, 0, b)}}}", f"\\frac{{1}}{{{poly(a, 0, abs(b))}}}")[
        kind
    ]
    shown = (f"({poly(a, 0, b)})^{{{n}}}", f"e^{{{poly(a, 0, b)}}}", f"\\ln({poly(a, 0, abs(b))})")[kind]
    lead = 2 * a * n if kind == 0 else 2 * a
    answer = (
        f"{lead}x({poly(a, 0, b)})^{{{n - 1}}}",
        f"{lead}x e^{{{poly(a, 0, b)}}}",
        f"\\frac{{{lead}x}}{{{poly(a, 0, abs(b))}}}",
    )[kind]
    return {
        "f": shown, "g": poly(a, 0, abs(b) if kind == 2 else b), "dg": f"{2 * a}x", "outer": outer, "answer": answer,
        "_f": f,
    }  # fmt: skip


def derivative_trig(d: Draw) -> Facts:
    """A higher derivative of a sine or cosine."""
    a, k, n, s = d.num(2, 7), d.num(2, 5), d.num(3, 6), d.pick([0, 1])
    # sin, cos, -sin, -cos: the derivative of order i is i places further on.
    names = (r"\sin", r"\cos", r"\sin", r"\cos")
    cycle = [f"{'-' if i % 4 > 1 else ''}{a * k ** (i - s)} {names[i % 4]} {k}x" for i in range(s, s + n + 1)]
    sizes = [f"f^{{({i})}}(x) = {cycle[i]}" for i in range(1, n + 1)]
    return {"f": cycle[0], "n": n, "chain": r",\quad ".join(sizes), "answer": cycle[-1], "_akns": (a, k, n, s)}


def tangent_line(d: Draw) -> Facts:
    """The tangent of a cubic at a point."""
    a, b, c, at = d.nonzero(-2, 3), d.nonzero(-5, 5), d.num(-6, 6), d.nonzero(-2, 3)
    y, m = a * at**3 + b * at + c, 3 * a * at**2 + b
    return {
        "f": poly(a, 0, b, c), "df": poly(3 * a, 0, b), "at": at, "y": y, "m": m, "shift": signed(-at),
        "cut": y - m * at, "line": f"y = {poly(m, y - m * at)}", "answer": f"y = {poly(m, y - m * at)}",
    }  # fmt: skip


def extremum_cubic(d: Draw) -> Facts:
    """The local maximum of a cubic."""
    p, q = sorted(d.some(range(-5, 6), 2))
    if (p + q) % 2:
        q += 1
    k = d.num(-9, 12)
    f = 2 * X**3 - 3 * (p + q) * X**2 + 6 * p * q * X + k
    return {
        "f": poly(2, -3 * (p + q), 6 * p * q, k), "df": poly(6, -6 * (p + q), 6 * p * q), "p": p, "q": q,
        "put": f"2 \\cdot {paren(p)}^3 {signed(-3 * (p + q))} \\cdot {paren(p)}^2 {signed(6 * p * q)} \\cdot {paren(p)}"
        f" {signed(k)}",
        "fac": f"6({poly(1, -p)})({poly(1, -q)})", "ddp": 6 * (p - q), "answer": f.subs(X, p), "wrong": f.subs(X, q),
    }  # fmt: skip


def optimise_fence(d: Draw) -> Facts:
    """The largest rectangle against a wall, or divided by a fence."""
    length, sides = 12 * d.num(3, 40), d.pick([2, 3])
    w = Rational(length, 2 * sides)
    return {
        "length": length, "sides": sides, "#div": sides - 2, "#div/n": 2, "w": w, "l": length - sides * w,
        "twice": 2 * sides, "answer": w * (length - sides * w),
    }  # fmt: skip


def optimise_box(d: Draw) -> Facts:
    """The open box of largest volume from a square sheet."""
    a = 6 * d.num(2, 30)
    x = a // 6
    return {"a": a, "x": x, "side": a - 2 * x, "half": a // 2, "answer": x * (a - 2 * x) ** 2}


def optimise_sum(d: Draw) -> Facts:
    """A fixed product with the least weighted sum."""
    p, q, t = d.num(1, 5), d.num(1, 5), d.num(2, 9)
    n = p * q * t * t
    return {
        "p": p, "q": q, "n": n, "x": q * t, "y": p * t, "px": poly(p, 0), "qy": poly(q, 0, var="y"), "qn": q * n,
        "xx": Rational(q * n, p), "answer": 2 * p * q * t,
    }  # fmt: skip


def integral_poly(d: Draw) -> Facts:
    """A definite integral of a polynomial."""
    a, b, c = 3 * d.nonzero(-3, 4), 2 * d.nonzero(-4, 5), d.nonzero(-7, 7)
    low, high = sorted(d.some(range(0, 6), 2))
    g = [a // 3, b // 2, c, 0]
    top, bottom = (sum(k * t ** (3 - i) for i, k in enumerate(g)) for t in (high, low))
    return {
        "f": poly(a, b, c), "g": poly(*g), "low": low, "high": high, "top": top, "bottom": bottom,
        "pb": paren(bottom), "answer": top - bottom,
    }  # fmt: skip


def integral_area(d: Draw) -> Facts:
    """The area between a parabola and a line."""
    p, q = sorted(d.some(range(-5, 7), 2))
    m, k = d.nonzero(-4, 5), d.num(-5, 6)
    # x^2 + bx + c meets mx + k exactly at p and q.
    b, c = m - p - q, k + p * q
    return {
        "f": poly(1, b, c), "g": poly(m, k), "p": p, "q": q, "diff": poly(-1, p + q, -p * q), "w": q - p,
        "zero": f"{poly(1, -p - q, p * q)} = 0", "answer": Rational((q - p) ** 3, 6),
    }  # fmt: skip


def integral_parts(d: Draw) -> Facts:
    """An integral by parts."""
    a, k = d.nonzero(-5, 6), d.num(1, 5)
    b = d.num(-6, 6)
    primitive = (
        f"\\left({tex(Rational(a, k))}x {signed(Rational(b, k) - Rational(a, k * k))}\\right) e^{{{poly(k, 0)}}}"
    )
    inner = Rational(b, k) - Rational(a, k * k)
    upper = (Rational(a, k) + inner) * exp(k) - inner
    return {
        "f": f"({poly(a, b)}) e^{{{poly(k, 0)}}}", "u": poly(a, b), "dv": f"e^{{{poly(k, 0)}}}",
        "v": f"\\frac{{1}}{{{k}}} e^{{{poly(k, 0)}}}" if k > 1 else "e^{x}",
        "primitive": primitive.replace("1x", "x") if abs(Rational(a, k)) == 1 else primitive, "a": a,
        "answer": upper,
    }  # fmt: skip


def integral_substitution(d: Draw) -> Facts:
    """An integral by substitution."""
    a, n, k = d.num(1, 4), d.num(2, 4), d.num(1, 3)
    low, high = a, a + k * k
    value = Rational(high ** (n + 1) - low ** (n + 1), 2 * (n + 1))
    return {
        "a": a, "n": n, "n1": n + 1, "k": k, "low": low, "high": high, "answer": value, "wrong": 2 * value,
        "twice": 2 * n + 2,
    }  # fmt: skip


def mean_value(d: Draw) -> Facts:
    """The mean of a quadratic function on an interval."""
    a, c, t = 3 * d.nonzero(-3, 4), d.nonzero(-8, 9), d.num(2, 8)
    return {
        "f": poly(a, 0, c), "t": t, "total": a // 3 * t**3 + c * t, "g": poly(a // 3, 0, c, 0),
        "answer": Rational(a * t * t, 3) + c,
    }  # fmt: skip


def motion(d: Draw) -> Facts:
    """The way covered with a changing speed."""
    v, brake = 4 * d.num(2, 12), d.pick([2, 4, 1])
    t = Rational(v, brake)
    return {
        "v": v, "brake": brake, "half": Rational(brake, 2), "t": t, "bt": f"{'' if brake == 1 else brake}t",
        "answer": Rational(v * v, 2 * brake), "wrong": v * t,
    }  # fmt: skip


def ode_growth(d: Draw) -> Facts:
    """y' = ky with a starting value."""
    k, y0 = d.nonzero(-6, 7), d.num(2, 30)
    return {"k": k, "ky": poly(k, 0, var="y"), "y0": y0, "kx": poly(k, 0), "answer": f"{y0} e^{{{poly(k, 0)}}}"}


def ode_linear(d: Draw) -> Facts:
    """y' + ay = b with a starting value."""
    a, rest, c = d.num(1, 6), d.nonzero(-7, 9), d.nonzero(-9, 9)
    b = a * rest
    return {
        "left": f"y' + {poly(a, 0, var='y')}", "b": b, "a": a, "rest": rest, "y0": rest + c, "c": c,
        "ax": poly(-a, 0), "hom": f"y' + {poly(a, 0, var='y')} = 0",
        "answer": f"{rest} {signed(c) if abs(c) > 1 else '+' if c > 0 else '-'} e^{{{poly(-a, 0)}}}",
    }  # fmt: skip


def ode_separable(d: Draw) -> Facts:
    """y' = 2kx y^2 or y y' = kx, with a starting value."""
    y0, k, at = d.num(1, 9), d.num(1, 8), d.num(1, 6)
    value = y0 * y0 + k * at * at
    return {
        "k": poly(k, 0), "y0": y0, "yy": y0 * y0, "at": at, "kk": poly(k, 0, 0), "value": value,
        "answer": sqrt(value), "half": poly(Rational(k, 2), 0, 0),
    }  # fmt: skip


def ode_cooling(d: Draw) -> Facts:
    """Newton's law of cooling with a halving of the difference."""
    room, k, halves = d.num(15, 25), d.num(3, 8), d.num(2, 4)
    gap, t = 2**halves * k, d.pick([5, 6, 8, 10, 12, 15])
    return {
        "room": room, "start": room + gap, "after": t, "mid": room + Rational(gap, 2), "gap": gap,
        "time": t * halves, "n": halves, "answer": room + k, "rest": k, "factor": 2**halves,
        "half": Rational(gap, 2),
    }  # fmt: skip


def ode_second(d: Draw) -> Facts:
    """y'' + py' + qy = 0 with two different real roots."""
    r, s = d.some([k for k in range(-5, 6) if k], 2)
    u, w = d.nonzero(-4, 5), d.nonzero(-4, 5)
    p, q = -(r + s), r * s
    first, second = poly(u, 0, var=f"e^{{{poly(r, 0)}}}"), poly(abs(w), 0, var=f"e^{{{poly(s, 0)}}}")
    return {
        "eq": f"{' '.join(t for t in (chr(121) + 2 * chr(39), _term(p, chr(39)), _term(q, '')) if t)} = 0",
        "char": f"{poly(1, p, q, var='r')} = 0", "r": r, "s": s, "y0": u + w, "dy0": u * r + w * s, "u": u, "w": w,
        "rx": poly(r, 0), "sx": poly(s, 0), "pr": paren(r), "ps": paren(s),
        "answer": f"{first} {'-' if w < 0 else '+'} {second}",
    }  # fmt: skip


def ode_oscillation(d: Draw) -> Facts:
    """y'' + k^2 y = 0 with starting values."""
    k, a, b = d.num(2, 9), d.nonzero(-6, 8), d.nonzero(-6, 8)
    cosine, sine = poly(a, 0, var=f"\\cos({k}x)"), poly(abs(b), 0, var=f"\\sin({k}x)")
    return {"kk": k * k, "k": k, "a": a, "b": b, "kb": k * b, "answer": f"{cosine} {'-' if b < 0 else '+'} {sine}"}


def _term(c: int, mark: str) -> str:
    return "" if c == 0 else f"{'-' if c < 0 else '+'} {'' if abs(c) == 1 else abs(c)}y{mark}"


KINDS: dict[str, tuple[Form, ...]] = forms(
    limit=(limit_factor, limit_infinity, limit_root, limit_sine),
    derivative=(derivative_value, derivative_chain, derivative_trig),
    tangent=(tangent_line, extremum_cubic),
    optimisation=(optimise_fence, optimise_box, optimise_sum),
    definite_integral=(integral_poly, integral_area, mean_value, motion),
    integration_method=(integral_parts, integral_substitution),
    first_order_ode=(ode_growth, ode_linear, ode_separable, ode_cooling),
    second_order_ode=(ode_second, ode_oscillation),
)
