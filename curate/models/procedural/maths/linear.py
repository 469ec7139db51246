"""Linear algebra and complex numbers."""

from __future__ import annotations

from sympy import Matrix, Rational, sqrt

from curate.models.procedural.grammar import Draw, Facts, Form, forms, tex
from curate.models.procedural.maths.common import matrix, paren, plus, poly, rows, signed


def _entries(d: Draw, n: int, low: int = -5, high: int = 6) -> list[list[int]]:
    return [[d.num(low, high) for _ in range(n)] for _ in range(n)]


def determinant_two(d: Draw) -> Facts:
    """A 2x2 determinant as an area."""
    m = _entries(d, 2, -7, 9)
    while m[0][0] * m[1][1] == m[0][1] * m[1][0]:
        m = _entries(d, 2, -7, 9)
    det = m[0][0] * m[1][1] - m[0][1] * m[1][0]
    return {
        "u": f"({m[0][0]}, {m[0][1]})", "v": f"({m[1][0]}, {m[1][1]})", "m": matrix(m), "det": det,
        "terms": f"{paren(m[0][0])} \\cdot {paren(m[1][1])} - {paren(m[0][1])} \\cdot {paren(m[1][0])}",
        "answer": abs(det),
    }  # fmt: skip


def determinant_three(d: Draw) -> Facts:
    """A 3x3 determinant along the first row."""
    m = _entries(d, 3)
    a, b, c = m[0]
    minors = [
        m[1][1] * m[2][2] - m[1][2] * m[2][1],
        m[1][0] * m[2][2] - m[1][2] * m[2][0],
        m[1][0] * m[2][1] - m[1][1] * m[2][0],
    ]
    p, q, r = minors
    terms = f"{paren(a)} \\cdot {paren(p)} - {paren(b)} \\cdot {paren(q)} + {paren(c)} \\cdot {paren(r)}"
    return {"m": matrix(m), "p": p, "q": q, "r": r, "answer": Matrix(m).det(), "terms": terms, "_m": m}


def determinant_parameter(d: Draw) -> Facts:
    """The value that makes a matrix singular."""
    b, c, e = d.nonzero(-6, 7), d.nonzero(-6, 7), d.nonzero(-5, 5)
    return {
        "m": matrix([["k", b], [c, e]]), "e": e, "b": b, "c": c, "bc": b * c, "ke": poly(e, 0, var="k"),
        "answer": Rational(b * c, e),
    }  # fmt: skip


def matrix_product(d: Draw) -> Facts:
    """The product of two 2x2 matrices."""
    m, n = _entries(d, 2, -4, 6), _entries(d, 2, -4, 6)
    p = [[sum(m[i][k] * n[k][j] for k in range(2)) for j in range(2)] for i in range(2)]
    cells = [
        f"{paren(m[i][0])} \\cdot {paren(n[0][j])} + {paren(m[i][1])} \\cdot {paren(n[1][j])} &= {p[i][j]}"
        for i in range(2)
        for j in range(2)
    ]
    return {"m": matrix(m), "n": matrix(n), "rows": rows(cells), "answer": matrix(p), "_mn": (m, n)}


def matrix_inverse(d: Draw) -> Facts:
    """The inverse of a 2x2 matrix with determinant 1, -1 or 2."""
    while True:
        m = _entries(d, 2, -5, 7)
        det = m[0][0] * m[1][1] - m[0][1] * m[1][0]
        if det in (1, -1, 2, -2) and all(any(row) for row in m):
            break
    adj = [[m[1][1], -m[0][1]], [-m[1][0], m[0][0]]]
    inverse = [[Rational(x, det) for x in row] for row in adj]
    return {"m": matrix(m), "det": det, "adj": matrix(adj), "answer": matrix(inverse), "_m": m}


def matrix_power(d: Draw) -> Facts:
    """A high power of a shear."""
    k, n, low = d.nonzero(-6, 8), d.num(6, 60), d.pick([0, 1])
    m = [[1, 0], [k, 1]] if low else [[1, k], [0, 1]]
    p = [[1, 0], [n * k, 1]] if low else [[1, n * k], [0, 1]]
    two = [[1, 0], [2 * k, 1]] if low else [[1, 2 * k], [0, 1]]
    return {"m": matrix(m), "n": n, "k": k, "two": matrix(two), "nk": n * k, "answer": matrix(p), "_m": (m, n)}


