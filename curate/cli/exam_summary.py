"""What `curate exam` says before it spends anything, and what it found."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from curate.cli.display import amount, money, span
from curate.text import percent

if TYPE_CHECKING:
    from curate.pipeline.exam import ExamReport
    from curate.pipeline.exam_plan import ExamPlan

WAYS = {"letter": "letters", "text": "texts", "votes": "written letters"}

LEFT_OUT = {
    "no_instruction": "there is no instruction",
    "no_response": "there is no response",
    "unknown": "the teacher gave no readable reply on whether knowledge is needed",
    "no_knowledge": "the teacher gave no readable reference knowledge",
    "doubtful": "the judge doubts the knowledge or the response",
    "no_questions": "no question passed the checks",
    "failed": "calls failed",
    "not_put": "no question could be put to a student",
}
"""Why samples were not examined."""

STOPS = {"budget": "the budget allows no further call", "stopped": "stopped by hand"}


def plan_lines(plan: ExamPlan) -> list[str]:
    """Return what an examination will take."""
    given, written = plan.tokens
    cost = (
        "nothing: the model runs here" if plan.free else f"about {money(plan.cost)}" if plan.cost else money(plan.cost)
    )
    paid = f", {plan.paid:,} of them paid for" if plan.paid else ""
    models = ", ".join(f"{role} {name}" for role, name in plan.models.items())
    empty = f" ({plan.rows - plan.examined:,} without instruction or response)" if plan.examined < plan.rows else ""
    return [
        f"plan: {plan.rows:,} samples{empty}; {models}",
        f"  about {plan.calls:,} calls{paid}, {amount(given)} tokens in, {amount(written)} out; cost {cost}",
        f"  about {plan.questions:,} questions, and {plan.control:,} of them first with the knowledge in the prompt:",
        f"  {plan.passes:,} prompts for {' and for '.join(plan.students)}",
        *(
            [
                "  (of a served student a call for each, or five where it gives no log-",
                "  probabilities; they come on top of the calls and the cost above)",
            ]
            if plan.served
            else []
        ),
        "  (this supposes that 38 % of the samples need knowledge, as in the paper's data)",
        "",
    ]


def summary(report: ExamReport) -> list[str]:
    """Return what was found and written, and what to type next."""
    if report.figures is None:
        why = STOPS.get(report.stopped, report.stopped)
        return [
            f"exam {report.source}: not finished ({why}), {span(report.seconds)}; nothing was written of it yet",
            *_cost(report),
            "",
            "Next: the same command goes on where it stopped"
            + (", with a larger budget" if report.stopped == "budget" else ""),
        ]
    lines = [f"exam {report.source}: {report.total:,} samples in {span(report.seconds)}", ""]
    lines += _needs(report.figures) + _questions(report.figures["questions"])
    for student in report.figures["students"]:
        lines += ["", *_student(student, report.figures)]
    lines += [*_files(report), *_cost(report), *(f"  note       {note}" for note in report.notes)]
    return [*lines, "", *_next(report)]


def _needs(figures: Mapping[str, Any]) -> list[str]:
    """Return what the samples need."""
    total = max(1, figures["total"])
    outcomes = figures["outcomes"]
    needed = sum(task["needed"] for task in figures["tasks"])
    words = {"ready": "examined", "no_need": "need none", "set_aside": "set aside", "empty": "empty"}
    parts = [f"{words[name]} {count:,}" for name, count in outcomes.items()]
    lines = [f"  samples    {needed:,} ({percent(needed / total)}) need factual knowledge; {', '.join(parts)}"]
    return lines + [f"             {count:,}: {LEFT_OUT[reason]}" for reason, count in figures["reasons"].items()]


def _questions(found: Mapping[str, Any]) -> list[str]:
    """Return what became of the questions."""
    if not found["written"]:
        return []
    rejected = sum(found["rejected"].values())
    lines = [
        f"  questions  {found['written']:,} written, {found['accepted']:,} passed the checks, {rejected:,} did not"
        + (f" ({found['rewritten']:,} were written anew)" if found["rewritten"] else "")
    ]
    if found["rejected"]:
        lines.append(f"             {_counts(found['rejected'])}")
    right, met, low, high = found["cues"].get("longest", (0, 0, 0.0, 1.0))
    if met:
        drafted, drafts = found["draft_cues"]["longest"][:2]
        lines += [
            f"             the longest option is the right one in {percent(right / met)} of {met:,} "
            f"({percent(low)} to {percent(high)};",
            f"             by chance 25 %, before the checks {percent(drafted / drafts)})",
        ]
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    return " · ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items())


def _student(student: Mapping[str, Any], figures: Mapping[str, Any]) -> list[str]:
    """Return what a student knows, and what another way of reading it, or another threshold, would have decided."""
    lines = [f"  {student['label']}"]
    control = ", ".join(
        f"{percent(right / put)} of {put:,} right by {WAYS[way]}"
        for way, (right, put) in student["control"].items()
        if put
    )
    if not student["able"]:
        lost = f"; {student['lost']:,} questions could not be put ({student['error']})" if student["lost"] else ""
        return [
            *lines,
            f"    cannot take this exam: with the knowledge in the prompt, {control or 'nothing was answered'}{lost};",
            f"    {percent(student['least'])} is needed. Nothing was treated for it.",
        ]
    if control:
        lines += [
            f"    able       with the knowledge in the prompt: {control}",
            f"               (below {percent(student['least'])} it could not take this exam)",
        ]
    classes = student["classes"]
    known, unknown = classes["consistent"], classes["inconsistent"]
    if not known + unknown:
        lines.append("    knows      cannot be said: no sample came to be examined")
    else:
        share = percent(known / (known + unknown))
        lines.append(
            f"    knows      {known:,} of {known + unknown:,} examined samples ({share}); {unknown:,} it does not"
        )
        lines += _rule(student)
        lines += _luck(student) + _otherwise(student, known + unknown)
    return lines


def _rule(student: Mapping[str, Any]) -> list[str]:
    """Return what makes a sample one that the student knows."""
    limit, way = student["threshold"], WAYS[student["way"]]
    if student["rule"] == "votes":
        return [f"    decided    known: at least {percent(limit)} of its questions right, by {way}"]
    return [
        f"    decided    known: its right options have a probability above {limit:g},",
        f"               the geometric mean over its questions, by {way}",
    ]


def _luck(student: Mapping[str, Any]) -> list[str]:
    """Return how many samples pass by luck."""
    luck = student["ways"][student["way"]]["luck"]
    if student["rule"] == "votes":
        guessed = percent(luck.get("votes", 0.0))
        return [f"    by luck    guessing makes at least {guessed} of what is not known pass for known"]
    sure, two_of_three = (percent(luck.get(rule, 0.0)) for rule in ("mean", "votes"))
    return [
        f"    by luck    at least {sure} of what is not known would pass for known if it guessed as",
        f"               surely as it answers (by two of three right, the paper's rule, {two_of_three})",
    ]


def _otherwise(student: Mapping[str, Any], total: int) -> list[str]:
    """Return what other thresholds, and the other way, decide."""
    way = student["ways"][student["way"]]
    curve = "  ".join(f"{limit:.2g}: {count:,}" for limit, count in way["passing"].get(student["rule"], []))
    lines = [f"    threshold  {curve}   (samples known, of {total:,})"]
    other = next((name for name in student["ways"] if name != student["way"]), None)
    if other and (differ := student["differ"]):
        more, fewer = differ.get("only_other", 0), differ.get("only_way", 0)
        apart = f"{more:,} of the unknown, and not {fewer:,} of the known" if more or fewer else "the same ones"
        lines.append(f"    instead    by {WAYS[other]} it would know {total_by(student, other):,}: {apart}")
    return lines


def total_by(student: Mapping[str, Any], way: str) -> int:
    """Return how many samples pass in a way, by the student's own rule and threshold."""
    passing: Iterable[tuple[float, int]] = student["ways"][way]["passing"].get(student["rule"], [])
    return next((count for limit, count in passing if limit == student["threshold"]), 0)


