"""Geometry and trigonometry."""

from __future__ import annotations

from math import gcd, isqrt

from sympy import Rational, cos, pi, sin, sqrt, tan

from curate.models.procedural.grammar import Draw, Facts, Form, forms
from curate.models.procedural.maths.common import paren, plus, signed

_TRIPLES = ((3, 4, 5), (5, 12, 13), (8, 15, 17), (7, 24, 25), (20, 21, 29), (9, 40, 41), (12, 35, 37), (11, 60, 61))
# Sides and area of triangles, edges and diagonal of boxes, all integers.
_HERONIAN = (
    (13, 14, 15, 84), (5, 5, 6, 12), (5, 5, 8, 12), (10, 13, 13, 60), (7, 15, 20, 42), (9, 10, 17, 36), (8, 29, 35, 84),
    (4, 13, 15, 24), (11, 13, 20, 66), (12, 17, 25, 90), (13, 20, 21, 126), (17, 25, 28, 210), (15, 26, 37, 156),
)  # fmt: skip
_BOXES = (
    (1, 2, 2, 3), (2, 3, 6, 7), (1, 4, 8, 9), (4, 4, 7, 9), (2, 6, 9, 11), (6, 6, 7, 11), (3, 4, 12, 13),
    (2, 5, 14, 15), (2, 10, 11, 15), (1, 12, 12, 17), (8, 9, 12, 17), (1, 6, 18, 19), (6, 10, 15, 19),
)  # fmt: skip
_CIRCLE_VALUES = {
    "sin": {
        "1/2": (30, 150),
        "-1/2": (210, 330),
        "s3": (60, 120),
        "s2": (45, 135),
        "-s2": (225, 315),
        "-s3": (240, 300),
    },
    "cos": {
        "1/2": (60, 300),
        "-1/2": (120, 240),
        "s3": (30, 330),
        "s2": (45, 315),
        "-s2": (135, 225),
        "-s3": (150, 210),
    },
}


def pythagoras_ladder(d: Draw) -> Facts:
    """A leg of a right triangle."""
    (a, b, c), k = d.pick(_TRIPLES), d.num(1, 4)
    a, b, c = (a * k, b * k, c * k) if d.pick([0, 1]) else (b * k, a * k, c * k)
    return {"a": a, "c": c, "cc": c * c, "aa": a * a, "bb": b * b, "answer": b, "wrong": c - a}


def pythagoras_box(d: Draw) -> Facts:
    """The diagonal of a box with integer sides."""
    a, b, c, e = d.pick(_BOXES)
    k = d.num(1, 4)
    a, b, c = d.some([a * k, b * k, c * k], 3)
    return {
        "a": a, "b": b, "c": c, "sum": (e * k) ** 2, "squares": f"{a * a} + {b * b} + {c * c}", "answer": e * k,
        "wrong": a + b + c,
    }  # fmt: skip


def triangle_heron(d: Draw) -> Facts:
    """The area of a triangle from its sides."""
    (a, b, c, area), k = d.pick(_HERONIAN), d.num(1, 3)
    a, b, c, area = a * k, b * k, c * k, area * k * k
    s = Rational(a + b + c, 2)
    return {
        "a": a, "b": b, "c": c, "s": s, "sa": s - a, "sb": s - b, "sc": s - c,
        "product": s * (s - a) * (s - b) * (s - c), "answer": area, "_sides": (a, b, c),
    }  # fmt: skip


def triangle_inradius(d: Draw) -> Facts:
    """The radius of the inscribed circle of a triangle with known sides."""
    (a, b, c, area), k = d.pick(_HERONIAN), d.num(1, 3)
    a, b, c, area = a * k, b * k, c * k, area * k * k
    s = Rational(a + b + c, 2)
    product = rf"{s} \cdot {s - a} \cdot {s - b} \cdot {s - c}"
    return {"a": a, "b": b, "c": c, "s": s, "product": product, "area": area, "answer": area / s, "_sides": (a, b, c)}


