"""The limits of one endpoint: adaptive concurrency, requests and tokens per minute, pauses the server asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass

START = 32
"""Concurrency an endpoint starts with where none is given."""

CEILING = 512
"""Concurrency that is never exceeded where none is given."""

SHARE = 0.98
"""Part of the allowed rate that is used evenly; with BURST it keeps every 60 seconds below the allowance."""

BURST = 0.01
"""Part of a minute's allowance that may be used at once."""

PACE_FLOOR = 0.2


class Bucket:
    """An allowance per minute, spent evenly. Times are in seconds on any monotonic clock."""

    def __init__(self, per_minute: float, now: float) -> None:
        self.rate = per_minute * SHARE / 60
        self.capacity = max(1.0, per_minute * BURST)
        self.level = self.capacity
        self._time = now

    def delay(self, amount: float, now: float, pace: float = 1.0) -> float:
        """Return the seconds until `amount` may be taken. More than the capacity leaves a debt."""
        if now > self._time:
            if self.level < self.capacity:
                self.level = min(self.capacity, self.level + (now - self._time) * self.rate * pace)
            self._time = now
        missing = min(amount, self.capacity) - self.level
        return missing / (self.rate * pace) if missing > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        """Take an amount; negative gives back what was reserved and not used."""
        self.level -= amount


@dataclass(frozen=True, slots=True)
class _Round:
    """One round of replies: the limit it began with, replies per second, and when it ended."""

    limit: float
    rate: float
    ended: float


class Concurrency:
    """How many requests may be out at one endpoint.

    Doubles with each round trip at first, then grows by a step a round; a burst of 429 or 503 counts once. Where the
    user gave no number, rounds are compared: a limit that rose while the throughput did not (so that only the latency
    did, by Little's law) goes back to where it was.
    """

    CUT = 0.7
    COMPARED = 1.5  # rounds are compared once the limit has grown so much; log-normal latencies hide smaller steps
    GAIN = 0.15  # part of that growth that the throughput must follow
    STALE = 60.0  # seconds after which the server may have become another one, and the search begins again

    def __init__(self, given: int | None) -> None:
        self.ceiling = float(given or CEILING)
        self.limit = self.ceiling if given else float(START)
        self.out = 0
        self._probing = given is None
        self._slow_start = given is None
        self._last_cut = -math.inf
        self._reference: _Round | None = None
        self._replies = 0
        self._begin = math.nan
        self._begin_limit = self.limit
        self._saturated = False

    def enter(self) -> None:
        """Count one request out."""
        self.out += 1
        if self.out >= int(self.limit):
            self._saturated = True

    def leave(self) -> None:
        """Count one request back."""
        self.out -= 1

    def succeeded(self, latency: float, now: float) -> None:
        """Note a reply."""
        if self._saturated and self.limit < self.ceiling:
            step = 1.0 if self._slow_start else max(1.0, self.ceiling / 64) / self.limit
            self.limit = min(self.ceiling, self.limit + step)
        if not self._probing:
            return
        if math.isnan(self._begin):
            self._begin = now - latency
        self._replies += 1
        if self._replies >= max(self._begin_limit, 24) and now > self._begin:
            self._end_round(now)

    def overloaded(self, sent: float, now: float) -> None:
        """Note a 429 or 503 of a request sent at `sent`. What was sent before the last cut says nothing new."""
        if sent <= self._last_cut:
            return
        self._last_cut = now
        self._slow_start = False
        self._reference = None
        self.limit = max(1.0, min(self.limit, float(self.out + 1)) * self.CUT)

    def _end_round(self, now: float) -> None:
        done = _Round(self._begin_limit, self._replies / (now - self._begin), now)
        reference = self._reference
        if not self._saturated:
            pass
        elif reference is None or done.limit < reference.limit:
            self._reference = done
        elif now - reference.ended > self.STALE and done.limit < self.ceiling:
            self._reference, self._slow_start = None, True
            self.limit = reference.limit
        elif done.limit >= self.COMPARED * reference.limit:
            gained = done.rate / reference.rate - 1
            if gained < self.GAIN * (done.limit / reference.limit - 1):
                self._slow_start = False
                self.limit = max(1.0, reference.limit)
            else:
                self._reference = done
        self._replies, self._begin, self._begin_limit = 0, now, self.limit
        self._saturated = self.out >= int(self.limit)


class Patience:
    """How long to wait for a reply: far longer than any that came, so that a server that hangs costs a minute and not
    the whole timeout.

    The longest time for one output token so far, times the most tokens a request may bring, times MARGIN, and at least
    LEAST. Each time it was too short it doubles; each reply takes a tenth of that back.
    """

    LEAST = 60.0
    MARGIN = 3.0
    REPLIES = 20  # before these the full timeout holds

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._replies = 0
        self._slowest = 0.0  # seconds for one output token
        self._factor = 1.0

    def seconds(self, max_tokens: int) -> float:
        """Return the seconds to wait for a reply of at most so many tokens."""
        if self._replies < self.REPLIES:
            return self._timeout
        return min(self._timeout, self._factor * max(self.LEAST, self.MARGIN * self._slowest * max_tokens))

    def replied(self, latency: float, output_tokens: int) -> None:
        """Note a reply."""
        self._replies += 1
        self._slowest = max(0.999 * self._slowest, latency / max(output_tokens, 1))
        self._factor = max(1.0, 0.9 * self._factor)

    def ran_out(self) -> None:
        """Note that no reply came in time."""
        self._factor = min(2.0 * self._factor, 64.0)


