"""Which prompts a run asks whom: those whose responses a stage learns from, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from curate.errors import InputError
from curate.fuse.run.recipe import Stage
from curate.fuse.run.schema import Collect, Recipe, TokenLevel
from curate.fuse.sources import Role
from curate.fuse.split import SHARE, Side

Sides = Mapping[Role, Side | None]
"""The prompts that sources and target are asked, None for all; who is not in it is asked nothing."""

SFT, PAIRS = True, False


def share_of(recipe: Recipe, stages: Sequence[Stage]) -> float:
    """Return the share of the prompts that SFT takes: all of them where nothing else learns from them."""
    kinds = {stage.kind for stage in stages}
    pairs = "dpo" in kinds or "wrpo" in kinds
    if pairs and ("sft" in kinds or "fuse" in kinds):
        return SHARE if recipe.share is None else recipe.share
    return 0.0 if pairs else 1.0


def sides_of(recipe: Recipe, stages: Sequence[Stage]) -> list[Sides]:
    """Return who is asked what in each collection.

    Sources are asked in every collection what any stage reads of them, so that a later one asks them nothing new; the
    target is another model in each, and what is asked of it is for the stages up to the next.

    Raises:
        InputError: a collection of responses that no stage learns from.
    """
    share = share_of(recipe, stages)
    places = [number for number, stage in enumerate(stages) if isinstance(stage.options, Collect)]
    everywhere = {sft for role, sft in read_by(stages[places[0] :] if places else ()) if role == "source"}
    found: list[Sides] = []
    for place, following in zip(places, [*places, len(stages)][1:], strict=True):
        own = {sft for role, sft in read_by(stages[place:following]) if role == "target"}
        asked: dict[Role, set[bool]] = {"source": everywhere}
        if stages[place].options.target:
            asked["target"] = own
        if not any(asked.values()) or not asked.get("target", {SFT}):
            whose = "the target" if "target" in asked else "the sources"
            raise InputError(
                f"the stage collect asks for responses of {whose}, and no stage behind it learns from them; take it "
                "out, or put a stage behind it that does"
            )
        found.append({role: _side(sides, share, recipe.seed) for role, sides in asked.items() if sides})
    return found


def read_by(stages: Sequence[Stage]) -> Iterator[tuple[Role, bool]]:
    """Yield whose responses the stages behind a collection learn from, and whether to the prompts for SFT."""
    for stage in stages:
        if stage.kind == "wrpo":
            yield from (("source", PAIRS), ("target", PAIRS))
        elif stage.kind in ("sft", "dpo"):
            yield stage.options.of, stage.kind == "sft"
        elif isinstance(stage.options, TokenLevel) and not stage.options.data:
            yield "source", SFT


def _side(sides: set[bool], share: float, seed: int) -> Side | None:
    """Return the side of a split, None where it is all of the prompts."""
    if len(sides) == 2 or share == float(next(iter(sides))):
        return None
    return Side(next(iter(sides)), share, seed)
