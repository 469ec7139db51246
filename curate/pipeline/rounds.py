"""The loop of rounds: calls, filters, near-duplicate checks and quotas, until N samples are accepted.

A round asks every task for what it still owes and passes each candidate through the same order of stages:

    rules, exact, rouge, semantic against what earlier rounds accepted      (free)
    verify, judge                                                           (may ask models)
    exact, rouge, semantic against what this round accepted                 (free)
    quota: what its task no longer owes is spare and used before another call is made

So no call depends on how replies were timed, and no question is paid for a candidate that a free filter drops. The
whole loop is a pure function of the configuration and the ledger: recomputed, it gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from curate.generate.candidates import STAGE, Call, Writer
from curate.generate.quotas import Quotas
from curate.measure.novelty import Tally, enough, recent
from curate.pipeline.candidate import Candidate
from curate.stages import rules
from curate.stages.dedup import STAGE_OF, Comparisons, Corpus
from curate.types import STOPPED, TRANSIENT, Sample, Verdict, drop

if TYPE_CHECKING:
    from curate.config import Domain
    from curate.models import Engine
    from curate.pipeline.checks import Check
    from curate.pipeline.watch import Watch
    from curate.run import Publication
    from curate.tree import TaskTree

BLOCK = 256
"""Candidates compared at a time at most. It cannot change a decision."""


@dataclass
class Result:
    """What the loop did. `stopped` is budget, stopped, saturated, novelty, or "" when N rows stand.

    `novelty` is the share of good candidates that were new, over the latest rounds; None while there are too few.
    `patience` is how many candidates of a kind may fail in a row before the kind counts as exhausted. `ungraded` of the
    accepted ones have no grade, since the judge's reply held none.
    """

    patience: int = 0
    accepted: int = 0
    rounds: int = 0
    stopped: str = ""
    retired: list[str] = field(default_factory=list)
    per_task: dict[str, int] = field(default_factory=dict)
    per_kind: Counter[str] = field(default_factory=Counter)
    ungraded: int = 0
    novelty: float | None = None
    barren: Counter[str] = field(default_factory=Counter)
    """Of a kind of problem: its latest candidates in a row of which none was good."""

    def summary(self, tree: TaskTree, watch: Watch) -> dict[str, Any]:
        """Return what is kept on disk beside the samples; the same for the same samples."""
        return {
            "accepted": self.accepted,
            "stopped": self.stopped,
            "rounds": self.rounds,
            "calls": watch.calls_done,
            "candidates": watch.candidates,
            "dropped": _ranked(watch.dropped),
            "lost": _ranked(watch.lost),
            "exhausted": [list(tree.path(name)) for name in self.retired],
            "per_task": [{"task": list(tree.path(name)), "accepted": count} for name, count in self.per_task.items()],
            "per_kind": dict(sorted(self.per_kind.items())),
            "ungraded": self.ungraded,
            "novelty": None if self.novelty is None else round(self.novelty, 4),
            "exhausted_kinds": sorted(kind for kind, count in self.barren.items() if count >= self.patience),
        }


class Rounds:
    """One run of the loop. `out` takes every kept and dropped sample as it is decided.

    `pace` is how many calls that write samples may be ahead of their checks: without it a budget would be spent on
    candidates whose checks it no longer pays. It changes what is asked first and nothing else. `writer` and `quotas`
    are those of a task tree unless given. Below the novelty `until` the loop ends.
    """

    def __init__(
        self,
        engine: Engine,
        domain: Domain,
        tree: TaskTree,
        seed: int,
        rows: int,
        comparisons: Comparisons,
        checks: Sequence[tuple[str, Check]],
        out: Publication,
        watch: Watch,
        *,
        pace: int | None = None,
        writer: Writer | None = None,
        quotas: Quotas | None = None,
        until: float | None = None,
    ) -> None:
        self.engine = engine
        self.domain = domain
        self.checks = checks
        self.out = out
        self.watch = watch
        self.pace = pace
        self.until = until
        self.writer = writer or Writer(domain, tree, seed)
        generate = domain.generate
        self.quotas = quotas or Quotas(list(tree.walk()), rows, generate.per_call, generate.saturation)
        self.comparisons = comparisons
        # What earlier rounds accepted, which does not change during a round, and what the round under way did.
        self.settled = Corpus(comparisons)
        self.fresh = Corpus(comparisons)
        self._accepted: list[Candidate] = []
        self.spares: list[Candidate] = []
        self.result = Result(patience=domain.generate.saturation * domain.generate.per_call)
        # Of the calls of this round: candidates, and those that passed every filter.
        self._counts: dict[Call, list[int]] = {}
        # By place in the plan: the kind of each candidate of this round, and whether it was good.
        self._kinds: dict[tuple[str, int, int], tuple[str, bool]] = {}
        # What the round under way dropped: which stage drops first depends on timing, the file must not.
        self._dropped: list[tuple[Sample, str, Verdict]] = []
        # Of each round: what its candidates came to, as far as it says how new they were.
        self._tallies: list[Tally] = []

    def run(self, plans: Callable[[], list[Call]] | None = None) -> Result:
        """Go round after round until N stand, nothing is new any more, every task is exhausted, or the engine stops.

        `plans` gives the calls of the next round, [] to end there; without it they are what the quotas owe.
        """
        plans = plans or self._plan
        while not self.result.stopped and (plan := plans()):
            self.result.rounds += 1
            self.watch.round = self.result.rounds
            self.watch.calls_planned += len(plan)
            self._tallies.append(Tally())
            self._round(plan)
            self._assess()
            self.result.retired += self.quotas.retire()
        # After a stop too: what was paid for and is good fills whatever gap there is.
        self._use_spares(lambda spare: True)
        for spare in self.spares:
            self._drop(spare.sample, "quota", drop("surplus"))
        self._write_dropped([])
        self.result.accepted = self.out.kept
        if not self.result.stopped and self.out.kept < self.quotas.rows:
            # The engine may have stopped over vectors alone, with every reply of the round at hand.
            self.result.stopped = self.engine.stopped or "saturated"
        self.result.per_task = {name: account.accepted for name, account in self.quotas.accounts.items()}
        return self.result

    def _plan(self) -> list[Call]:
        """Return the next round's calls, after what is to spare has filled what gaps it can."""
        targets = self.quotas.targets()
        self._use_spares(lambda spare: self.quotas.accounts[spare.task_id].accepted < targets[spare.task_id])
        plan = self.quotas.calls(len(self.spares))
        if not plan:
            self._use_spares(lambda spare: True)
            plan = self.quotas.calls(len(self.spares))
        self._write_dropped([])
        return [] if self._full() else plan

    def _assess(self) -> None:
        """Say how new the candidates of the latest whole rounds were, and end the loop where they no longer are.

        A round passes over all living tasks alike, so that whole rounds speak for the domain and not for a branch.
        """
        window = recent(self._tallies, enough(self.until))
        if self.result.stopped or window is None or window.novelty is None:
            return
        self.result.novelty = self.watch.novelty = window.novelty
        if self.until is not None and window.novelty < self.until:
            self.result.stopped = "novelty"

    def _full(self) -> bool:
        """Do N rows stand? A task that took what others had to spare is above its share, and theirs are not owed."""
        return self.out.kept >= self.quotas.rows

    def _round(self, plan: list[Call]) -> None:
        """Make the calls of one round and decide every candidate they give, in the order of the plan."""
        targets = self.quotas.targets()
        for block in self._blocks(self._checked(self._screened(self._candidates(plan)))):
            for candidate, verdict in self.fresh.decide(block):
                if verdict.keep:
                    self._settle(candidate, verdict, targets)
                else:
                    self._tallies[-1].late += 1
                    self._drop(candidate.sample, STAGE_OF[verdict.reason], verdict)
        self._write_dropped(plan)
        for call, (count, good) in self._counts.items():
            self.quotas.settle(call[0].id, count, good)
        self._counts.clear()
        for kind, good in self._kinds.values():
            self.result.barren[kind] = 0 if good else self.result.barren[kind] + 1
        self._kinds.clear()
        if self.result.rounds == 1:
            # Nothing was settled before: the corpus of the first round, the largest by far, is the settled one.
            self.settled = self.fresh
        for candidate in self._accepted:
            if self.settled is not self.fresh:
                self.settled.add(candidate)
            # The vectors live in the index from here on; a million Python objects would not be flat in memory.
            candidate.vector = None
        self._accepted.clear()
        self.fresh = Corpus(self.comparisons)

    def _candidates(self, plan: list[Call]) -> Iterator[Candidate]:
        """Yield the candidates in the replies; a call that gave none is kept among the dropped with its cause."""
        for outcome in self.engine.map(plan, self.writer.write, window=self.pace):
            call, reply = outcome.item, outcome.value
            if reply.failure:
                if reply.failure.kind in STOPPED:
                    # Not asked, so neither lost nor barren: the next run of this command asks it.
                    self.result.stopped = reply.failure.kind
                    continue
                self.watch.lost[reply.failure.kind] += 1
                kind, problem = reply.failure.kind, reply.failure.message
                # What failed in transit may fail in other words the next time, and the file must be the same.
                told: dict[str, Any] = {} if kind in TRANSIENT else {"problem": problem}
                self._drop(self.writer.lost(call, reply, self.result.rounds), STAGE, drop(kind, **told))
                self._counts[call] = [0, 0]
                self.watch.calls_done += 1
                continue
            candidates = [Candidate(sample, call) for sample in self.writer.samples(call, reply, self.result.rounds)]
            self._counts[call] = [len(candidates), 0]
            for candidate in candidates:
                if kind := _kind(candidate.sample):
                    self._kinds[_place(candidate.sample)] = (kind, False)
            self.watch.calls_done += 1
            self.watch.candidates += len(candidates)
            yield from candidates

    def _screened(self, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
        """Pass on what the rules and everything that earlier rounds accepted let through."""

        def ruled() -> Iterator[Candidate]:
            for candidate in candidates:
                verdict = rules.check(candidate.sample, self.domain.rules, self.domain.language)
                if verdict.keep:
                    yield candidate
                else:
                    self._drop(candidate.sample, "rules", verdict)

        if self.result.rounds == 1:
            # Nothing is settled yet that a candidate could be compared with.
            yield from ruled()
            return
        for block in self._blocks(ruled()):
            for candidate, verdict in self.settled.decide(block):
                if verdict.keep:
                    candidate.near = verdict
                    yield candidate
                else:
                    self._tallies[-1].early += 1
                    self._drop(candidate.sample, STAGE_OF[verdict.reason], verdict)

    def _blocks(self, candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
        """Yield the candidates in lists that grow up to BLOCK: the first sample soon, the many in few passes."""
        source = iter(candidates)
        size = 8
        while block := list(islice(source, min(size, BLOCK, self.pace or BLOCK))):
            yield block
            size *= 2

    def _checked(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """Pass on what the checks that may ask models let through, one check after the other."""
        for name, check in self.checks:
            candidates = self._passed(name, check, candidates)
        return candidates

    def _passed(self, name: str, check: Check, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        for candidate, verdict in check(candidates):
            if verdict.keep:
                yield candidate
            else:
                self._tallies[-1].failed += 1
                self._drop(candidate.sample, name, verdict)

    def _settle(self, candidate: Candidate, verdict: Verdict, targets: dict[str, int]) -> None:
        """Accept a good candidate, or put it aside where its task has what it owes."""
        self._counts[candidate.call][1] += 1
        self._tallies[-1].new += 1
        if kind := _kind(candidate.sample):
            self._kinds[_place(candidate.sample)] = (kind, True)
        candidate.near = max(candidate.near, verdict, key=lambda near: near.score or -1.0)
        if self.quotas.accounts[candidate.task_id].accepted < targets[candidate.task_id] and not self._full():
            self._accept(candidate, self.fresh)
            self._accepted.append(candidate)
        else:
            self.spares.append(candidate)

    def _use_spares(self, wanted: Callable[[Candidate], bool]) -> None:
        """Accept those candidates put aside that are wanted now: they are paid for already."""
        left: list[Candidate] = []
        for spare in self.spares:
            if self._full() or not wanted(spare):
                left.append(spare)
                continue
            ((_, verdict),) = self.settled.decide([spare])
            if verdict.keep:
                spare.near = verdict
                self._accept(spare, self.settled)
            else:
                self._drop(spare.sample, STAGE_OF[verdict.reason], verdict)
        self.spares = left

    def _accept(self, candidate: Candidate, corpus: Corpus) -> None:
        sample = candidate.sample
        near = candidate.near
        if near.detail:
            sample = sample.tag("dedup", nearest=near.detail["neighbour"], score=round(near.score or 0.0, 4))
        corpus.add(candidate)
        self.out.keep(sample)
        self.quotas.accounts[candidate.task_id].accepted += 1
        if kind := _kind(sample):
            self.result.per_kind[kind] += 1
        self.result.ungraded += "unscored" in sample.meta.get("judge", {})
        self.watch.accept()

    def _drop(self, sample: Sample, stage: str, verdict: Verdict) -> None:
        self._dropped.append((sample, stage, verdict))
        self.watch.dropped[f"{stage}: {verdict.reason}"] += 1

    def _write_dropped(self, plan: Sequence[Call]) -> None:
        """Write what was dropped since the last time, by call and position where there is a plan, else as it came."""
        turns = {(task.id, attempt): turn for turn, (task, attempt) in enumerate(plan)}

        def place(dropped: tuple[Sample, str, Verdict]) -> tuple[int, int]:
            origin = dropped[0].meta[STAGE]
            return turns[origin["task_id"], origin["attempt"]], origin.get("position", 0)

        for sample, stage, verdict in sorted(self._dropped, key=place) if plan else self._dropped:
            self.out.drop(sample, stage, verdict)
        self._dropped.clear()


def _place(sample: Sample) -> tuple[str, int, int]:
    """Return where a candidate comes from: task, attempt, and position in the reply."""
    origin = sample.meta[STAGE]
    return origin["task_id"], origin["attempt"], origin["position"]


def _kind(sample: Sample) -> str:
    """Return the kind of problem that the embedded teacher says it wrote, or the empty string."""
    return str(sample.meta[STAGE].get("kind", ""))


def _ranked(counts: Counter[str]) -> dict[str, int]:
    """Return the counts, the highest first; equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
