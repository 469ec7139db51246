"""Arithmetic, percentages and money."""

from __future__ import annotations

from sympy import Rational

from curate.models.procedural.grammar import Draw, Facts, Form, forms

# Pairs whose harmonic sums are small fractions.
_PAIRS = ((3, 6), (4, 12), (4, 6), (5, 20), (6, 12), (6, 30), (8, 24), (9, 18), (10, 15), (10, 40), (12, 20), (12, 24), (12, 36), (15, 30), (20, 30), (21, 28), (30, 45))  # fmt: skip  # noqa: E501
_SPEEDS = ((40, 60), (30, 60), (60, 90), (20, 30), (45, 90), (12, 24), (48, 80), (50, 75), (15, 60), (36, 45), (60, 120), (12, 60))  # fmt: skip  # noqa: E501


def money(value: Rational) -> str:
    """Return an amount with as many decimals as it has cents."""
    return str(int(value)) if value == int(value) else f"{float(value):.2f}"


def percent_part(d: Draw) -> Facts:
    """A part of a whole."""
    p, base = d.pick([5, 12, 15, 16, 24, 35, 36, 45, 48, 65, 72, 85]), 25 * d.num(6, 60) * d.pick([1, 2, 4])
    part = Rational(p * base, 100)
    base, part = (base * 4, part * 4) if part.q != 1 else (base, part)
    return {"p": p, "base": base, "part": part, "rest": base - part, "answer": part, "wrong": base - part}


def percent_base(d: Draw) -> Facts:
    """The whole from a part."""
    p, hundredth = d.pick([8, 12, 15, 18, 24, 28, 35, 36, 45, 55, 65]), d.num(3, 48)
    return {"p": p, "part": p * hundredth, "one": hundredth, "answer": 100 * hundredth}


def percent_change(d: Draw) -> Facts:
    """A growth in percent."""
    old, p = 20 * d.num(3, 60), d.pick([5, 10, 15, 20, 25, 30, 35, 40, 45, 55, 60])
    change = Rational(old * p, 100)
    return {"old": old, "new": old + change, "change": change, "answer": p, "low": old - change, "p": p}


def percent_chain(d: Draw) -> Facts:
    """A rise and then a fall."""
    # A multiple of 400 keeps both values whole: they may be numbers of animals.
    a, b, base = d.pick([10, 20, 25, 30, 40, 50]), d.pick([10, 15, 20, 30, 40]), 400 * d.num(1, 12)
    up, down = Rational(100 + a, 100), Rational(100 - b, 100)
    mid, end = base * up, base * up * down
    return {
        "a": a, "b": b, "base": base, "mid": money(mid), "end": money(end), "up": money(up), "down": money(down),
        "net": Rational(100 + a) * (100 - b) / 100 - 100, "answer": money(end), "_end": end,
    }  # fmt: skip


def ratio_share(d: Draw) -> Facts:
    """Three shares of a total."""
    a, b, c = d.pick([(2, 3, 7), (3, 4, 5), (1, 4, 6), (5, 2, 8), (7, 3, 2), (4, 9, 2), (6, 5, 3), (2, 5, 9)])
    unit = d.num(6, 45)
    return {
        "a": a, "b": b, "c": c, "sum": a + b + c, "total": unit * (a + b + c), "unit": unit,
        "x": a * unit, "y": b * unit, "z": c * unit, "answer": c * unit,
    }  # fmt: skip


def ratio_difference(d: Draw) -> Facts:
    """A total from a difference and a ratio."""
    a, b = d.pick([(3, 7), (4, 9), (5, 8), (2, 7), (5, 11), (7, 12), (3, 10), (4, 11)])
    unit = d.num(4, 30)
    return {"a": a, "b": b, "unit": unit, "gap": (b - a) * unit, "parts": b - a, "sum": a + b, "answer": (a + b) * unit}


def work_together(d: Draw) -> Facts:
    """Two rates of work added."""
    a, b = d.pick(_PAIRS)
    rate = Rational(1, a) + Rational(1, b)
    return {"a": a, "b": b, "rate": rate, "answer": 1 / rate, "wrong": Rational(a + b, 2)}


