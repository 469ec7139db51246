"""What a run has used: the engine's counters and the snapshot that displays and reports read."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field

from curate.models.ledger import POSSIBLY_BILLED, Total
from curate.types import Completion, Request

RATE_SECONDS = 10.0


@dataclass(slots=True)
class Account:
    """Calls and what they used. `cost` is in US dollars and leaves out the `unpriced` calls.

    `calls` were asked of a model by this engine, `replayed` came from the ledger. Tokens and cost are of `calls`.
    """

    calls: int = 0
    replayed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0

    def add(self, completion: Completion) -> None:
        """Count one call."""
        self.calls += 1
        self.input_tokens += completion.input_tokens
        self.output_tokens += completion.output_tokens
        if completion.cost is None:
            self.unpriced += 1
        else:
            self.cost += completion.cost


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of the engine.

    `total` is all that this engine did, `by_model` has keys (role, model name), `by_stage` the requests' stages.
    `failures` counts completions that were handed out with a failure, by kind; `retries` counts attempts that were made
    again, by kind. `possibly_billed` counts attempts that went out and brought no readable reply. `rate` is in calls
    per second over the last ten seconds. `limit` is how many requests may be out now. What all runs on a ledger used is
    in `Ledger.totals()`.
    """

    total: Account
    by_model: Mapping[tuple[str, str], Account]
    by_stage: Mapping[str, Account]
    failures: Mapping[str, int]
    retries: Mapping[str, int]
    possibly_billed: int
    in_flight: int
    waiting: int
    limit: int
    rate: float
    seconds: float

    @property
    def calls(self) -> int:
        """Calls asked of a model by this engine."""
        return self.total.calls

    @property
    def replayed(self) -> int:
        """Calls answered by the ledger."""
        return self.total.replayed

    @property
    def cost(self) -> float | None:
        """US dollars of this engine, None where a call's price is unknown."""
        return None if self.total.unpriced else self.total.cost


@dataclass(slots=True)
class Accounts:
    """The counters behind Stats. Written in the engine's loop, read from any thread."""

    in_flight: int = 0
    _total: Account = field(default_factory=Account)
    _by_model: dict[tuple[str, str], Account] = field(default_factory=dict)
    _by_stage: dict[str, Account] = field(default_factory=dict)
    _failures: Counter[str] = field(default_factory=Counter)
    _retries: Counter[str] = field(default_factory=Counter)
    _possibly_billed: int = 0
    _recent: deque[tuple[int, int]] = field(default_factory=deque)
    _began: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def called(self, request: Request, completion: Completion) -> None:
        """Count a call that a model answered and the ledger now holds."""
        with self._lock:
            for account in self._of(request, completion.model):
                account.add(completion)
            if completion.failure:
                self._failures[completion.failure.kind] += 1
            second = int(time.monotonic())
            if self._recent and self._recent[-1][0] == second:
                self._recent[-1] = (second, self._recent[-1][1] + 1)
            else:
                self._recent.append((second, 1))
                while self._recent[0][0] < second - RATE_SECONDS:
                    self._recent.popleft()

    def replayed(self, request: Request, completion: Completion) -> None:
        """Count a call that the ledger answered."""
        with self._lock:
            for account in self._of(request, completion.model):
                account.replayed += 1
            if completion.failure:
                self._failures[completion.failure.kind] += 1

    def failed(self, kind: str) -> None:
        """Count a completion that is handed out with a failure and is not in the ledger."""
        with self._lock:
            self._failures[kind] += 1

    def retried(self, kind: str) -> None:
        """Count an attempt that is made again."""
        with self._lock:
            self._retries[kind] += 1

    def possibly_billed(self) -> None:
        """Count an attempt that may have been billed."""
        with self._lock:
            self._possibly_billed += 1

    def stats(self, *, limit: int, waiting: int) -> Stats:
        """Return a snapshot."""
        with self._lock:
            now = time.monotonic()
            recent = sum(count for second, count in self._recent if second >= now - RATE_SECONDS)
            seconds = now - self._began
            return Stats(
                total=copy(self._total),
                by_model={key: copy(account) for key, account in self._by_model.items()},
                by_stage={key: copy(account) for key, account in self._by_stage.items()},
                failures=dict(self._failures),
                retries=dict(self._retries),
                possibly_billed=self._possibly_billed,
                in_flight=self.in_flight,
                waiting=waiting,
                limit=limit,
                rate=recent / max(min(seconds, RATE_SECONDS), 0.1),
                seconds=seconds,
            )

    def _of(self, request: Request, model: str) -> Iterable[Account]:
        yield self._total
        key = (request.role, model)
        account = self._by_model.get(key)
        if account is None:
            account = self._by_model[key] = Account()
        yield account
        account = self._by_stage.get(request.stage)
        if account is None:
            account = self._by_stage[request.stage] = Account()
        yield account


def possibly_billed(request: Request, model: str, input_tokens: int, output_tokens: int, usd: float | None) -> Total:
    """Return the total of one attempt that may have been billed, with its upper bounds."""
    unpriced = int(usd is None)
    return Total(
        request.stage, request.role, model, POSSIBLY_BILLED, 1, input_tokens, output_tokens, usd or 0.0, unpriced
    )
