"""Reading the wording files, `words/LANGUAGE/*.txt`.

A file is a row of sections `[name]`. In `voice.txt` a section is a list of templates, one a line, `-` being the empty
one; `women` and `men` are names. In the others a section words one form: its lines are the ways to ask, and from the
line that begins with `= ` on it is the worked solution. Lines that begin with `#` are comments.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from curate.models.procedural import voices
from curate.models.procedural.grammar import Voice, Wording

_FOLDER = Path(__file__).parent / "words"


def _sections(path: Path) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            lines = sections.setdefault(line[1:-1], [])
        elif not line.startswith("#"):
            lines.append(line)
    return sections


@lru_cache
def words(language: str) -> dict[str, Wording]:
    """Return the wording of every form a language has."""
    found = {}
    for path in sorted((_FOLDER / language).glob("*.txt")):
        if path.stem == "voice":
            continue
        for name, lines in _sections(path).items():
            at = next(i for i, line in enumerate(lines) if line.startswith("= "))
            ask = tuple(line for line in lines[:at] if line)
            found[name] = Wording(ask, "\n".join(lines[at:]).removeprefix("= ").strip())
    return found


@lru_cache
def voice(language: str) -> Voice:
    """Return what a language says around a problem."""
    lists = {
        name: tuple(line.removeprefix("-") if line == "-" else line for line in lines if line)
        for name, lines in _sections(_FOLDER / language / "voice.txt").items()
    }
    polish, gap = {"en": (voices.polish_en, " "), "zh": (voices.polish_zh, "")}[language]
    women, men = lists.pop("women")[0].split(), lists.pop("men")[0].split()
    cast = voices.people(women, men, *voices.PRONOUNS[language])
    right, wrong = lists.pop("verdicts")
    return Voice(**lists, verdicts=(right, wrong), people=cast, gap=gap, polish=polish)
