"""Distributions of a source in the tokens of the target, by shared byte boundaries or by the published methods."""

from curate.fuse.align.run import Aligned, Options, align

__all__ = ["Aligned", "Options", "align"]
