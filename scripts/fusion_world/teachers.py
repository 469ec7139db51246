"""What the sources say of a text, token by token: captured and aligned by curate, and made-up teachers beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from curate.fuse.align.run import Options as AlignOptions
from curate.fuse.align.run import align
from curate.fuse.capture.run import Options as CaptureOptions
from curate.fuse.capture.run import capture
from curate.train.dists import Dist, Record, open_dists, write_dists

TOP = 10


def captured(text: Path, source: Path, out: Path) -> Path:
    """Capture a source on a text."""
    capture(text, CaptureOptions(str(source), out, k=TOP))
    return out


def aligned(folder: Path, target: Path, out: Path) -> Path:
    """Bring captured distributions into the target's tokens."""
    align(folder, AlignOptions(str(target), out))
    return out


def entropy_of(folders: Sequence[Path]) -> float:
    """Return the mean entropy (nats) of the rows that MinCE takes: those of each turn's least surprised source.

    What is beyond the tokens that are kept counts as one more token, as it does in the loss.
    """
    best: dict[str, Dist] = {}
    for folder in folders:
        for record in open_dists(folder):
            known = best.get(record.sample)
            if known is None or record.dist.nll_per_byte < known.nll_per_byte:
                best[record.sample] = record.dist
    rows = [np.column_stack([dist.logprobs, dist.tail]).astype(np.float64) for dist in best.values()]
    logs = np.concatenate(rows)
    return float(-np.where(np.isneginf(logs), 0.0, np.exp(logs) * np.where(np.isneginf(logs), 0.0, logs)).sum(1).mean())


def smoothing_of(entropy: float, vocabulary: int) -> float:
    """Return the probability that label smoothing takes from the right token for an entropy (nats)."""
    low, high = 0.0, (vocabulary - 1) / vocabulary
    for _ in range(60):
        share = (low + high) / 2
        found = -(1 - share) * np.log1p(-share) - share * np.log(max(share, 1e-300) / (vocabulary - 1))
        low, high = (share, high) if found < entropy else (low, share)
    return low


def smoothed(folder: Path, share: float, out: Path) -> Path:
    """Write the distributions of label smoothing: `share` spread evenly over all other tokens of the target.

    `folder` was captured in the target's tokens; it says which token follows where.
    """
    dists = open_dists(folder)
    header = replace(dists.header, model="label smoothing")
    size = header.vocab_size

    def smooth(dist: Dist) -> Dist:
        right = dist.tokens.astype(np.int64)[:, None]
        ids = np.concatenate([right, (right + np.arange(1, header.k)) % size], 1).astype(np.uint32)
        logs = np.full(ids.shape, np.log(share / (size - 1)), np.float32)
        logs[:, 0] = np.log1p(-share)
        tail = np.full(len(ids), np.log(share * (size - header.k) / (size - 1)), np.float32)
        return replace(dist, ids=ids, logprobs=logs, tail=tail)

    write_dists(out, header, (replace(record, dist=smooth(record.dist)) for record in dists))
    return out


def shuffled(folder: Path, out: Path, rng: np.random.Generator) -> Path:
    """Write distributions with each row from a place of chance, of any turn."""
    dists = open_dists(folder)
    records = list(dists)
    lengths = [len(record.dist.offsets) for record in records]
    order = rng.permutation(sum(lengths))
    ids = np.concatenate([record.dist.ids for record in records])[order]
    logprobs = np.concatenate([record.dist.logprobs for record in records])[order]
    tail = np.concatenate([record.dist.tail for record in records])[order]

    def moved() -> Iterator[Record]:
        end = 0
        for record, length in zip(records, lengths, strict=True):
            rows, end = slice(end, end + length), end + length
            yield replace(record, dist=replace(record.dist, ids=ids[rows], logprobs=logprobs[rows], tail=tail[rows]))

    write_dists(out, dists.header, moved())
    return out
