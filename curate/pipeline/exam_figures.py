"""The figures of an exam: what needs knowledge, what is known, by task and student; the questions; some to look at."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from curate.io import whole
from curate.pipeline.exam_result import CLASSES, Result
from curate.pipeline.exam_sit import ABLE, Sitter
from curate.stages.exam.score import (
    HALF,
    THRESHOLDS,
    TWO_THIRDS,
    Score,
    given,
    mean_leak,
    right_by_chance,
    votes_leak,
)
from curate.stages.exam.validity import Cue, cues
from curate.types import Question

EXAMPLES = 6
"""Samples of each class that a report shows, and of those without a valid question."""

LONGEST = 1200
"""Characters of a text that are shown."""

TASKS = 200
"""Tasks that a report lists, the largest."""


@dataclass
class Decided:
    """What one student's answers, read in one way, decide: how many samples pass each threshold of each rule."""

    scored: int = 0
    passing: dict[str, Counter[float]] = field(default_factory=lambda: {rule: Counter() for rule in THRESHOLDS})
    luck: dict[str, float] = field(default_factory=lambda: dict.fromkeys(THRESHOLDS, 0.0))

    def add(self, score: Score, rule: str, threshold: float) -> None:
        """Count a sample's score."""
        self.scored += 1
        for each, thresholds in THRESHOLDS.items():
            if each == "mean" and score.mean is None:
                continue
            for limit in {*thresholds, *([threshold] if each == rule else [])}:
                self.passing[each][limit] += score.passes(each, limit)


