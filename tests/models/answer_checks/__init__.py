"""A second way to every answer of the embedded teacher, by branch.

A check takes the facts of a draw and returns whether the answer also comes out by another method than the form's own:
counting, simulating, substituting back, or asking sympy to solve the problem as it is printed.
"""

from answer_checks import arithmetic, calculus, counting, discrete, equations, functions, geometry, integers, linear

CHECKS = {
    name: check
    for branch in (arithmetic, equations, functions, integers, counting, geometry, calculus, linear, discrete)
    for name, check in branch.CHECKS.items()
}
