"""Publish a dataset: the rows as JSON lines and as Parquet, a dataset card with its pictures, and the Hub."""

from curate.export.card import Card, Written
from curate.export.formats import FORMATS
from curate.export.publish import export
from curate.export.splits import Splits, parse_splits

__all__ = ["FORMATS", "Card", "Splits", "Written", "export", "parse_splits"]
