"""Why is this sample here, or why is it not: its prompt, its calls, their cost, every verdict, its neighbour."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError
from curate.finished import ORDER, FinishedRun
from curate.pipeline.find import Row, Source, find_row
from curate.types import Message

if TYPE_CHECKING:
    from curate.config import Domain
    from curate.pipeline.reviews import Review

CHECKS = ("verify", "judge")
"""The stages that may ask models, after whatever is free."""

UNKNOWN = "the settings in run.yaml are not those of a domain"


@dataclass(frozen=True)
class Prompt:
    """The prompt of the call that wrote the sample, rendered from the tree and the domain.

    `sent` is True where its ledger key is that of the call, False where the prompt, the domain or the tree have changed
    since, None where nothing could be rendered; `note` says why.
    """

    name: str
    sent: bool | None
    messages: tuple[Message, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class CallOf:
    """One call that the sample took. `text` is the raw reply, None where the ledger does not hold the call.

    `cost` is in US dollars, None where it is not known; `latency` in seconds; `failure` is why no usable text came.
    """

    stage: str
    key: str
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    latency: float = 0.0
    text: str | None = None
    failure: str = ""


@dataclass(frozen=True)
class Share:
    """What this sample cost: its part of the call that wrote it, shared by `samples`, and the whole of its checks."""

    samples: int
    tokens: float
    cost: float | None


@dataclass(frozen=True)
class Stage:
    """What one stage said. `outcome` is passed, dropped or "not reached"; `detail` are the words of it."""

    name: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True)
class Near:
    """The kept sample that this one is nearest to, by its score: a cosine, or the ROUGE-L that dropped it."""

    id: str
    score: float | None
    instruction: str = ""
    task: tuple[str, ...] = ()


@dataclass
class Why:
    """All that is known of one sample. What is not known, as in a file that no run wrote, is None or empty.

    `copies` names the calls that wrote the same text again, each with the reason why it was dropped.
    """

    id: str
    source: str
    task: tuple[str, ...]
    messages: list[Message]
    kept: bool
    origin: dict[str, Any] = field(default_factory=dict)
    prompt: Prompt | None = None
    demonstrations: list[dict[str, str]] = field(default_factory=list)
    calls: list[CallOf] = field(default_factory=list)
    share: Share | None = None
    stages: list[Stage] = field(default_factory=list)
    near: Near | None = None
    copies: list[str] = field(default_factory=list)
    review: Review | None = None
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)


def why(row: str, run: str | Path | None = None) -> Why:
    """Say all that is known of one sample, kept or dropped, or of a lost call. Nothing is written or asked.

    `row` and `run` are as for `find.find_row`.

    Raises:
        InputError: no such row.
    """
    source, found, copies = find_row(row, run)
    return explained(source, found, copies)


def explained(source: Source, row: Row, copies: Iterable[Row] = ()) -> Why:
    """Return what is known of a row of this source."""
    meta = row["meta"]
    origin = meta.get("generate", {})
    made = Why(row["id"], str(source.path), tuple(row["task"]), list(row["messages"]), "dropped" not in row, origin)
    made.copies = [f"{copy['dropped']['stage']}: {copy['dropped']['reason']}" for copy in copies if "dropped" in copy]
    made.near = _near(source, row)
    made.review = _review(source, row)
    run = source.run
    made.stages = _stages(row, run)
    if run is None:
        if origin:
            made.notes.append("a run wrote it: its prompt and calls are in that run's folder, `curate why ID RUN`")
        return made
    if origin:
        made.prompt, made.demonstrations = _prompt(run, origin, made.notes)
        made.calls = _calls(run, meta)
        made.share = _share(source, origin, made.calls)
    return made


def _prompt(run: FinishedRun, origin: Mapping[str, Any], notes: list[str]) -> tuple[Prompt, list[dict[str, str]]]:
    """Render the prompt again as `generate.candidates.Writer` did, and hold its key against the call's."""
    from curate.generate.candidates import Writer
    from curate.models.keys import call_key
    from curate.pipeline.setup import model_options

    name = origin.get("prompt", "generate/samples")
    shown = [run.tree.examples[ident] for ident in origin.get("demonstrations", ()) if ident in run.tree.examples]
    if len(shown) < len(origin.get("demonstrations", ())):
        notes.append("some of its demonstrations are no longer in the tree")
    domain = _domain(run)
    if domain is None:
        return Prompt(name, None, note=UNKNOWN), shown
    if origin["task_id"] not in run.tree:
        return Prompt(name, None, note="its task is no longer in the tree: it was pruned or merged by hand"), shown
    try:
        writer = Writer(domain, run.tree, run.identity["seed"])
        call = run.tree.get(origin["task_id"]), origin["attempt"]
        request = model_options(domain, "teacher").settle(writer.request(call))
    except CurateError as error:
        return Prompt(name, None, note=str(error)), shown
    if not shown:  # a lost call has none noted
        shown = [run.tree.examples[ident] for ident in writer.demonstrations(*call)]
    model = origin.get("model") or run.settings.get("models", {}).get("teacher", "")
    key = call_key(model, request).hex()
    if key == origin["calls"][0]:
        return Prompt(name, True, request.messages), shown
    changed = "the prompt file, the domain file or the tree have changed since; this is what would be sent now"
    return Prompt(name, False, request.messages, changed), shown


def _domain(run: FinishedRun) -> Domain | None:
    """Return the domain that run.yaml holds."""
    from pydantic import ValidationError

    from curate.config import Domain

    try:
        return Domain.model_validate(run.settings.get("domain"))
    except ValidationError:
        return None