def triangle_cosines(d: Draw) -> Facts:
    """The third side from two sides and an angle of 60 or 120 degrees."""
    a, b = d.num(3, 20), d.num(3, 20)
    angle = d.pick([60, 120])
    sign = -1 if angle == 60 else 1
    value = a * a + b * b + sign * a * b
    return {
        "a": a, "b": b, "angle": angle, "cos": Rational(-sign, 2), "aa": a * a, "bb": b * b,
        "ab": f"{'-' if sign < 0 else '+'} {a * b}", "value": value, "answer": sqrt(value), "_v": value,
    }  # fmt: skip


def triangle_angles(d: Draw) -> Facts:
    """The angles of a triangle from their relations."""
    k, e = d.num(2, 4), d.num(5, 40)
    x = Rational(180 - e, k + 2)
    while x.q != 1 or k * x == x + e:
        e += 1
        x = Rational(180 - e, k + 2)
    return {
        "k": k, "e": e, "sum": k + 2, "left": 180 - e, "x": x, "kx": k * x, "xe": x + e, "answer": max(k * x, x + e),
    }  # fmt: skip


def circle_sector(d: Draw) -> Facts:
    """The area of a sector, or the length of its arc."""
    r, angle = d.num(3, 24), d.pick([20, 30, 36, 40, 45, 60, 72, 80, 90, 120, 135, 150, 160, 200, 210, 240, 270, 300])
    part, arc = Rational(angle, 360), d.pick([0, 1])
    whole = 2 * pi * r if arc else pi * r * r
    return {"r": r, "angle": angle, "part": part, "whole": whole, "#arc": arc, "#arc/n": 2, "answer": part * whole}


def circle_chord(d: Draw) -> Facts:
    """A chord from its distance to the centre."""
    (a, b, c), k = d.pick(_TRIPLES[:6]), d.num(1, 4)
    a, b = d.pick([(a, b), (b, a)])
    return {
        "r": c * k, "dist": a * k, "half": b * k, "rr": (c * k) ** 2, "dd": (a * k) ** 2, "hh": (b * k) ** 2,
        "answer": 2 * b * k, "wrong": b * k,
    }  # fmt: skip


def circle_ring(d: Draw) -> Facts:
    """The area between two circles with one centre."""
    r, w = d.num(3, 20), d.num(1, 8)
    return {
        "r": r, "w": w, "outer": r + w, "oo": (r + w) ** 2, "rr": r * r, "answer": ((r + w) ** 2 - r * r) * pi,
        "wrong": w * w * pi,
    }  # fmt: skip


