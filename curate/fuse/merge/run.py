"""A merge from recipe to checkpoint: what is checked before, the weights shard by shard, and what goes with them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from curate.errors import CurateError, InputError
from curate.fuse.merge.checkpoint import FLOATS, INDEX, SINGLE, Checkpoint, Entry, shards_of, write_header
from curate.fuse.merge.companions import copy_companions, write_card
from curate.fuse.merge.methods import METHODS
from curate.fuse.merge.recipe import Recipe
from curate.fuse.merge.tensors import Combine, Tensors
from curate.fuse.merge.variance import Weights, mean_squares, survey
from curate.io import atomic, open_alone

SHARD = 5_000_000_000
"""Bytes of a file of weights at most, unless one tensor is larger: what transformers writes."""

TIED = "lm_head.weight"
"""The head, which a checkpoint may leave out where it is the embedding."""

MARK = ".mark"
"""Says, in an unfinished checkpoint, of which merge it is."""

Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Merged:
    """A merged checkpoint: its folder, and how much of it there is. `reused` files were there from an earlier try."""

    out: Path
    method: str
    models: tuple[str, ...]
    tensors: int
    parameters: int
    bytes: int
    files: int
    reused: int
    weights: Mapping[str, list[float]]

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON values; `weights` only where they are shared by more than a matrix."""
        return {**self.__dict__, "out": str(self.out), "models": list(self.models)}


def merge_models(
    recipe: Recipe,
    out: Path,
    *,
    threads: int | None = None,
    shard_bytes: int = SHARD,
    tick: Tick = lambda done, total: None,
) -> Merged:
    """Merge the models of a recipe into the folder `out`, which transformers and vLLM load.

    Memory is that of a few blocks of every model, and for TIES and SCE a float32 copy of the largest tensor. What was
    written before a crash is used when the same merge is run again; `out` appears when all of it is there.

    Raises:
        InputError: models that do not fit together, a NaN in one, or an `out` that holds something else.
        RunError: another process is making the same `out`, or it cannot be written.
    """
    with ExitStack() as stack:
        names = [*([recipe.base] if recipe.base else []), *recipe.models]
        checkpoints = [Checkpoint(name, stack) for name in names]
        entries = _common(checkpoints)
        job = _Job(recipe, checkpoints, _out_entries(entries, recipe), threads or len(os.sched_getaffinity(0)))
        mark = _fingerprint(recipe, checkpoints, shard_bytes)
        if _done(out, mark):
            return job.report(out, mark, reused=None)
        draft = out.absolute().with_name(f".{out.absolute().name}.merging")
        with _drafting(draft, mark, out):
            with job.working():
                reused = job.write(draft, shard_bytes, tick)
            copy_companions(draft, recipe, checkpoints, job.dtype)
            write_card(draft, recipe)
            (draft / "merge.json").write_text(json.dumps({"mark": mark, "weights": job.shared}) + "\n")
            if out.is_dir():
                out.rmdir()  # it was found empty
            draft.rename(out)
            (out / MARK).unlink()
        return job.report(out, mark, reused=reused)


def check_models(names: Sequence[str]) -> None:
    """Raise InputError where these models cannot be merged with each other, from their headers alone."""
    with ExitStack() as stack:
        _common([Checkpoint(name, stack) for name in names])


def _common(checkpoints: list[Checkpoint]) -> dict[str, Entry]:
    """Return the tensors that all checkpoints have, in the first one's order. Raises InputError where they differ."""
    first = checkpoints[0]
    tied = all(one.config.get("tie_word_embeddings") for one in checkpoints)
    entries = {key: entry for key, entry in first.entries.items() if not (tied and key == TIED)}
    for other in checkpoints[1:]:
        for here, there in ((first, other), (other, first)):
            missing = [key for key in here.entries if key not in there.entries and not (tied and key == TIED)]
            if missing:
                more = f" and {len(missing) - 1:,} others" if len(missing) > 1 else ""
                raise InputError(
                    f"{there.name} has no {missing[0]}{more}, which {here.name} has: only models of the same "
                    "architecture can be merged"
                )
        for key, entry in entries.items():
            if other.entries[key].shape != entry.shape:
                raise InputError(
                    f"{other.name}: {key} is {_shape(other.entries[key])} and that of {first.name} {_shape(entry)}; "
                    "only models of the same sizes and vocabulary can be merged"
                )
    return entries