def _calls(run: FinishedRun, meta: Mapping[str, Any]) -> list[CallOf]:
    """Return the calls that wrote and checked a sample, in the order of the stages."""
    from curate.models.ledger_view import read_calls

    wanted = [(stage, key) for stage in ("generate", *CHECKS) for key in meta.get(stage, {}).get("calls", ())]
    found = read_calls(run.ledger, [key for _, key in wanted if _is_key(key)])
    calls = []
    for stage, key in wanted:
        if key not in found:
            calls.append(CallOf(stage, key))
            continue
        done = found[key].completion
        calls.append(
            CallOf(
                stage,
                key,
                done.model,
                done.input_tokens,
                done.output_tokens,
                done.cost,
                done.latency,
                done.text,
                f"{done.failure.kind}: {done.failure.message}" if done.failure else "",
            )
        )
    return calls


def _is_key(key: str) -> bool:
    try:
        return bool(bytes.fromhex(key))
    except ValueError:
        return False


def _share(source: Source, origin: Mapping[str, Any], calls: list[CallOf]) -> Share | None:
    """Return the sample's part of what its calls cost; the call that wrote it is shared with all that it wrote."""
    known = [call for call in calls if call.text is not None]
    if not known:
        return None
    first = json.dumps(origin["calls"][0])
    samples = sum(
        other["meta"].get("generate", {}).get("calls", [""])[0] == origin["calls"][0]
        for other in source.rows(lambda line: first in line)
    )

    def part(call: CallOf) -> float:
        return 1 / max(1, samples) if call.stage == "generate" else 1.0

    costs = [call.cost * part(call) for call in known if call.cost is not None]
    tokens = sum((call.input_tokens + call.output_tokens) * part(call) for call in known)
    return Share(samples, tokens, sum(costs) if len(costs) == len(known) else None)


def _near(source: Source, row: Row) -> Near | None:
    """Return the nearest kept sample: of a dropped near-duplicate the one that it was too near to."""
    verdict, noted = row.get("dropped", {}), row["meta"].get("dedup", {})
    ident, score = noted.get("nearest"), noted.get("score")
    if verdict.get("neighbour"):
        ident, score = verdict["neighbour"], verdict.get("score")
    if not ident:
        return None
    head = '{"id": ' + json.dumps(ident, ensure_ascii=False)
    for other in source.rows(lambda line: line.startswith(head)):
        if "dropped" not in other:
            text = next((turn["content"] for turn in other["messages"] if turn["role"] == "user"), "")
            return Near(ident, score, text, tuple(other["task"]))
    return Near(ident, score)


def _review(source: Source, row: Row) -> Review | None:
    """Return what a person has decided of the sample."""
    from curate.pipeline.reviews import journal_of, read_reviews

    return read_reviews(journal_of(source.run.folder if source.run else source.kept_file)).of(row["id"])


def _stages(row: Row, run: FinishedRun | None) -> list[Stage]:
    """Return what every stage said that the sample came to, and the one that dropped it."""
    verdict, meta = row.get("dropped"), row["meta"]
    if verdict and verdict["stage"] not in ORDER:
        return [Stage(verdict["stage"], "dropped", _words(verdict))]
    asked = (run.settings.get("domain") or {}) if run else {}
    used = {
        "rules": True,
        "exact": True,
        "rouge": "rouge" in asked,
        "dedup": bool(run and run.settings.get("encoder")),
        "verify": asked.get("verify", {}).get("kind", "none") != "none",
        "judge": "judge" in asked,
        "quota": run is not None,
        "exam": bool(run and run.summary.get("exam")),
    }
    limits = _limits(run)
    end = verdict["stage"] if verdict else ""
    stages = []
    for name in ORDER:
        if name == end:
            assert verdict is not None
            stages.append(Stage(name, "dropped", _words({**meta.get(name, {}), **verdict}, limits.get(name, ""))))
        elif name in meta or (used[name] and _reached(name, end, meta)):
            stages.append(Stage(name, "passed", _words(meta.get(name, {}), limits.get(name, ""))))
        elif used[name] and run is not None:
            stages.append(Stage(name, "not reached"))
    return stages if run is not None or verdict else [stage for stage in stages if stage.detail]


def _limits(run: FinishedRun | None) -> dict[str, str]:
    """Return what a stage's score is held against, in words, as the run was last configured."""
    if run is None:
        return {}
    asked = run.settings.get("domain") or {}
    found = {
        "rouge": ("above", (asked.get("rouge") or {}).get("threshold")),
        "dedup": ("above", (run.settings.get("encoder") or {}).get("threshold")),
        "judge": ("below", (asked.get("judge") or {}).get("min_score")),
    }
    return {name: f" (dropped {side} {limit:g})" for name, (side, limit) in found.items() if limit is not None}


def _reached(name: str, end: str, meta: Mapping[str, Any]) -> bool:
    """Did a sample that ended at stage `end` ("" if kept) pass this one? Paid checks come after what is free.

    The comparisons come twice, before the checks and after them: a sample that a comparison dropped was checked only
    if its meta says so.
    """
    return not end or (name not in CHECKS and ORDER.index(name) < ORDER.index(end))


def _words(values: Mapping[str, Any], limit: str = "") -> str:
    """Return the notes of a stage in words, without what other parts show; `limit` goes with the score."""
    hidden = ("stage", "reason", "calls", "model", "neighbour", "nearest", "problem", "min_score")
    words = [str(values["reason"])] if values.get("reason") else []
    for name, value in values.items():
        if name in hidden or value in (None, "", [], {}):
            continue
        if isinstance(value, list):
            value = " | ".join("none" if item is None else str(item) for item in value)
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        words.append(f"{name} {shown}" + (limit if name == "score" else ""))
    return ", ".join([*words, *([str(values["problem"])] if values.get("problem") else [])])
