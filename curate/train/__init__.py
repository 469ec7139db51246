"""The trainer: what `curate train` does, readable without the rest of the package."""