def _shape(entry: Entry) -> str:
    return " x ".join(map(str, entry.shape)) or "a number"


def _out_entries(entries: Mapping[str, Entry], recipe: Recipe) -> dict[str, Entry]:
    """Return what is written: the floats in the recipe's dtype (else their own), everything else as it is."""
    name = next((key for key, dtype in FLOATS.items() if str(dtype) == f"torch.{recipe.dtype}"), None)
    return {
        key: replace(entry, dtype=name or entry.dtype) if entry.dtype in FLOATS else entry
        for key, entry in entries.items()
    }


def _fingerprint(recipe: Recipe, checkpoints: list[Checkpoint], shard_bytes: int) -> str:
    """Return a hash of the recipe and of the files it reads, by their names, sizes and times."""
    files = sorted({entry.file for one in checkpoints for entry in one.entries.values()})
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    text = json.dumps([recipe.as_dict(), stats, shard_bytes], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _done(out: Path, mark: str) -> bool:
    """Is `out` this very merge? Raises InputError where it holds something else."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        try:
            if json.loads((out / "merge.json").read_text())["mark"] == mark:
                return True
        except (OSError, ValueError, KeyError):
            pass
        raise InputError(f"{out}: holds something else than this merge; name another folder with --out, or remove it")
    return False


@contextmanager
def _drafting(draft: Path, mark: str, out: Path) -> Iterator[None]:
    """Hold the folder that becomes the checkpoint; what another merge or a killed process left there is removed.

    Raises RunError where another process holds it, or it cannot be made.
    """
    with open_alone(draft / MARK, out, "merges into") as note:
        note.seek(0)
        same = note.read() == mark
        for file in draft.iterdir():
            if file.name != MARK and (not same or file.suffix == ".tmp"):
                file.unlink()
        note.truncate(0)
        note.write(mark)
        note.flush()
        yield


def _check_room(draft: Path, total: int) -> None:
    """Raise InputError where the disk has no room for `total` bytes of weights, less those that are there already."""
    need = total - sum(file.stat().st_size for file in draft.glob("*.safetensors"))
    room = shutil.disk_usage(draft).free
    if need > room:
        raise InputError(
            f"{draft.parent}: the merged model takes {need / 1e6:,.0f} MB more and {room / 1e6:,.0f} MB are free; free "
            "space or name another place with --out"
        )


class _Job:
    """What one merge works with."""

    def __init__(self, recipe: Recipe, checkpoints: list[Checkpoint], entries: dict[str, Entry], threads: int) -> None:
        self.recipe, self.checkpoints, self.entries, self.threads = recipe, checkpoints, entries, threads
        self.shared: dict[str, list[float]] = {}
        self.pool: ThreadPoolExecutor

    @property
    def dtype(self) -> str:
        """Return the dtype of the floats, as transformers names it."""
        names = [entry.dtype for entry in self.entries.values() if entry.dtype in FLOATS]
        return str(FLOATS[max(set(names), key=names.count)]).removeprefix("torch.") if names else "float32"

    @contextmanager
    def working(self) -> Iterator[None]:
        """Open the threads. Each block is one thread's work, so that torch's own threads would only wait."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(self.threads, "curate-merge") as self.pool:
                yield
        finally:
            torch.set_num_threads(before)

    def tensors(self, key: str) -> Tensors:
        """Return a weight of all checkpoints."""
        parts = [one.tensor(key) for one in self.checkpoints]
        return Tensors(key, parts[0] if self.recipe.base else None, parts[bool(self.recipe.base) :], self.pool)

    def write(self, draft: Path, shard_bytes: int, tick: Tick) -> int:
        """Write the files of weights that are not there yet and return the number of those that were."""
        weights = self._survey()
        shards = shards_of({key: entry.bytes for key, entry in self.entries.items()}, shard_bytes)
        files = (
            [SINGLE]
            if len(shards) == 1
            else [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
        )
        total = sum(entry.bytes for entry in self.entries.values())
        _check_room(draft, total)
        done = reused = 0
        for name, keys in zip(files, shards, strict=True):
            if (draft / name).is_file():
                reused += 1
                done += sum(self.entries[key].bytes for key in keys)
                continue
            with atomic(draft / name, binary=True) as file:
                write_header(file, {key: self.entries[key] for key in keys})
                for key in keys:
                    for block in self._merged(key, weights):
                        file.write(block.view(torch.uint8).numpy().data)
                        done += block.numel() * block.itemsize
                        tick(done, total)
            for one in self.checkpoints:
                one.close()
        if len(shards) > 1:
            where = {key: file for file, keys in zip(files, shards, strict=True) for key in keys}
            index = {"metadata": {"total_size": total}, "weight_map": where}
            (draft / INDEX).write_text(json.dumps(index, indent=1) + "\n")
        return reused

    def _merged(self, key: str, weights: Weights) -> Iterator[torch.Tensor]:
        """Yield the blocks of one merged tensor in the dtype they are written in."""
        entry = self.entries[key]
        tensors = self.tensors(key)
        if not entry.size:
            return
        if entry.dtype not in FLOATS:
            yield self._same(key, tensors)
            return
        combine = METHODS[self.recipe.method].prepare(tensors, self.recipe, weights)
        yield from tensors.map(lambda block: self._checked(tensors, combine, block, FLOATS[entry.dtype]))

    def _checked(self, tensors: Tensors, combine: Combine, block: slice, dtype: torch.dtype) -> torch.Tensor:
        """Return a block as it is written. Raises InputError, which names the model, where there is a NaN."""
        merged = combine(block)
        extremes = torch.stack(merged.aminmax())
        if not torch.isfinite(extremes).all():
            self._refuse_broken(tensors)
        if not torch.isfinite(extremes.to(dtype)).all():
            raise CurateError(f"{tensors.name}: the merged weight is too large for {dtype}; set dtype: bfloat16")
        return merged.to(dtype)

    def _refuse_broken(self, tensors: Tensors) -> None:
        """Raise InputError where one of the models has a NaN or an infinity in this weight."""
        parts = [tensors.base, *tensors.models] if tensors.base is not None else [*tensors.models]
        for one, part in zip(self.checkpoints, parts, strict=True):
            for block in tensors.blocks():
                wrong = (~torch.isfinite(part[block])).nonzero()
                if len(wrong):
                    place = block.start + int(wrong[0])
                    raise InputError(
                        f"{one.name}: {tensors.name} holds {float(part[place])} at element {place:,}; that checkpoint "
                        "is broken, leave it out or take an earlier one"
                    )

    def _same(self, key: str, tensors: Tensors) -> torch.Tensor:
        """Return a tensor that is not merged. Raises InputError where the models differ in it."""
        parts = [tensors.base, *tensors.models] if tensors.base is not None else [*tensors.models]
        for one, part in zip(self.checkpoints, parts, strict=True):
            if not torch.equal(part, parts[0]):
                dtype = self.entries[key].dtype
                raise InputError(f"{one.name}: {key} is {dtype} and differs; only float weights can be merged")
        return parts[0]

    def _survey(self) -> Weights:
        """Read all weights once where theirs are shared by more than a matrix (VaRM)."""
        granularity = self.recipe.shared("granularity")
        if self.recipe.method != "varm" or granularity == "matrix":
            return lambda key: None

        def changed(tensors: Tensors) -> list[int]:
            counts = tensors.map(lambda block: (tensors.deltas(block) != 0).sum(1))
            total: list[int] = torch.stack(list(counts)).sum(0).tolist()
            return total

        floats = [key for key, entry in self.entries.items() if entry.dtype in FLOATS and entry.size]
        rows = []
        for key in floats:
            tensors = self.tensors(key)
            rows.append((key, tensors.size, mean_squares(tensors), changed(tensors)))
        self.shared = survey(rows, granularity)
        return self.shared.get

    def report(self, out: Path, mark: str, reused: int | None) -> Merged:
        """Return what was made; `reused` None says that all of it was there before."""
        files = len({*out.glob("*.safetensors")})
        return Merged(
            out,
            self.recipe.method,
            self.recipe.models,
            len(self.entries),
            sum(entry.size for entry in self.entries.values()),
            sum(entry.bytes for entry in self.entries.values()),
            files,
            files if reused is None else reused,
            json.loads((out / "merge.json").read_text())["weights"],
        )
