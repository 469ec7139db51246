"""Sequences, sets, logic, graphs, and statistics."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product as cartesian

from sympy import Rational, sqrt

from curate.models.procedural.grammar import Draw, Facts, Form, forms, tex
from curate.models.procedural.maths.common import listing, paren, poly, signed


def arithmetic_term(d: Draw) -> Facts:
    """A far term from two given ones."""
    a, step = d.num(-20, 40), d.nonzero(-9, 12)
    i = d.num(2, 9)
    j = i + d.num(2, 8)
    n = d.num(20, 90)
    return {
        "i": i, "j": j, "n": n, "ai": a + (i - 1) * step, "aj": a + (j - 1) * step, "gap": (j - i) * step,
        "steps": j - i, "d": step, "a": a, "answer": a + (n - 1) * step, "pd": paren(step), "rest": n - i,
    }  # fmt: skip


def arithmetic_sum(d: Draw) -> Facts:
    """The sum of an arithmetic series."""
    a, step, n = d.num(2, 30), d.num(2, 9), d.num(12, 60)
    last = a + (n - 1) * step
    return {
        "a": a, "b": a + step, "c": a + 2 * step, "d": step, "n": n, "last": last, "answer": n * (a + last) // 2,
        "less": n - 1,
    }  # fmt: skip


def arithmetic_count(d: Draw) -> Facts:
    """How many terms make a given sum."""
    a, step, n = d.num(1, 15), 2 * d.num(1, 5), d.num(8, 40)
    total = n * a + step * n * (n - 1) // 2
    return {
        "a": a, "d": step, "half": step // 2, "total": total, "answer": n,
        "quad": f"{poly(step // 2, a - step // 2, -total, var='n')} = 0",
    }  # fmt: skip


def geometric_term(d: Draw) -> Facts:
    """A term of a geometric sequence from two others."""
    q, a = d.pick([2, 3, -2, 4, -3, 5]), d.num(1, 9)
    i, k = d.num(2, 3), d.num(1, 3) * 2 - 1
    n = i + k + d.num(1, 3)
    return {
        "i": i, "j": i + k, "n": n, "ai": a * q ** (i - 1), "aj": a * q ** (i + k - 1), "k": k, "qk": q**k, "q": q,
        "pq": paren(q), "rest": n - i, "answer": a * q ** (n - 1),
    }  # fmt: skip


def geometric_series(d: Draw) -> Facts:
    """An infinite geometric series."""
    p, q = d.pick(
        [(1, 2), (1, 3), (2, 3), (1, 4), (3, 4), (2, 5), (3, 5), (1, 5), (-1, 2), (-1, 3), (-2, 3), (4, 5), (1, 10)]
    )
    a = q * q * d.num(1, 8)
    r = Rational(p, q)
    return {
        "a": a, "b": a * r, "c": a * r * r, "r": r, "less": 1 - r, "answer": a / (1 - r),
        "shown": f"{a} {signed(a * r)} {signed(a * r * r)}",
    }  # fmt: skip


def geometric_bounce(d: Draw) -> Facts:
    """The whole way of a bouncing ball."""
    p, q = d.pick([(1, 2), (2, 3), (3, 4), (3, 5), (4, 5), (2, 5), (1, 3)])
    h = q * d.num(1, 12)
    r = Rational(p, q)
    return {
        "h": h, "r": r, "first": h * r, "less": 1 - r, "up": h * r / (1 - r), "answer": h + 2 * h * r / (1 - r),
        "wrong": h / (1 - r),
    }  # fmt: skip


def recurrence_second(d: Draw) -> Facts:
    """A term of a linear recurrence, and its closed form's value."""
    p, q, a, b, n = d.nonzero(-3, 4), d.nonzero(-3, 3), d.num(0, 4), d.num(1, 6), d.num(5, 7)
    terms = [a, b]
    while len(terms) <= n:
        terms.append(p * terms[-1] + q * terms[-2])
    rule = f"{poly(p, 0, var='a_{n-1}')} {'-' if q < 0 else '+'} {poly(abs(q), 0, var='a_{n-2}')}"
    return {
        "rule": rule, "a": a, "b": b, "n": n, "list": ", ".join(f"a_{i} = {t}" for i, t in enumerate(terms[2:], 2)),
        "answer": terms[n], "_pq": (p, q),
    }  # fmt: skip


