"""What stands at the head of the page and in its tables: the run, its yield, what it cost, near-duplicates, novelty."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from curate.export.report.tasks import GONE
from curate.finished import ORDER

if TYPE_CHECKING:
    from curate.embed import Vectors
    from curate.export.report.gather import Gathered
    from curate.finished import FinishedRun

FEW = 20
"""Samples below which no figures are taken."""


def about_run(run: FinishedRun) -> dict[str, Any]:
    """Return what the run is: its identity, models, settings, and when and why it stopped."""
    settings, summary = run.settings, run.summary
    domain, encoder = settings.get("domain") or {}, settings.get("encoder")
    rouge, judge, verify = domain.get("rouge"), domain.get("judge"), domain.get("verify") or {}
    written = run.kept_file if run.kept_file.is_file() else run.folder / "tree.json"
    checks = {
        "ROUGE-L at most": rouge and rouge.get("threshold"),
        "cosine at most": encoder and f"{encoder['threshold']} ({encoder['name']})",
        "judge at least": judge and judge.get("min_score"),
        "answers": "checked as mathematics" if verify.get("kind") == "math" else None,
    }
    return {
        **run.identity,
        "models": settings.get("models") or {},
        "about": (domain.get("root") or {}).get("description", ""),
        "checks": {name: value for name, value in checks.items() if value is not None},
        "when": datetime.fromtimestamp(written.stat().st_mtime, UTC).isoformat(timespec="seconds"),
        "version": version("curate-llm"),
        "folder": run.folder.name,
        "tree_only": not summary,
        **{name: summary.get(name, 0) for name in ("accepted", "candidates", "rounds", "calls", "ungraded")},
        "stopped": summary.get("stopped", ""),
        "exhausted": len(summary.get("exhausted", [])),
        "kinds": len(summary.get("per_kind", {})),
    }


def flow(run: FinishedRun) -> dict[str, Any]:
    """Return the yield from asked to accepted: `asked` samples, and [stage, in, kept, [[reason, count]]] in order.

    Asked is calls times samples a call, never fewer than came. `lost` are the calls of which nothing could be used.
    """
    summary = run.summary
    drops: dict[str, list[list[Any]]] = {}
    for name, count in summary.get("dropped", {}).items():
        stage, _, reason = name.partition(": ")
        drops.setdefault(stage, []).append([reason, count])
    lost = drops.pop("generate", [])
    left = summary.get("candidates", 0)
    per_call = ((run.settings.get("domain") or {}).get("generate") or {}).get("per_call", 1)
    asked = max(summary.get("calls", 0) * per_call, left)
    stages = []
    for stage in [*(stage for stage in ORDER if stage in drops), *(stage for stage in drops if stage not in ORDER)]:
        gone = sum(count for _, count in drops[stage])
        stages.append([stage, left, left - gone, drops[stage]])
        left -= gone
    return {
        "asked": asked,
        "calls": summary.get("calls", 0),
        "candidates": summary.get("candidates", 0),
        "stages": stages,
        "lost": lost,
        "accepted": left,
    }


def figures(run: FinishedRun, found: Gathered, vectors: Vectors, *, intervals: bool) -> dict[str, Any] | None:
    """Return the figures of the accepted samples, and on how many of them; None for too few to say anything.

    `vectors` are those of the points, one row for each.
    """
    from curate.measure import figures

    measured, total = list(found.measured.values()), sum(found.tasks.kept)
    if len(measured) < FEW:
        return None
    vectors = vectors[list(found.measured)]
    whole = len(measured) == total
    if not whole:  # a part of the samples says nothing of empty leaves
        measured = [replace(sample, task=()) for sample in measured]
    taken = figures(
        measured,
        vectors=vectors if vectors.any() else None,
        tree=run.tree if whole else None,
        language=run.identity.get("language", "en"),
        intervals=intervals,
    )
    return taken.as_json() | {"of": total, "intervals": intervals}


def usage(run: FinishedRun) -> list[dict[str, Any]]:
    """Return calls, tokens, money (None where a price is unknown) and seconds of each stage and model."""
    return [asdict(used) for used in run.usage()]


def groups(found: Gathered) -> list[dict[str, Any]]:
    """Return the largest groups of near-duplicates: the kept sample (None where it is no more) and its copies."""
    ranked = sorted(found.groups.items(), key=lambda item: (-item[1][0], item[0]))
    return [{"id": name, "count": count, "copies": copies, "kept": kept} for name, (count, copies, kept) in ranked]


def counts(found: Gathered) -> dict[str, int]:
    """Return the size of the tree: tasks, leaves, and levels below the root."""
    parents = [parent for name, parent in zip(found.tasks.names, found.tasks.parents, strict=True) if name != GONE]
    depths = [0] * len(parents)
    for place, parent in enumerate(parents[1:], 1):
        depths[place] = depths[parent] + 1
    return {"tasks": len(parents), "leaves": len(parents) - len(set(parents) - {-1}), "depth": max(depths, default=0)}
