"""The tables of the proof in Markdown, in words where a method does not help, and its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from curate.io import atomic
from scripts.fusion_world.figures import BEFORE, Effect, Rows, by_seed, learnt, paired
from scripts.fusion_world.makers import COOLING, ENOUGH, SOURCES
from scripts.fusion_world.seeds import ACCURACIES, ARMS, NOISY
from scripts.fusion_world.skills import NAMES

OWN = "own best-of-n"

COMPARED = (
    ("best of sources", "one source x n"),
    ("best of sources", "no verifier"),
    ("best of sources", "gold answers"),
    ("copies of the target", OWN),
    ("LN-DPO", "half of best of sources"),
    ("LN-DPO", "best of sources"),
    ("LN-DPO", "LN-DPO, own pairs"),
    ("WRPO", "half of best of sources"),
    ("WRPO", "best of sources"),
    ("WRPO", "LN-DPO, own pairs"),
    ("WRPO", "WRPO, constant"),
    ("WRPO", "WRPO, shuffled"),
    ("token fusion", "best of sources"),
    ("token fusion", "label smoothing"),
    ("token fusion", "shuffled teacher"),
    ("same tokenizer", "token fusion"),
    ("pairwise, SCE", "pairwise, linear"),
    ("pairwise, SCE", "own soup"),
    ("pairwise, SCE", "token fusion"),
)
"""What each method is held against, besides the target's own best answers. Fine-tuning on the best of the sources is
token fusion's text without the teachers."""

METHODS = ("best of sources", "LN-DPO", "WRPO", "token fusion", "pairwise, SCE")


def write(rows: Rows, out: Path) -> str:
    """Write report.md and report.svg, and return the former."""
    parts = [sources(rows)]
    if strengths := strengths_of(rows):
        parts += [shares(rows, strengths), primary(rows, strengths), controls(rows, strengths), skills(rows, strengths)]
        parts += [noise(rows, strengths), failures(rows), words(rows, strengths), cost(rows)]
        picture(rows, strengths, out / "report.svg")
    text = "\n\n".join(part for part in parts if part)
    with atomic(out / "report.md") as file:
        file.write(text + "\n")
    return text


def strengths_of(rows: Rows) -> list[float]:
    """Return the strengths of the targets that were made."""
    return sorted({float(name) for row in rows if row["kind"] == "target" for name in row["strengths"]})


def sources(rows: Rows) -> str:
    """Return how well the sources learnt their skills, and which skills do not count."""
    lines = ["| source | right of its skills, mean (lowest to highest) | seeds |", "|---|---|---|"]
    for name in sorted({row["name"] for row in rows if row["kind"] == "source"}):
        made = [row for row in rows if row["kind"] == "source" and row["name"] == name]
        values = [share for row in made for share in row["right"].values()]
        lines.append(f"| {name} | {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f}) | {len(made)} |")
    counted = learnt(rows)
    dropped = [
        f"seed {seed}: {', '.join(NAMES[one] for one in sorted(set(NAMES) - known))}"
        for seed, known in sorted(counted.items())
        if set(NAMES) - known
    ]
    complete = {row["seed"] for row in rows if row["kind"] == "target"}
    dropped = [one for one in dropped if int(one.split()[1].rstrip(":")) in complete]
    words = f"Skills that no source learnt and that are left out: {'; '.join(dropped)}." if dropped else (
        "Every skill was learnt by a source."
    )  # fmt: skip
    goal = (
        f"Sources are trained until {ENOUGH:.0%} of their checks are right, and {COOLING} steps more in which the "
        "learning rate falls; the tests are other prompts."
    )
    names = ", ".join(f"{one.name} ({one.tokens})" for one in SOURCES)
    return "\n".join([*lines, "", f"{goal} Sources and their tokens: {names}. {words}"])


def shares(rows: Rows, strengths: list[float]) -> str:
    """Return what every arm answers right."""
    lines = [
        f"| answers right, mean over seeds | {' | '.join(f'target {one:g}' for one in strengths)} | samples |",
        f"|---|{'---|' * len(strengths)}---|",
    ]
    for name in (BEFORE, *ARMS):
        found = [by_seed(rows, name, strength) for strength in strengths]
        if any(found):
            cells = [f"{np.mean(list(one.values())):.3f} ({len(one)})" if one else "–" for one in found]
            lines.append(f"| {name} | {' | '.join(cells)} | {_samples(rows, name, strengths)} |")
    return "\n".join(lines)


def _samples(rows: Rows, name: str, strengths: list[float]) -> str:
    """Return how many samples an arm was built, at each strength."""
    found = []
    for strength in strengths:
        counts = [
            row["samples"]
            for row in rows
            if row["kind"] == "arm" and (row["arm"], row["strength"], row["accuracy"]) == (name, strength, 1.0)
            and "samples" in row
        ]  # fmt: skip
        found.append(f"{np.mean(counts):,.0f}" if counts else "–")
    return " / ".join(found)


def primary(rows: Rows, strengths: list[float]) -> str:
    """Return every arm minus the best of the target's own answers, with intervals over seeds."""
    return _effects(rows, strengths, f"minus {OWN}", [(name, OWN) for name in ARMS if name != OWN], first_only=True)


def controls(rows: Rows, strengths: list[float]) -> str:
    """Return every method minus its controls."""
    return _effects(rows, strengths, "minus its control", list(COMPARED), first_only=False)


