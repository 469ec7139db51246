"""What becomes of a sample that needs knowledge which the student lacks: open_book, discard, or refuse.

Wan et al. 2024 (KCA, arXiv 2401.10768, section 3.3). A sample is treated as a whole: its first user message, which the
exam goes by, gets the knowledge, and its last assistant message, the response, is what is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from curate.errors import ConfigError, InputError
from curate.types import KEEP, Message, Sample, Verdict, drop

STAGE = "exam"

INCONSISTENT = "inconsistent"
"""The reason why `discard` drops a sample."""

SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
)
"""Languages told by their script. Japanese stands before Chinese, whose characters it has as well."""

_WORDS = re.compile(r"[^\W\d_]+")

SCRIPT_SHARE = 0.2
"""Share of a text's letters from which it is in a script: an English question about one Chinese word is English."""


@dataclass(frozen=True)
class Refusals:
    """Wordings by language, and which one a sample gets: the same for the same seed and id.

    `language` is taken where a text's own cannot be told, or has no wordings.
    """

    wordings: Mapping[str, Sequence[str]]
    seed: int = 0
    language: str = "en"

    def of(self, sample: Sample) -> str:
        """Return the wording for a sample, in its language."""
        spoken = language_of(f"{sample.instruction}\n{sample.response}", self.language)
        choices = self.wordings.get(spoken) or self.wordings[self.language]
        digest = hashlib.blake2b(f"{self.seed}:{sample.id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return choices[int.from_bytes(digest, "big") % len(choices)]


def load_refusals(path: Path | None = None, *, seed: int = 0, language: str = "en") -> Refusals:
    """Return the shipped wordings, those of a file ({language: [wording, ..]}) in their place where it has some.

    Raises:
        ConfigError: the file is not such a mapping, or there are no wordings for `language`.
    """
    wordings: dict[str, Sequence[str]] = dict(_shipped()["wordings"])
    if path is not None:
        wordings |= _read(path)
    if not wordings.get(language):
        place = path or "the shipped wordings"
        raise ConfigError(f"{place}: no wordings for the language '{language}'; there are {', '.join(wordings)}")
    return Refusals(wordings, seed, language)


def _read(path: Path) -> dict[str, list[str]]:
    import yaml

    expected = "expected a YAML mapping of a language to its wordings, such as {en: [I don't know this.]}"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {expected}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not YAML ({' '.join(str(error).split())[:120]}); {expected}") from error
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"{path}: {expected}")
    for language, choices in found.items():
        whole = isinstance(choices, list) and choices and all(isinstance(c, str) and c.strip() for c in choices)
        if not isinstance(language, str) or not whole:
            raise ConfigError(f"{path}: '{language}' is no language with its list of wordings; {expected}")
    return found


@cache
def _shipped() -> Any:
    import yaml

    return yaml.safe_load(Path(__file__).with_name("refusals.yaml").read_text(encoding="utf-8"))


def language_of(text: str, default: str = "en") -> str:
    """Return the language of a text as far as the shipped wordings go: by its script, else by its commonest words.

    `default` is returned where no language has more of its words in the text than every other one.
    """
    letters = sum(character.isalpha() for character in text) or 1
    for language, script in SCRIPTS:
        if len(script.findall(text)) >= SCRIPT_SHARE * letters:
            return language
    said = _WORDS.findall(text.casefold())
    counts = sorted(
        ((sum(word in common for word in said), language) for language, common in _common().items()), reverse=True
    )
    (most, language), (second, _) = counts[:2]
    return language if most > second else default


@cache
def _common() -> dict[str, frozenset[str]]:
    return {language: frozenset(common) for language, common in _shipped()["words"].items()}


def open_book(sample: Sample, knowledge: str, refusals: Refusals) -> tuple[Sample, Verdict]:
    """Put the knowledge before the first user message, on lines of its own and without a label."""
    at = next(number for number, turn in enumerate(sample.messages) if turn["role"] == "user")
    return _with(sample, at, f"{knowledge}\n{sample.messages[at]['content']}"), KEEP


def discard(sample: Sample, knowledge: str, refusals: Refusals) -> tuple[Sample, Verdict]:
    """Drop the sample."""
    return sample, drop(INCONSISTENT)


def refuse(sample: Sample, knowledge: str, refusals: Refusals) -> tuple[Sample, Verdict]:
    """Let the last assistant message say, in the sample's language, that the knowledge is missing."""
    at = max(number for number, turn in enumerate(sample.messages) if turn["role"] == "assistant")
    return _with(sample, at, refusals.of(sample)), KEEP


def _with(sample: Sample, at: int, content: str) -> Sample:
    messages: list[Message] = [*sample.messages]
    messages[at] = {**messages[at], "content": content}
    return replace(sample, messages=tuple(messages))


Treatment = Callable[[Sample, str, Refusals], tuple[Sample, Verdict]]
"""Takes a sample whose knowledge the student lacks, and that knowledge."""

TREATMENTS: Mapping[str, Treatment] = {"open_book": open_book, "discard": discard, "refuse": refuse}
