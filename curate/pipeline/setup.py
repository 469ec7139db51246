"""What a run works with: domain, models, encoder and folder, all of it checked before a call is made."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.config import Domain, UnknownDomain, load_domain, shipped_domains
from curate.errors import InputError, without_credentials
from curate.prompt import load_prompt, prompt_names
from curate.text import slug

if TYPE_CHECKING:
    from curate.embed import Encoder
    from curate.embed.api import ApiEncoder
    from curate.models import Engine, Ledger, ModelOptions
    from curate.pipeline.exam_stage import Prepared
    from curate.pipeline.explore import Options
    from curate.pipeline.watch import Watch
    from curate.run import RunDirectory

RUNS = Path("runs")
DRAFT = "domain.yaml"
"""Where a drafted domain file lies in its run directory."""

THREE_WAYS = """name one in any of three ways:
  --teacher openai:NAME@URL        any OpenAI-compatible server (key in OPENAI_API_KEY), e.g. openai:gpt-5-mini
  --teacher vllm:NAME              a local model, served for the time of the run (or hf:NAME)
  models: {teacher: {spec: ...}}   the same in the domain file"""


@dataclass
class Setup:
    """The resolved choices of one run. `domain` is None while a phrase waits to be drafted into a domain file.

    `drafted` is true where the domain file is, or will be, the draft of `phrase` in the run directory.
    """

    phrase: str
    domain: Domain | None
    out: Path
    seed: int
    specs: dict[str, str]
    drafted: bool = False
    encoder: Encoder | None = None
    threshold: float | None = None
    notes: list[str] = field(default_factory=list)
    model_names: dict[str, str] = field(default_factory=dict)
    exam: Prepared | None = None

    @property
    def compared_by(self) -> Encoder | None:
        """The encoder by which samples are compared; None where it only proposes which tasks are the same."""
        return self.encoder if self.threshold is not None else None

    @property
    def api(self) -> ApiEncoder | None:
        """The encoder where it is a model behind an API, which is asked in the role of the embedder."""
        from curate.embed.api import ApiEncoder

        encoder = getattr(self.encoder, "encoder", self.encoder)  # what a store keeps the vectors of
        return encoder if isinstance(encoder, ApiEncoder) else None

    def identity(self) -> dict[str, Any]:
        """What must stay the same for a folder to go on: another of these is another run.

        A drafted domain goes by its phrase, whatever the draft was edited to; what it holds is not known before.
        """
        known = {"root": self.domain.root.name, "language": self.domain.language} if self.domain else {}
        domain = self.domain.name if self.domain and not self.drafted else slug(self.phrase)
        return {"domain": domain, **known, "seed": self.seed, "teacher": self.model_names["teacher"]}

    def _prompts(self) -> dict[str, str]:
        """Return the hash of each prompt file, by which two runs can be held against each other."""
        language = self.domain.language if self.domain else "en"
        return {name: load_prompt(name, language).fingerprint for name in prompt_names()}

    def configuration(self) -> dict[str, Any]:
        """The resolved configuration for run.yaml; the credentials that a URL may hold stay out of it."""
        domain = self.domain.model_dump(mode="json", exclude_none=True) if self.domain else {}
        for model in domain.get("models", {}).values():
            model["spec"] = without_credentials(model["spec"])
        if "dedup" in domain:
            domain["dedup"]["embedder"] = without_credentials(domain["dedup"]["embedder"])
        return {
            "models": dict(self.model_names),
            "encoder": {"name": by.name, "threshold": self.threshold} if (by := self.compared_by) else None,
            "domain": domain or None,
            "exam": self.exam.told() if self.exam else None,
            "prompts": self._prompts(),
            "versions": {"curate-llm": version("curate-llm")},
        }


def resolve(options: Options) -> Setup:
    """Load what the options name and fill in their defaults; no file is written and no model asked.

    Raises:
        InputError: a value cannot be used; the message names it and what would work.
    """
    until = options.until_novelty
    if until is not None and not 0 < until < 1:
        raise InputError(f"until_novelty is {until}; it takes a share between 0 and 1, such as 0.1")
    if options.rows < (until is None):
        raise InputError(f"rows is {options.rows}; it takes a whole number from 1")
    if options.domain is None and options.tree is None:
        raise InputError("no domain: give --domain (a shipped name, a file, or any phrase) or --tree FILE")
    phrase = options.domain or _root_of(Path(options.tree or ""))
    out = options.out or RUNS / slug(Path(phrase).stem if phrase.endswith((".yaml", ".yml")) else phrase)
    domain, drafted = _find_domain(phrase, out, options)
    specs = _specs(phrase, domain, options)
    for name in prompt_names():
        # A wrong prompt is found here, and not when its turn comes after hours of calls.
        load_prompt(name, domain.language if domain else "en")
    setup = Setup(phrase, domain, out, options.seed, specs, drafted)
    settle_encoder(setup, options)
    setup.exam = _exam(setup, options)
    return setup


def _exam(setup: Setup, options: Options) -> Prepared | None:
    """Return the exam of the domain file, with another student or treatment where the options name one."""
    from curate.config import Exam
    from curate.pipeline.exam_stage import check_teacher, prepare_exam

    domain = setup.domain
    exam = domain.exam if domain else None
    given = {name: value for name in ("student", "treat") if (value := getattr(options, name)) is not None}
    if exam is None and "student" not in given:
        if given:
            raise InputError(
                f"--treat {options.treat} needs a student: --student MODEL, the model that is to be trained"
            )
        return None
    exam = exam.model_copy(update=given) if exam else Exam(**given)
    if options.compare:
        raise InputError("a comparison is of datasets as they were written: leave out --compare, or the exam")
    check_teacher(setup.specs["teacher"])
    return prepare_exam(exam, domain.language if domain else "en", setup.seed, "judge" in setup.specs)


def _root_of(path: Path) -> str:
    from curate.tree import import_tree

    tree, _ = import_tree(path)
    return tree.root.name


def _find_domain(phrase: str, out: Path, options: Options) -> tuple[Domain | None, bool]:
    """Return the domain (None for a phrase that is still to be drafted), and whether it is a draft in `out`."""
    try:
        return load_domain(phrase), False
    except UnknownDomain:
        if (out / DRAFT).exists():
            return load_domain(str(out / DRAFT)), True
        if options.tree is not None:
            # A tree of one's own needs no draft: its root says what the domain is, and the rules are the general ones.
            return Domain.general(slug(phrase), phrase), False
        _check_typing(phrase)
        return None, True


def _check_typing(phrase: str) -> None:
    """Refuse a phrase that is a shipped domain's name but for a letter or two: a draft would be paid for by mistake."""
    near = difflib.get_close_matches(phrase.casefold(), shipped_domains(), n=1, cutoff=0.85)
    if near:
        raise InputError(
            f"{phrase!r} is no shipped domain; did you mean {near[0]!r}? (to have {phrase!r} itself drafted, say it in "
            "more words)"
        )


