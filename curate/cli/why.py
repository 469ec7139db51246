"""`curate why`: everything that is known of one sample, on one screen."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from curate.cli.display import amount, money, span
from curate.cli.paragraph import columns, paragraph

if TYPE_CHECKING:
    from curate.pipeline.why import CallOf, Why

EPILOG = """\b
Examples:
  curate why 37148c                  the run in runs/ that ended last
  curate why 37148c runs/math        an id, or how one begins
  curate why runs/math:12            the 12th accepted sample
  curate why runs/math/dataset/train.jsonl:12
  curate why 9f02aa clean.jsonl      what `filter` or `dedup` wrote
  curate why 37148c --full | less    every text whole

\b
Dropped samples and lost calls have ids too: curate show RUN --dropped. The
prompt is rendered again from the tree and the domain, and held against the
call in the ledger, so that it says whether it is the one that was sent.
"""

INDENT = 13
"""Cells before a text: two, the label, and a space."""

HEIGHT = 50
"""Lines for another program that does not ask for --full."""

FIRST = 3
"""Lines that a sample's own texts have at least, if they are as long."""


@click.command(epilog=EPILOG)
@click.argument("row", metavar="ROW")
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--full", is_flag=True, help="Print every text whole, however many screens that takes.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as one JSON object.")
def why(row: str, run: str | None, full: bool, as_json: bool) -> None:
    """Show why a sample is in the dataset or not: prompt, demonstrations, calls, cost, verdicts, nearest neighbour.

    ROW is a sample's id or its beginning, or RUN:N for the N-th one; RUN is a run's folder or a .jsonl file.
    """
    from curate.pipeline.why import why as explain

    made = explain(row, run)
    if as_json:
        click.echo(json.dumps(made.as_json(), ensure_ascii=not sys.stdout.isatty()))
        return
    height = None if full else shutil.get_terminal_size().lines - 1 if sys.stdout.isatty() else HEIGHT
    for line in lines(made, columns(), height):
        click.echo(line)


@dataclass
class Item:
    """A label and a text; the text is cut to `room` lines. `first` is how many it has before others have a second."""

    label: str
    text: str
    first: int = 1
    style: dict[str, Any] | None = None
    room: int = 1


def lines(made: Why, width: int, height: int | None) -> list[str]:
    """Return the sections as lines: `height` of them where the texts can be cut so far, all of them for None."""
    items = [item for section in SECTIONS for item in section(made)]
    head = f"{made.id}  {'kept' if made.kept else 'dropped'}  {' > '.join(made.task)}"
    top = [click.style(text, bold=True) for text in paragraph(head, width, None if height is None else 1)]
    inner = width - INDENT
    if height is not None:
        _share_out(items, inner, height - len(top))
    parts, before = top, ""
    for item in items:
        label = "" if item.label == before else item.label
        before = item.label or before
        for number, text in enumerate(paragraph(item.text, inner, None if height is None else item.room)):
            shown = click.style(f"  {'' if number else label:<{INDENT - 2}}", dim=True)
            parts.append(shown + (click.style(text, **item.style) if item.style else text))
    return parts


def _share_out(items: list[Item], width: int, lines: int) -> None:
    """Give each item as many of the lines as it needs: one, then `first` of them, then one more in turn."""
    needs = [len(paragraph(item.text, width, lines)) for item in items]
    left = lines - len(items)
    for item, need in zip(items, needs, strict=True):
        more = max(0, min(item.first, need, 1 + left) - 1)
        item.room = 1 + more
        left -= more
    while left > 0:
        hungry = [item for item, need in zip(items, needs, strict=True) if item.room < need]
        if not hungry:
            return
        for item in hungry[:left]:
            item.room += 1
        left -= len(hungry)


def _sample(made: Why) -> Iterator[Item]:
    for turn in made.messages:
        yield Item(turn["role"], turn["content"], FIRST)
    reply = next((call for call in made.calls if call.stage == "generate" and call.text), None)
    if not made.messages:
        text = reply.text if reply and reply.text else made.origin.get("reply", "")
        yield Item("reply", text or "(nothing)", FIRST)