class Gate:
    """All limits of one endpoint together. One Gate for each address, whoever asks."""

    RESTED_AFTER = 3  # failures in a row after which other endpoints are preferred
    SMOOTHED = 20  # replies that the mean latency looks back over
    FORGOTTEN = 60.0  # seconds without a reply after which an idle endpoint's latency is no longer believed

    def __init__(self, now: float, *, concurrency: int | None, rpm: float | None, tpm: float | None) -> None:
        self.concurrency = Concurrency(concurrency)
        self._requests = Bucket(rpm, now) if rpm else None
        self._tokens = Bucket(tpm, now) if tpm else None
        self._pace = 1.0
        self._last_slowdown = -math.inf
        self._mean_tokens = 0.0
        self._metered = 0
        self._paused_until = -math.inf
        self._failures = 0
        self._rested_until = -math.inf
        self._latency = 0.0
        self._replies = 0
        self._last_reply = -math.inf

    @property
    def load(self) -> float:
        """Requests out, relative to the limit."""
        return self.concurrency.out / self.concurrency.limit

    @property
    def full(self) -> bool:
        """Whether as many requests are out as may be."""
        return self.concurrency.out >= int(self.concurrency.limit)

    def latency(self, now: float) -> float:
        """Return the mean latency of the latest replies in seconds, 0 where there were none: it is soon found out."""
        if not self.concurrency.out and now - self._last_reply > self.FORGOTTEN:
            self._latency, self._replies = 0.0, 0  # the server may have become another one
        return self._latency

    @property
    def tokens_known(self) -> bool:
        """Whether there is a limit on tokens to estimate for."""
        return self._tokens is not None

    def estimate(self, bound: int) -> float:
        """Return the tokens a request will probably use.

        The bound alone would hold back most of the rate, since `max_tokens` is rarely reached.
        """
        if not self._metered:
            return float(bound)
        margin = 1.25 if self._metered < 20 else 1.0
        return min(float(bound), self._mean_tokens * margin)

    def delay(self, tokens: float, now: float) -> float:
        """Return the seconds until a request may go out: 0 is now, infinity is when another comes back."""
        if self.full:
            return math.inf
        wait = self._paused_until - now
        if self._requests is not None:
            wait = max(wait, self._requests.delay(1.0, now, self._pace))
        if self._tokens is not None:
            wait = max(wait, self._tokens.delay(tokens, now, self._pace))
        return max(wait, 0.0)

    @property
    def failures(self) -> int:
        """Attempts in a row that brought no reply."""
        return self._failures

    def rest(self, now: float) -> float:
        """Return the seconds for which this endpoint is better left alone while there are others.

        After a rest one request at a time finds out whether it is back: many would lose their time with it.
        """
        if self._failures >= self.RESTED_AFTER and self.concurrency.out:
            return math.inf
        return max(self._rested_until - now, 0.0)

    def enter(self, tokens: float) -> None:
        """Let one request out."""
        self.concurrency.enter()
        if self._requests is not None:
            self._requests.take(1.0)
        if self._tokens is not None:
            self._tokens.take(tokens)

    def returned(self, tokens: float) -> None:
        """Take back a turn that was not used."""
        self.concurrency.leave()
        if self._requests is not None:
            self._requests.take(-1.0)
        if self._tokens is not None:
            self._tokens.take(-tokens)

    def answered(self, reserved: float, used: float | None, latency: float, now: float) -> None:
        """Note a reply that used so many tokens (None: unknown, the reservation stands)."""
        self.concurrency.leave()
        self.concurrency.succeeded(latency, now)
        self._replies = min(self._replies + 1, self.SMOOTHED)
        self._latency += (latency - self._latency) / self._replies
        self._last_reply = now
        self._failures = 0
        self._rested_until = -math.inf
        self._pace = min(1.0, self._pace + 0.0005)
        if used is not None:
            self._metered = min(self._metered + 1, 200)
            self._mean_tokens += (used - self._mean_tokens) / self._metered
            if self._tokens is not None:
                self._tokens.take(used - reserved)

    def refused(self, reserved: float, sent: float, retry_after: float | None, now: float) -> None:
        """Note a 429 or 503: fewer at a time, a little slower, and silence for as long as the server asked."""
        self.concurrency.leave()
        self.concurrency.overloaded(sent, now)
        if self._tokens is not None:
            self._tokens.take(-reserved)
        if sent > self._last_slowdown:
            self._last_slowdown = now
            self._pace = max(PACE_FLOOR, self._pace * 0.9)
        if retry_after is not None:
            self._paused_until = max(self._paused_until, now + retry_after)

    def failed(self, reserved: float, unsent: bool, now: float) -> None:
        """Note an attempt that brought no reply. After some in a row the endpoint is rested, longer each time."""
        self.concurrency.leave()
        if unsent and self._tokens is not None:
            self._tokens.take(-reserved)
        self._failures += 1
        if self._failures >= self.RESTED_AFTER:
            self._rested_until = now + min(30.0, 2.0 ** min(self._failures - self.RESTED_AFTER, 5))
