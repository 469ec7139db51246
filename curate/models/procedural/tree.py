"""The embedded teacher's own task tree: branches, their topics, and the kinds of problem below each topic.

Importing this loads no computer algebra. Names are given in English and Chinese; `also` lists other names of the same
task, by which requests are matched and equal tasks are confirmed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Node:
    """A task: its names and descriptions by language, other names of it, what lies below it, the kinds it covers."""

    en: str
    zh: str
    about: tuple[str, str] = ("", "")
    also: tuple[str, ...] = ()
    below: tuple[Node, ...] = ()
    own: tuple[str, ...] = ()

    def name(self, language: str) -> str:
        """Return the name in a language."""
        return self.zh if language == "zh" else self.en

    def description(self, language: str) -> str:
        """Return one sentence on the task in a language."""
        return self.about[language == "zh"]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind at or below this node, once each."""
        return tuple(dict.fromkeys([*self.own, *(kind for node in self.below for kind in node.kinds)]))

    def walk(self) -> Iterator[Node]:
        """Yield this node and everything below it, breadth first."""
        level = [self]
        while level:
            yield from level
            level = [node for parent in level for node in parent.below]


def plain(name: str) -> str:
    """Return the form in which two names are compared: folded case, no punctuation, single spaces."""
    return " ".join(re.sub(r"[^\w]+", " ", unicodedata.normalize("NFKC", name).casefold()).split())


def names(node: Node) -> set[str]:
    """Return every name of a node in its compared form."""
    return {plain(name) for name in (node.en, node.zh, *node.also)}


def find(path: Sequence[str]) -> tuple[Node, int]:
    """Return the deepest known node on a path of names from the root, and how many names lie beyond it.

    The first name is the root whatever it is called; an unknown name in between is passed over.
    """
    node, beyond = ROOT, 0
    for name in path[1:]:
        wanted = plain(name)
        found = next((below for below in node.walk() if below is not node and wanted in names(below)), None)
        node, beyond = (found, 0) if found else (node, beyond + 1)
    return node, beyond


def same(name: str, others: Sequence[str]) -> int:
    """Return the place (from 1) of the name that means the same task, or 0."""
    mine = plain(name)
    known = [names(node) for node in ROOT.walk()]
    for place, other in enumerate(others, 1):
        if mine == plain(other) or any(mine in group and plain(other) in group for group in known):
            return place
    return 0


def _read(path: Path) -> Node:
    """Return the tree in a file: a line is a task, two spaces of indentation a topic of the branch above it.

    Its fields, parted by `|`: name, Chinese name, description, Chinese description, kinds, other names.
    """
    branches: list[Node] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        en, zh, about, about_zh, kinds, also = (field.strip() for field in line.split("|"))
        others = tuple(name.strip() for name in also.split(",") if name.strip())
        node = Node(en, zh, (about, about_zh), others, (), tuple(kinds.split()))
        if line.startswith(" "):
            branches[-1] = replace(branches[-1], below=(*branches[-1].below, node))
        else:
            branches.append(node)
    about_root = ("School and undergraduate mathematics.", "中学与大学数学。")
    return Node("Mathematics", "数学", about_root, ("math", "maths"), tuple(branches))


ROOT = _read(Path(__file__).parent / "words" / "tree.txt")
