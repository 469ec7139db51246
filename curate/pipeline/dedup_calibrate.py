"""`curate dedup --calibrate`: which cosine of an encoder tells duplicates of this dataset, by marked pairs.

NAME.calibration/calibration.json   the thresholds, and what they belong to
NAME.calibration/marks.jsonl        the marks; pairs.jsonl is for an editor
NAME.calibration/calls.sqlite       the judge's calls, so that none is paid for twice
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import ceil, isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.embed import NO_EMBEDDER
from curate.embed.pairs import MILLION
from curate.errors import InputError, ModelError, without_credentials
from curate.io import atomic, row_to_sample
from curate.io.files import DISK
from curate.pipeline.dataset import Tick, beside, default_out, make_folder, untold
from curate.pipeline.dedup_files import Files, fingerprint
from curate.pipeline.dedup_find import Found, Job, Owner, Phase, find, opened, remembered
from curate.pipeline.dedup_marks import Marks, Pair, pair_of
from curate.pipeline.estimate import CHARS_PER_TOKEN
from curate.stages import calibrate as figures
from curate.stages.dedup import text_of
from curate.types import FATAL, Failure

if TYPE_CHECKING:
    from curate.models import Budget, Model

VERSION = 1
CALIBRATED = "calibrated"
"""The threshold of `curate dedup` that stands for the calibration beside the file."""

SOME = 2_000
"""Random texts whose pairs give the null distribution: two million pairs."""

REPLY = 120
"""Tokens that a judge is expected to write about a pair."""

PAIRS = 200
"""Pairs drawn unless told."""


@dataclass(frozen=True)
class Null:
    """Cosines of random pairs: `quantiles` by share, over `sampled` of them. `near` counts the pairs above each
    threshold among `pairs`, which are all pairs of texts; so their share is exact.
    """

    sampled: int
    quantiles: dict[float, float]
    pairs: int
    near: dict[float, int]


@dataclass(frozen=True)
class Plan:
    """What the judge will be asked; `cost` is in US dollars, None where the price is unknown."""

    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost: float | None


@dataclass
class Calibration:
    """What a calibration found and is saved as. `threshold` is None where no threshold has the wanted precision."""

    embedder: str
    encoder: str
    encoder_print: str
    source: str
    data_print: str
    field: str
    precision: float
    threshold: float | None
    low: float
    high: float
    marks: dict[str, int]
    bands: list[figures.Band]
    estimates: list[figures.Estimate]
    path: Path = Path()

    @property
    def owner(self) -> Owner:
        """The encoder that the threshold belongs to."""
        return Owner(self.encoder, self.encoder_print, self.path)

    def check_field(self, field: str) -> None:
        """Raise InputError where something else is compared than what was calibrated."""
        if field != self.field:
            raise InputError(
                f"{self.path}: the threshold was calibrated for the field '{self.field}', and this compares '{field}'; "
                f"give --field {self.field}, or calibrate for this one"
            )

    def words(self, source: str | Path) -> str:
        """Return in words what a threshold rests on, and whether that was this dataset as it is now."""
        of = (
            ", on another dataset or an earlier state of this one"
            if fingerprint(str(source)) != self.data_print
            else ""
        )
        return f"precision {self.precision:g} by {sum(self.marks.values()):,} marks{of}"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; what is not known is null."""
        row = {"version": VERSION, **asdict(self)}
        row.pop("path")
        row["estimates"] = [
            {name: value if isfinite(value) else None for name, value in estimate.items()}
            for estimate in row["estimates"]
        ]
        return row


