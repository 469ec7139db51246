"""The tables of the proof in Markdown, and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate.io import atomic
from curate.stages.exam.treat import TREATMENTS
from scripts.exam_world.arms import GROUPS, arms_of
from scripts.exam_world.exam import WAYS
from scripts.exam_world.figures import by_seed, interval
from scripts.exam_world.seeds import RECALL

Rows = Sequence[Mapping[str, Any]]

KINDS = ("correct", "refused", "false")


def write(rows: Rows, out: Path) -> str:
    """Write report.md and report.svg, and return the former."""
    text = "\n\n".join(part for part in (students(rows), exams(rows), *arms(rows), effects(rows), cost(rows)) if part)
    with atomic(out / "report.md") as file:
        file.write(text + "\n")
    if any(row["kind"] == "arm" for row in rows):
        picture(rows, out / "report.svg")
    return text


def students(rows: Rows) -> str:
    """Return which seeds count."""
    told = [row for row in rows if row["kind"] == "student"]
    recalls = {row["seed"]: row["recall"] for row in told}
    counted = {seed: recall for seed, recall in recalls.items() if recall >= RECALL}
    failures = ", ".join(f"seed {seed}: {recall:.3f}" for seed, recall in recalls.items() if recall < RECALL)
    text = f"{len(counted)} of {len(recalls)} students recall at least {RECALL:.2f} of the known facts"
    if counted:
        text += f" ({_range(list(counted.values()))})"
    text += f"; these do not count: {failures}." if failures else "."
    if counted:
        before = {
            group: " / ".join(f"{np.mean([row['groups'][group][kind] for row in told]):.2f}" for kind in KINDS)
            for group in ("known", "unknown")
        }
        text += f" Before tuning (correct / refused / false): known {before['known']}, unknown {before['unknown']}."
    return text


def exams(rows: Rows) -> str:
    """Return how well the exam tells known from unknown facts, and the control."""
    found = [row for row in rows if row["kind"] == "exam"]
    if not found:
        return ""
    names = {
        "auc": "AUC of the mean log-probability (goal: at least .95)",
        "leak": "unknown facts passing where 95 % of known ones pass (goal: at most .05)",
        "mean_known": "known facts passing the default rule (mean, .5)",
        "mean_unknown": "unknown facts passing the default rule",
        "mean_luck": "unknown facts passing it by luck, as expected",
        "votes_known": "known facts passing two of three votes",
        "votes_unknown": "unknown facts passing two of three votes",
        "votes_luck": "guesses passing two of three votes, as expected",
    }
    lines = ["| exam | by letter | by text |", "|---|---|---|"]
    lines += [
        f"| {words} | {' | '.join(_range([row['ways'][way][name] for row in found]) for way in WAYS)} |"
        for name, words in names.items()
    ]
    control = " | ".join(_range([row["control"][way] for row in found]) for way in WAYS)
    chosen = ", ".join(f"{way} {sum(row['way'] == way for row in found)}" for way in WAYS)
    able = sum(row["able"] for row in found)
    lines.append(f"| right with the knowledge in the prompt (control: at least .80) | {control} |")
    return "\n".join([*lines, "", f"Seeds by the way that the control chose: {chosen}. Able to take the exam: {able}."])


def arms(rows: Rows) -> list[str]:
    """Return one table for each share of unknown facts and each moment."""
    tables = []
    ours = [row for row in rows if row["kind"] == "arm"]
    for share in sorted({row["share"] for row in ours}):
        for step in sorted({int(step) for row in ours if row["share"] == share for step in row["steps"]}):
            lines = [
                f"**{share:.0%} unknown facts, after {step} steps** (correct / refused / false, mean over seeds)", "",
                "| arm | treated | held-out known | held-out unknown | trained known | trained unknown | seeds |",
                "|---|---|---|---|---|---|---|",
            ]  # fmt: skip
            for arm in arms_of(share):
                done = [row for row in ours if (row["share"], row["arm"]) == (share, arm.name)]
                if done:
                    cells = [_answers(done, step, group) for group in GROUPS]
                    treated = np.mean([row["treated"] for row in done])
                    lines.append(f"| {arm.name} | {treated:.0f} | {' | '.join(cells)} | {len(done)} |")
            tables.append("\n".join(lines))
    return tables


def effects(rows: Rows) -> str:
    """Return treatment minus random twin on held-out known facts, with intervals over seeds."""
    lines = [
        "| treatment minus its random twin, held-out known | unknown | steps | correct | refused | false | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = [row for row in rows if row["kind"] == "arm"]
    for share in sorted({row["share"] for row in ours}):
        for step in sorted({int(step) for row in ours if row["share"] == share for step in row["steps"]}):
            for treatment in TREATMENTS:
                cells, seeds = [], 0
                for kind in KINDS:
                    ones, twins = (
                        by_seed(rows, share, f"{treatment} {judge}", step, "held_known", kind)
                        for judge in ("exam", "random")
                    )
                    paired = [ones[seed] - twins[seed] for seed in ones if seed in twins]
                    seeds = len(paired)
                    if paired:
                        mean, low, high = interval(paired)
                        cells.append(f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]" if seeds > 2 else f"{mean:+.3f}")
                if seeds:
                    lines.append(f"| {treatment} | {share:.0%} | {step} | {' | '.join(cells)} | {seeds} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def cost(rows: Rows) -> str:
    """Return the processor's seconds."""
    words = {"trained": "training from scratch", "exam": "exams", "arm": "tuning and measuring"}
    parts = [
        f"{name} {sum(row['cpu'] for row in rows if row['kind'] == kind):,.0f} s in {count}"
        for kind, name in words.items()
        if (count := sum(row["kind"] == kind for row in rows))
    ]
    return f"Processor seconds: {'; '.join(parts)}; {sum(row['cpu'] for row in rows):,.0f} s in all."


