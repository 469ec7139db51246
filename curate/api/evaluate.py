"""How well models do on samples, as a Python function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.train.evaluate import Evaluation


def eval(
    models: str | Path | Sequence[str | Path],
    *,
    data: str | Path | Sequence[str | Path],
    limit: int | None = None,
    new_tokens: int = 512,
    max_length: int | None = None,
    template: str | None = None,
    out: str | Path = "evaluations",
    quiet: bool = False,
) -> Evaluation:
    """Measure models on samples: the loss of a target token, and exact match where samples have a known answer.

    `found.scores` has an entry for each model and file (`found.scores[0].loss.value`, `.exact.value`),
    `found.differences` what each later model has more than the first, sample by sample. See `curate eval --help` for
    the figures. The same call again computes only what is missing.

    Raises:
        InputError: a model, file or value that cannot be used, before a model is loaded.
        RunError: the disk is full, or another process evaluates into `out`.
        MissingExtraError: torch or transformers is not installed.
    """
    from curate.cli.eval import evaluated

    several = [models] if isinstance(models, (str, Path)) else models
    files = [data] if isinstance(data, (str, Path)) else data
    names, paths = [str(model) for model in several], [str(path) for path in files]
    return evaluated(names, paths, limit, new_tokens, max_length, template, Path(out), quiet=quiet)
