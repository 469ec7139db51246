"""`curate check`: is a domain file right, and what does it say; nothing is asked of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.config import check_domain, load_domain, shipped_domains
from curate.errors import ConfigError, without_credentials

if TYPE_CHECKING:
    from curate.config import Domain, FieldRules


@dataclass
class Checked:
    """One domain: its problems, a line each with its place, and, where it has none, what it says in a few lines."""

    name: str
    problems: list[str] = field(default_factory=list)
    says: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {"domain": self.name, "problems": self.problems, "says": dict(self.says)}


def check_domains(names: Sequence[str] = ()) -> list[Checked]:
    """Check domains by shipped name or path, all shipped ones unless any is named: keys, values, seeds and prompts."""
    return [_check(name) for name in names or shipped_domains()]


def _check(name: str) -> Checked:
    try:
        domain = load_domain(name)
        problems = [*check_domain(domain), *_embedder(domain)]
    except ConfigError as error:
        return Checked(name, str(error).splitlines())
    return Checked(name, problems, [] if problems else says(domain))


def _embedder(domain: Domain) -> list[str]:
    from curate.embed import embedder_problem

    problem = embedder_problem(domain.dedup.embedder) if domain.dedup else ""
    return [f"dedup.embedder: {without_credentials(problem)}"] if problem else []


def says(domain: Domain) -> list[tuple[str, str]]:
    """Return what a domain says as (subject, words), in the order of the work."""
    explore, given = domain.explore, [task for top in domain.tasks for task in top.walk()]
    level, most = 1, 1
    for depth in range(explore.depth):
        level *= explore.width_at(depth)
        most += level
    wide = " × ".join(str(width) for width in explore.width) or "none"
    seeds = len(domain.seed_examples())
    models = [f"{role} {spec.spec}" for role, spec in domain.models.items()]
    lines = [
        ("root", f"{domain.root.name} (language {domain.language}); {_count(seeds, 'seed')}"),
        (
            "tasks",
            f"{len(given)} given; grown {explore.depth} deep, {wide} wide: at most {min(most, explore.max_tasks):,}",
        ),
        ("models", without_credentials(", ".join(models)) or "give --teacher"),
    ]
    for name in ("instruction", "input", "response"):
        words = _rule(getattr(domain.rules, name))
        if words:
            lines.append((name, words))
    return [*lines, ("filters", _filters(domain)), ("export", domain.export.format)]


def _rule(rule: FieldRules) -> str:
    """Return one text's rules in words."""
    bounds = []
    if rule.min_words or rule.max_words is not None:
        bounds.append(f"{rule.min_words} to {rule.max_words} words" if rule.max_words else f"{rule.min_words}+ words")
    if rule.max_chars is not None:
        bounds.append(f"at most {rule.max_chars:,} characters")
    if rule.forbidden_words:
        bounds.append(_count(len(rule.forbidden_words), "forbidden word"))
    if rule.forbidden_starts:
        bounds.append(_count(len(rule.forbidden_starts), "forbidden start"))
    no = {
        "no punctuation first": rule.forbid_punctuation_start,
        "ASCII first": rule.ascii_start_only,
        "not wholly in brackets": rule.forbid_wrapped,
    }
    return ", ".join([*bounds, *(words for words, holds in no.items() if holds)])


def _filters(domain: Domain) -> str:
    words = ["exact duplicates"]
    if domain.rouge:
        words.append(f"ROUGE-L {domain.rouge.threshold:g}")
    if domain.dedup:
        embedder = without_credentials(domain.dedup.embedder)
        words.append(f"meaning ({embedder}, threshold {domain.dedup.threshold})")
    if domain.verify.kind != "none":
        words.append(f"{domain.verify.kind} answers ({domain.verify.votes} votes where no answer is known)")
    if domain.judge:
        words.append(f"judge (at least {domain.judge.min_score:g} of {domain.judge.scale_max})")
    return ", ".join(words)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