def picture(rows: Rows, path: Path) -> None:
    """Draw the false and refused answers on held-out known facts of every arm, a dot for each seed."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    ours = [row for row in rows if row["kind"] == "arm"]
    shares = sorted({row["share"] for row in ours})
    names = [arm.name for arm in arms_of(1.0)]
    figure, axes = plt.subplots(1, len(shares), figsize=(3.6 * len(shares) + 1.6, 4.2), sharey=True, squeeze=False)
    for axis, share in zip(axes[0], shares, strict=True):
        step = max(int(step) for row in ours if row["share"] == share for step in row["steps"])
        for place, name in enumerate(names):
            left = 0.0
            for kind, colour in (("false", "#c44e52"), ("refused", "#bbbbbb")):
                values = list(by_seed(rows, share, name, step, "held_known", kind).values())
                mean = float(np.mean(values)) if values else 0.0
                axis.barh(place, mean, left=left, color=colour, label=None if place else kind, height=0.7)
                left += mean
                if kind == "false":
                    axis.plot(values, [place] * len(values), "k.", markersize=3)
        axis.set(xlim=(0, 1), title=f"{share:.0%} unknown, {step} steps", xlabel="share of held-out known facts")
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].invert_yaxis()  # the axes share it
    axes[0][0].legend(frameon=False, loc="lower right")
    figure.tight_layout()
    with atomic(path, binary=True) as file:
        figure.savefig(file, format="svg")
    plt.close(figure)


def _answers(rows: Rows, step: int, group: str) -> str:
    """Return the mean shares of the kinds of answers; where nobody was asked, a dash."""
    means = [_mean(rows, step, group, kind) for kind in KINDS]
    return " / ".join(f"{mean:.2f}" for mean in means) if any(means) else "–"


def _mean(rows: Rows, step: int, group: str, kind: str) -> float:
    return float(np.mean([row["steps"][str(step)][group][kind] for row in rows]))


def _range(values: Sequence[float]) -> str:
    """Return a mean with the smallest and the largest."""
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
