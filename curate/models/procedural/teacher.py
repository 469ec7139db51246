"""`Procedural`: the Model that answers exploration and generation requests for mathematics without a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.models.procedural import tree
from curate.types import Completion, Failure, Request

if TYPE_CHECKING:
    from curate.models.procedural.grammar import Problem

DOMAINS = {"math": "en", "math-zh": "zh"}
"""The domains it serves, with the language of each."""

_EXAMPLES_FROM = 10**9  # Draws that illustrate a task lie far beyond those of its samples.


def serves(domain: str) -> bool:
    """Return whether the embedded teacher can teach a domain of this name."""
    return domain in DOMAINS


class Procedural:
    """A Model whose problems are composed and solved by program. It reads `Request.prompt` and `Request.variables`.

    It costs nothing, counts no tokens, knows no limit, and gives equal replies to equal (seed, task_id, attempt).
    """

    name = "procedural-1"
    limited = False

    async def start(self) -> None:
        """Do nothing: there is nothing to connect to."""

    async def close(self) -> None:
        """Do nothing."""

    async def send(self, request: Request) -> Completion:
        """Return the reply as JSON text, or the failure `bad_request` for what it cannot serve."""
        answer = _ANSWERS.get(request.prompt)
        domain = str(request.variables.get("domain", ""))
        if answer is None or not serves(domain):
            failure = Failure("bad_request", _refusal(request.prompt, domain))
            return Completion(failure=failure, model=self.name, cost=0.0)
        reply = answer(request.variables, DOMAINS[domain])
        text = json.dumps(reply, ensure_ascii=False)
        return Completion(text=text, finish_reason="stop", cost=0.0, model=self.name)


def _refusal(prompt: str, domain: str) -> str:
    what = f"cannot answer the prompt '{prompt}'" if serves(domain) else f"has no problems for the domain '{domain}'"
    return (
        f"the embedded teacher 'procedural' {what}; it writes {' and '.join(DOMAINS)} only. Name a model: "
        "--teacher openai:NAME@URL, or --teacher vllm:NAME (or hf:NAME), "
        "or models: {teacher: {spec: openai:NAME@URL}} in the domain file"
    )


def _sub_tasks(variables: Mapping[str, Any], language: str) -> dict[str, Any]:
    """Answer lookahead: the tasks below the last name of `path` that are not in `existing`, at most `count`."""
    node, beyond = tree.find([str(name) for name in variables["path"]])
    taken = {tree.plain(str(name)) for name in variables.get("existing") or ()}
    fresh = [] if beyond else [n for n in node.below if not tree.names(n) & taken and _kinds(n, language)]
    tasks = []
    for child in fresh[: int(variables.get("count", len(fresh)))]:
        problems = [_draw(child, "examples", _EXAMPLES_FROM + i, language) for i in range(2)]
        examples = [{"instruction": p.instruction, "input": "", "output": p.solution} for p in problems]
        tasks.append({"name": child.name(language), "reason": child.description(language), "examples": examples})
    return {"tasks": tasks}


def _same_task(variables: Mapping[str, Any], language: str) -> dict[str, Any]:
    candidates: Sequence[Mapping[str, Any]] = variables["candidates"]
    place = tree.same(str(variables["task"]["name"]), [str(c["name"]) for c in candidates])
    why = {"en": ("two names of one task", "different tasks"), "zh": ("同一任务的两个名称", "不同的任务")}[language]
    return {"same": candidates[place - 1]["number"] if place else 0, "why": why[not place]}


def _samples(variables: Mapping[str, Any], language: str) -> dict[str, Any]:
    """Answer a request for samples: `count` consecutive draws of the task, from where earlier attempts ended."""
    count, attempt = int(variables["count"]), int(variables["attempt_number"])
    node, _ = tree.find([str(name) for name in variables["path"]])
    # Two tasks that share a kind begin at different places of its walk.
    start = int.from_bytes(hashlib.blake2b(str(variables.get("task_id", "")).encode(), digest_size=3).digest(), "big")
    seed = str(variables.get("seed", 0))
    problems = [_draw(node, seed, start + attempt * count + i, language) for i in range(count)]
    return {
        "samples": [
            {"instruction": p.instruction, "input": "", "output": p.solution, "answer": p.answer, "kind": p.kind}
            for p in problems
        ]
    }


def _kinds(node: tree.Node, language: str) -> list[str]:
    """Return the kinds of a task that the language words."""
    from curate.models.procedural import book

    return [kind for kind in node.kinds if kind in book.kinds_in(language)]


def _draw(node: tree.Node, seed: str, index: int, language: str) -> Problem:
    """Return one problem of a task: its kinds take turns."""
    from curate.models.procedural import book

    kinds = _kinds(node, language) or book.kinds_in(language)
    return book.write(kinds[index % len(kinds)], seed, index // len(kinds), language)


_ANSWERS = {
    "explore/lookahead": _sub_tasks,
    "explore/backtrack": _sub_tasks,
    "explore/same_task": _same_task,
    "generate/samples": _samples,
}
"""The prompts it answers."""
