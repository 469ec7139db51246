"""Linear algebra and complex numbers: the printed matrices and numbers, computed by sympy."""

import re

import sympy

from answer_checks.reading import complex_of, k, numbers, read, sides, t, x, y

CHECKS = {
    "determinant_three": lambda f: sympy.Matrix(f["_m"]).det(method="berkowitz") == f["answer"],
    "matrix_inverse": lambda f: sympy.Matrix(f["_m"]).inv() == read(f["answer"]),
    "matrix_product": lambda f: sympy.Matrix(f["_mn"][0]) * sympy.Matrix(f["_mn"][1]) == read(f["answer"]),
    "matrix_power": lambda f: sympy.Matrix(f["_m"][0]) ** f["_m"][1] == read(f["answer"]),
    "eigen_two": lambda f: max(read(f["m"]).eigenvals()) == f["answer"],
    "complex_power": lambda f: (
        sympy.expand(sympy.sympify(re.sub(r"(\d*)i", r"\1*I", f["z"]).replace(" *I", " 1*I")) ** f["n"]) == f["answer"]
    ),
    "eigen_parameter": lambda f: (
        sympy.Matrix([[f["answer"] - f["t"], f["_e"][0]], [f["_e"][1], f["_e"][2] - f["t"]]]).det() == 0
    ),
    "determinant_two": lambda f: (
        abs(read(f["m"]).det()) == f["answer"] == abs(sympy.Matrix([numbers(f["u"]), numbers(f["v"])]).det())
    ),
    "determinant_parameter": lambda f: sympy.solve(read(f["m"]).det(), k) == [f["answer"]],
    "vector_angle": lambda f: (
        sympy.solve(sympy.Matrix(sympy.sympify(f["u"])).dot(sympy.Matrix(sympy.sympify(f["v"]))), k) == [f["answer"]]
    ),
    "vector_cross": lambda f: sympy.Matrix(numbers(f["u"])).cross(sympy.Matrix(numbers(f["v"]))).norm() == f["answer"],
    "vector_projection": lambda f: (
        sympy.Line((0, 0), numbers(f["dir"])).projection(sympy.Point(numbers(f["p"])))
        == sympy.Point(numbers(f["answer"]))
    ),
    "eigen_trace": lambda f: (read(f["m"]) ** 2).trace() == f["answer"],
    "rank_parameter": lambda f: (
        sympy.solve(sympy.resultant(sides(f["first"]), sides(f["second"]), x), t) == [f["answer"]]
        and sides(f["second"]).subs(t, f["answer"]).equals(f["k"] * sides(f["first"]))
    ),
    "rank_unique": lambda f: (
        sympy.solve(sympy.Matrix([sides(f["first"]), sides(f["second"])]).jacobian([x, y]).det(), k) == [f["answer"]]
    ),
    "complex_product": lambda f: sympy.expand(complex_of(f["answer"]) * complex_of(f["w"]) - complex_of(f["z"])) == 0,
    "complex_modulus": lambda f: (
        sympy.Abs(sympy.expand(complex_of(f["z"]) ** f["n"])) / sympy.Abs(complex_of(f["w"])) == f["answer"]
    ),
    "complex_equation": lambda f: (
        sympy.expand(sides(f["eq"]).subs("z", complex_of(f["answer"]))) == 0 < sympy.im(complex_of(f["answer"]))
    ),
}
