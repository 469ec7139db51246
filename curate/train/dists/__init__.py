"""Distributions on disk: what a source finds probable at every place of a turn, k tokens and the mass of the rest.

`open_dists` reads a folder, `write_dists` makes one.
"""

from curate.train.dists.folder import Dists, open_dists, write_dists
from curate.train.dists.records import KINDS, Dist, Header, Record, turn_key

__all__ = ["KINDS", "Dist", "Dists", "Header", "Record", "open_dists", "turn_key", "write_dists"]
