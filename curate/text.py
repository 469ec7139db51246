"""What the project means by a word, an equal text, a text's name and one that may be shown."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from curate.types import Message

_EDGES = " .,;:?…。、·\"'`*_“”‘’«»「」『』"
# "n!" and "5!" are mathematics and stay; an exclamation mark after a word of two letters or more is punctuation.
_EXCLAMATION = re.compile(r"(?<=[^\W\d_]{2})!+$")
_BULLETS = "-–—•"

_CJK = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CJK_WORDS = re.compile(f"[{_CJK}]|[^\\W{_CJK}]+")
_CJK_ROUGE = re.compile(f"[{_CJK}]|[a-z0-9]+")
# The tokens of rouge_score 0.1.2 without stemming: runs of these after lower(), whatever the language.
_ROUGE = re.compile(r"[a-z0-9]+")
_WORD_RUNS = re.compile(r"\w+")
# Accents and vowel signs are no letters to `re`, and would cut words of Hebrew, Arabic, Hindi or Thai in pieces.
_SIGNS = "\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0971-\u0e4e"
# What is no text of an exam's question: the sums that GSM8K puts into its answers, and the letters before choices.
_MARKS = r"<<[^<>\n]*>>|(?<!\S)[(（]?[A-Ja-j][.):、：）](?=\s)"
_PLAIN_PASSAGE = re.compile(rf"{_MARKS}|([A-Za-z0-9]+)")
_PASSAGE = re.compile(rf"{_MARKS}|([{_CJK}]|(?:[^\W_{_CJK}]+[{_SIGNS}]*)+)")
_ESCAPE = re.compile(
    r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)?|[P^_X][^\x1b]*(?:\x1b\\)?|\[[0-?]*[ -/]*[@-~]?|[ -/]*[0-~]?)"
)
_DIRECTION = frozenset("\u200e\u200f\u061c\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def by_character(language: str) -> bool:
    """Whether the language (`zh`, `zh-TW`, `zh_CN`) is written without spaces, so that a character is a token."""
    return re.split(r"[-_]", language.lower(), maxsplit=1)[0] == "zh"


def normalise(text: str) -> str:
    """Return the form in which two texts, or two task names, are the same: NFKC, case folded, white space collapsed.

    Quotes, emphasis marks, a list bullet and sentence punctuation are stripped at the edges. Brackets, signs and the
    factorial's mark are kept, as `C#`, `-5`, `n!` and `f(x)` are not `C`, `5`, `n` and `f(x`.
    """
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    before = None
    while text != before:
        before = text
        text = text.strip(_EDGES)
        if text.endswith("!"):
            text = _EXCLAMATION.sub("", text)
        if text[:1] in _BULLETS and text[1:2] == " ":
            text = text[2:]
    return text


def slug(text: str) -> str:
    """Return a file name for a phrase: letters and digits of any script in small letters, joined by hyphens."""
    return re.sub(r"[^\w]+", "-", normalise(text)).strip("-_")[:60] or "domain"


def words(text: str, language: str = "en") -> list[str]:
    """Return the words by which a length is counted.

    They are what white space separates; in Chinese, each character and each run of other letters and digits is one.
    """
    return _CJK_WORDS.findall(text) if by_character(language) else text.split()


def rouge_tokens(text: str, language: str = "en") -> list[str]:
    """Return the tokens that ROUGE-L compares.

    English: exactly those of the `rouge_score` package without stemming (runs of a-z and 0-9 of the lower-cased text).
    Chinese: each character, and runs of a-z and 0-9. Other languages: runs of letters and digits of any script, as the
    English rule would cut `für` in two and leave nothing of Russian.
    """
    if language.lower().startswith("en"):
        return _ROUGE.findall(text.lower())
    text = unicodedata.normalize("NFKC", text).lower()
    return (_CJK_ROUGE if by_character(language) else _WORD_RUNS).findall(text)


def passage_tokens(text: str) -> list[str]:
    """Return the tokens by which a passage is found in another text, whatever its case and punctuation.

    They are runs of letters and digits of any script, in NFKC and case-folded; of Chinese and Japanese, each character.
    What an exam's layout adds is no token: the letter of a choice ("A.", "(B)") and GSM8K's sums ("<<16-3=13>>").
    """
    if text.isascii():
        return [token for token in _PLAIN_PASSAGE.findall(text.lower()) if token]
    return [_folded(token) for token in _PASSAGE.findall(text) if token]


def passage_spans(text: str) -> list[tuple[int, int]]:
    """Return where each of the `passage_tokens` stands in the text: its first character and the one after its last."""
    pattern = _PLAIN_PASSAGE if text.isascii() else _PASSAGE
    return [found.span(1) for found in pattern.finditer(text) if found[1]]


@lru_cache(maxsize=65_536)
def _folded(token: str) -> str:
    return unicodedata.normalize("NFKC", token).casefold()


def percent(share: float) -> str:
    """Return a share from 0 to 1 in percent; it is never rounded up to 100 % nor down to 0 % where it is not."""
    value = share * 100
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.9 < value < 100:
        return ">99.9 %"
    return f"{round(value, 1 if value < 10 or value > 99 else 0):g} %"


def text_hash(text: str) -> str:
    """Return 32 hex digits that stand for the text's exact content."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def content_id(messages: Iterable[Message]) -> str:
    """Return the id of a sample: 16 hex digits over the role and content of its messages, in order."""
    digest = hashlib.blake2b(digest_size=8)
    for message in messages:
        for part in (message["role"], message["content"]):
            # The length in front keeps ("ab", "c") apart from ("a", "bc").
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


class _Safe(dict[int, str]):
    """Translation table, filled as characters are met: line ends become a space, what steers a terminal vanishes."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in "\t\n\r\v\f\x85\u2028\u2029":
            safe = " "
        elif character in _DIRECTION or unicodedata.category(character) in ("Cc", "Cs"):
            safe = ""
        else:
            safe = character
        self[code] = safe
        return safe


_SAFE = _Safe()


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: on one line, without escape sequences, control or direction marks."""
    if text.isascii() and text.isprintable():
        return text
    return _ESCAPE.sub("", text).translate(_SAFE)