def _specs(phrase: str, domain: Domain | None, options: Options) -> dict[str, str]:
    """Return the spec of each model role that the run needs."""
    models = domain.models if domain else {}
    teacher = options.teacher or (models["teacher"].spec if "teacher" in models else None)
    if teacher is None:
        what = f"the domain {phrase!r}" if domain else f"{phrase!r} is no shipped domain or file; drafting one"
        raise InputError(f"{what} needs a teacher model; {THREE_WAYS}")
    specs = {"teacher": teacher}
    if options.judge and (domain is None or domain.judge is None):
        raise InputError(
            f"--judge {options.judge}: the domain {phrase!r} asks for no grades; `judge: {{min_score: 4}}` in its file "
            "(or in one of your own that begins with `extends:`) switches them on"
        )
    judge = options.judge or (models["judge"].spec if "judge" in models else None)
    if judge:
        specs["judge"] = judge
    _check_embedded(phrase, domain, specs)
    return specs


def _check_embedded(phrase: str, domain: Domain | None, specs: dict[str, str]) -> None:
    """Refuse the embedded teacher for what it cannot do, before each of a thousand calls says so."""
    from curate.models.procedural import serves

    if specs["teacher"] == "procedural" and not (domain and serves(domain.name)):
        raise InputError(
            f"{phrase!r}: the embedded teacher, procedural, writes the domains math and math-zh only (a file "
            f"that extends one keeps its name: `name: math`); for a language model, {THREE_WAYS}"
        )
    if domain and domain.judge and specs.get("judge", specs["teacher"]) == "procedural":
        raise InputError(
            f"{phrase!r}: its samples are to be graded, and 'procedural' cannot; name a model with --judge"
        )


