"""The whole stock: every kind with its forms. Importing this loads sympy."""

from __future__ import annotations

from functools import lru_cache

from curate.models.procedural import wording
from curate.models.procedural.grammar import Draw, Form, Problem, compose
from curate.models.procedural.maths import (
    arithmetic,
    calculus,
    counting,
    discrete,
    equations,
    functions,
    geometry,
    integers,
    linear,
)

_BRANCHES = (arithmetic, equations, functions, integers, counting, geometry, calculus, linear, discrete)

KINDS: dict[str, tuple[Form, ...]] = {kind: forms for branch in _BRANCHES for kind, forms in branch.KINDS.items()}
"""Every kind of problem; its forms take turns."""


@lru_cache
def kinds_in(language: str) -> tuple[str, ...]:
    """Return the kinds of which a language words at least one form."""
    return tuple(kind for kind in KINDS if forms_in(kind, language))


@lru_cache
def forms_in(kind: str, language: str) -> tuple[Form, ...]:
    """Return the forms of a kind that a language words."""
    return tuple(form for form in KINDS[kind] if form.name in wording.words(language))


def write(kind: str, seed: str, index: int, language: str = "en") -> Problem:
    """Return draw `index` of a kind."""
    draw = Draw(seed, kind, index, language)
    return compose(draw, forms_in(kind, language), wording.words(language), wording.voice(language))
