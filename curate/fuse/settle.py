"""What a folder of distributions is of, written down first, so that another capture or alignment is refused there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curate.errors import RunError
from curate.io import atomic

_NAMED = 3
"""Differences named at most."""


def settle(path: Path, identity: dict[str, Any], what: str) -> None:
    """Write `identity` to `path`, unless it is there. Raises RunError where that is another `what`, or not readable."""
    if not path.exists():
        with atomic(path) as file:
            json.dump(identity, file, indent=1, ensure_ascii=False)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path}: not readable ({error}); give another folder with --out") from None
    if names := [name for name in identity if before.get(name) != identity[name]]:
        words = ", ".join(f"{name} was {before.get(name)!r} and is {identity[name]!r}" for name in names[:_NAMED])
        raise RunError(
            f"{path.parent}: this folder holds another {what} ({words}); give a folder of its own with --out"
        )
