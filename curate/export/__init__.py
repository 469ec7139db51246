"""Publish a dataset: the rows as JSON lines and as Parquet, and a dataset card."""

from curate.export.card import Card
from curate.export.formats import FORMATS
from curate.export.publish import export

__all__ = ["FORMATS", "Card", "export"]