def recurrence_first(d: Draw) -> Facts:
    """The fixed point of an affine recurrence, or its far term."""
    p, fix, dev = d.num(2, 5), d.nonzero(-6, 9), d.nonzero(-3, 5)
    c, n = fix * (1 - p), d.num(5, 9)
    return {
        "p": p, "c": signed(c), "start": fix + dev, "fix": fix, "dev": paren(dev), "n": n, "pn": p**n,
        "answer": dev * p**n + fix, "sfix": signed(fix), "size": abs(c), "#neg": int(c < 0), "#neg/n": 2,
    }  # fmt: skip


def telescoping(d: Draw) -> Facts:
    """A sum of reciprocals of products."""
    k, n = d.num(2, 5), d.num(8, 60)
    last = 1 + k * n
    return {"k": k, "n": n, "a": 1 + k, "b": 1 + 2 * k, "last": last, "prev": last - k, "answer": Rational(n, last)}


def sets_two(d: Draw) -> Facts:
    """Two overlapping groups."""
    both, only_a, only_b, none = d.num(4, 20), d.num(5, 40), d.num(5, 40), d.num(2, 25)
    return {
        "a": both + only_a, "b": both + only_b, "n": both + only_a + only_b + none, "none": none,
        "union": both + only_a + only_b, "sum": 2 * both + only_a + only_b, "answer": both,
    }  # fmt: skip


def sets_three(d: Draw) -> Facts:
    """Three overlapping groups, all figures given but one."""
    abc, ab, ac, bc = d.num(2, 8), d.num(2, 12), d.num(2, 12), d.num(2, 12)
    a, b, c = d.num(5, 30), d.num(5, 30), d.num(5, 30)
    ta, tb, tc = a + ab + ac + abc, b + ab + bc + abc, c + ac + bc + abc
    return {
        "ta": ta, "tb": tb, "tc": tc, "ab": ab + abc, "ac": ac + abc, "bc": bc + abc, "abc": abc,
        "singles": ta + tb + tc, "pairs": ab + ac + bc + 3 * abc, "answer": a + b + c + ab + ac + bc + abc,
    }  # fmt: skip


def sets_subsets(d: Draw) -> Facts:
    """Subsets with conditions."""
    n, inside, outside = d.num(7, 14), d.num(1, 3), d.num(1, 3)
    free = n - inside - outside
    return {
        "n": n, "inside": ", ".join(map(str, range(1, inside + 1))),
        "outside": ", ".join(map(str, range(n - outside + 1, n + 1))), "free": free, "answer": 2**free,
        "#one": int(inside > 1), "#one/n": 2, "#out": int(outside > 1), "#out/n": 2,
    }  # fmt: skip


_FORMULAS: tuple[tuple[str, Callable[[bool, bool, bool], bool]], ...] = (
    (r"(p \lor q) \land \lnot r", lambda p, q, r: (p or q) and not r),
    (r"(p \to q) \land (q \to r)", lambda p, q, r: (not p or q) and (not q or r)),
    (r"p \to (q \land r)", lambda p, q, r: not p or (q and r)),
    (r"(p \land q) \lor (\lnot p \land r)", lambda p, q, r: (p and q) or (not p and r)),
    (r"\lnot (p \land q) \lor r", lambda p, q, r: not (p and q) or r),
    (r"(p \leftrightarrow q) \lor r", lambda p, q, r: (p == q) or r),
    (r"(p \lor q) \to r", lambda p, q, r: not (p or q) or r),
    (r"p \land (q \to r)", lambda p, q, r: p and (not q or r)),
    (r"(p \lor \lnot q) \land (q \lor \lnot r)", lambda p, q, r: (p or not q) and (q or not r)),
    (r"(p \leftrightarrow q) \leftrightarrow r", lambda p, q, r: (p == q) == r),
    (r"\lnot p \lor (q \leftrightarrow r)", lambda p, q, r: not p or q == r),
    (r"(p \to q) \to r", lambda p, q, r: not (not p or q) or r),
)


def logic_table(d: Draw) -> Facts:
    """How many assignments make a formula true."""
    text, f = d.pick(_FORMULAS)
    good = [c for c in cartesian((True, False), repeat=3) if f(*c)]
    rows = ", ".join("".join("TF"[not v] for v in c) for c in good)
    return {"f": text, "list": rf"\text{{{rows}}}", "answer": len(good), "false": 8 - len(good)}