@dataclass
class Figures:
    """What is counted while the results go by; `as_json` is what the report shows."""

    sitters: Sequence[Sitter]
    total: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    classes: dict[str, Counter[str]] = field(default_factory=dict)
    tasks: dict[tuple[str, ...], dict[str, Counter[str]]] = field(default_factory=dict)
    needed: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    decided: dict[tuple[str, str], Decided] = field(default_factory=dict)
    written: int = 0
    accepted: int = 0
    rewritten: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    cues: dict[str, Cue] = field(default_factory=dict)
    draft_cues: dict[str, Cue] = field(default_factory=dict)
    guessed: list[int] = field(default_factory=lambda: [0, 0])
    sizes: Counter[int] = field(default_factory=Counter)
    sourced: int = 0
    differ: dict[str, Counter[str]] = field(default_factory=dict)
    shown: dict[str, list[tuple[int, int, dict[str, Any]]]] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Count what came of one sample."""
        self.total += 1
        self.outcomes[result.kind] += 1
        if result.reason:
            self.reasons[result.reason] += 1
        self._questions(result)
        needed = self.needed.setdefault(result.sample.task, [0, 0])
        needed[0] += 1
        needed[1] += result.sheet.need is True
        for sitter in self.sitters:
            name = result.classes[sitter.label]
            self.classes.setdefault(sitter.label, Counter())[name] += 1
            of_task = self.tasks.setdefault(result.sample.task, {})
            of_task.setdefault(sitter.label, Counter())[name] += 1
            if result.kind == "ready":
                self._decide(result, sitter)
        self._show(result)

    def _questions(self, result: Result) -> None:
        sheet = result.sheet
        self.written += len(sheet.questions) + len(sheet.rejected)
        self.accepted += len(sheet.questions)
        self.sourced += bool(sheet.sources)
        for entry in sheet.rejected:
            self.rejected[entry.reason] += 1
            self.rewritten += not entry.final
        for place, count in enumerate(sheet.guessed):
            self.guessed[place] += count
        _add_cues(self.cues, sheet.questions)
        _add_cues(self.draft_cues, (*sheet.questions, *(entry.question for entry in sheet.rejected)))
        if result.kind == "ready":
            self.sizes[len(sheet.questions)] += 1

    def _decide(self, result: Result, sitter: Sitter) -> None:
        verdicts = {}
        for way, score in result.scores[sitter.label].items():
            found = self.decided.setdefault((sitter.label, way), Decided())
            found.add(score, sitter.rule, sitter.threshold)
            verdicts[way] = score.passes(sitter.rule, sitter.threshold)
            found.luck["votes"] += votes_leak(score.questions, self._share(sitter), self._chance(result, sitter, way))
            if score.mean is not None:
                rows = [row for one in result.taken[sitter.label] if (row := given(one, way)) is not None]
                found.luck["mean"] += mean_leak(rows, self._probability(sitter))
        if len(verdicts) == 2:
            both = (verdicts[sitter.way], verdicts[sitter.other])
            names = {(True, False): "only_way", (False, True): "only_other"}
            self.differ.setdefault(sitter.label, Counter())[names.get(both, "same")] += 1

    def _share(self, sitter: Sitter) -> float:
        return sitter.threshold if sitter.rule == "votes" else TWO_THIRDS

    def _probability(self, sitter: Sitter) -> float:
        return sitter.threshold if sitter.rule == "mean" else HALF

    def _chance(self, result: Result, sitter: Sitter, way: str) -> float:
        options = len(result.sheet.questions[0].options)
        return right_by_chance(options, max(sum(one.votes or ()) for one in result.taken[sitter.label]))

    def _show(self, result: Result) -> None:
        """Keep a few results to look at: of each class those whose ids have the lowest hashes, so that any may be."""
        names = set(result.classes.values()) if result.kind == "ready" else set()
        if result.sheet.outcome == "no_questions":
            names.add("no_questions")
        for name in names:
            held = self.shown.setdefault(name, [])
            rank = int.from_bytes(
                hashlib.blake2b(result.sample.id.encode("utf-8", "surrogatepass"), digest_size=6).digest()
            )
            if len(held) < EXAMPLES or (-rank, -self.total) > held[0][:2]:
                entry = (-rank, -self.total, self._shown(result))
                (heapq.heappush if len(held) < EXAMPLES else heapq.heapreplace)(held, entry)

    def _shown(self, result: Result) -> dict[str, Any]:
        sheet = result.sheet
        return {
            "id": whole(result.sample.id),
            "task": [whole(name) for name in result.sample.task],
            "instruction": _cut(result.sample.instruction),
            "response": _cut(result.sample.response),
            "need": _cut(sheet.reason),
            "knowledge": _cut(sheet.knowledge),
            "sources": [whole(f"{span.file}:{span.start}-{span.end}") for span in sheet.sources],
            "classes": dict(result.classes),
            "questions": [
                {
                    "text": _cut(question.text),
                    "options": [_cut(option) for option in question.options],
                    "answer": question.answer,
                    "students": {label: _distribution(taken[number]) for label, taken in result.taken.items()},
                }
                for number, question in enumerate(sheet.questions)
            ],
            "rejected": [
                {"text": _cut(entry.question.text), "reason": entry.reason, "detail": _cut(entry.detail)}
                for entry in sheet.rejected
                if entry.final
            ],
        }

    def students(self) -> list[dict[str, Any]]:
        """Return what is known of each student."""
        return [self._student(sitter) for sitter in self.sitters]

    def _student(self, sitter: Sitter) -> dict[str, Any]:
        classes = self.classes.get(sitter.label, Counter())
        ways = {way: self.decided.get((sitter.label, way), Decided()) for way in sitter.ways}
        return {
            **about(sitter),
            "classes": {name: classes[name] for name in CLASSES},
            "differ": dict(self.differ.get(sitter.label, Counter())),
            "ways": {
                way: {
                    "scored": found.scored,
                    "passing": {
                        rule: [[limit, count] for limit, count in sorted(counts.items())]
                        for rule, counts in found.passing.items()
                        if counts
                    },
                    "luck": {
                        rule: round(value / found.scored, 6)
                        for rule, value in found.luck.items()
                        if found.scored and found.passing[rule]
                    },
                }
                for way, found in ways.items()
            },
        }

    def as_json(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        ranked = sorted(self.needed.items(), key=lambda item: (-item[1][0], item[0]))
        return {
            "total": self.total,
            "outcomes": dict(self.outcomes.most_common()),
            "reasons": dict(self.reasons.most_common()),
            "questions": {
                "written": self.written,
                "accepted": self.accepted,
                "rewritten": self.rewritten,
                "rejected": dict(self.rejected.most_common()),
                "cues": _cues_as_json(self.cues),
                "draft_cues": _cues_as_json(self.draft_cues),
                "guessed": self.guessed,
                "sizes": {str(size): count for size, count in sorted(self.sizes.items())},
                "grounded": self.sourced,
            },
            "students": self.students(),
            "tasks": [
                {
                    "path": [whole(name) for name in path],
                    "total": total,
                    "needed": needed,
                    "students": {
                        label: {name: counts[name] for name in CLASSES}
                        for label, counts in self.tasks.get(path, {}).items()
                    },
                }
                for path, (total, needed) in ranked[:TASKS]
            ],
            "tasks_left_out": max(0, len(ranked) - TASKS),
            "examples": {
                name: [shown for _, _, shown in sorted(held, key=lambda entry: (-entry[0], -entry[1]))]
                for name, held in sorted(self.shown.items())
            },
        }


def _add_cues(sums: dict[str, Cue], questions: Sequence[Question]) -> None:
    for name, cue in cues(questions).items():
        before = sums.get(name, Cue(0, 0))
        sums[name] = Cue(before.right + cue.right, before.met + cue.met)


def _cues_as_json(found: dict[str, Cue]) -> dict[str, list[float]]:
    return {name: [cue.right, cue.met, *cue.interval] for name, cue in found.items()}


def about(sitter: Sitter) -> dict[str, Any]:
    """Return what a student is, and what came of its competence control."""
    return {
        "label": sitter.label,
        "name": sitter.student.name,
        "notes": list(sitter.student.notes),
        "votes": sitter.student.votes,
        "able": sitter.able(),
        "least": ABLE,
        "way": sitter.way,
        "rule": sitter.rule,
        "threshold": sitter.threshold,
        "control": {way: list(counts) for way, counts in sitter.control.items()},
        "lost": sitter.lost,
        "error": whole(sitter.error),
    }


def _distribution(taken: Any) -> dict[str, Any]:
    """Return what a student gave to each option, as probabilities, or as votes."""
    if taken.error:
        return {"error": whole(taken.error)}
    found: dict[str, Any] = {}
    for way in ("letter", "text"):
        if (values := given(taken, way)) is not None:
            found[way] = [round(math.exp(value), 4) for value in values]
    if taken.votes is not None:
        found["votes"] = list(taken.votes)
    return found


def _cut(text: str) -> str:
    text = whole(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"
