"""Combinatorics and probability."""

from __future__ import annotations

from math import comb, factorial, lcm, perm, prod

from sympy import Rational, binomial

from curate.models.procedural.grammar import Draw, Facts, Form, forms
from curate.models.procedural.maths.common import paren, poly, rows, signed

_WORDS = ("BANANA", "LEVEL", "ALGEBRA", "PEPPER", "TATTOO", "ORCHARD", "CANCEL", "MATHEMATICS", "COMMITTEE", "PARABOLA",
          "STATISTICS", "BALLOON", "SUCCESS", "COFFEE", "TENNESSEE", "ELLIPSE", "INFINITY", "CACTUS", "PROOF",
          "GOOGOL", "ASSESS", "RIVER", "MINIMUM", "TERRIER")  # fmt: skip


def arrange_word(d: Draw) -> Facts:
    """Anagrams of a word with repeated letters."""
    word = d.pick(_WORDS)
    counts = [word.count(c) for c in dict.fromkeys(word) if word.count(c) > 1]
    total = factorial(len(word)) // prod(factorial(k) for k in counts)
    below = " ".join(f"{k}!" for k in counts) if counts else "1"
    repeated = ", ".join(rf"\text{{{c}}} \times {word.count(c)}" for c in dict.fromkeys(word) if word.count(c) > 1)
    return {"word": word, "n": len(word), "below": below.replace(" ", r" \cdot "), "repeated": repeated,
            "answer": total, "wrong": factorial(len(word)) if counts else 2 * total}  # fmt: skip


def arrange_places(d: Draw) -> Facts:
    """Ordered choices without repetition."""
    n, k = d.num(6, 14), d.num(2, 4)
    return {
        "n": n, "k": k, "chain": r" \cdot ".join(str(n - i) for i in range(k)), "answer": perm(n, k),
        "wrong": comb(n, k),
    }  # fmt: skip


def arrange_together(d: Draw) -> Facts:
    """Rows in which two stand together, or apart."""
    n, apart = d.num(5, 11), d.pick([0, 1])
    together = 2 * factorial(n - 1)
    return {"n": n, "less": n - 1, "all": factorial(n), "pair": together, "block": factorial(n - 1), "#apart": apart,
            "#apart/n": 2, "answer": factorial(n) - together if apart else together}  # fmt: skip


def arrange_circle(d: Draw) -> Facts:
    """Seatings at a round table."""
    n = d.num(5, 12)
    return {"n": n, "less": n - 1, "all": factorial(n), "answer": factorial(n - 1), "wrong": factorial(n)}


def arrange_digits(d: Draw) -> Facts:
    """Numbers with different digits and a last digit of given parity."""
    k, odd = d.num(3, 5), d.pick([0, 1])
    pool = d.pick([5, 6, 7, 8, 9])
    last = [c for c in range(1, pool + 1) if c % 2 == odd]
    rest = perm(pool - 1, k - 1)
    return {
        "k": k, "pool": pool, "#odd": odd, "#odd/n": 2, "last": len(last), "list": ", ".join(map(str, last)),
        "rest": rest, "chain": r" \cdot ".join(str(pool - 1 - i) for i in range(k - 1)), "answer": len(last) * rest,
        "wrong": perm(pool, k),
    }  # fmt: skip


def choose_committee(d: Draw) -> Facts:
    """A committee with given numbers from two groups."""
    m, n = d.num(5, 10), d.num(4, 9)
    a, b = d.num(2, 4), d.num(2, 3)
    return {
        "m": m, "n": n, "a": a, "b": b, "k": a + b, "ca": comb(m, a), "cb": comb(n, b),
        "answer": comb(m, a) * comb(n, b), "wrong": comb(m + n, a + b),
    }  # fmt: skip


def choose_least(d: Draw) -> Facts:
    """A selection with at least one of a kind."""
    m, n, k = d.num(3, 6), d.num(5, 9), d.num(3, 4)
    return {
        "m": m, "n": n, "k": k, "all": m + n, "call": comb(m + n, k), "none": comb(n, k),
        "answer": comb(m + n, k) - comb(n, k),
    }  # fmt: skip


def choose_handshakes(d: Draw) -> Facts:
    """The number of people from the number of pairs."""
    n = d.num(8, 40)
    return {"pairs": comb(n, 2), "twice": n * (n - 1), "answer": n, "less": n - 1}


