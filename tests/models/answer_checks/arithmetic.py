"""Arithmetic: the percentages, speeds and interest put back into the question."""

from sympy import Rational, S

CHECKS = {
    "percent_chain": lambda f: Rational(f["base"]) * (100 + f["a"]) * (100 - f["b"]) / 10000 == Rational(f["answer"]),
    "ratio_share": lambda f: f["x"] + f["y"] + f["z"] == f["total"] and f["x"] * f["b"] == f["y"] * f["a"],
    "work_together": lambda f: f["answer"] / f["a"] + f["answer"] / f["b"] == 1,
    "work_joined": lambda f: Rational(f["alone"], f["a"]) + f["answer"] / f["a"] + f["answer"] / f["b"] == 1,
    "speed_average": lambda f: f["answer"] * (f["leg"] / S(f["v"]) + f["leg"] / S(f["w"])) == 2 * f["leg"],
    "speed_chase": lambda f: f["w"] * f["answer"] == f["lead"] + f["v"] * f["answer"],
    "interest_compound": lambda f: Rational(f["p"]) * (1 + Rational(f["r"], 100)) ** f["t"] == Rational(f["answer"]),
    "mixture": lambda f: f["high"] * f["answer"] + f["low"] * f["weak"] == f["goal"] * f["total"],
    "mixture_dilute": lambda f: f["p"] * f["v"] == f["q"] * (f["v"] + f["answer"]),
    "interest_principal": lambda f: f["answer"] * Rational(100 + f["r"], 100) ** 2 == Rational(f["end"]),
    "percent_part": lambda f: sum([Rational(f["base"], 100)] * f["p"]) == f["answer"] == f["base"] - f["rest"],
    "percent_base": lambda f: Rational(f["answer"]) - Rational(f["answer"]) * (100 - f["p"]) / 100 == f["part"],
    "percent_change": lambda f: f["old"] + Rational(f["old"], 100) * f["answer"] == f["new"],
    "ratio_difference": lambda f: (
        [s for s in range(f["gap"], 2000) if (s - f["gap"]) * f["b"] == (s + f["gap"]) * f["a"]] == [f["answer"]]
    ),
    "interest_simple": lambda f: (
        Rational(f["p"]) + sum(Rational(f["p"]) * Rational(f["r"]) / 100 for _ in range(f["t"]))
        == Rational(f["answer"])
    ),
    "interest_rate": lambda f: Rational(f["p"]) * (1 + Rational(f["answer"] * f["t"], 100)) == Rational(f["total"]),
    "interest_time": lambda f: (
        Rational(f["p"]) + sum(Rational(f["p"] * f["r"], 100) for _ in range(f["answer"])) == Rational(f["total"])
    ),
    "speed_meet": lambda f: f["dist"] - f["v"] * f["answer"] - f["w"] * f["answer"] == 0 < f["answer"],
}
