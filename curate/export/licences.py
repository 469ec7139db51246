"""Licences: the identifiers that the Hub knows, and what is known of training on what a model wrote."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from curate.errors import InputError

COMMON = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0", "odc-by")
"""Licences that datasets often have, for an error's hint."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What binds what a model wrote: the name of its `terms`, a `note` on training, and where they stand."""

    terms: str
    note: str
    url: str = ""


@cache
def licences() -> dict[str, str]:
    """Return the Hub's licences: identifier and name."""
    return dict(_read("licences.yaml"))


def check_licence(text: str) -> str:
    """Return the identifier of a licence as the Hub spells it.

    Raises:
        InputError: the Hub knows no such licence; the message names the nearest.
    """
    known = licences()
    asked = text.strip().lower()
    if asked in known:
        return asked
    named = {name.lower(): identifier for identifier, name in known.items()}
    near = [named[name] for name in difflib.get_close_matches(asked, named, n=1, cutoff=0.8)]
    near += difflib.get_close_matches(asked.replace(" ", "-"), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else f"common ones are {', '.join(COMMON)}"
    raise InputError(f"the Hub knows no licence {text!r}; {hint} (`other` for one of your own)")


def terms_of(model: str) -> Terms | None:
    """Return what is known of the terms of a model, by its name; None where nothing is."""
    name = model.lower()
    for entry in _model_terms()["models"]:
        if re.search(entry["pattern"], name):
            return Terms(entry["terms"], " ".join(entry["note"].split()), entry.get("url", ""))
    return None


def terms_as_of() -> str:
    """Return the month of which the notes on models' terms are."""
    return str(_model_terms()["as_of"])


@cache
def _model_terms() -> dict[str, Any]:
    return dict(_read("model_terms.yaml"))


def _read(name: str) -> Any:
    import yaml

    return yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))