def grid_paths(d: Draw) -> Facts:
    """Shortest ways on a grid, perhaps through a point."""
    a, b = d.num(5, 8), d.num(4, 7)
    c, e = d.num(2, a - 2), d.num(2, b - 2)
    one, two = comb(c + e, c), comb(a - c + b - e, a - c)
    return {"a": a, "b": b, "c": c, "e": e, "n1": c + e, "n2": a + b - c - e, "k2": a - c, "one": one, "two": two,
            "answer": one * two, "wrong": comb(a + b, a)}  # fmt: skip


def stars_bars(d: Draw) -> Facts:
    """Equal things shared among different people."""
    n, k, least = d.num(9, 20), d.num(3, 5), d.pick([0, 1])
    top = n - 1 if least else n + k - 1
    return {"n": n, "k": k, "#least": least, "#least/n": 2, "top": top, "less": k - 1, "answer": comb(top, k - 1)}


def binomial_coefficient(d: Draw) -> Facts:
    """A coefficient of a binomial power."""
    n, a, b = d.num(4, 8), d.num(1, 3), d.nonzero(-4, 4)
    k = d.num(1, n - 1)
    c = int(binomial(n, k))
    lead = "x" if a == 1 else f"{a}x"
    sign = f"- {-b}" if b < 0 else f"+ {b}"
    return {"n": n, "k": k, "xk": "x" if k == 1 else f"x^{{{k}}}", "e": n - k, "inner": f"{lead} {sign}", "c": c,
            "ak": a**k, "bk": f"({b})" if b < 0 else b, "a": a, "lead": lead, "answer": c * a**k * b ** (n - k),
            "wrong": c}  # fmt: skip


def inclusion_exclusion(d: Draw) -> Facts:
    """How many numbers up to n are divisible by one of two."""
    n, (a, b) = (
        10 * d.num(10, 200),
        d.pick([(2, 3), (3, 5), (4, 6), (2, 7), (3, 7), (6, 8), (5, 7), (4, 9), (6, 10), (3, 11)]),
    )
    both = a * b if (a, b) not in ((4, 6), (6, 8), (6, 10)) else {(4, 6): 12, (6, 8): 24, (6, 10): 30}[a, b]
    na, nb, nc = n // a, n // b, n // both
    return {
        "n": n, "a": a, "b": b, "both": both, "na": na, "nb": nb, "nc": nc, "answer": na + nb - nc, "wrong": na + nb,
    }  # fmt: skip


def pigeonhole(d: Draw) -> Facts:
    """How many must be taken to be certain of a repeated kind."""
    boxes, k = d.num(4, 15), d.num(3, 8)
    return {
        "boxes": boxes, "k": k, "less": k - 1, "safe": boxes * (k - 1), "answer": boxes * (k - 1) + 1,
        "wrong": boxes + k,
    }  # fmt: skip


def dice_sum(d: Draw) -> Facts:
    """The chance of a sum of two dice."""
    sides = d.pick([4, 6, 6, 8, 10, 12])
    s = d.num(3, 2 * sides - 1)
    pairs = [(i, s - i) for i in range(1, sides + 1) if 1 <= s - i <= sides]
    return {"s": s, "sides": sides, "all": sides**2, "n": len(pairs), "list": ", ".join(map(str, pairs)),
            "answer": Rational(len(pairs), sides**2), "wrong": Rational(1, 2 * sides - 1)}  # fmt: skip


def dice_least(d: Draw) -> Facts:
    """The chance of at least one six, or one head, in several trials."""
    n, sides = d.num(2, 4), d.pick([4, 6, 8, 10])
    miss = Rational(sides - 1, sides)
    return {"n": n, "sides": sides, "miss": miss, "none": miss**n, "answer": 1 - miss**n, "wrong": Rational(n, sides)}


def urn_same(d: Draw) -> Facts:
    """Two balls of one colour, without replacement."""
    a, b = d.num(3, 9), d.num(3, 9)
    n = a + b
    good = a * (a - 1) + b * (b - 1)
    return {
        "a": a, "b": b, "n": n, "all": n * (n - 1), "good": good, "aa": a * (a - 1), "bb": b * (b - 1),
        "less": n - 1, "answer": Rational(good, n * (n - 1)), "wrong": Rational(a * a + b * b, n * n),
    }  # fmt: skip


def urn_exact(d: Draw) -> Facts:
    """The chance of an exact number of defects in a sample."""
    bad, good, k = d.num(3, 5), d.num(5, 9), 3
    j = d.num(1, 2)
    total = comb(bad + good, k)
    return {
        "bad": bad, "good": good, "n": bad + good, "k": k, "j": j, "kj": k - j, "cb": comb(bad, j),
        "cg": comb(good, k - j), "all": total, "answer": Rational(comb(bad, j) * comb(good, k - j), total),
    }  # fmt: skip


