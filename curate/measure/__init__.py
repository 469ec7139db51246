"""Figures of a dataset and of the run that made it.

`figures(samples, vectors=..., language=..., seed=...)` takes all of them; each is also a plain function of its module.
"""

from curate.measure.figure import Figure, Figures, Lengths
from curate.measure.figures import figures, random_places

__all__ = ["Figure", "Figures", "Lengths", "figures", "random_places"]
