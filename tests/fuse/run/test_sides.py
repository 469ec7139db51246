"""Who is asked which prompts: those that a stage learns from, and no others."""

from __future__ import annotations

import pytest

from curate.errors import InputError
from curate.fuse.run.recipe import load_recipe, shipped_recipes
from curate.fuse.run.sides import sides_of
from curate.fuse.split import Side

SFT, PAIRS = Side(True, 0.4, 0), Side(False, 0.4, 0)

HEAD = "target: T\nsources: [procedural]\nprompts: p.jsonl\neval: {data: e.jsonl}\nstages:\n"


def sides(tmp_path, *stages):
    """Return who is asked what by stages that are written as in a recipe."""
    (tmp_path / "r.yaml").write_text(HEAD + "".join(f"- {stage}\n" for stage in stages))
    return sides_of(*load_recipe(str(tmp_path / "r.yaml"), {}))


OWN, TARGET = "{of: target}", "collect: {target: true}"


@pytest.mark.parametrize(
    "stages, expected",
    [
        (["collect", "sft"], [{"source": None}]),
        (["collect", "dpo"], [{"source": None}]),
        (["collect", "sft", "dpo"], [{"source": None}]),
        (["collect", "fuse", "dpo"], [{"source": None}]),
        (["collect", "sft", TARGET, "wrpo"], [{"source": None}, {"source": None, "target": PAIRS}]),
        (["collect", "sft", TARGET, f"dpo: {OWN}"], [{"source": SFT}, {"source": SFT, "target": PAIRS}]),
        (["collect", "fuse: {data: d.jsonl}", "dpo"], [{"source": PAIRS}]),
        ([TARGET, f"sft: {OWN}"], [{"target": None}]),
        ([TARGET, f"sft: {OWN}", TARGET, "wrpo"],
         [{"source": PAIRS, "target": SFT}, {"source": PAIRS, "target": PAIRS}]),
        (["fuse"], []),
    ],
)  # fmt: skip
def test_nothing_is_asked_that_nobody_reads(tmp_path, stages, expected):
    assert sides(tmp_path, *stages) == expected


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_ask_the_target_for_preferences_alone(name):
    recipe, stages = load_recipe(name, {"target": "T", "sources": ["procedural"]}, ["e.jsonl"])
    found = sides_of(recipe, stages)
    assert [one.get("source", "nothing") for one in found] == [None] * len(found)
    targets = [one["target"] for one in found if "target" in one]
    assert targets == ([Side(False, 0.3333, 0)] if name == "wrpo" else [])


@pytest.mark.parametrize(
    "stages, whose",
    [(["collect", "fuse: {data: d.jsonl}"], "the sources"), ([TARGET, "sft"], "the target"),
     ([TARGET, "sft", "collect", f"dpo: {OWN}"], "the target")],
)  # fmt: skip
def test_a_collection_that_nothing_learns_from_is_refused(tmp_path, stages, whose):
    with pytest.raises(InputError, match=f"asks for responses of {whose}, and no stage behind it learns from them"):
        sides(tmp_path, *stages)