def logic_equations(d: Draw) -> Facts:
    """Who has which of three amounts, by clues."""
    x, y, z = d.some(range(3, 30), 3)
    return {
        "xy": x + y, "yz": y + z, "xz": x + z, "double": 2 * (x + y + z), "sum": x + y + z, "answer": max(x, y, z),
        "x": x, "y": y, "z": z,
    }  # fmt: skip


def _graphical(degrees: list[int]) -> bool:
    """Return whether a simple graph has these degrees (Erdős and Gallai)."""
    s = sorted(degrees, reverse=True)
    return all(sum(s[:k]) <= k * (k - 1) + sum(min(x, k) for x in s[k:]) for k in range(1, len(s) + 1))


def graph_edges(d: Draw) -> Facts:
    """The sum of degrees."""
    degrees, counts = d.some(range(2, 8), 3), [2 * d.num(1, 4) for _ in range(3)]
    # At least one more vertex than the largest degree, and enough neighbours for those of high degree.
    while not _graphical([k for k, n in zip(degrees, counts, strict=True) for _ in range(n)]):
        counts = [n + 2 for n in counts]
    total = sum(a * b for a, b in zip(degrees, counts, strict=True))
    (a, b, c), (p, q, r) = degrees, counts
    return {
        "a": a, "b": b, "c": c, "p": p, "q": q, "r": r, "n": p + q + r,
        "terms": f"{p} \\cdot {a} + {q} \\cdot {b} + {r} \\cdot {c}", "sum": total, "answer": total // 2,
        "wrong": total,
    }  # fmt: skip


