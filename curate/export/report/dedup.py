"""The page of `curate dedup`: what it kept, what another threshold keeps, and the largest groups of near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from curate.export.report.page import STYLES, Sources, assemble, packed
from curate.export.report.shown import as_shown
from curate.io import atomic, whole

DEDUP = Sources(
    "dedup/index.html",
    STYLES,
    (
        "vendor/d3.min.js",
        "vendor/temml.min.js",
        "math.js",
        "report/core.js",
        "report/head.js",
        "report/curve.js",
        "report/near.js",
        "dedup/main.js",
    ),
)

LONGEST = 2_000
"""Bytes of one message that are shown."""

Row = Mapping[str, Any]


def write_page(path: Path, about: Mapping[str, Any], groups: Sequence[tuple[int, Row, Sequence[Row]]]) -> None:
    """Write the page of one de-duplication.

    `about` has source, out, total, kept, settings, search, curve, and reasons by "stage: reason". Each group is how
    many samples were dropped for a kept one, that one, and some of the dropped ones, as rows of the files.

    Raises RunError where the page cannot be written.
    """
    reasons = [[*reason.split(": ", 1)] for reason in about["reasons"]]
    shown = []
    for count, kept, copies in groups:
        rows = [as_shown(dict(copy), LONGEST) | {"r": 1 + reasons.index(_reason(copy))} for copy in copies]
        shown.append(
            {"id": whole(str(kept["id"])), "count": count, "kept": as_shown(dict(kept), LONGEST), "copies": rows}
        )
    data = {
        **about,
        "reasons": [[reason, count] for reason, count in zip(reasons, about["reasons"].values(), strict=True)],
        "groups": shown,
        "version": version("curate-llm"),
    }
    page = assemble(f"{whole(about['source'])}: near-duplicates", {"dedup": packed(data)}, DEDUP)
    with atomic(path) as file:
        file.write(page)


def _reason(copy: Row) -> list[str]:
    return [copy["dropped"]["stage"], copy["dropped"]["reason"]]
