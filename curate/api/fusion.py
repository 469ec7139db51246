"""Several models into one: merge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.fuse.merge import Merged


def merge(
    recipe: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    threads: int | None = None,
    quiet: bool = False,
) -> Merged:
    """Merge the weights of models that were trained from the same one, and return what was made.

    `recipe` is a YAML file, or its content: `{"merge_method": "sce", "base_model": ..., "models": [...]}`. `out` is the
    folder of the new checkpoint; the same merge again returns at once.

    Raises:
        InputError: a mistake in the recipe, models that do not fit together, or an `out` that holds something else.
    """
    from curate.cli.display import counted
    from curate.fuse.merge import load_recipe, merge_models
    from curate.fuse.merge.recipe import read_recipe

    read = read_recipe(recipe) if isinstance(recipe, Mapping) else load_recipe(Path(recipe))
    with counted("merge", quiet=quiet, unit="MB") as meter:
        return merge_models(
            read,
            Path(out),
            threads=threads,
            tick=lambda done, total: meter.tick(done // 10**6, total // 10**6),
        )
