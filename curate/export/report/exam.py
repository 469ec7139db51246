"""exam.html: an examination on one page that opens from disk; the same parts are a section of a run's report."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.export.report.page import EXAM, assemble, packed
from curate.io import atomic, whole
from curate.stages.exam.validity import REASONS

if TYPE_CHECKING:
    from curate.finished import FinishedRun

NAME = "exam.html"


def exam_of(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of an examination with what else the page needs to draw them."""
    return {**figures, "words": REASONS}


def exam_of_run(run: FinishedRun) -> dict[str, Any] | None:
    """Return the figures of a run's exam, where it had one; None where they are not to be read."""
    if not run.settings.get("exam"):
        return None
    try:
        return exam_of(json.loads((run.folder / "exam" / "figures.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def write_exam_page(folder: Path, figures: dict[str, Any], source: str) -> Path:
    """Write the page of an examination into its folder and return its path. Raises RunError where that is refused."""
    shown = {**exam_of(figures), "source": whole(Path(source).name), "version": version("curate-llm")}
    page = assemble(f"{whole(Path(source).name)}: what the students know", {"exam": packed(shown)}, EXAM)
    path = folder / NAME
    with atomic(path, binary=True) as file:
        file.write(page.encode())
    return path
