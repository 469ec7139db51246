"""The vectors of the map: those that the run compared its samples by, where they cost neither money nor minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.errors import CurateError, InputError

if TYPE_CHECKING:
    from curate.embed import Encoder, Vectors
    from curate.finished import FinishedRun

SHIPPED = ("static", "chargrams")
"""Encoders that take seconds for 100,000 texts and cost nothing."""

MOST = 0.5
"""Share of the texts whose vectors must be stored for the map to be laid out by them."""


def map_vectors(run: FinishedRun, texts: list[str], given: Encoder | None = None) -> tuple[Vectors, dict[str, str]]:
    """Return one row for each text, zeros where there is none, and what the page says: `encoder` and a `note`.

    An endpoint would bill a text again and a transformer takes minutes for many: of those, only vectors that the run
    directory has stored are used, and where it has few, the encoder that ships for the language. `given` is the run's
    encoder where it is open already.
    """
    from curate.embed import default_encoder, open_encoder

    name = (run.settings.get("encoder") or {}).get("name")
    if name and name not in SHIPPED and (vectors := _stored(run, name, texts, given)) is not None:
        return vectors, {"encoder": name, "note": ""}
    chosen = name if name in SHIPPED else default_encoder(run.identity.get("language", "en"))
    encoder = given if given is not None and given.name == chosen else open_encoder(chosen)
    try:
        vectors = encoder.encode(texts)
    except InputError:  # the static table knows too few of the words
        encoder = open_encoder("chargrams")
        vectors = encoder.encode(texts)
    note = ""
    if name and name != encoder.name:
        note = f"The run compared its samples with {name}; the map is laid out with {encoder.name}."
    return vectors, {"encoder": encoder.name, "note": note}


def _stored(run: FinishedRun, name: str, texts: list[str], given: Encoder | None) -> Vectors | None:
    """Return the stored vectors of the texts, zeros for the others; None where most are not stored."""
    from curate.embed.store import VectorStore, run_encoder

    try:
        encoder = given if given is not None and given.name == name else run_encoder(run.folder, name)
        if not isinstance(encoder, VectorStore):
            return None
        known = np.flatnonzero(encoder.known(texts))
        if not len(known) or len(known) < MOST * len(texts):
            return None
        vectors = np.zeros((len(texts), encoder.dim), dtype=np.float32)
        vectors[known] = encoder.encode([texts[place] for place in known])
    except CurateError:  # a model that is not installed here, or vectors that cannot be read
        return None
    return vectors
