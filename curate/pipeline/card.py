"""The dataset card of a run, from what lies in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.run import read_settings

if TYPE_CHECKING:
    from curate.export import Card


def card_of(folder: Path, stages: list[tuple[str, int, int]], summary: Mapping[str, Any]) -> Card:
    """Return the card of the run in `folder`, whose rows gave `summary`; `stages` are (name, in, kept) in order."""
    from curate.export import Card

    settings = read_settings(folder)
    identity, domain = settings["identity"], settings["domain"]
    encoder, rouge, verify = settings["encoder"], domain.get("rouge"), domain["verify"]
    votes = f"checked as mathematics: by the known answer, else by {verify['votes']} votes"
    shown = {
        "ROUGE-L above which an instruction is a copy": rouge["threshold"] if rouge else "not compared",
        "cosine above which it is a copy": f"{encoder['threshold']} ({encoder['name']})" if encoder else "not compared",
        "answers": votes if verify["kind"] == "math" else "",
        "judge": f"at least {domain['judge']['min_score']}" if domain.get("judge") else "",
        "made with": f"curate-llm {settings['versions']['curate-llm']}",
    }
    return Card(
        domain=identity["domain"],
        language=identity["language"],
        description=domain["root"].get("description", ""),
        models=settings["models"],
        seed=identity["seed"],
        stages=stages,
        drops=summary["dropped"],
        settings={name: value for name, value in shown.items() if value != ""},
    )