def graph_planar(d: Draw) -> Facts:
    """Euler's formula."""
    v = d.num(8, 40)
    f = d.num((v + 1) // 2 + 2, 2 * v - 4)  # What a convex polyhedron allows.
    return {"v": v, "f": f, "answer": v + f - 2}


def graph_tree(d: Draw) -> Facts:
    """The leaves of a tree from the degrees of the other vertices."""
    a, b = d.num(2, 9), d.num(2, 7)
    k = d.num(4, 7)
    return {"a": a, "b": b, "k": k, "answer": 2 + a + b * (k - 2), "inner": a + b}


def mean_missing(d: Draw) -> Facts:
    """The value that brings a mean to a goal."""
    n = d.num(4, 7)
    data = [d.num(40, 98) for _ in range(n)]
    goal = sum(data) // n + d.num(-4, 4)
    x = goal * (n + 1) - sum(data)
    while not 0 <= x <= 100:
        goal += 1 if x < 0 else -1
        x = goal * (n + 1) - sum(data)
    return {
        "n": n, "n1": n + 1, "list": listing(data), "sum": sum(data), "goal": goal, "need": goal * (n + 1),
        "answer": x,
    }  # fmt: skip


def mean_groups(d: Draw) -> Facts:
    """The mean of two groups together."""
    # Unequal groups with unequal means, or the plain mean would be right.
    (m, n), (a, b) = d.some(range(6, 31, 2), 2), d.some(range(50, 96), 2)
    total = m * a + n * b
    return {
        "m": m, "n": n, "a": a, "b": b, "ma": m * a, "nb": n * b, "total": total, "size": m + n,
        "answer": Rational(total, m + n), "wrong": Rational(a + b, 2),
    }  # fmt: skip


def median_list(d: Draw) -> Facts:
    """The median of a list."""
    n = d.num(7, 10)
    data = [d.num(10, 99) for _ in range(n)]
    s = sorted(data)
    mid = Rational(s[(n - 1) // 2] + s[n // 2], 2)
    return {
        "n": n, "list": listing(data), "sorted": listing(s), "#even": 1 - n % 2, "#even/n": 2, "u": s[(n - 1) // 2],
        "v": s[n // 2], "answer": mid, "wrong": Rational(sum(data), n),
    }  # fmt: skip


def spread_variance(d: Draw) -> Facts:
    """The variance of a short list."""
    mean, n = d.num(8, 60), d.pick([4, 5, 6])
    while True:
        dev = [d.num(-7, 7) for _ in range(n - 1)]
        dev.append(-sum(dev))
        if abs(dev[-1]) <= 8 and len(set(dev)) > 2:
            break
    data = [mean + x for x in dev]
    return {
        "n": n, "list": listing(data), "mean": mean, "dev": listing(dev),
        "squares": " + ".join(f"{x * x}" for x in dev), "sum": sum(x * x for x in dev),
        "answer": Rational(sum(x * x for x in dev), n),
    }  # fmt: skip


def spread_scaled(d: Draw) -> Facts:
    """Mean and standard deviation after a change of scale."""
    a, b, mean, sd = d.pick([-4, -3, -2, -1, 2, 3, 4, 5, 6]), d.num(-20, 40), d.num(5, 60), d.num(2, 15)
    return {
        "rule": poly(a, b), "mean": mean, "sd": sd, "a": a, "size": abs(a), "newmean": a * mean + b,
        "answer": abs(a) * sd, "wrong": a * sd + b,
    }  # fmt: skip


def score_standard(d: Draw) -> Facts:
    """A standard score, forwards or compared."""
    mean, sd, k = d.num(50, 120), d.num(2, 8), Rational(d.nonzero(-6, 6), 2)
    return {"mean": mean, "sd": 2 * sd, "x": mean + 2 * sd * k, "gap": 2 * sd * k, "answer": k}


def regression_line(d: Draw) -> Facts:
    """The slope of a least-squares line through few points."""
    xs = list(range(1, d.pick([4, 5]) + 1))
    m, c = d.nonzero(-4, 5), d.num(5, 30)
    noise = d.pick([(1, -2, 1), (-1, 2, -1), (2, -1, -1), (1, 1, -2), (-2, 1, 1)])
    ys = [m * x + c + 2 * e for x, e in zip(xs, (*noise, *([0] * (len(xs) - 3))), strict=True)]
    n = len(xs)
    xm, ym = Rational(sum(xs), n), Rational(sum(ys), n)
    sxy, sxx = sum((x - xm) * (y - ym) for x, y in zip(xs, ys, strict=True)), sum((x - xm) ** 2 for x in xs)
    return {
        "points": ", ".join(f"({x}, {y})" for x, y in zip(xs, ys, strict=True)), "n": n, "xm": xm, "ym": ym,
        "sxy": sxy, "sxx": sxx, "answer": sxy / sxx, "cut": tex(ym - sxy / sxx * xm), "_xy": (xs, ys),
    }  # fmt: skip


def sample_error(d: Draw) -> Facts:
    """The standard error of a mean, or the sample size for it."""
    sd, k = d.num(4, 30), d.num(3, 12)
    return {"sd": sd, "n": k * k, "k": k, "answer": Rational(sd, k), "wrong": Rational(sd, k * k), "root": sqrt(k * k)}


def telescoping_root(d: Draw) -> Facts:
    """A sum of reciprocals of sums of neighbouring roots."""
    low, high = d.num(1, 4), d.num(6, 20)
    a, b = low * low, high * high
    return {"a": a, "a1": a + 1, "b": b, "b0": b - 1, "low": low, "high": high, "answer": high - low}


def recurrence_stairs(d: Draw) -> Facts:
    """The ways to climb a number of steps by ones and twos, or ones and threes."""
    n, big = d.num(7, 12), d.pick([2, 3])
    ways = [1] * big
    while len(ways) <= n:
        ways.append(ways[-1] + ways[-big])
    return {"n": n, "big": big, "#b": big - 2, "#b/n": 2, "list": ", ".join(map(str, ways[1:])), "answer": ways[n]}


KINDS: dict[str, tuple[Form, ...]] = forms(
    arithmetic_sequence=(arithmetic_term, arithmetic_sum, arithmetic_count),
    geometric_sequence=(geometric_term, geometric_series, geometric_bounce),
    recurrence=(recurrence_second, recurrence_first, recurrence_stairs),
    telescoping_sum=(telescoping, telescoping_root),
    sets=(sets_two, sets_three, sets_subsets),
    logic=(logic_table, logic_equations),
    graph=(graph_edges, graph_planar, graph_tree),
    average=(mean_missing, mean_groups, median_list),
    spread=(spread_variance, spread_scaled, score_standard),
    regression=(regression_line, sample_error),
)