def work_joined(d: Draw) -> Facts:
    """A second worker joins later."""
    a, b = d.pick(_PAIRS[4:])
    alone = d.num(2, a // 2)
    left = 1 - Rational(alone, a)
    rate = Rational(1, a) + Rational(1, b)
    return {"a": a, "b": b, "alone": alone, "done": Rational(alone, a), "left": left, "rate": rate,
            "answer": left / rate}  # fmt: skip


def speed_average(d: Draw) -> Facts:
    """The mean speed over two equal ways."""
    v, w = d.pick(_SPEEDS)
    mean = Rational(2 * v * w, v + w)
    leg = v * w * d.pick([1, 2]) // 60 if v * w % 60 == 0 else v * w // 30
    return {"v": v, "w": w, "leg": leg, "both": 2 * leg, "t1": Rational(leg, v), "t2": Rational(leg, w),
            "time": Rational(leg, v) + Rational(leg, w), "answer": mean, "wrong": Rational(v + w, 2)}  # fmt: skip


def speed_meet(d: Draw) -> Facts:
    """Two that approach each other."""
    v, t = 2 * d.num(9, 40), Rational(d.num(2, 14), 4)
    w = v + 4 * d.nonzero(-3, 9)
    return {"v": v, "w": w, "dist": (v + w) * t, "sum": v + w, "answer": t, "first": v * t}


def speed_chase(d: Draw) -> Facts:
    """One that catches up."""
    v, gap, t = d.num(8, 40), d.num(4, 20), d.num(2, 8)
    w = v + gap
    start = Rational(gap * t, v)
    return {"v": v, "w": w, "lead": gap * t, "gap": gap, "answer": t, "_start": start, "where": w * t}


def interest_simple(d: Draw) -> Facts:
    """Simple interest, forwards."""
    p, r, t = 100 * d.num(6, 90), Rational(d.pick([3, 4, 5, 6, 7, 9, 11]), 2), d.num(2, 9)
    i = p * r * t / 100
    p, i = (p, i) if i.q == 1 else (2 * p, 2 * i)
    rate = money(r) if r.q == 1 else f"{float(r):g}"
    return {"p": p, "r": rate, "t": t, "i": money(i), "total": money(p + i), "answer": money(p + i), "_r": r,
            "yearly": money(p * r / 100)}  # fmt: skip


def interest_rate(d: Draw) -> Facts:
    """Simple interest, the rate wanted."""
    p, r, t = 200 * d.num(3, 40), d.num(2, 9), d.num(2, 8)
    i = Rational(p * r * t, 100)
    return {"p": p, "t": t, "i": money(i), "total": money(p + i), "yearly": money(i / t), "answer": r, "_i": i}


def interest_compound(d: Draw) -> Facts:
    """Compound interest over two or three years."""
    p, r, t = 1000 * d.num(1, 20), d.pick([5, 10, 20, 4, 2]), d.num(2, 3)
    q = 1 + Rational(r, 100)
    value = Rational(p) * q**t
    exact = value * 100 == int(value * 100)
    if not exact:
        p, value = 10000, Rational(10000) * q**t
    rows = [rf"{p} \times {float(q):g}^{{{k}}} &= {money(p * q**k)}" for k in range(1, t + 1)]
    return {"p": p, "r": r, "t": t, "q": f"{float(q):g}", "rows": r" \\ ".join(rows), "answer": money(value),
            "gain": money(value - p), "wrong": money(p * (1 + Rational(r * t, 100))), "_value": value}  # fmt: skip


def mixture(d: Draw) -> Facts:
    """Two concentrations blended to a third."""
    low, high = d.pick([(10, 40), (5, 30), (20, 60), (15, 45), (8, 32), (12, 52), (25, 75), (4, 24)])
    goal = low + d.num(3, high - low - 3)
    total = (high - low) * d.num(1, 5)
    strong = Rational(total * (goal - low), high - low)
    return {"low": low, "high": high, "goal": goal, "total": total, "answer": strong, "weak": total - strong,
            "up": goal - low, "span": high - low}  # fmt: skip


def mixture_dilute(d: Draw) -> Facts:
    """Water added to weaken a solution."""
    q, k = d.pick([4, 5, 6, 8, 10, 12, 15]), d.num(2, 5)
    p, volume = q * k, d.num(2, 20)
    return {
        "p": p,
        "q": q,
        "v": volume,
        "pv": p * volume,
        "total": k * volume,
        "answer": (k - 1) * volume,
        "wrong": k * volume,
    }


def interest_time(d: Draw) -> Facts:
    """Simple interest, the time wanted."""
    p, r, t = 200 * d.num(3, 40), d.num(2, 9), d.num(3, 15)
    yearly = Rational(p * r, 100)
    return {
        "p": p,
        "r": r,
        "i": money(yearly * t),
        "yearly": money(yearly),
        "total": money(p + yearly * t),
        "answer": t,
    }


def interest_principal(d: Draw) -> Facts:
    """Compound interest, the sum at the start wanted."""
    p, r, t = 1000 * d.num(2, 40), d.pick([4, 5, 10, 15, 20]), 2
    q = 1 + Rational(r, 100)
    return {"r": r, "t": t, "end": money(p * q**t), "q": f"{float(q):g}", "qt": f"{float(q**t):g}", "answer": p}


KINDS: dict[str, tuple[Form, ...]] = forms(
    percentage=(percent_part, percent_base, percent_change, percent_chain),
    ratio=(ratio_share, ratio_difference),
    work_rate=(work_together, work_joined),
    speed=(speed_average, speed_meet, speed_chase),
    simple_interest=(interest_simple, interest_rate, interest_time),
    compound_interest=(interest_compound, interest_principal),
    mixture=(mixture, mixture_dilute),
)
