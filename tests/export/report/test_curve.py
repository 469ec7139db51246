"""The curve of a finished run: its own threshold keeps exactly what it accepted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from curate.embed import open_encoder
from curate.export.report.curve import run_curve
from curate.export.report.gather import Points

TEXTS = (
    "Write a short poem about the sea at night.",
    "List seven kinds of cheese from Italy.",
    "At night about the sea a short poem write.",
    "Draw a cat.",
)


@pytest.fixture
def gathered():
    reasons = [("rules", "too_short"), ("dedup", "semantic_duplicate")]
    points = Points(list(TEXTS), list("abcd"), [0] * 4, [0, 0, 2, 1], total=4)
    return SimpleNamespace(points=points, reasons=reasons)


def run(threshold=0.9, name="static"):
    return SimpleNamespace(settings={"encoder": {"name": name, "threshold": threshold}})


def test_the_runs_threshold_keeps_what_was_accepted(gathered):
    vectors = open_encoder("static").encode(list(TEXTS))
    found = run_curve(run(), gathered, vectors, "static", soon=True)
    assert (found["applied"], found["of"]) == (0.9, 3)
    points = dict(found["points"])
    cosine = float(vectors[0] @ vectors[2])
    assert points[0.9] == 2 and points[1.0] == 3 and 0.9 < cosine < 1
    assert all(kept == (2 if level < cosine else 3) for level, kept in points.items() if level > 0.75)


@pytest.mark.parametrize(
    ("settings", "encoder"),
    [(run(), "chargrams"), (run(threshold=None), "static"), (SimpleNamespace(settings={}), "static")],
)
def test_there_is_no_curve_by_other_vectors(gathered, settings, encoder):
    assert run_curve(settings, gathered, np.eye(4, dtype=np.float32), encoder, soon=True) is None


def test_there_is_none_of_a_part(gathered):
    gathered.points.total = 5
    assert run_curve(run(), gathered, np.eye(4, dtype=np.float32), "static", soon=True) is None