def bernoulli_exact(d: Draw) -> Facts:
    """The binomial distribution at one value."""
    p = Rational(*d.pick([(1, 2), (1, 3), (1, 4), (2, 3), (3, 4), (1, 5), (2, 5)]))
    n = d.num(4, 6)
    k = d.num(2, n - 1)
    return {
        "p": p, "q": 1 - p, "n": n, "k": k, "nk": n - k, "c": comb(n, k),
        "answer": comb(n, k) * p**k * (1 - p) ** (n - k), "wrong": p**k * (1 - p) ** (n - k),
    }  # fmt: skip


def bayes_test(d: Draw) -> Facts:
    """The chance of the cause, given the sign."""
    prior, hit, false = d.pick([1, 2, 4, 5, 10, 20]), d.pick([80, 90, 95, 96, 98]), d.pick([2, 4, 5, 8, 10])
    true, wrong = prior * hit, (100 - prior) * false
    return {
        "prior": prior, "hit": hit, "false": false, "t": true, "w": wrong, "sum": true + wrong,
        "healthy": 100 - prior, "answer": Rational(true, true + wrong), "wrong": Rational(hit, 100),
        "carriers": 100 * prior, "others": 10000 - 100 * prior,
    }  # fmt: skip


def bayes_factories(d: Draw) -> Facts:
    """Which of two sources a faulty piece came from."""
    a = d.pick([20, 30, 40, 60, 70, 80])
    p, q = d.some([1, 2, 3, 4, 5, 6, 8], 2)
    one, two = a * p, (100 - a) * q
    return {
        "a": a, "b": 100 - a, "p": p, "q": q, "one": one, "two": two, "sum": one + two,
        "answer": Rational(one, one + two), "wrong": Rational(a, 100),
    }  # fmt: skip


def expected_game(d: Draw) -> Facts:
    """The expected gain of a game with a stake."""
    sides, win, stake = d.pick([6, 8, 10, 12, 20]), d.num(8, 60), d.num(2, 6)
    k = d.num(2, 3)
    return {
        "sides": sides, "win": win, "stake": stake, "k": k, "p": Rational(k, sides),
        "mean": Rational(k * win, sides), "answer": Rational(k * win, sides) - stake,
        "wrong": Rational(k * win, sides),
    }  # fmt: skip


def expected_draws(d: Draw) -> Facts:
    """The expected number of a colour in a sample."""
    a, b = d.num(4, 20), d.num(4, 20)
    k = d.num(2, 6)
    return {"a": a, "b": b, "n": a + b, "k": k, "p": Rational(a, a + b), "answer": Rational(k * a, a + b)}