def _verdicts(made: Why) -> Iterator[Item]:
    silent = [stage.name for stage in made.stages if stage.outcome == "passed" and not stage.detail]
    if silent:
        yield Item("verdicts", f"+ passed {', '.join(silent)}")
    for stage in made.stages:
        words = f", {stage.detail}" if stage.detail else ""
        if stage.outcome == "dropped":
            yield Item("verdicts", f"x dropped by {stage.name}{words}", style={"fg": "yellow"})
        elif stage.detail:
            yield Item("verdicts", f"+ passed {stage.name}{words}")
    if later := [stage.name for stage in made.stages if stage.outcome == "not reached"]:
        yield Item("verdicts", f"- not reached: {', '.join(later)}", style={"dim": True})
    for copy in made.copies:
        yield Item("copies", f"the same text came again and was dropped as {copy}")


def _near(made: Why) -> Iterator[Item]:
    near = made.near
    if near is not None:
        score = f" at {near.score:.4g}" if near.score is not None else ""
        where = f"  {' > '.join(near.task[1:])}" if near.task[1:] else ""
        yield Item("nearest", f"{near.id}{score}{where}: {near.instruction or '(not among the kept samples)'}")


def _cost(made: Why) -> Iterator[Item]:
    share = made.share
    if share is None:
        return
    own = [call for call in made.calls if call.stage != "generate"]
    words = [f"{amount(share.tokens)} tokens, {money(share.cost)}"]
    if share.samples > 1:
        words.append(f"1/{share.samples} of the call that wrote {share.samples} samples")
    if own:
        words.append(f"and {len(own):,} {'check' if len(own) == 1 else 'checks'} of its own")
    yield Item("cost", ": ".join([words[0], " ".join(words[1:])]) if words[1:] else words[0])


def _calls(made: Why) -> Iterator[Item]:
    for call in made.calls:
        failed = f"\nfailed: {call.failure}" if call.failure else ""
        # The reply of a lost call stands above, in the place of the sample that is not there.
        reply = f"\n→ {call.text}" if call.text and (made.messages or call.stage != "generate") else ""
        yield Item("calls", f"{_line_of(call)}{failed}{reply}", style={"fg": "yellow"} if failed else None)


def _line_of(call: CallOf) -> str:
    if call.text is None:
        return f"{call.stage:<8} {call.key[:12]}  is not in the ledger: it was not made, or was never answered"
    tokens = f"{call.input_tokens:,} in, {call.output_tokens:,} out"
    return f"{call.stage:<8} {call.key[:12]}  {call.model}  {tokens}  {money(call.cost)}  {span(call.latency)}"


def _prompt(made: Why) -> Iterator[Item]:
    prompt = made.prompt
    if prompt is None:
        return
    told = {True: "as it was sent: its key is the call's", False: "NOT as it was sent", None: "cannot be rendered"}
    words = f"{prompt.name}, {told[prompt.sent]}" + (f": {prompt.note}" if prompt.note else "")
    yield Item("prompt", words, style=None if prompt.sent else {"fg": "yellow"})
    for message in prompt.messages:
        yield Item("prompt", f"[{message['role']}] {message['content']}", style={"dim": True})
    for number, shown in enumerate(made.demonstrations, 1):
        given = f" / {shown['input']}" if shown.get("input") else ""
        yield Item("shown", f"{number}. {shown.get('instruction', '')}{given} → {shown.get('output', '')}")


def _origin(made: Why) -> Iterator[Item]:
    origin = made.origin
    if not origin:
        yield Item("from", made.source)
        return
    place = f", sample {origin['position'] + 1} of the reply" if "position" in origin else ""
    kind = f", kind {origin['kind']}" if origin.get("kind") else ""
    task = f"attempt {origin.get('attempt', 0) + 1} at its task, round {origin.get('round', 0)}"
    yield Item("written by", f"{origin.get('model') or 'the teacher'}, {task}{place}{kind}; in {made.source}")


def _review(made: Why) -> Iterator[Item]:
    review = made.review
    if review is None:
        return
    what = {"accept": "accepted", "reject": "rejected", "edit": "edited"}[review.decision]
    reason = f": {review.reason}" if review.reason else ""
    yield Item("by hand", f"{what} by {review.author or 'nobody named'}, {review.time}{reason}", style={"fg": "cyan"})
    for turn in review.messages or ():
        yield Item("by hand", f"[{turn['role']}] {turn['content']}")


def _notes(made: Why) -> Iterator[Item]:
    yield from (Item("note", note) for note in made.notes)


SECTIONS: tuple[Callable[[Why], Iterator[Item]], ...] = (
    _sample,
    _review,
    _verdicts,
    _near,
    _cost,
    _origin,
    _prompt,
    _calls,
    _notes,
)
"""What is shown, from what one asks first to what one asks last."""
