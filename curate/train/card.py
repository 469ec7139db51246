"""README.md of a trained model: from what, on what, how, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from curate.io import atomic
from curate.train.settings import Settings


def write_card(out: Path, settings: Settings, figures: Mapping[str, Any], samples: Sequence[Mapping[str, str]]) -> None:
    """Write `out`/README.md: the metadata that the Hub reads, the figures, the settings, samples."""
    metadata = {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["curate", settings.verb]}
    if not Path(settings.model).exists():
        metadata["base_model"] = settings.model
    names = [Path(text).name for text in settings.datasets]
    # Where files lie on this machine is nobody's business.
    shown = {**settings.identity(), "model": _model_name(settings), "datasets": names}
    shown |= {name: [_place(text) for text in shown[name]] for name in settings.folders}
    done = f"{_model_name(settings)}, fine-tuned ({settings.method}) on {', '.join(names)}"
    parts = [
        f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---\n",
        f"# {out.resolve().name}\n",
        f"{done} with `curate train {settings.verb}`.\n",
        _table("Figures", _figures(figures)),
        "![loss](loss.svg)\n",
        _table("Settings", {name: value for name, value in shown.items() if value is not None}),
        _samples(samples),
    ]
    with atomic(out / "README.md") as file:
        file.write("\n".join(part for part in parts if part))


def _model_name(settings: Settings) -> str:
    return _place(settings.model)


def _place(text: str) -> str:
    return Path(text).name if Path(text).exists() else text


def _figures(figures: Mapping[str, Any]) -> dict[str, str]:
    rows = {
        "samples": f"{figures['samples']:,} ({figures['dropped']:,} dropped)",
        "tokens in an epoch": f"{figures['tokens']:,}",
        "updates": f"{figures['steps']:,}",
        "loss over the last updates": f"{figures['loss']:.4f}",
        "parameters": f"{figures['parameters']:,}, {figures['trained']:,} of them trained",
        "speed": f"{figures['tokens_per_second']:,.0f} tokens/s, MFU {figures['mfu']:.3f} ({figures['peak']})",
        "peak memory": f"{figures['memory'] / 1e9:.2f} GB",
    }
    if figures["before"] is not None:
        rows["loss on held-out samples"] = f"{figures['before']:.4f} before, {figures['after']:.4f} after"
    return rows | {name.replace("_", " "): f"{value:.4f}" for name, value in figures.get("more", {}).items()}


def _table(title: str, rows: Mapping[str, Any]) -> str:
    lines = [f"| {name} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *lines, ""])


def _cell(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _samples(samples: Sequence[Mapping[str, str]]) -> str:
    """Return the samples as blocks of code, longer in their fences than any run of backticks in what models wrote."""
    if not samples:
        return ""
    parts = ["## Before and after\n", "Greedy answers, cut after 96 tokens.\n"]
    for sample in samples:
        for name in ("prompt", "before", "after"):
            text = sample[name].strip()
            fence = "`" * (max((len(run) for run in _runs(text)), default=2) + 1)
            parts.append(
                f"{name}:\n\n{fence if len(fence) > 2 else '```'}text\n{text}\n{fence if len(fence) > 2 else '```'}\n"
            )
    return "\n".join(parts)


def _runs(text: str) -> list[str]:
    import re

    return re.findall(r"`+", text)
