"""`curate fuse build sft|dpo|wrpo`: training samples from a collection.

NAME.jsonl has the samples, NAME.dropped.jsonl the prompts that gave none, each with the reason. Prompts are split
between SFT and preference training by a hash: what one side learns from, the other does not see.
"""

from __future__ import annotations

import math
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.fuse.folder import Response, read_collected, read_settings
from curate.fuse.margins import Histogram, histogram, nothing_inside
from curate.fuse.pairs import Kind, Pair, Rules, Window, best_of_all, best_pair
from curate.fuse.prompts import Prompt
from curate.fuse.sample import Tick
from curate.fuse.split import SHARE, Side
from curate.io import atomic
from curate.io.files import to_line
from curate.pipeline.dataset import dropped_beside, make_folder

WINDOW = Window(0.01, 0.1)
"""FuseChat-3.0's, of the scores of ArmoRM-Llama3-8B-v0.1."""


def window_of(kind: str) -> Window | None:
    """Return the window of margins that a kind of sample has unless another is given; WRPO has none."""
    return WINDOW if kind == "dpo" else None


@dataclass(frozen=True)
class Options:
    """What is built. `of` says whose responses sft and dpo take, the sources' or the target's own.

    `share` of the prompts, by a hash of prompt and `seed`, go to SFT, the others to preference training. Where
    `verdicts` is false, what rules said is left aside.
    """

    kind: str
    of: str = "source"
    window: Window | None = None
    share: float = SHARE
    seed: int = 0
    verdicts: bool = True


@dataclass
class Tally:
    """What became of the prompts of one domain."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass
class Built:
    """What was built. kept + dropped + other_side = prompts; `models` counts samples by the chosen response's model.

    `margins` are of every pair that a model gave, in the window or not; None where there are none.
    """

    kind: str
    source: Path
    out: Path
    dropped_file: Path
    settings: dict[str, Any]
    prompts: int = 0
    other_side: int = 0
    domains: dict[str, Tally] = field(default_factory=dict)
    models: Counter[str] = field(default_factory=Counter)
    margins: Histogram | None = None
    seconds: float = 0.0

    @property
    def kept(self) -> int:
        """Prompts that gave a sample."""
        return sum(tally.kept for tally in self.domains.values())

    @property
    def reasons(self) -> Counter[str]:
        """Prompts that gave none, by reason."""
        return sum((tally.dropped for tally in self.domains.values()), Counter[str]())

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "kind": self.kind,
            "source": str(self.source),
            "out": str(self.out),
            "dropped_file": str(self.dropped_file),
            "settings": self.settings,
            "prompts": self.prompts,
            "other_side": self.other_side,
            "kept": self.kept,
            "dropped": self.reasons.total(),
            "reasons": dict(self.reasons.most_common()),
            "domains": {
                name: {"kept": tally.kept, "dropped": dict(tally.dropped.most_common())}
                for name, tally in sorted(self.domains.items())
            },
            "models": dict(self.models.most_common()),
            "margins": self.margins.as_json() if self.margins else None,
            "seconds": round(self.seconds, 3),
        }


Choice = tuple[dict[str, Any], Response] | str
"""The row of a sample with the response that it learns from, or the reason why there is none."""

Build = Callable[[Prompt, list[Response], Options, Rules, "array[float]"], Choice]


def build(
    folder: str | Path, options: Options, out: str | Path | None = None, *, tick: Tick = lambda done, total: None
) -> Built:
    """Build the samples of a collection into `out`, FOLDER/KIND.jsonl unless given.

    Raises:
        InputError: a value that cannot be, no whole collection in `folder`, or nothing to keep; the message says why.
    """
    began, source = time.monotonic(), Path(folder)
    target = Path(out) if out is not None else source / f"{options.kind}.jsonl"
    _check(options, target)
    collected = read_settings(source)
    scored = collected["settings"]["scorer"] is not None
    _check_roles(options, {model["role"] for model in collected["settings"]["models"]}, source)
    rules = Rules(scored, options.verdicts, options.window if scored else None)
    built = Built(options.kind, source, target, dropped_beside(target), _settings(options, rules, collected))
    side, margins = Side(options.kind == "sft", options.share, options.seed), array("d")
    make_folder(target.parent)
    with atomic(built.dropped_file) as dropped, atomic(target) as kept:
        for prompt, responses in read_collected(source, scored):
            built.prompts += 1
            tick(built.prompts, collected["prompts"])
            if not side.has(prompt.id):
                built.other_side += 1
                continue
            tally = built.domains.setdefault(prompt.domain, Tally())
            choice = KINDS[options.kind](prompt, responses, options, rules, margins)
            if isinstance(choice, str):
                tally.dropped[choice] += 1
                row = {**prompt.as_json(), "dropped": {"stage": options.kind, "reason": choice}}
                dropped.write(to_line(row))
            else:
                tally.kept += 1
                built.models[choice[1].model] += 1
                kept.write(to_line(choice[0]))
        built.margins = histogram(margins, rules.window)
        if not built.kept:
            raise InputError(f"{source}: {_nothing(built, rules)}")
    built.seconds = time.monotonic() - began
    return built


def _sft(prompt: Prompt, responses: list[Response], options: Options, rules: Rules, _: array[float]) -> Choice:
    best = best_of_all([one for one in responses if one.role == options.of], prompt.check.kind, rules)
    if isinstance(best, str):
        return best
    row = {
        "messages": [*prompt.messages, best.as_message()],
        "domain": prompt.domain,
        "prompt_id": prompt.id,
        "response_id": best.id,
        "model": best.model,
        "score": best.score,
    }
    return row, best


def _dpo(prompt: Prompt, responses: list[Response], options: Options, rules: Rules, margins: array[float]) -> Choice:
    own = [one for one in responses if one.role == options.of]
    pair = _noted(own, prompt.check.kind, rules, margins)
    if isinstance(pair, str):
        return pair
    rule = "on_policy" if options.of == "target" else "same_source_bw"
    return _row(prompt, pair, rule, [pair.chosen.id]), pair.chosen


def _wrpo(prompt: Prompt, responses: list[Response], options: Options, rules: Rules, margins: array[float]) -> Choice:
    """Choose y_ws, the best over all sources, and y_wt and y_l, the best and the worst of the target's own."""
    best = best_of_all([one for one in responses if one.role == "source"], prompt.check.kind, rules)
    pair = _noted([one for one in responses if one.role == "target"], prompt.check.kind, rules, margins)
    if isinstance(best, str):
        return f"source_{best}"
    if isinstance(pair, str):
        return f"target_{pair}"
    row = _row(prompt, pair, "wrpo", [best.id, pair.chosen.id])
    return {**row, "chosen_source": [best.as_message()], "source_model": best.model}, best