def vector_angle(d: Draw) -> Facts:
    """The dot product, or what makes two vectors orthogonal."""
    u = [d.nonzero(-5, 6) for _ in range(3)]
    v = [d.nonzero(-6, 6), d.nonzero(-6, 6)]
    k = Rational(-(u[0] * v[0] + u[1] * v[1]), u[2])
    return {
        "u": f"({u[0]}, {u[1]}, {u[2]})", "v": f"({v[0]}, {v[1]}, k)", "known": u[0] * v[0] + u[1] * v[1], "c": u[2],
        "kc": poly(u[2], 0, var="k"), "answer": k,
        "terms": f"{paren(u[0])} \\cdot {paren(v[0])} + {paren(u[1])} \\cdot {paren(v[1])} + {paren(u[2])} k",
    }  # fmt: skip


def vector_cross(d: Draw) -> Facts:
    """The area of a parallelogram in space."""
    while True:
        u, v = [d.num(-4, 5) for _ in range(3)], [d.num(-4, 5) for _ in range(3)]
        w = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
        if all(w):
            break
    size = sum(x * x for x in w)
    name = ("u", "v", "w")
    return {k: str(tuple(x)) for k, x in zip(name, (u, v, w), strict=True)} | {
        "squares": " + ".join(f"{paren(x)}^2" for x in w), "size": size, "answer": sqrt(size)}  # fmt: skip


def vector_projection(d: Draw) -> Facts:
    """The foot of a perpendicular on a line through the origin."""
    (a, b), t, s = (
        d.pick([(1, 2), (2, 1), (3, 1), (1, 3), (2, 3), (3, 2), (1, -2), (2, -1), (3, -2)]),
        d.nonzero(-4, 5),
        d.nonzero(-4, 4),
    )
    x, y = a * t - b * s, b * t + a * s
    return {
        "dir": f"({a}, {b})", "p": f"({x}, {y})", "dot": a * x + b * y, "norm": a * a + b * b, "t": t,
        "terms": f"{paren(x)} \\cdot {paren(a)} + {paren(y)} \\cdot {paren(b)}", "answer": f"({a * t}, {b * t})",
    }  # fmt: skip


