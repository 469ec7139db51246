"""A source behind a server: vLLM, or what gives the log-probabilities of a prompt's tokens by their ids."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from curate.errors import InputError, ModelError
from curate.fuse.capture.asking import ROLE, STAGE, Asking
from curate.fuse.sample import Stopped
from curate.models import Engine, Ledger, open_model
from curate.models.reading import Place, read_places, reading_request
from curate.train.data.templates import find_template
from curate.train.data.tokens import Coder
from curate.train.dists import Header
from curate.train.dists.local import LONGEST
from curate.train.dists.places import Located
from curate.train.dists.reading import Reading, Rows
from curate.types import BILLED, PERMANENT, STOPPED, Ask, Completion, Verdict, drop

LEAST = 2.0**-24
"""What is left of a row whose sum is 1 to rounding: servers give no mass of the rest."""

Item = tuple[Located, npt.NDArray[np.int64]]


class Served:
    """A model behind a server, asked through the engine when the first rows are wanted of it.

    The shards keep what it says, so that no ledger does; a server may be started for this source and is then stopped.

    Raises:
        InputError: a spec, tokenizer or template that cannot be used.
    """

    def __init__(
        self, spec: str, tokenizer: str | None, template: str | None, max_length: int | None, k: int, documents: bool,
        asking: Asking,
    ) -> None:  # fmt: skip
        if tokenizer is None and spec.startswith("vllm:"):
            tokenizer = spec.removeprefix("vllm:")
        if tokenizer is None:
            raise InputError(
                f"--model {spec}: a server does not give its tokenizer; name the folder or the model on the Hub that "
                "has it with --tokenizer"
            )
        self._asking = asking
        self.model = open_model(ROLE, spec, asking.options)
        if not self.model.limited:
            raise InputError(f"--model {spec}: it is no language model; a source is a causal model or a server of one")
        loaded, size = _tokenizer(tokenizer)
        try:
            found = find_template(template, loaded, needed=not documents)
        except InputError as error:
            raise InputError(f"{tokenizer}: {error}") from None
        self.reading = Reading(Coder(loaded, found, max_length or LONGEST), documents)
        self.header = Header(
            self.model.name, "", self.reading.vocabulary.key, self.reading.template_key, k,
            max(size, len(self.reading.vocabulary.pieces)),
        )  # fmt: skip
        self._stack = ExitStack()
        self._engine: Engine | None = None

    def rows(
        self, located: Sequence[Located], wanted: Sequence[npt.NDArray[np.int64]], tick: Callable[[int], None]
    ) -> Iterator[Rows | Verdict]:
        """Yield the rows of each sample at the positions wanted, or why the server refuses it.

        Raises:
            ModelError: the server gives no log-probabilities, or no answer; the same command asks again.
        Stopped: the budget is spent.
        """
        if self._engine is None:
            ledger = self._stack.enter_context(Ledger(self._asking.ledger))
            self.model.replays = False  # type: ignore[attr-defined]
            self._engine = self._stack.enter_context(Engine({ROLE: self.model}, ledger, self._asking.budget))
        for done, outcome in enumerate(self._engine.map(zip(located, wanted, strict=True), self._work), 1):
            yield self._said(outcome.item, outcome.value)
            tick(done)

    async def _work(self, item: Item, ask: Ask) -> Completion:
        ids = item[0].ids[: self.reading.coder.max_length].tolist()
        return await ask(reading_request(ROLE, ids, self.header.k, STAGE))

    def _said(self, item: Item, done: Completion) -> Rows | Verdict:
        failure = done.failure
        if failure is None:
            return rows_of(read_places(done.text), item[1], self.header)
        if failure.kind in STOPPED:
            raise Stopped(failure.kind)
        if failure.kind == "context_length":
            return drop("context_length", message=failure.message)
        if failure.kind in PERMANENT + BILLED:
            raise ModelError(
                f"{self.model.name}: {failure.message}; a source behind a server needs prompt_logprobs for --top-k "
                f"{self.header.k}, as vLLM has with --max-logprobs {self.header.k} or more"
            )
        raise ModelError(f"{self.model.name}: {failure.message}; the same command goes on where it stopped")

    def close(self) -> None:
        """Close the connections, and stop a server that was started for this source."""
        self._stack.__exit__(*sys.exc_info())


def rows_of(places: Sequence[Place], positions: npt.NDArray[np.int64], header: Header) -> Rows:
    """Return the rows of the tokens at `positions` of a prompt, of whose first token nothing is said.

    A row with fewer tokens than k is filled up with -inf; ids beyond the vocabulary stay in the rest.
    """
    n, k = len(positions), header.k
    ids, logprobs = np.zeros((n, k), np.uint32), np.full((n, k), -np.inf, np.float32)
    nll = np.empty(n, np.float32)
    for row, position in enumerate(positions.tolist()):
        own, most = places[position - 1]
        known = [(number, value) for number, value in most if number < header.vocab_size][:k]
        ids[row, : len(known)] = [number for number, _ in known]
        logprobs[row, : len(known)] = [value for _, value in known]
        nll[row] = -own
    rest = 1.0 - np.exp(logprobs.astype(np.float64)).sum(1)
    return Rows(ids, logprobs, np.log(np.maximum(rest, LEAST)).astype(np.float32), nll)


def _tokenizer(name: str) -> tuple[object, int]:
    """Return a tokenizer, and how many tokens its model knows, 0 where there is only the tokenizer."""
    from transformers import AutoConfig, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise InputError(f"--tokenizer {name}: there is none ({str(error).strip().splitlines()[0][:200]})") from error
    try:
        size = int(AutoConfig.from_pretrained(name).get_text_config().vocab_size)
    except (OSError, ValueError, AttributeError):
        size = 0
    return tokenizer, size
