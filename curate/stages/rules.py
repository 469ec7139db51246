"""The published rules on a sample's three texts, as data: length, forbidden words and starts, and their kin.

Explore-Instruct (Wan et al. 2023) takes them from Self-Instruct (Wang et al. 2023, section 2.2); which hold with which
numbers is in the domain file.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from curate.text import by_character, words
from curate.types import KEEP, Sample, Verdict, drop

if TYPE_CHECKING:
    from curate.config import FieldRules, Rules

_CHINESE_PUNCTUATION = "，。、；：？！…"
_BRACKETS = {"<": ">", "(": ")", "（": "）"}


def check(sample: Sample, rules: Rules, language: str = "en") -> Verdict:
    """Return KEEP or the first rule broken, looking at instruction, input and response in this order.

    The reason is one of too_short, too_long, forbidden_word, forbidden_start, punctuation_start, non_ascii_start,
    wrapped and empty; the detail names the `field` and the offending `value`. An instruction is never empty; an input
    or a response is only where it must have words.
    """
    instruction, given = split_input(sample)
    if not instruction.strip():
        return drop("empty", field="instruction")
    for field, text, rule in (
        ("instruction", instruction, rules.instruction),
        ("input", given, rules.input),
        ("response", sample.response, rules.response),
    ):
        verdict = check_field(text, field, rule, language)
        if not verdict.keep:
            return verdict
    return KEEP


def split_input(sample: Sample) -> tuple[str, str]:
    """Return instruction and input of a sample, whose first user message holds both with an empty line between."""
    given = sample.meta.get("source", {}).get("input") or ""
    if not isinstance(given, str) or not given.strip():
        return sample.instruction, ""
    # The message holds the input without the white space around it.
    given = given.strip()
    return sample.instruction.rstrip().removesuffix(given).rstrip(), given


def check_field(text: str, field: str, rule: FieldRules, language: str = "en") -> Verdict:
    """Return KEEP or the first rule that this one text breaks."""
    text = text.strip()
    if not text:
        return drop("empty", field=field) if rule.min_words else KEEP
    return _check_length(text, field, rule, language) or _check_content(text, field, rule, language) or KEEP


def _check_length(text: str, field: str, rule: FieldRules, language: str) -> Verdict | None:
    if rule.min_words or rule.max_words is not None:
        count = len(words(text, language))
        if count < rule.min_words:
            return drop("too_short", float(count), field=field, value=f"{count} words, at least {rule.min_words}")
        if rule.max_words is not None and count > rule.max_words:
            return drop("too_long", float(count), field=field, value=f"{count} words, at most {rule.max_words}")
    if rule.max_chars is not None and len(text) > rule.max_chars:
        return drop(
            "too_long", float(len(text)), field=field, value=f"{len(text)} characters, at most {rule.max_chars}"
        )
    return None


def _check_content(text: str, field: str, rule: FieldRules, language: str) -> Verdict | None:
    chinese = by_character(language)
    if rule.forbidden_words and (found := _any_word(rule.forbidden_words, chinese).search(text)):
        return drop("forbidden_word", field=field, value=found[0])
    folded = text.casefold()
    for start in rule.forbidden_starts:
        if folded.startswith(start.casefold()):
            return drop("forbidden_start", field=field, value=start)
    if rule.forbid_punctuation_start and text[0] in string.punctuation + _CHINESE_PUNCTUATION:
        return drop("punctuation_start", field=field, value=text[0])
    if rule.ascii_start_only and not chinese and not text[0].isascii():
        return drop("non_ascii_start", field=field, value=text[0])
    if rule.forbid_wrapped and _wrapped(text):
        return drop("wrapped", field=field, value=text if len(text) <= 80 else f"{text[:77]}...")
    return None


def _wrapped(text: str) -> bool:
    """Whether one pair of brackets holds the whole text, as in `(no input)`; `(x+1)(x-2)` is not wrapped."""
    closing = _BRACKETS.get(text[0])
    if closing is None or text[-1] != closing:
        return False
    depth = 0
    for position, character in enumerate(text):
        depth += (character == text[0]) - (character == closing)
        if depth == 0:
            return position == len(text) - 1
    return False


@lru_cache(maxsize=256)
def _any_word(forbidden: tuple[str, ...], chinese: bool) -> re.Pattern[str]:
    """Return a pattern for any of the words, whole and in any case; Chinese has no marks where a word ends."""
    # The longest first, so that the value reported is "flow chart" and not "flow".
    either = "|".join(re.escape(word) for word in sorted(forbidden, key=len, reverse=True))
    return re.compile(either if chinese else rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)


def filter_samples(samples: Iterable[Sample], rules: Rules, language: str = "en") -> Iterator[tuple[Sample, Verdict]]:
    """Yield every sample in order with its verdict."""
    for sample in samples:
        yield sample, check(sample, rules, language)