def polygon_angles(d: Draw) -> Facts:
    """The number of sides of a regular polygon from its angle."""
    n = d.pick([5, 6, 8, 9, 10, 12, 15, 18, 20, 24, 30, 36, 40, 45, 60, 72])
    inner = 180 - 360 // n
    return {"inner": inner, "outer": 360 // n, "answer": n}


def polygon_trapezoid(d: Draw) -> Facts:
    """The area of an isosceles trapezoid from its sides."""
    (x, h, leg), k = d.pick([t for p, q, r in _TRIPLES[:5] for t in ((p, q, r), (q, p, r))]), d.num(1, 3)
    x, h, leg, top = x * k, h * k, leg * k, d.num(3, 25)
    return {
        "top": top, "base": top + 2 * x, "leg": leg, "x": x, "h": h, "twice": 2 * x, "sum": 2 * top + 2 * x,
        "hh": h * h, "answer": (top + x) * h,
    }  # fmt: skip


def polygon_diagonals(d: Draw) -> Facts:
    """The number of sides from the number of diagonals."""
    n = d.num(7, 30)
    return {"d": n * (n - 3) // 2, "twice": n * (n - 3), "answer": n, "less": n - 3, "other": 3 - n}


def solid_cone(d: Draw) -> Facts:
    """The volume of a cone from its slant height."""
    (a, b, c), k = d.pick(_TRIPLES[:5]), d.num(1, 3)
    r, h, s = d.pick([(a * k, b * k, c * k), (b * k, a * k, c * k)])
    return {
        "r": r, "s": s, "h": h, "ss": s * s, "rr": r * r, "hh": h * h, "answer": Rational(r * r * h, 3) * pi,
        "wrong": r * r * h * pi,
    }  # fmt: skip


def solid_water(d: Draw) -> Facts:
    """How far a cylinder of water rises when a ball sinks in."""
    r = d.num(2, 9)
    tank = r * d.num(2, 5)
    return {
        "r": r, "tank": tank, "ball": Rational(4 * r**3, 3), "base": tank**2,
        "answer": Rational(4 * r**3, 3 * tank**2),
    }  # fmt: skip


def solid_scale(d: Draw) -> Facts:
    """Surfaces and volumes of similar bodies."""
    p, q = d.pick([(2, 3), (3, 4), (1, 3), (2, 5), (3, 5), (1, 2), (4, 5), (1, 4)])
    small = p**3 * d.num(2, 20)
    return {"p": p, "q": q, "small": small, "ratio": Rational(q, p), "cube": Rational(q**3, p**3),
            "answer": small // p**3 * q**3, "wrong": Rational(small * q, p)}  # fmt: skip


def line_distance(d: Draw) -> Facts:
    """The distance of a point from a line."""
    (a, b, c), sign = d.pick(_TRIPLES[:4]), d.pick([1, -1])
    b *= sign
    x, y, t = d.num(-6, 9), d.num(-6, 9), d.num(1, 6)
    e = t * c * d.pick([1, -1]) - a * x - b * y
    value = a * x + b * y + e
    return {
        "line": f"{a}x {plus(b, 'y')}{' ' + signed(e) if e else ''} = 0", "x": x, "y": y, "value": value,
        "size": abs(value), "c": c, "put": f"{a} \\cdot {paren(x)} {signed(b)} \\cdot {paren(y)} {signed(e)}",
        "aa": a * a, "bb": b * b, "answer": Rational(abs(value), c),
    }  # fmt: skip


def line_area(d: Draw) -> Facts:
    """The area of a triangle from its corners."""
    while True:
        p, q, r = ((d.num(-6, 9), d.num(-6, 9)) for _ in range(3))
        double = (q[0] - p[0]) * (r[1] - p[1]) - (r[0] - p[0]) * (q[1] - p[1])
        if abs(double) > 5:
            break
    u, v = (q[0] - p[0], q[1] - p[1]), (r[0] - p[0], r[1] - p[1])
    det = f"{paren(u[0])} \\cdot {paren(v[1])} - {paren(v[0])} \\cdot {paren(u[1])}"
    corners = {name: str(place) for name, place in zip("pqruv", (p, q, r, u, v), strict=True)}
    answer = Rational(abs(double), 2)
    return {**corners, "det": det, "double": double, "answer": answer, "wrong": abs(double), "_pqr": (p, q, r)}


def line_circle(d: Draw) -> Facts:
    """Centre and radius of a circle from its general equation."""
    a, b, r = d.nonzero(-8, 9), d.nonzero(-8, 9), d.num(2, 12)
    c = a * a + b * b - r * r
    return {
        "eq": f"x^2 + y^2 {plus(-2 * a, 'x')} {plus(-2 * b, 'y')}{' ' + signed(c) if c else ''} = 0", "a": a, "b": b,
        "rr": r * r, "square": f"(x {signed(-a)})^2 + (y {signed(-b)})^2 = {r * r}", "answer": r, "wrong": r * r,
    }  # fmt: skip


def trig_value(d: Draw) -> Facts:
    """The exact value of a function at a special angle outside the first quadrant."""
    f, name = d.pick([(sin, r"\sin"), (cos, r"\cos"), (tan, r"\tan")])
    angle = d.pick(
        [120, 135, 150, 210, 225, 240, 300, 315, 330, 390, 405, 420, 480, 495, 510, 570, 585, 600, 660, 675, 690]
    )
    base = angle % 360
    ref = min(base % 180, 180 - base % 180)
    value = f(pi * angle / 180)
    return {"f": name, "angle": angle, "base": base, "ref": ref, "quadrant": base // 90 + 1, "acute": f(pi * ref / 180),
            "#sign": int(bool(value < 0)), "#sign/n": 2, "answer": value, "wrong": -value}  # fmt: skip


def trig_identity(d: Draw) -> Facts:
    """One function from another and the quadrant."""
    (a, b, c), q = d.pick(_TRIPLES), d.pick([1, 2, 3, 4])
    a, b = d.pick([(a, b), (b, a)])
    s = Rational(a, c) * (1 if q < 3 else -1)
    k = Rational(b, c) * (1 if q in (1, 4) else -1)
    return {
        "sin": s, "q": q, "cos": k, "ss": s * s, "kk": k * k, "#sign": int(bool(k < 0)), "#sign/n": 2,
        "answer": s / k, "wrong": -s / k,
    }  # fmt: skip


def trig_double(d: Draw) -> Facts:
    """The functions of a doubled angle."""
    (a, b, c), which = d.pick(_TRIPLES), d.pick([0, 1])
    a, b = d.pick([(a, b), (b, a)])
    s, k = Rational(a, c), Rational(b, c)
    value = 2 * s * k if which else 1 - 2 * s * s
    return {"sin": s, "cos": k, "#w": which, "#w/n": 2, "answer": value, "wrong": 2 * s if which else 2 * k}


def trig_equation(d: Draw) -> Facts:
    """The sum of the solutions of a trigonometric equation in one turn."""
    f = d.pick(sorted(_CIRCLE_VALUES))
    table = _CIRCLE_VALUES[f]
    key = d.pick(sorted(table))
    value = {
        "1/2": Rational(1, 2),
        "-1/2": Rational(-1, 2),
        "s3": sqrt(3) / 2,
        "s2": sqrt(2) / 2,
        "-s2": -sqrt(2) / 2,
        "-s3": -sqrt(3) / 2,
    }[key]
    k = d.pick([2, 4, 6])
    one, two = table[key]
    return {
        "f": "\\" + f, "value": value, "k": k, "rhs": k * value, "one": one, "two": two, "answer": one + two,
        "wrong": one,
    }  # fmt: skip


def trig_height(d: Draw) -> Facts:
    """The height of a tower from two angles."""
    base = 2 * d.num(8, 60)
    return {"base": base, "half": base // 2, "answer": base // 2 * sqrt(3), "dist": base // 2}


def similar_shadow(d: Draw) -> Facts:
    """A height from shadows."""
    p, q = d.pick([(2, 3), (3, 4), (3, 2), (4, 5), (5, 4), (5, 8), (6, 5), (3, 5), (5, 6), (8, 5)])
    stick, tall = d.num(1, 3), d.num(4, 15)
    stick, k = p * stick, tall
    shadow = stick * q // p
    return {"stick": stick, "s": shadow, "long": shadow * k, "k": k, "answer": stick * k}


def lattice_gcd(d: Draw) -> Facts:
    """How many unit squares a diagonal crosses."""
    g, (u, v) = d.num(2, 12), d.pick([(2, 3), (3, 4), (3, 5), (4, 7), (5, 8), (5, 6), (2, 7), (4, 9), (3, 8), (5, 7)])
    a, b = g * u, g * v
    return {"a": a, "b": b, "g": gcd(a, b), "answer": a + b - gcd(a, b), "wrong": a + b - 1, "root": isqrt(a)}


KINDS: dict[str, tuple[Form, ...]] = forms(
    pythagoras=(pythagoras_ladder, pythagoras_box),
    triangle=(triangle_heron, triangle_inradius, triangle_cosines, triangle_angles),
    similarity=(similar_shadow, solid_scale),
    circle=(circle_sector, circle_chord, circle_ring),
    polygon=(polygon_angles, polygon_trapezoid, polygon_diagonals, lattice_gcd),
    solid=(solid_cone, solid_water),
    coordinates=(line_distance, line_area, line_circle),
    trigonometry=(trig_value, trig_identity, trig_double, trig_equation, trig_height),
)
