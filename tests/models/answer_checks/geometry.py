"""Geometry: by coordinates, integrals and floating-point trigonometry."""

import math

import sympy
from sympy import Rational, pi

from answer_checks.reading import sides, x, y

CHECKS = {
    "triangle_heron": lambda f: math.isclose(abs(sympy.Triangle(sss=f["_sides"]).area.evalf(12)), f["answer"]),
    "triangle_cosines": lambda f: math.isclose(
        float(f["answer"]) ** 2, f["a"] ** 2 + f["b"] ** 2 - 2 * f["a"] * f["b"] * math.cos(math.radians(f["angle"]))
    ),
    "line_area": lambda f: abs(sympy.Polygon(*f["_pqr"]).area) == f["answer"],
    "lattice_gcd": lambda f: f["answer"] == f["a"] + f["b"] - math.gcd(f["a"], f["b"]),
    "trig_double": lambda f: math.isclose(
        float(f["answer"]), (math.sin if f["#w"] else math.cos)(2 * math.asin(float(f["sin"]))), abs_tol=1e-9
    ),
    "pythagoras_ladder": lambda f: math.hypot(f["a"], f["answer"]) == f["c"],
    "pythagoras_box": lambda f: math.isclose(math.dist((0, 0, 0), (f["a"], f["b"], f["c"])), f["answer"]),
    "triangle_inradius": lambda f: math.isclose(
        sympy.Triangle(sss=f["_sides"]).inradius.evalf(15), f["answer"], rel_tol=1e-9
    ),
    "triangle_angles": lambda f: (
        (solution := sympy.solve(x + f["k"] * x + x + f["e"] - 180, x)[0]) > 0
        and max(solution, f["k"] * solution, solution + f["e"]) == f["answer"]
    ),
    "similar_shadow": lambda f: Rational(f["answer"], f["long"]) == Rational(f["stick"], f["s"]),
    "solid_scale": lambda f: math.isclose((f["answer"] / f["small"]) ** (1 / 3), f["q"] / f["p"]),
    "circle_sector": lambda f: (
        sympy.integrate(pi * f["angle"] / 180 * (1 if f["#arc"] else x), (x, 0, 1 if f["#arc"] else f["r"]))
        * (f["r"] if f["#arc"] else 1)
        == f["answer"]
    ),
    "circle_chord": lambda f: (
        sympy.solve(x**2 + f["dist"] ** 2 - f["r"] ** 2) == [-Rational(f["answer"], 2), Rational(f["answer"], 2)]
    ),
    "circle_ring": lambda f: sympy.integrate(2 * pi * x, (x, f["r"], f["r"] + f["w"])) == f["answer"],
    "polygon_angles": lambda f: [n for n in range(3, 99) if 180 * (n - 2) == f["inner"] * n] == [f["answer"]],
    "polygon_trapezoid": lambda f: (
        (height := math.sqrt(f["leg"] ** 2 - ((f["base"] - f["top"]) / 2) ** 2))
        and math.isclose(
            float(abs(sympy.Polygon((0, 0), (f["base"], 0), (f["x"] + f["top"], height), (f["x"], height)).area)),
            f["answer"],
        )
    ),
    "polygon_diagonals": lambda f: (
        sum(j - i not in (1, f["answer"] - 1) for i in range(f["answer"]) for j in range(i + 1, f["answer"])) == f["d"]
    ),
    "solid_cone": lambda f: (
        sympy.integrate(
            pi * (f["r"] * x / sympy.sqrt(f["s"] ** 2 - f["r"] ** 2)) ** 2,
            (x, 0, sympy.sqrt(f["s"] ** 2 - f["r"] ** 2)),
        )
        == f["answer"]
    ),
    "solid_water": lambda f: sympy.integrate(f["r"] ** 2 - x**2, (x, -f["r"], f["r"])) == f["answer"] * f["tank"] ** 2,
    "line_distance": lambda f: sympy.Line(sides(f["line"])).distance(sympy.Point(f["x"], f["y"])) == f["answer"],
    "line_circle": lambda f: all(
        sides(f["eq"]).subs({x: f["a"] + f["answer"] * u, y: f["b"] + f["answer"] * v}) == 0
        for u, v in ((1, 0), (-1, 0), (0, 1), (Rational(3, 5), Rational(-4, 5)))
    ),
    "trig_value": lambda f: math.isclose(
        getattr(math, f["f"][1:])(math.radians(f["angle"])), float(f["answer"]), abs_tol=1e-9
    ),
    "trig_identity": lambda f: any(
        math.isclose(math.sin(angle), float(f["sin"]), abs_tol=1e-9)
        and math.isclose(math.tan(angle), float(f["answer"]), abs_tol=1e-9)
        for base in [math.asin(float(f["sin"]))]
        for angle in (base, math.pi - base)
        if angle % (2 * math.pi) // (math.pi / 2) == f["q"] - 1
    ),
    "trig_equation": lambda f: (
        sum(
            angle
            for angle in range(360)
            if math.isclose(f["k"] * getattr(math, f["f"][1:])(math.radians(angle)), float(f["rhs"]), abs_tol=1e-9)
        )
        == f["answer"]
    ),
    "trig_height": lambda f: math.isclose(
        float(f["answer"]) / math.tan(math.radians(30)) - float(f["answer"]) / math.tan(math.radians(60)), f["base"]
    ),
}