def eigen_two(d: Draw) -> Facts:
    """The larger eigenvalue of a 2x2 matrix."""
    r, s = sorted(d.some(range(-6, 9), 2))
    a = d.num(-6, 8)
    while a in (r, s):
        a += 1
    e = r + s - a
    bc = a * e - r * s
    b = next(k for k in (2, 3, 5, 1) if bc % k == 0)
    return {
        "m": matrix([[a, b], [bc // b, e]]), "trace": r + s, "det": r * s,
        "char": f"{poly(1, -r - s, r * s, var=chr(92) + 'lambda ')} = 0", "r": r, "s": s, "answer": s, "wrong": r,
    }  # fmt: skip


def eigen_trace(d: Draw) -> Facts:
    """The missing eigenvalue from the trace."""
    m = _entries(d, 3, -4, 6)
    # Upper triangular: the eigenvalues stand on the diagonal.
    m[1][0] = m[2][0] = m[2][1] = 0
    m[0][0], m[1][1], m[2][2] = d.some(range(-5, 7), 3)
    vals = [m[i][i] for i in range(3)]
    return {
        "m": matrix(m), "vals": ", ".join(map(str, vals)), "sq": " + ".join(f"{paren(v)}^2" for v in vals),
        "answer": sum(v * v for v in vals), "trace": sum(vals),
    }  # fmt: skip


def rank_parameter(d: Draw) -> Facts:
    """The right side for which a singular system is solvable."""
    a, b, k, c = d.nonzero(-5, 6), d.nonzero(-6, 6), d.num(2, 5), d.nonzero(-8, 9)
    return {
        "first": f"{poly(a, 0)} {plus(b, 'y')} = {c}", "second": f"{poly(k * a, 0)} {plus(k * b, 'y')} = t", "k": k,
        "c": c, "answer": k * c,
    }  # fmt: skip


def complex_product(d: Draw) -> Facts:
    """The quotient of two complex numbers."""
    (a, b), (c, e) = (d.nonzero(-6, 7), d.nonzero(-6, 7)), (d.nonzero(-4, 5), d.nonzero(-4, 5))
    x, y, n = a * c + b * e, b * c - a * e, c * c + e * e
    p, q = Rational(x, n), Rational(y, n)
    return {
        "z": f"{a} {_i(b)}", "w": f"{c} {_i(e)}", "bar": f"{c} {_i(-e)}", "top": f"{x} {_i(y)}" if y else str(x),
        "n": n, "answer": f"{_real(p)}{' ' if p and q else ''}{_i(q, not p)}" if p or q else "0", "_pq": (p, q),
    }  # fmt: skip


def _real(p: Rational) -> str:
    return tex(p) if p else ""


def _i(b: Rational, alone: bool = False) -> str:
    """Return an imaginary part as a further term (or alone); empty for zero."""
    if not b:
        return ""
    size = "" if abs(b) == 1 else tex(abs(b))
    return (f"{'-' if b < 0 else ''}{size}i") if alone else f"{'-' if b < 0 else '+'} {size}i"


def complex_power(d: Draw) -> Facts:
    """A power of 1 + i and its relatives."""
    a, sign, k = d.num(1, 3), d.pick([1, -1]), d.num(2, 5)
    n = 4 * k
    value = (-4) ** k * a**n
    return {
        "z": f"{a if a > 1 else 1} {'+' if sign > 0 else '-'} {a if a > 1 else ''}i", "n": n, "k": k,
        "square": f"{'-' if sign < 0 else ''}{2 * a * a}i", "fourth": -4 * a**4, "answer": value, "half": n // 2,
        "wrong": -value,
    }  # fmt: skip


def complex_modulus(d: Draw) -> Facts:
    """The modulus of a product or quotient of numbers with integer modulus."""
    table = (
        (3, 4, 5),
        (5, 12, 13),
        (8, 15, 17),
        (6, 8, 10),
        (7, 24, 25),
        (4, 3, 5),
        (12, 5, 13),
        (15, 8, 17),
        (8, 6, 10),
    )
    (a, b, r), (c, e, s) = d.some(table, 2)
    sb, se, n = d.pick([1, -1]), d.pick([1, -1]), d.num(2, 3)
    return {
        "z": f"{a} {_i(sb * b)}", "w": f"{c} {_i(se * e)}", "r": r, "s": s, "n": n, "rn": r**n,
        "answer": Rational(r**n, s),
    }  # fmt: skip


def complex_equation(d: Draw) -> Facts:
    """A quadratic with complex roots; the one above the real axis."""
    a, b = d.nonzero(-7, 8), d.num(1, 9)
    return {
        "eq": f"{poly(1, -2 * a, a * a + b * b, var='z')} = 0", "a": a, "bb": b * b,
        "sq": f"(z {signed(-a)})^2 = -{b * b}", "b": b, "answer": f"{a} {_i(b)}",
    }  # fmt: skip


def eigen_parameter(d: Draw) -> Facts:
    """The entry that makes a number an eigenvalue."""
    t, b, c = d.num(-4, 6), d.nonzero(-5, 6), d.nonzero(-5, 6)
    e = t + d.nonzero(-4, 4)
    return {"m": matrix([["k", b], [c, e]]), "t": t, "gap": e - t, "bc": b * c,
            "answer": t + Rational(b * c, e - t), "_e": (b, c, e)}  # fmt: skip


def rank_unique(d: Draw) -> Facts:
    """The coefficient with which a system has not exactly one solution."""
    a, c, e = d.nonzero(-6, 7), d.nonzero(-5, 6), d.nonzero(-7, 7)
    p, q = d.nonzero(-9, 12), d.nonzero(-9, 12)
    return {
        "first": f"{poly(a, 0)} + ky = {p}", "second": f"{poly(c, 0)} {plus(e, 'y')} = {q}", "ae": a * e,
        "put": f"{paren(a)} \\cdot {paren(e)} - k \\cdot {paren(c)}", "ck": poly(c, 0, var="k"),
        "answer": Rational(a * e, c), "wrong": Rational(-a * e, c), "_e": (a, p, c, e, q),
    }  # fmt: skip


KINDS: dict[str, tuple[Form, ...]] = forms(
    determinant=(determinant_two, determinant_three, determinant_parameter),
    matrix=(matrix_product, matrix_inverse, matrix_power),
    vector=(vector_angle, vector_cross, vector_projection),
    eigenvalue=(eigen_two, eigen_trace, eigen_parameter),
    solvability=(rank_parameter, rank_unique),
    complex_number=(complex_product, complex_power, complex_modulus, complex_equation),
)