KINDS: dict[str, Build] = {"sft": _sft, "dpo": _dpo, "wrpo": _wrpo}


def _noted(responses: list[Response], kind: Kind, rules: Rules, margins: array[float]) -> Pair | str:
    pair, candidates = best_pair(responses, kind, rules)
    margins.extend(one.margin for one in candidates if one.margin is not None)
    return pair


def _row(prompt: Prompt, pair: Pair, rule: str, chosen: list[str]) -> dict[str, Any]:
    return {
        "prompt": list(prompt.messages),
        "chosen": [pair.chosen.as_message()],
        "rejected": [pair.rejected.as_message()],
        "domain": prompt.domain,
        "prompt_id": prompt.id,
        "chosen_ids": chosen,
        "rejected_ids": [pair.rejected.id],
        "model": pair.chosen.model,
        "rule": rule,
        "margin": pair.margin,
    }


def _check(options: Options, target: Path) -> None:
    if options.kind not in KINDS:
        raise InputError(f"nothing is built that is called {options.kind!r}; there are {', '.join(KINDS)}")
    if options.of not in ("source", "target"):
        raise InputError(f"of is {options.of!r}; it takes source or target")
    if not 0 <= options.share <= 1:
        raise InputError(f"share is {options.share:g}; it takes 0 to 1: the prompts that SFT takes")
    window = options.window
    if window is not None and not -math.inf < window.low <= window.high < math.inf:
        raise InputError(f"the margin window is {window}; it takes LOW:HIGH with LOW not above HIGH, e.g. {WINDOW}")
    if target.suffix != ".jsonl":
        raise InputError(f"{target}: samples are written as JSON lines; name a .jsonl file")


def _check_roles(options: Options, roles: set[str], source: Path) -> None:
    needed = {"source", "target"} if options.kind == "wrpo" else {options.of}
    if missing := sorted(needed - roles):
        raise InputError(
            f"{source}: no responses of a {missing[0]} were collected; the same `curate fuse collect` with "
            f"--{missing[0]} SPEC adds them"
        )


def _settings(options: Options, rules: Rules, collected: dict[str, Any]) -> dict[str, Any]:
    return {
        "of": "both" if options.kind == "wrpo" else options.of,
        "margin": str(rules.window) if rules.window else None,
        "share": options.share,
        "seed": options.seed,
        "verdicts": options.verdicts,
        "scorer": collected["settings"]["scorer"],
    }


def _nothing(built: Built, rules: Rules) -> str:
    """Say why nothing was kept."""
    if built.margins is not None and rules.window is not None and not built.margins.inside:
        return nothing_inside(built.margins, rules.window)
    if built.other_side == built.prompts:
        return f"all {built.prompts:,} prompts are on the other side of the split; see --share"
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in built.reasons.most_common())
    return f"no sample could be built of {built.prompts - built.other_side:,} prompts ({reasons})"