class Calibrating:
    """A calibration that is open: the pairs that are drawn, their marks, and what follows from them."""

    def __init__(self, found: Found, cache: Path | None, folder: Path, wanted: int, seed: int) -> None:
        self.job = found.job
        self.found = found
        self.folder = folder
        self._cache = cache
        self.seed = seed
        self.population = figures.Population(found.relations, seed)
        self.marks = Marks(folder)
        self.pairs = list(self._draw(wanted))
        self.read = self.marks.read_sheet()
        make_folder(folder)
        self.marks.write_sheet(self.pairs)

    def _draw(self, wanted: int) -> Iterator[Pair]:
        """Yield the drawn pairs in turns over the bands, so that whoever stops early has marked of all of them."""
        drawn = [(band, edges.tolist()) for band, edges in self.population.draw(wanted)]
        for turn in range(max((len(edges) for _, edges in drawn), default=0)):
            pairs = [self._pair(edges[turn], band) for band, edges in drawn if turn < len(edges)]
            # By name, which is a hash: the order of the bands would tell the cosine.
            yield from sorted(pairs, key=lambda pair: pair.name)

    def _pair(self, edge: int, band: int) -> Pair:
        edges = self.population.edges
        left, right = (self.text(int(side[edge])) for side in (edges.left, edges.right))
        return pair_of(left, right, band, int(edges.score[edge]) / MILLION)

    def text(self, number: int) -> str:
        """Return one of the texts that are compared."""
        line = self.found.rows.line(int(self.population.first[number]))
        return text_of(row_to_sample(json.loads(line)), self.job.field)

    @property
    def open(self) -> list[Pair]:
        """The pairs without a mark that no person has been asked about."""
        return [pair for pair in self.pairs if self.marks.open(pair)]

    def null(self) -> Null:
        """Return the cosines of random pairs. Some texts are encoded for it."""
        import numpy as np

        known = np.flatnonzero(self.found.relations.known)
        rng = np.random.default_rng(self.seed)
        some = np.sort(rng.choice(known, min(SOME, len(known)), replace=False))
        encoder, _ = opened(self.job, self._cache)
        assert encoder is not None
        cosines = figures.null_cosines(encoder.encode([self.text(int(number)) for number in some]))
        quantiles = {q: float(np.quantile(cosines, q)) for q in figures.QUANTILES if len(cosines) * (1 - q) >= 1}
        edges, pairs = self.population.edges, len(known) * (len(known) - 1) // 2
        lows = [band.low for band in self.population.bands([])]
        near = {low: int(np.count_nonzero(edges.score > round(low * MILLION))) for low in lows}
        return Null(len(cosines), quantiles, pairs, near)

    def plan(self, model: Model, name: str) -> Plan:
        """Return what asking the judge about the pairs that it has not marked will take, by their lengths."""
        from curate.prompt import load_prompt

        prompt = load_prompt("judge/same_text", self.job.language)
        asked = [pair for pair in self.pairs if not self.marks.by_judge(pair)]
        letters = sum(
            len(message["content"])
            for pair in asked
            for message in prompt.request("judge", left=pair.left, right=pair.right).messages
        )
        tokens, written = ceil(letters / CHARS_PER_TOKEN[self.job.language]), REPLY * len(asked)
        price = getattr(model, "price", None)
        cost = 0.0 if not model.limited else None if price is None else price.cost(tokens, written)
        return Plan(name, len(asked), tokens, written, cost)

    def ask(self, model: Model, budget: Budget | None = None, tick: Tick = untold) -> dict[str, int]:
        """Have the judge mark the pairs that it has not; return how often there was no mark, by cause.

        Marks are noted as they come: a run that was stopped goes on where it was.

        Raises ModelError where the judge cannot be asked at all.
        """
        from curate.models import Engine, Ledger
        from curate.pipeline.interrupt import stop_on_interrupt
        from curate.pipeline.watch import Watch
        from curate.prompt import load_prompt
        from curate.stages.alike import alike
        from curate.types import Ask

        prompt = load_prompt("judge/same_text", self.job.language)
        pairs = [pair for pair in self.pairs if not self.marks.by_judge(pair)]
        lost: dict[str, int] = {}

        async def work(pair: Pair, ask: Ask) -> bool | Failure | None:
            return await alike(pair.left, pair.right, ask, prompt)

        with (
            Ledger(self.folder / "calls.sqlite") as ledger,
            Engine({"judge": model}, ledger, budget, seed=self.seed) as engine,
            stop_on_interrupt(engine, Watch()),
        ):
            for done, outcome in enumerate(engine.map(pairs, work), 1):
                said = outcome.value
                if isinstance(said, Failure) and said.kind in FATAL:
                    raise ModelError(f"the judge {model.name}: {said.message}")
                if isinstance(said, Failure):
                    lost[said.kind] = lost.get(said.kind, 0) + 1
                else:
                    # An off-menu reply would come again: the judge is not asked anew.
                    self.marks.add(outcome.item, said, model.name)
                    lost |= {"off_menu": lost.get("off_menu", 0) + 1} if said is None else {}
                tick(done, len(pairs))
        self.marks.write_sheet(self.pairs)
        return lost

    def finish(self, precision: float) -> Calibration:
        """Return what the marks say, and save it where a threshold came out; the sheet has the marks, too.

        Raises RunError where the folder cannot be written.
        """
        marked = [(pair.band, same) for pair in self.pairs if (same := self.marks.same(pair)) is not None]
        bands = self.population.bands(marked)
        chosen = figures.choose(bands, precision)
        done = Calibration(
            embedder=without_credentials(self.job.embedder),
            encoder=self.found.encoder,
            encoder_print=self.found.encoder_print,
            source=self.job.source,
            data_print=fingerprint(self.job.source),
            field=self.job.field,
            precision=precision,
            threshold=chosen.threshold,
            low=chosen.low,
            high=chosen.high,
            marks=self.marks.counts(self.pairs),
            bands=bands,
            estimates=figures.estimates(bands),
            path=self.folder / "calibration.json",
        )
        self.marks.write_sheet(self.pairs)
        if marked:
            with atomic(done.path) as file:
                json.dump(done.as_json(), file, ensure_ascii=False, indent=1)
        return done


