"""An encoder behind an API in `curate dedup`: what it will cost is said first, and it has a budget and a ledger.

NAME.cache/calls.sqlite    every call and what it cost, over all runs; the vectors lie beside it, so that none is paid
                           for twice
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from curate.embed import Encoder, Unsent
from curate.errors import InputError
from curate.io import read_samples
from curate.pipeline.dataset import make_folder
from curate.pipeline.estimate import CHARS_PER_TOKEN
from curate.stages.dedup import text_of
from curate.text import text_hash

if TYPE_CHECKING:
    from curate.embed.api import ApiEncoder
    from curate.models import Budget
    from curate.pipeline.dedup_find import Job

LOOKED_UP = 4096
"""Texts looked up at a time among those whose vectors are stored."""


@dataclass(frozen=True)
class Asking:
    """What an API will be asked; `cost` is in US dollars, None where the price is unknown."""

    model: str
    texts: int
    calls: int
    tokens: int
    cost: float | None


Plan = Callable[[Asking], None]
"""Told what will be asked before anything is."""


def unplanned(_: Asking) -> None:
    """Tell nobody."""


@contextmanager
def paid(job: Job, encoder: Encoder | None, cache: Path | None, budget: Budget | None, plan: Plan) -> Iterator[None]:
    """Let an encoder behind an API be asked within a budget, through the ledger in `cache`; others are left alone.

    Without a folder, nothing is kept, and the budget is that of this one run.

    Raises:
        InputError: a budget for an encoder that costs nothing, or no key for a server that needs one.
        Unsent: the budget is spent, or the run was stopped; every vector that was paid for is kept.
    """
    from curate.embed.api import ApiEncoder
    from curate.models import Budget, Engine, Ledger
    from curate.pipeline.interrupt import stop_on_interrupt
    from curate.pipeline.watch import Watch

    api = getattr(encoder, "encoder", encoder)  # what a store keeps the vectors of
    if encoder is None or not isinstance(api, ApiEncoder):
        if budget not in (None, Budget()):
            raise InputError(
                f"a budget is for an embedder behind an API, and '{job.embedder}' costs nothing; leave it out"
            )
        yield
        return
    api.check_key()
    asking = _asking(job, encoder, api)
    if asking.calls:
        plan(asking)
    if cache is not None:
        make_folder(cache)
    with (
        Ledger(cache / "calls.sqlite") if cache is not None else Ledger() as ledger,
        Engine({"embedder": api.model}, ledger, budget) as engine,
        stop_on_interrupt(engine, Watch()),
    ):
        api.engine = engine
        try:
            yield
        except Unsent as unsent:
            kept = "what was paid for is kept in NAME.cache" if cache is not None else "nothing is kept without a file"
            more = "with a larger budget" if unsent.kind == "budget" else "to go on"
            raise Unsent(unsent.kind, f"; {kept}; run the same command again {more}") from None
        finally:
            api.engine = None


def _asking(job: Job, encoder: Encoder, api: ApiEncoder) -> Asking:
    """Read the samples once and return what will be asked: different texts that have no stored vector."""
    from curate.embed.api import BATCH
    from curate.embed.store import free

    old = job.against or (job.add_to if job.add_to and Path(job.add_to).exists() else "")
    samples = chain(read_samples(old) if old else (), read_samples(job.source, fields=job.fields))
    seen: set[str] = set()
    count = letters = 0
    while block := [text_of(sample, job.field) for sample in islice(samples, LOOKED_UP)]:
        named = {name: text for text in block if (name := text_hash(text)) not in seen}
        seen.update(named)
        texts = list(named.values())
        new = [text for text, known in zip(texts, free(encoder, texts), strict=True) if not known and text.strip()]
        count += len(new)
        letters += sum(map(len, new))
    tokens = ceil(letters / CHARS_PER_TOKEN[job.language])
    price = getattr(api.model, "price", None)
    return Asking(api.name, count, ceil(count / BATCH), tokens, None if price is None else price.cost(tokens, 0))
