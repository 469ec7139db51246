"""The dataset card of a run, from what lies in its folder."""

from __future__ import annotations

import random
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError
from curate.finished import is_run
from curate.pipeline.dataset import Tick
from curate.run import read_settings
from curate.types import Sample

if TYPE_CHECKING:
    from curate.embed import Vectors
    from curate.export import Card

Settings = Mapping[str, Any]

DOMAIN_FILE = "domain.yaml"
"""The domain file that a dataset takes along where it is not one that ships."""

NEVER = (
    "overlap with the questions of benchmarks",
    "personal data, and text that is copied from somewhere",
)
"""What no stage looks at."""


def card_of(folder: Path, stages: list[tuple[str, int, int]], summary: Mapping[str, Any]) -> Card:
    """Return the card of the run in `folder`, whose rows gave `summary`; `stages` are (name, in, kept) in order."""
    from curate.export import Card
    from curate.run import key_of
    from curate.tree import load_tree_with_edits

    settings = read_settings(folder)
    identity, domain = settings["identity"], settings["domain"]
    tree = load_tree_with_edits(folder)[0]
    shown = {**_shown(settings), "domain file (hash)": key_of(_whole(settings))}
    return Card(
        domain=identity["domain"],
        language=identity["language"],
        description=domain["root"].get("description", ""),
        models=settings["models"],
        seed=identity["seed"],
        stages=stages,
        drops=summary["dropped"],
        settings=shown,
        prompts=dict(_prompts(settings)),
        tree=[tree.path(task.id) for task in tree.walk()],
        checks=list(_checks(settings)),
        unchecked=[*_left_out(settings), *NEVER],
        command=_command(settings, summary["accepted"]),
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the domain file of the run in `folder` in full, seeds and all; nothing of a domain that ships."""
    import yaml

    settings = read_settings(folder)
    if _ships(settings):
        return {}
    text = yaml.safe_dump(_whole(settings), sort_keys=False, allow_unicode=True, width=110)
    return {DOMAIN_FILE: str(text).encode()}


def _whole(settings: Settings) -> dict[str, Any]:
    """Return the domain with its seeds instead of a path to them, and nothing of models and servers.

    A server's address is nobody else's business.
    """
    from curate.config import Domain

    domain = {**settings["domain"], "models": {}}
    domain["seeds"] = Domain.model_validate(domain).seed_examples()
    if "dedup" in domain:
        domain["dedup"] = {**domain["dedup"], "embedder": domain["dedup"]["embedder"].partition("@")[0]}
    return domain


def adorned(
    card: Card, samples: Iterable[Sample], source: Path, tick: Tick
) -> tuple[Card, dict[str, bytes], list[str]]:
    """Return a card with the figures of its samples and with pictures, the pictures' files, and what could not be made.

    The figures are those of `curate stats`. Pictures need matplotlib.

    Raises:
        InputError: there is no sample.
    """
    from importlib.util import find_spec

    from curate.pipeline.stats import PARTS, stats

    again = 0

    def told(part: str, done: int, total: int) -> None:
        """Count the random subset, which has no intervals, as two fifths of the work."""
        nonlocal again
        again += part.endswith("random subset")
        tick(int(0.6 * done + 0.4 * total * min(again / PARTS, 1)), total)

    measured = stats([source], tell=told).files[0]
    card = replace(card, figures=measured.figures, subset=measured.subset)
    if find_spec("matplotlib") is None:
        return card, {}, ["the card has no pictures: pip install 'curate-llm[plot]'"]
    from curate.export import pictures

    files, shown = {}, []
    rows, some = _drawn_from(samples, pictures.MOST_SAMPLES)
    vectors, why = _vectors([sample.instruction for sample in some], source, card.language or "en")
    notes = [f"the card has no {pictures.SAMPLES}: {why}"] if why else []
    drawn = {pictures.TREE: pictures.tree_map(rows)}
    if vectors is not None:
        branches = pictures.branches_of(rows)
        drawn[pictures.SAMPLES] = pictures.sample_map(vectors, [sample.task for sample in some], branches)
    for name, picture in drawn.items():
        if picture is None:
            notes.append(f"the card has no {name}: there are too few branches, or no installed font has their letters")
            continue
        files[name] = picture
        shown.append((name, pictures.SHOWS[name]))
    return replace(card, pictures=shown), files, notes


def _drawn_from(samples: Iterable[Sample], most: int) -> tuple[Counter[tuple[str, ...]], list[Sample]]:
    """Return the rows of each task, and at most `most` samples, every one of which is as likely (Vitter's R, 1985)."""
    rng = random.Random(0)
    rows: Counter[tuple[str, ...]] = Counter()
    some: list[Sample] = []
    for seen, sample in enumerate(samples):
        rows[sample.task] += 1
        if seen < most:
            some.append(sample)
        elif (place := rng.randrange(seen + 1)) < most:
            some[place] = sample
    return rows, some


def _vectors(texts: list[str], source: Path, language: str) -> tuple[Vectors | None, str]:
    """Return the vectors of texts, [n, d], by the run's encoder or, where that costs money, by the language's own.

    None where there are none, and why.
    """
    from curate.embed import default_encoder, open_encoder
    from curate.embed.store import free, run_encoder

    used = read_settings(source)["encoder"] if is_run(source) else None
    try:
        encoder = run_encoder(source, used["name"]) if used else open_encoder(default_encoder(language))
        if not free(encoder, texts).all():
            encoder = open_encoder(default_encoder(language))
        return encoder.encode(texts), ""
    except CurateError as error:  # the encoder is not installed here, or knows too little of the text
        return None, str(error)


def _ships(settings: Settings) -> bool:
    """Is the domain one that comes with the package, unchanged?"""
    from curate.config import load_domain, shipped_domains

    name = settings["domain"]["name"]
    if name not in shipped_domains():
        return False
    shipped = load_domain(name).model_dump(mode="json", exclude_none=True)
    # The folder of the package and the models are not what makes a domain.
    place = {"seeds": None, "models": None}
    return {**shipped, **place} == {**settings["domain"], **place}


def _shown(settings: Settings) -> dict[str, Any]:
    domain, encoder = settings["domain"], settings["encoder"]
    rouge, verify = domain.get("rouge"), domain["verify"]
    votes = f"checked as mathematics: by the known answer, else by {verify['votes']} votes"
    shown = {
        "ROUGE-L above which an instruction is a copy": rouge["threshold"] if rouge else "not compared",
        "cosine above which it is a copy": f"{encoder['threshold']} ({encoder['name']})" if encoder else "not compared",
        "answers": votes if verify["kind"] == "math" else "",
        "judge": f"at least {domain['judge']['min_score']}" if domain.get("judge") else "",
        "made with": f"curate-llm {settings['versions']['curate-llm']}",
    }
    return {name: value for name, value in shown.items() if value != ""}


def _prompts(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the name and the hash of each prompt that such a run may ask."""
    from curate.prompt import load_prompt

    domain = settings["domain"]
    names = ["explore/lookahead", "explore/backtrack", "explore/same_task", "generate/samples", "repair"]
    if domain["verify"]["kind"] == "math":
        names.append("generate/solve")
    if domain.get("judge"):
        names.append("judge/quality")
    for name in names:
        yield name, load_prompt(name, settings["identity"]["language"]).fingerprint


def _checks(settings: Settings) -> Iterator[str]:
    """Yield what every row passed."""
    domain, encoder = settings["domain"], settings["encoder"]
    yield "rules on lengths and forbidden words"
    if rouge := domain.get("rouge"):
        yield f"no two instructions have a ROUGE-L above {rouge['threshold']}"
    if encoder:
        yield f"no two have a cosine above {encoder['threshold']} by the encoder {encoder['name']}"
    if domain["verify"]["kind"] == "math":
        yield "the final answer, by the known one or by votes of the teacher"
    if judge := domain.get("judge"):
        yield f"a judge's grade of at least {judge['min_score']} of 5"


def _left_out(settings: Settings) -> Iterator[str]:
    """Yield the checks that this run did without."""
    domain = settings["domain"]
    if domain["verify"]["kind"] == "none":
        yield "whether the answers are right"
    else:
        yield "the way to the answer, of which only the end is checked"
    if not domain.get("judge"):
        yield "quality, by a judge"
    if not domain.get("rouge"):
        yield "near-copies, by ROUGE-L"
    if not settings["encoder"]:
        yield "near-copies, by meaning"


def _command(settings: Settings, rows: int) -> str:
    """Return the commands that make such a dataset again."""
    identity, models, encoder = settings["identity"], settings["models"], settings["encoder"]
    words = ["curate", "explore", "--domain", identity["domain"] if _ships(settings) else DOMAIN_FILE]
    words += ["--rows", str(rows), "--seed", str(identity["seed"]), "--teacher", _spec(models["teacher"])]
    if (judge := models.get("judge")) and judge != models["teacher"]:
        words += ["--judge", _spec(judge)]
    if encoder:
        words += ["--embedder", _encoder(encoder["name"]), "--threshold", f"{encoder['threshold']:g}"]
    return f"pip install curate-llm=={settings['versions']['curate-llm']}\n{shlex.join(words)}"


def _spec(model: str) -> str:
    """Return how a reader may name a model, wherever they have it served."""
    if model.startswith("procedural"):
        return "procedural"
    return model if model.startswith("scripted:") else f"openai:{model}@URL"


def _encoder(name: str) -> str:
    return f"{name}@URL" if name.startswith("openai:") else name
