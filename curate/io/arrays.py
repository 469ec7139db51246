"""Arrays in one file, published whole and read in place: a line of JSON says where each begins; their bytes follow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.io.files import atomic

MAGIC = b"curate-arrays-1\n"
ALIGN = 64


def write_arrays(path: Path, head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Publish one-dimensional arrays under their names, with `head` (JSON values). Raises RunError as `atomic` does."""
    table, end = {}, 0
    for name, values in arrays.items():
        table[name] = [values.dtype.str, len(values), end]
        end += -(-values.nbytes // ALIGN) * ALIGN
    line = json.dumps({"head": dict(head), "arrays": table, "bytes": end}).encode() + b"\n"
    with atomic(path, binary=True) as file:
        file.write(MAGIC + line)
        file.write(b"\0" * (-file.tell() % ALIGN))
        for values in arrays.values():
            file.write(np.ascontiguousarray(values).data.cast("B") if len(values) else b"")
            file.write(b"\0" * (-values.nbytes % ALIGN))


def read_arrays(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
    """Return the head and the arrays, mapped and read only, or None where there is no such whole file."""
    try:
        with path.open("rb") as file:
            if file.readline() != MAGIC:
                return None
            index = json.loads(file.readline())
            start = -(-file.tell() // ALIGN) * ALIGN
            if file.seek(0, 2) != start + index["bytes"]:
                return None
        mapped = np.memmap(path, np.uint8, "r") if index["bytes"] else np.zeros(start, dtype=np.uint8)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    arrays = {}
    for name, (kind, count, offset) in index["arrays"].items():
        dtype = np.dtype(kind)
        # A plain view: each slice of a memmap makes an object of its own, which costs more than the reading.
        part = mapped[start + offset : start + offset + count * dtype.itemsize]
        arrays[name] = np.asarray(part).view(dtype)
    return index["head"], arrays