def _effects(rows: Rows, strengths: list[float], title: str, pairs: list[tuple[str, str]], first_only: bool) -> str:
    lines = [
        f"| {title} | {' | '.join(f'target {one:g}' for one in strengths)} | seeds |",
        f"|---|{'---|' * len(strengths)}---|",
    ]
    for name, other in pairs:
        found = [paired(rows, name, other, strength) for strength in strengths]
        if any(found):
            cells = [f"{one} {one.verdict}" if one else "–" for one in found]
            count = min(one.seeds for one in found if one)
            lines.append(f"| {name if first_only else f'{name} – {other}'} | {' | '.join(cells)} | {count} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def skills(rows: Rows, strengths: list[float]) -> str:
    """Return the methods minus the best own answers skill by skill; a loss whose interval is below 0 is in bold."""
    lines = [f"| {OWN} is beaten by, skill by skill | target | {' | '.join(NAMES.values())} |",
             f"|---|---|{'---|' * len(NAMES)}"]  # fmt: skip
    for name in METHODS:
        for strength in strengths:
            found = [paired(rows, name, OWN, strength, skill=skill) for skill in NAMES]
            if any(found):
                lines.append(f"| {name} | {strength:g} | {' | '.join(_loss(one) for one in found)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _loss(one: Effect | None) -> str:
    if one is None:
        return "–"
    return f"**{one.mean:+.3f}**" if one.verdict == "hurts" else f"{one.mean:+.3f}"


def noise(rows: Rows, strengths: list[float]) -> str:
    """Return the arms minus the best own answers where verdicts are sometimes wrong."""
    middle = strengths[len(strengths) // 2]
    accuracies = (1.0, *ACCURACIES)
    lines = [
        f"| target {middle:g}: minus {OWN} by the same verifier | "
        f"{' | '.join(f'right {one:.0%} of the time' for one in accuracies)} |",
        f"|---|{'---|' * len(accuracies)}",
    ]
    for name in NOISY[1:]:
        found = [paired(rows, name, OWN, middle, accuracy) for accuracy in accuracies]
        if any(found[1:]):
            lines.append(f"| {name} | {' | '.join(f'{one} {one.verdict}' if one else '–' for one in found)} |")
    own = [by_seed(rows, OWN, middle, accuracy) for accuracy in accuracies]
    cells = [f"{np.mean(list(one.values())):.3f}" if one else "–" for one in own]
    lines.append(f"| {OWN} itself | {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 3 else ""


def failures(rows: Rows) -> str:
    """Return which arms had nothing to learn from."""
    found = [
        f"seed {row['seed']}, {row['arm']} at {row['strength']:g} with verdicts right {row['accuracy']:.0%}: "
        f"{row['failed']}"
        for row in rows
        if "failed" in row
    ]
    return "Arms that could not be trained:\n\n" + "\n".join(f"- {one}" for one in found) if found else ""


def words(rows: Rows, strengths: list[float]) -> str:
    """Return in words what each method is worth beside the best of the target's own answers and its controls."""
    lines = []
    for name in METHODS:
        found = {strength: paired(rows, name, OWN, strength) for strength in strengths}
        told = [f"{one.verdict} at {strength:g} ({one.mean:+.3f})" for strength, one in found.items() if one]
        if told:
            lines.append(f"- {name}, beside {OWN}: {'; '.join(told)}.")
        for arm, other in COMPARED:
            effects = {strength: paired(rows, arm, other, strength) for strength in strengths}
            told = [f"{one.verdict} at {strength:g}" for strength, one in effects.items() if one]
            if arm == name and told:
                lines.append(f"  - beside {other}: {'; '.join(told)}.")
    return "\n".join(lines)


def cost(rows: Rows) -> str:
    """Return the processor's seconds."""
    kinds = {"source": "sources", "target": "targets", "arm": "arms"}
    parts = [
        f"{name} {sum(row['cpu'] for row in rows if row['kind'] == kind):,.0f} s in {count}"
        for kind, name in kinds.items()
        if (count := sum(row["kind"] == kind for row in rows))
    ]
    return f"Processor seconds: {'; '.join(parts)}; {sum(row['cpu'] for row in rows):,.0f} s in all."


def picture(rows: Rows, strengths: list[float], path: Path) -> None:
    """Draw every arm minus the best own answers at each strength: the mean, its interval, a dot for each seed."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in ARMS if name != OWN]
    figure, axes = plt.subplots(
        1, len(strengths), figsize=(3.6 * len(strengths) + 2.2, 5.6), sharey=True, squeeze=False
    )
    for axis, strength in zip(axes[0], strengths, strict=True):
        axis.axvline(0, color="#999999", linewidth=0.8)
        owns = by_seed(rows, OWN, strength)
        for place, name in enumerate(names):
            found = paired(rows, name, OWN, strength)
            if found is None:
                continue
            seeds = by_seed(rows, name, strength)
            axis.plot([seeds[one] - owns[one] for one in seeds if one in owns], [place] * found.seeds, ".",
                      color="#bbbbbb", markersize=4)  # fmt: skip
            colour = {"helps": "#4c72b0", "hurts": "#c44e52"}.get(found.verdict, "#333333")
            if found.interval:
                axis.plot(found.interval, [place, place], color=colour, linewidth=2)
            axis.plot([found.mean], [place], "o", color=colour, markersize=5)
        axis.set(title=f"target at {strength:g}", xlabel=f"right answers minus {OWN}")
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].invert_yaxis()  # the axes share it
    figure.tight_layout()
    with atomic(path, binary=True) as file:
        figure.savefig(file, format="svg")
    plt.close(figure)
