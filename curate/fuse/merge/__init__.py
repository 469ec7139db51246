"""Merging the weights of fine-tuned models: linear, SLERP, task arithmetic, TIES, DARE, VaRM, SCE."""

from curate.fuse.merge.recipe import Recipe, load_recipe
from curate.fuse.merge.run import Merged, merge_models

__all__ = ["Merged", "Recipe", "load_recipe", "merge_models"]