def open_calibration(
    source: str | Path,
    *,
    pairs: int = PAIRS,
    seed: int = 0,
    tick: Tick = untold,
    phase: Phase = lambda name: None,
    **compared: Any,
) -> Calibrating:
    """Find the near pairs of a dataset and draw some of them by bands of the cosine, to be marked.

    `compared` says what is compared, as for `dedup_dataset`: its near pairs, once found, serve both.

    Raises:
        InputError: a value or file that cannot be used, or a dataset without any near pair.
    """
    if pairs < 1:
        raise InputError(f"{pairs} pairs to mark; give a whole number from 1")
    out = compared.pop("out", None)
    # Not a threshold to decide by: all near pairs are wanted, however low they can be known.
    job = Job(source=str(source), threshold=1.0, **compared)
    if job.embedder == NO_EMBEDDER:
        raise InputError("a threshold is calibrated for an encoder, and the embedder 'none' gives no vectors; name one")
    files = Files(job, Path(out) if out is not None else default_out(source, "dedup"), None)
    found = remembered(job, files) or find(job, files, tick, phase)
    if found.relations.semantic is None or not len(found.relations.semantic):
        edges = found.relations.semantic
        low = f" from {edges.floor:.2f} up" if edges is not None else ""
        why = "too many pairs to hold" if found.decided else f"no two different texts have a cosine{low}"
        raise InputError(f"{source}: nothing to calibrate: {why}, as {found.encoder} sees them")
    phase("draw")
    return Calibrating(found, files.cache, folder_of(source), pairs, seed)


def folder_of(source: str | Path) -> Path:
    """Return where the calibration of a dataset lies."""
    return beside(Path(source), "calibration")


def load_calibration(threshold: str, source: str | Path) -> Calibration:
    """Return the calibration that `calibrated`, a folder NAME.calibration or a file in it names.

    Raises:
        InputError: there is none, it is not whole, or no threshold came out of it; the message says what to do.
    """
    path = folder_of(source) if threshold == CALIBRATED else Path(threshold).expanduser()
    path = path / "calibration.json" if path.suffix != ".json" else path
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        version = row.pop("version")
        bands = [figures.Band(**band) for band in row.pop("bands")]
        estimates = [_estimate(each) for each in row.pop("estimates")]
        done = Calibration(**row, bands=bands, estimates=estimates, path=path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such calibration; make one with `curate dedup {source} --calibrate`") from None
    except OSError as error:
        if error.errno in DISK:
            raise
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: not a calibration ({error}); make it anew with --calibrate") from error
    if version != VERSION:
        raise InputError(f"{path}: of another version of curate; make it anew with --calibrate: its marks are kept")
    if done.threshold is None:
        raise InputError(
            f"{path}: no threshold has the precision {done.precision:g} that was wanted; calibrate with more --pairs "
            "or a lower --precision, or give a number"
        )
    return done


def _estimate(row: dict[str, Any]) -> figures.Estimate:
    known: dict[str, Any] = {name: nan if value is None else value for name, value in row.items()}
    return figures.Estimate(**known)