def _files(report: ExamReport) -> list[str]:
    """Return the datasets that were written."""
    lines = [""]
    for arm in report.arms:
        dropped = sum(arm.dropped.values())
        where = arm.out or "stdout"
        lines.append(
            f"  {arm.treatment:<10} {where}  ({arm.kept:,} kept, {dropped:,} dropped, {arm.treated:,} treated)"
        )
    if report.arms and report.set_aside:
        lines.append(f"  {'set aside':<10} {report.set_aside_file}  ({sum(report.set_aside.values()):,})")
    if report.page:
        lines.append(f"  {'report':<10} {report.page}  (open it in a browser)")
    return [*lines, ""]


def _cost(report: ExamReport) -> list[str]:
    stats = report.stats
    if stats is None:
        return []
    replayed = f", {stats.replayed:,} replayed from the ledger" if stats.replayed else ""
    tokens = f"{amount(stats.total.input_tokens)} tokens in, {amount(stats.total.output_tokens)} out"
    return [f"  cost       {stats.calls:,} calls{replayed}; {tokens}; {money(stats.cost)}"]


def _next(report: ExamReport) -> list[str]:
    """Return what to type next."""
    assert report.figures is not None
    if report.unable:
        names = ", ".join(report.unable)
        lines = [f"Next: {names} cannot read such questions; a larger or instruction-tuned student may"]
        letters = any(list(each["control"]) == ["letter"] for each in report.figures["students"] if not each["able"])
        return [
            *lines,
            *(["      (--by both reads the options' own words too, where letters are what it lacks)"] * letters),
        ]
    if report.arms and report.set_aside.total() > report.total / 2:
        why = f"curate show {shlex.quote(str(report.set_aside_file))}"
        return [f"Next: {why}", "      (most samples could not be examined; another teacher or judge may help)"]
    dropped = max((arm for arm in report.arms if arm.out), key=lambda arm: sum(arm.dropped.values()), default=None)
    if dropped is not None and dropped.dropped:
        return [f"Next: curate show {shlex.quote(str(dropped.out))} --dropped"]
    kept = next((arm for arm in report.arms if arm.out), None)
    if kept is not None:
        return [f"Next: curate export {shlex.quote(str(kept.out))} --out DIR"]
    return [
        "Next: the same command with --treat open_book, discard or refuse writes the dataset; nothing is asked again"
    ]
