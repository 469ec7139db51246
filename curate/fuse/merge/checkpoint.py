"""Checkpoints in safetensors: read tensor by tensor without loading them, written shard by shard as they come."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from curate.errors import InputError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

ADAPTER = "adapter_config.json"
"""What says that weights are only what is added to another model's; transformers loads them where it is there."""

FLOATS = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
"""The dtypes that are merged, by their names in a file."""

WIDTHS = {"F32": 4, "BF16": 2, "F16": 2, "F64": 8, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of an element. What is not merged is copied where all models have the same."""


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: its file, shape and dtype as the file names it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Return what it takes on disk."""
        return self.size * WIDTHS[self.dtype]


class Checkpoint:
    """A folder with config.json and safetensors files. Tensors are mapped from the disk, never copied."""

    def __init__(self, name: str, stack: ExitStack) -> None:
        """Open a folder, or fetch a model from the Hub. Raises InputError for what is no such checkpoint."""
        self.name = name
        self.folder = folder_of(name)
        if (self.folder / ADAPTER).is_file():
            raise InputError(
                f"{name}: holds LoRA adapters, and only whole weights are merged; put them into their model first "
                "(curate train does unless --adapter is given; merge_and_unload of peft)"
            )
        self.config = _json(self.folder / "config.json", name)
        self.entries = {key: entry for file in _files(self.folder, name) for key, entry in _header(file)}
        self.stack = stack
        self.open: dict[Path, Any] = {}

    def tensor(self, key: str) -> torch.Tensor:
        """Return a tensor as it lies in the file: mapped, in its own dtype, flat."""
        from safetensors import safe_open

        file = self.entries[key].file
        if file not in self.open:
            self.open[file] = self.stack.enter_context(safe_open(str(file), "pt"))
        return self.open[file].get_tensor(key).reshape(-1)

    def close(self) -> None:
        """Forget the mapped files, and with them the pages that were read of them."""
        self.open.clear()


def folder_of(name: str) -> Path:
    """Return the folder of a model: a path, or a snapshot of a model on the Hub.

    Raises InputError for what is neither, HubError where the Hub does not give it.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise InputError(f"{name}: there is no such folder, and it is no name of a model on the Hub (OWNER/NAME)")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        from curate.errors import MissingExtraError

        raise MissingExtraError(f"{name} on the Hub", "hub") from None
    from curate.export.hub_errors import explained, silenced

    patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    with explained(name), silenced(quiet=False):
        return Path(snapshot_download(name, allow_patterns=patterns))


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name}: {path.name} cannot be read ({getattr(error, 'strerror', error)}); a checkpoint of transformers "
            "has one"
        ) from None
    if not isinstance(value, dict):
        raise InputError(f"{name}: {path.name} holds no object")
    return value


def _files(folder: Path, name: str) -> list[Path]:
    if (folder / INDEX).is_file():
        index = _json(folder / INDEX, name)
        files = [folder / Path(file).name for file in dict.fromkeys(index.get("weight_map", {}).values())]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise InputError(f"{name}: {INDEX} names {missing[0]}, which is not there: fetch the checkpoint again")
        return files
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    raise InputError(f"{name}: no {SINGLE} or {INDEX}; save the model with save_pretrained, which writes safetensors")


def _header(file: Path) -> Iterator[tuple[str, Entry]]:
    """Yield the tensors that a file names in its header (8 bytes of length, then JSON)."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length)) if length <= file.stat().st_size else None
            whole = header is not None and 8 + length + max(
                (row["data_offsets"][1] for key, row in header.items() if key != "__metadata__"), default=0
            )
    except (OSError, ValueError, struct.error) as error:
        raise InputError(f"{file}: no safetensors file ({error}); fetch or save it again") from None
    if header is None or whole != file.stat().st_size:
        raise InputError(f"{file}: the file is cut off; fetch or save it again")
    for key, row in header.items():
        if key != "__metadata__":
            if row["dtype"] not in WIDTHS:
                raise InputError(f"{file}: {key} is {row['dtype']}, which cannot be merged; known: {', '.join(WIDTHS)}")
            yield key, Entry(file, tuple(row["shape"]), row["dtype"])


def shards_of(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    """Deal tensors of these sizes in bytes over files of at most `limit` bytes, in their order."""
    shards: list[list[str]] = [[]]
    used = 0
    for key, size in sizes.items():
        if shards[-1] and used + size > limit:
            shards.append([])
            used = 0
        shards[-1].append(key)
        used += size
    return shards


def write_header(file: IO[bytes], entries: Mapping[str, Entry]) -> None:
    """Write a file's header; the tensors follow in the same order, without gaps."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for key, entry in entries.items():
        header[key] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [start, start + entry.bytes],
        }
        start += entry.bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
