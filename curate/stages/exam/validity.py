"""Is a question fit to be taken? What can be told for free: form, doubles, and cues of length and wording.

**What is tested does not look at the key.** A question fails where any option stands out, whichever it is. Dropping
only those where the right one does would leave a set in which an option that stands out is always wrong: another cue.
So the free checks can neither add a cue nor hide one. Their price is paid by questions without fault, which are written
anew. On 1,816 questions of MMLU, a length stands out in 7.8 % (the right option's in 42 % of these, where chance is
25 %, while over all questions the right option is the longest in 26.7 %), and a wording in 3.9 % (21 %).

What the checks leave, and what they met, is measured over the whole set by `cues`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Indel

from curate.stages.exam.documents import search_tokens
from curate.stages.exam.score import wilson
from curate.text import normalise, rouge_tokens
from curate.types import Question

REASONS = {
    "options": "not one right option and three wrong ones",
    "options_equal": "two options are the same",
    "refers_to_text": "it speaks of a text that is not shown",
    "refers_to_options": "an option speaks of other options",
    "length": "one option is much longer than the others",
    "overlap": "one option alone repeats words of the question",
    "duplicate": "it asks what another question of the sample asks",
    "unclear": "the judge cannot tell what is asked",
    "unanswerable": "the judge finds no right option with the knowledge",
    "several_right": "the judge finds more than one right option",
    "wrong_key": "the judge finds another option right",
    "guessable": "the judge tells the right option from the options alone",
    "unjudged": "the judge gave no readable reply",
    "surplus": "more questions came than were asked for",
}
"""Why a question is turned down; the free checks first, in the order in which they are made."""

FREE = ("options", "options_equal", "refers_to_text", "refers_to_options", "length", "overlap", "duplicate")
"""The reasons that `fault_of_form` gives."""

OPTIONS = 4
CHANCE = 1 / OPTIONS

LONGER, MORE = 1.5, 16
"""An option stands out if it is so many times as long as the next, and by so many letters (see `letters`)."""

REPEATED = 0.5
"""An option stands out if it repeats this share of its words from the question, and the others none."""

SAME = 0.7
"""Two questions with one right answer are the same from this ROUGE-L on: the threshold of the samples themselves."""

_TEXT = re.compile(
    r"\b(?:according to|based on|(?:stated|described|mentioned|given|discussed) in|as per) "
    r"(?:the|this) (?:\w+ )?(?:text|passage|paragraph|excerpt|article|document|reference)\b(?! of\b)"
    r"|\b(?:the|this) (?:passage|excerpt|reference text|text (?:above|below|says|states|mentions))\b(?! of\b)"
    r"|\bmentioned above\b"
    r"|(?:根据|依据|按照|结合)(?:上文|上述|以上|文中|本文|短文|材料|文章|段落|这段|参考)|文中|上文|参考文字|这段文字"
)
_OPTIONS = re.compile(
    r"(?:all|none|any|both|neither|either|some|two|three)(?: of)?(?: the)?"
    r" (?:above|these|those|options?|answers?|choices?|others?|preceding)\b.*"
    r"|(?:both |either |neither |only )?\(?[a-d]\)?(?:,? (?:and|or|nor|&) |, )\(?[a-d]\)?(?: only| are .*)?"
    r"|(?:以上|上述)(?:都|皆|均|全|各|所有|选项|答案|没有|任何).*|(?:都|均|全都?)(?:对|错|正确|错误|不对|不正确|不是)"
    r"|[a-d] ?(?:和|与|及|、|或) ?[a-d](?:都?.{0,4})?"
)
_LABEL = re.compile(r"[(（]?([A-Da-d])[.)）:：、]\s*(?=\S)")
_CJK = re.compile("[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


def unlabelled(options: Sequence[str]) -> tuple[str, ...]:
    """Return the options without letters in front of them, where all of them have one; "C. elegans" alone has none."""
    found = [_LABEL.match(option) for option in options]
    if len({label[1].lower() for label in found if label}) < len(options):
        return tuple(options)
    return tuple(option[label.end() :] for option, label in zip(options, found, strict=True) if label)


def fault_of_form(question: Question, earlier: Iterable[Question], language: str) -> str:
    """Return the first of FREE that holds of the question beside the `earlier` ones, or the empty string."""
    same = [normalise(option) for option in question.options]
    if len(same) != OPTIONS or not all(same) or not normalise(question.text):
        return "options"
    if len(set(same)) < OPTIONS:
        return "options_equal"
    if _TEXT.search(normalise(question.text)):
        return "refers_to_text"
    if any(_OPTIONS.fullmatch(option) for option in same):
        return "refers_to_options"
    if longest(question.options) is not None:
        return "length"
    if repeating(question.text, question.options) is not None:
        return "overlap"
    return "duplicate" if any(same_question(question, other, language) for other in earlier) else ""


def letters(text: str) -> int:
    """Return the length of an option as it strikes the eye: its characters, of which a Chinese one counts as three."""
    return len(text) + 2 * len(_CJK.findall(text))


def longest(options: Sequence[str]) -> int | None:
    """Return the place of the option that is much longer than all others, or None."""
    lengths = [letters(normalise(option)) for option in options]
    second, first = sorted(lengths)[-2:]
    return lengths.index(first) if first >= LONGER * second and first - second >= MORE else None


def repeating(text: str, options: Sequence[str]) -> int | None:
    """Return the place of the one option that repeats much of the question's wording, or None.

    Words that all options have do not count, nor do those of up to three letters; but an option of nothing else, such
    as "red", repeats the question if all of its words stand there.
    """
    asked = set(search_tokens(text))
    own = [_telling(option) for option in options]
    common = set.intersection(*own)
    shares = [
        len((words & asked) - common) / max(len(words - common), 1) if words else float(_within(option, asked))
        for option, words in zip(options, own, strict=True)
    ]
    found = [place for place, share in enumerate(shares) if share > 0]
    return found[0] if len(found) == 1 and shares[found[0]] >= REPEATED else None


def _telling(text: str) -> set[str]:
    return {word for word in search_tokens(text) if len(word) > 3 or (len(word) == 2 and _CJK.match(word))}


def _within(option: str, asked: set[str]) -> bool:
    """Return whether all words of an option stand in the question; of numbers many do, and that tells nothing."""
    words = set(search_tokens(option))
    return words <= asked and any(word.isalpha() for word in words)


def same_question(one: Question, other: Question, language: str) -> bool:
    """Return whether two questions ask the same: equal texts, or near texts with one right answer.

    Near texts alone are no doubles: "When did A open?" and "When did B open?" ask for two facts.
    """
    if one.id == other.id or normalise(one.text) == normalise(other.text):
        return True
    if normalise(one.options[one.answer]) != normalise(other.options[other.answer]):
        return False
    left, right = rouge_tokens(one.text, language), rouge_tokens(other.text, language)
    # ROUGE-L's F is 2 LCS / (n + m), which is Indel's normalised similarity.
    return Indel.normalized_similarity(left, right) >= SAME


@dataclass(frozen=True, slots=True)
class Cue:
    """How often a rule that knows nothing finds the right option: `right` of the `met` questions to which it applies.

    `low` and `high` are Wilson's interval at 95 %. A rule that tells nothing finds `chance` of them.
    """

    right: int
    met: int
    chance: float = CHANCE

    @property
    def share(self) -> float:
        """The rule's accuracy; chance where it never applies."""
        return self.right / self.met if self.met else self.chance

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval for `share` at 95 %; everything is possible where the rule never applies."""
        return wilson(self.right, self.met)

    @property
    def given_away(self) -> float:
        """Questions that the rule answers and luck does not: a lucky guess comes with three unlucky ones.

        The other `met` questions are false alarms, if the rule was used to turn questions down.
        """
        luck = self.chance / (1 - self.chance)
        return max(0.0, self.right - (self.met - self.right) * luck)


def cues(questions: Iterable[Question]) -> dict[str, Cue]:
    """Return what tells the right option of many questions without any knowledge, by rule.

    longest     take the longest option, where one is longer than the others
    shortest    take the shortest
    stands_out  take the one that is much longer (`longest`)
    overlap     take the one that repeats the question's words (`repeating`)
    position_A  take the first option (B, C, D: the second to fourth), always

    One pass; only questions with four options count.
    """
    right = dict.fromkeys(("longest", "shortest", "stands_out", "overlap", *_POSITIONS), 0)
    met = dict(right)
    for question in questions:
        if len(question.options) != OPTIONS:
            continue
        lengths = [letters(normalise(option)) for option in question.options]
        places = {
            "longest": _only(lengths, max(lengths)),
            "shortest": _only(lengths, min(lengths)),
            "stands_out": longest(question.options),
            "overlap": repeating(question.text, question.options),
            **{name: place for place, name in enumerate(_POSITIONS)},
        }
        for name, place in places.items():
            met[name] += place is not None
            right[name] += place == question.answer
    return {name: Cue(right[name], met[name]) for name in right}


_POSITIONS = tuple(f"position_{letter}" for letter in "ABCD")


def _only(lengths: Sequence[int], length: int) -> int | None:
    return lengths.index(length) if lengths.count(length) == 1 else None
