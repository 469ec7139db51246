"""What `curate check` tells of a domain beyond what loading it proves; nothing is asked of a model."""

from __future__ import annotations

from typing import Any

from curate.config.schema import Domain
from curate.errors import ConfigError
from curate.prompt import load_prompt, prompt_names
from curate.text import normalise


def check_domain(domain: Domain) -> list[str]:
    """Return the problems of a loaded domain, one line each; every prompt is rendered in its language and values."""
    problems = []
    for name in prompt_names():
        try:
            prompt = load_prompt(name, domain.language)
            values = _values(domain)
            shown = {v: values.get(v, "x") for v in prompt.variables + prompt.optional + prompt.hidden}
            prompt.request("teacher", **shown)
        except ConfigError as error:
            problems += str(error).splitlines()
    return problems + _repeated(domain)


def _values(domain: Domain) -> dict[str, Any]:
    """Return a value of the right type for every variable that the pipeline gives."""
    rows = domain.seed_examples()[:2]
    examples = [{key: row.get(key, "") for key in ("instruction", "input", "output")} for row in rows]
    task = {"name": domain.root.name, "description": domain.root.description, "path": [domain.root.name]}
    return {
        "domain": domain.name,
        "path": [domain.root.name],
        "description": domain.root.description,
        "guidance": domain.guidance,
        "rubric": domain.judge.rubric if domain.judge else domain.rubric,
        "examples": examples,
        "demonstrations": examples,
        "existing": [top.name for top in domain.tasks],
        "siblings": [],
        "task": task,
        "candidates": [{"number": 1, **task}],
        "count": domain.generate.per_call,
        "max_chars": domain.max_chars,
        "scale_max": domain.judge.scale_max if domain.judge else 5,
        **_EXAM,
    }


_OPTIONS = {letter: f"option {letter}" for letter in "ABCD"}
_EXAM: dict[str, Any] = {
    "queries": ["a query"],
    "passages": [{"number": 1, "file": "a.md", "text": "A passage."}],
    "last_passage": 1,
    "wrong_options": 3,
    "kept": ["A question?"],
    "failed": [{"question": "A question?", "right": "a", "wrong": ["b", "c"], "fault": "options", "remark": ""}],
    "questions": [{"number": 1, "question": "A question?", "options": _OPTIONS}],
    "lists": [{"number": 1, "options": _OPTIONS}],
}
"""Values for the prompts of the exam."""


def _repeated(domain: Domain) -> list[str]:
    """Return a line for each seed that repeats an earlier one: it would be shown twice in one prompt."""
    first: dict[str, int] = {}
    problems = []
    for number, row in enumerate(domain.seed_examples(), 1):
        text = normalise(f"{row['instruction']} {row.get('input', '')}")
        if text in first:
            problems.append(f"{domain.name}: seed {number} repeats seed {first[text]}; keep one")
        first.setdefault(text, number)
    return problems