def expected_until(d: Draw) -> Facts:
    """The expected number of trials until the first success."""
    n = d.num(4, 24)
    k = d.num(1, n // 2)
    p = Rational(k, n)
    return {"k": k, "n": n, "p": p, "q": 1 - p, "answer": 1 / p, "rows": rows([f"E &= 1 + {1 - p} E"]), "rest": n - k}


def grid_blocked(d: Draw) -> Facts:
    """Shortest ways on a grid that avoid a point."""
    a, b = d.num(4, 8), d.num(3, 6)
    c, e = d.num(2, a - 1), d.num(2, b - 1)
    one, two, total = comb(c + e, c), comb(a - c + b - e, a - c), comb(a + b, a)
    return {
        "a": a, "b": b, "c": c, "e": e, "n": a + b, "n1": c + e, "n2": a + b - c - e, "k2": a - c, "one": one,
        "two": two, "all": total, "through": one * two, "answer": total - one * two, "wrong": total,
    }  # fmt: skip


def trials_least(d: Draw) -> Facts:
    """All but at most one of some trials succeed."""
    p, n = Rational(*d.pick([(1, 2), (1, 3), (2, 3), (3, 4), (2, 5), (3, 5), (4, 5)])), d.num(3, 5)
    one, every = n * p ** (n - 1) * (1 - p), p**n
    return {"p": p, "q": 1 - p, "n": n, "less": n - 1, "one": one, "every": every, "answer": one + every, "wrong": one}


def pigeonhole_kind(d: Draw) -> Facts:
    """How many must be taken to be certain of some of one named kind."""
    a, b, c = d.num(6, 20), d.num(5, 20), d.num(4, 15)
    k = d.num(2, 5)
    return {"a": a, "b": b, "c": c, "k": k, "others": b + c, "answer": b + c + k, "wrong": k}


def dice_difference(d: Draw) -> Facts:
    """The chance that two dice differ by a given number."""
    sides = d.pick([4, 6, 6, 8, 10, 12])
    g = d.num(1, sides - 2)
    pairs = [(i, i + g) for i in range(1, sides + 1 - g)]
    return {"g": g, "sides": sides, "all": sides**2, "m": len(pairs), "n": 2 * len(pairs),
            "list": ", ".join(map(str, pairs)), "answer": Rational(2 * len(pairs), sides**2),
            "wrong": Rational(len(pairs), sides**2)}  # fmt: skip


def share_different(d: Draw) -> Facts:
    """Different things given to different people."""
    n, k = d.num(4, 9), d.num(2, 6)
    return {"n": n, "k": k, "answer": k**n, "wrong": n**k}


def binomial_sum(d: Draw) -> Facts:
    """The sum of all coefficients of a binomial power."""
    a, b, n = d.num(2, 9), d.nonzero(-8, 8), d.num(3, 9)
    b = b if abs(a + b) > 1 else -b
    # The values stay short enough to be written out.
    n = min(n, 4) if abs(a + b) > 9 else n
    return {"inner": poly(a, b), "n": n, "base": a + b, "pb": paren(a + b), "put": f"{a} \\cdot 1 {signed(b)}",
            "answer": (a + b) ** n, "wrong": a**n + b**n}  # fmt: skip


def binomial_constant(d: Draw) -> Facts:
    """The term without x of a power of ax + b/x."""
    a, b, half = d.num(1, 3), d.nonzero(-4, 4), d.num(2, 4)
    n, c = 2 * half, comb(2 * half, half)
    return {"inner": f"{poly(a, 0)} {'-' if b < 0 else '+'} \\frac{{{abs(b)}}}{{x}}", "n": n, "half": half, "c": c,
            "a": a, "pb": paren(b), "answer": c * (a * b) ** half, "wrong": c}  # fmt: skip


_COPRIME = ((2, 3, 5), (2, 3, 7), (3, 4, 5), (2, 5, 7), (3, 5, 7), (2, 7, 9), (3, 4, 7), (2, 5, 9), (4, 5, 7))


def inclusion_only(d: Draw) -> Facts:
    """How many numbers up to n are divisible by one number and not by another."""
    n, (a, b) = (
        10 * d.num(10, 200) + d.num(0, 9),
        d.pick([(3, 2), (4, 6), (6, 4), (5, 3), (6, 9), (7, 2), (8, 12), (9, 6)]),
    )
    both = lcm(a, b)
    return {"n": n, "a": a, "b": b, "both": both, "na": n // a, "nc": n // both, "answer": n // a - n // both,
            "wrong": n // a - n // b}  # fmt: skip


def inclusion_three(d: Draw) -> Facts:
    """How many numbers up to n are divisible by none of three."""
    n, (a, b, c) = 10 * d.num(12, 150), d.pick(_COPRIME)
    ab, ac, bc, abc = n // (a * b), n // (a * c), n // (b * c), n // (a * b * c)
    some = n // a + n // b + n // c - ab - ac - bc + abc
    return {
        "n": n, "a": a, "b": b, "c": c, "singles": f"{n // a} + {n // b} + {n // c}", "pairs": f"{ab} + {ac} + {bc}",
        "abc": abc, "some": some, "answer": n - some, "wrong": some,
    }  # fmt: skip


KINDS: dict[str, tuple[Form, ...]] = forms(
    arrangement=(arrange_word, arrange_places, arrange_together, arrange_circle, arrange_digits),
    selection=(choose_committee, choose_least, choose_handshakes),
    grid_path=(grid_paths, grid_blocked),
    distribution=(stars_bars, share_different),
    binomial_theorem=(binomial_coefficient, binomial_sum, binomial_constant),
    inclusion_exclusion=(inclusion_exclusion, inclusion_only, inclusion_three),
    pigeonhole=(pigeonhole, pigeonhole_kind),
    dice=(dice_sum, dice_least, dice_difference),
    urn=(urn_same, urn_exact),
    repeated_trials=(bernoulli_exact, trials_least),
    bayes=(bayes_test, bayes_factories),
    expectation=(expected_game, expected_draws, expected_until),
)
