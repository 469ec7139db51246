"""The checks of a round that may ask models: is the answer right, and does the judge accept it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from curate.pipeline.candidate import Candidate
from curate.prompt import Prompt, Reply, ask_for, load_prompt
from curate.stages import judge as judge_stage
from curate.types import STOPPED, TRANSIENT, Ask, Sample, Verdict, drop

if TYPE_CHECKING:
    from curate.config import Domain, Judge
    from curate.models import Engine
    from curate.pipeline.setup import Job
    from curate.verify import MathChecker

Checked = tuple[Candidate, Verdict]

Check = Callable[[Iterable[Candidate]], Iterator[Checked]]
"""A check that may ask models: every candidate comes back, in order, with its verdict."""

UNVERIFIED = "unverified_"
"""How the reason begins why a sample has no majority: votes that were not had, and their cause."""

WINDOW = 256
"""Candidates that are out for votes or grades at the same time; each may be several calls."""


class Votes:
    """Mathematics: the final answer against the known one, or against k independent solutions of the same problem."""

    def __init__(self, engine: Engine, domain: Domain, checker: MathChecker, seed: int) -> None:
        self.engine = engine
        self.checker = checker
        self.seed = seed
        self.votes = domain.verify.votes
        self.prompt: Prompt = load_prompt("generate/solve", domain.language)

    def check(self, candidates: Iterable[Candidate]) -> Iterator[Checked]:
        """Yield every candidate with its verdict, in order; the answer and the votes are noted in `meta["verify"]`."""
        waiting: deque[tuple[Candidate, list[Reply]]] = deque()

        def questions() -> Iterator[tuple[str, str | Sequence[str]]]:
            for outcome in self.engine.map(candidates, self._solve, window=WINDOW):
                candidate, solutions = outcome.item, outcome.value
                waiting.append((candidate, solutions))
                gold = _gold(candidate)
                # A solution that could not be had is a vote without an answer: it can never make a majority.
                yield candidate.sample.response, gold or [reply.value or "" for reply in solutions]

        for verdict in self.checker.check_many(questions()):
            candidate, solutions = waiting.popleft()
            if verdict.reason == "no_majority" and (cause := _not_had(solutions)):
                # The votes that are missing could make one: the next run asks for them.
                verdict = drop(UNVERIFIED + cause, **verdict.detail)
            calls = [reply.completions[-1].key for reply in solutions if reply.completions]
            noted: dict[str, Any] = dict(verdict.detail) | ({"calls": calls} if calls else {})
            candidate.sample = candidate.sample.tag("verify", **noted)
            yield candidate, verdict

    async def _solve(self, candidate: Candidate, ask: Ask) -> list[Reply]:
        if _gold(candidate):
            return []
        problem = candidate.sample.instruction

        def one(vote: int) -> Any:
            request = self.prompt.request(
                "teacher", attempt=f"{self.seed}/{candidate.sample.id}/{vote}", stage="verify", problem=problem
            )
            return ask_for(ask, self.prompt, request)

        return list(await asyncio.gather(*(one(vote) for vote in range(self.votes))))


class Grades:
    """The judge's grade by the domain's rubric; the judge is the teacher unless another model is named."""

    def __init__(self, engine: Engine, domain: Domain, judge: Judge, role: str) -> None:
        self.engine = engine
        self.domain = domain
        self.judge = judge
        self.role = role
        self.prompt: Prompt = load_prompt("judge/quality", domain.language)

    def check(self, candidates: Iterable[Candidate]) -> Iterator[Checked]:
        """Yield every candidate with its verdict, in order; grade and call are noted in `meta["judge"]`."""
        for outcome in self.engine.map(candidates, self._grade, window=WINDOW):
            candidate = outcome.item
            candidate.sample, verdict = outcome.value
            if verdict.detail.get("cause") in STOPPED:
                # Nobody was asked: an ungraded sample would slip in where an undisturbed run has a grade.
                verdict = drop(f"unjudged_{verdict.detail['cause']}")
            yield candidate, verdict

    async def _grade(self, candidate: Candidate, ask: Ask) -> tuple[Sample, Verdict]:
        return await judge_stage.judge(
            candidate.sample,
            ask,
            self.prompt,
            domain=self.domain.name,
            rubric=self.judge.rubric,
            min_score=self.judge.min_score,
            scale_max=self.judge.scale_max,
            role=self.role,
        )


def _not_had(replies: Iterable[Reply]) -> str:
    """Return why one of the replies is not there and may yet come, or the empty string."""
    kinds = (reply.failure.kind for reply in replies if reply.failure)
    return next((kind for kind in kinds if kind in TRANSIENT + STOPPED), "")


def _gold(candidate: Candidate) -> str:
    """Return the answer that came with the problem, from a teacher that computes it; a language model gives none."""
    origin = candidate.sample.meta["generate"]
    return str(origin.get("answer", ""))


@contextlib.contextmanager
def open_checks(job: Job) -> Iterator[list[tuple[str, Check]]]:
    """Open the checks that the domain file asks for, in their order, each with the name of its stage."""
    domain, engine = job.domain, job.engine
    checks: list[tuple[str, Check]] = []
    with contextlib.ExitStack() as stack:
        if domain.verify.kind == "math":
            from curate.verify import MathChecker

            checker = stack.enter_context(MathChecker(cache=job.ledger))
            if job.setup.specs["teacher"] != "procedural":
                # Its answers are never letter for letter those of other solutions: load the workers meanwhile.
                checker.start()
            checks.append(("verify", Votes(engine, domain, checker, job.setup.seed).check))
        if domain.judge is not None:
            role = "judge" if "judge" in job.setup.specs else "teacher"
            if role == "teacher":
                name = job.setup.model_names["teacher"]
                job.watch.note(f"the judge is the teacher, {name}; --judge SPEC names another model")
            checks.append(("judge", Grades(engine, domain, domain.judge, role).check))
        yield checks
