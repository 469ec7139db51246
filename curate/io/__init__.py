"""Read anybody's dataset as samples; publish files whole or not at all; find the shipped folders."""

from curate.io.files import atomic, open_alone, read_jsonl, resource, whole, write_jsonl
from curate.io.read import read_samples
from curate.io.shapes import join_input, row_to_sample, sample_to_row

__all__ = [
    "atomic",
    "join_input",
    "open_alone",
    "read_jsonl",
    "read_samples",
    "resource",
    "row_to_sample",
    "sample_to_row",
    "whole",
    "write_jsonl",
]