def settle_encoder(setup: Setup, options: Options) -> None:
    """Open the encoder that the options or the domain file name, and settle the threshold that belongs to it.

    A domain file with `dedup: null` does without the comparison by meaning; tasks are still merged by the language's
    default encoder. The embedder `none` does without both. For a phrase whose domain file is not drafted yet, only what
    the options name is settled.

    Raises:
        InputError: no such encoder, or `auto` for an encoder without a threshold of its own.
        MissingExtraError: the encoder needs a package that is not installed.
    """
    from curate.embed import NO_EMBEDDER, default_encoder, open_encoder, threshold_of

    domain = setup.domain
    if setup.encoder is not None or (domain is None and options.embedder is None):
        return
    dedup = domain.dedup if domain else None
    named = options.embedder or (dedup.embedder if dedup else default_encoder(domain.language if domain else "en"))
    if named == NO_EMBEDDER:
        if options.threshold is not None:
            raise InputError(
                f"the threshold {options.threshold:g} is a cosine, and the embedder 'none' gives no vectors; drop one"
            )
        return
    setup.encoder = open_encoder(named, model_options(domain, "embedder"))
    if dedup is None and options.embedder is None and options.threshold is None:
        return
    wish: float | str | None = options.threshold
    # A threshold belongs to one encoder: the domain file's is not carried over to another one.
    if wish is None and dedup and named == dedup.embedder:
        wish = dedup.threshold
    setup.threshold = threshold_of(setup.encoder, wish)


class Job(NamedTuple):
    """What is open while a run goes on."""

    setup: Setup
    options: Options
    run: RunDirectory
    ledger: Ledger
    engine: Engine
    watch: Watch

    @property
    def domain(self) -> Domain:
        """The resolved domain."""
        assert self.setup.domain is not None
        return self.setup.domain


@contextlib.contextmanager
def open_job(setup: Setup, options: Options, watch: Watch) -> Iterator[Job]:
    """Lock the run directory and open its ledger and the engine; Ctrl-C stops the engine while they are open."""
    from curate.embed.store import stored
    from curate.models import Budget, Engine, Ledger, open_model
    from curate.pipeline.interrupt import stop_on_interrupt
    from curate.run import RunDirectory

    models = {role: open_model(role, spec, model_options(setup.domain, role)) for role, spec in setup.specs.items()}
    setup.model_names = {role: model.name for role, model in models.items()}
    if setup.api is not None:
        setup.api.check_key()
        models["embedder"] = setup.api.model
    if setup.exam is not None:
        models |= setup.exam.models(model_options(setup.domain, "student"))
    budget = Budget(calls=options.budget_calls, tokens=options.budget_tokens, usd=options.budget_usd)
    with (
        RunDirectory(setup.out) as run,
        Ledger(run.ledger) as ledger,
        Engine(models, ledger, budget, seed=setup.seed) as engine,
        stop_on_interrupt(engine, watch),
    ):
        # Also before a draft is asked for: a folder that holds another run is refused before anything is paid.
        run.settle(setup.identity(), setup.configuration())
        if setup.api is not None:
            setup.api.engine = engine
        if setup.encoder is not None:
            setup.encoder = stored(run.path, setup.encoder)
        yield Job(setup, options, run, ledger, engine, watch)


def model_options(domain: Domain | None, role: str) -> ModelOptions:
    """Return what the domain file says of a role's model, except its spec."""
    from curate.models import ModelOptions

    for name, spec in (domain.models if domain else {}).items():
        if name == role:
            return ModelOptions(**spec.model_dump(exclude={"spec"}))
    return ModelOptions()
