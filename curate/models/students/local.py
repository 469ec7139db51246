"""A student in process: a causal model of the transformers package, on a processor or a GPU."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError, MissingExtraError
from curate.models.students.student import PRECISIONS, Item, Mark
from curate.models.students.tokens import Sheet, Words

if TYPE_CHECKING:
    from curate.models.students.reader import Found, Reader

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}
"""Nat by which log-probabilities of the probe may differ between two ways of reading it."""

PASSING = ("_name_or_path", "transformers_version")
"""Settings of a model that say nothing on what it computes."""

PROBE = Item(
    "The following are questions (with answers).\n\n",
    tuple(f"Question: What is the sum of {n} and {n + 3}?\nAnswer: {2 * n + 3}\n\n" for n in range(8)),
    "Question: What is the opposite of left?\nAnswer:",
    (" right", " the number of the days of a week", " 7"),
)


class LocalStudent:
    """Marks items with a loaded model; without `reuse` every prompt is read whole.

    Where kept keys and values give other log-probabilities than whole prompts, prompts are read whole in any case, and
    a note says so. Raises InputError for a model that is not causal.
    """

    votes = False
    together = 64

    def __init__(self, model: Any, tokenizer: Any, name: str, *, reuse: bool = True) -> None:
        from curate.models.students.reader import Reader

        self.name = name
        self._words = Words(tokenizer, context_of(model, tokenizer))
        self._reader: Reader | None = Reader(model.eval())
        precision = str(model.dtype).removeprefix("torch.")
        why = _probe(self._reader, self._words, TOLERANCE.get(precision, 0.5), name) if reuse else "as asked"
        self._reader.reuse = not why
        way = f"every prompt is read whole ({why})" if why else "demonstrations are read once"
        self.notes: tuple[str, ...] = (f"log-probabilities in process, {precision} on {model.device}; {way}",)
        self.fingerprint = f"{_fingerprint(model, tokenizer)} {precision}"

    def mark(self, items: Sequence[Item]) -> Iterator[tuple[int, Mark]]:
        """Yield each item's number and its mark; items with equal demonstrations are read together."""
        groups: dict[tuple[int, ...], list[tuple[int, Sheet]]] = {}
        for number, item in enumerate(items):
            sheet = self._words.sheet(item)
            if isinstance(sheet, str):
                yield number, Mark(error=sheet)
            else:
                groups.setdefault(sheet.start, []).append((number, sheet))
        assert self._reader is not None, "the student was closed"
        for start, sheets in groups.items():
            found = iter(self._reader.read([row for _, sheet in sheets for row in sheet.rows], start))
            for number, sheet in sheets:
                yield number, Mark(_summed(sheet, found), sheet.tokens, shots=sheet.shots)

    def close(self) -> None:
        """Let go of the weights."""
        self._reader = None


def open_local(name: str, *, precision: str | None = None, reuse: bool = True) -> LocalStudent:
    """Load a causal model by its name on the Hub or the path of its folder: on a GPU where there is one.

    `precision` is float32 on a processor and the weights' own on a GPU unless given.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        InputError: there is no such model, it is not causal, or no such precision.
    """
    if precision is not None and precision not in PRECISIONS:
        raise InputError(f"the precision is {precision!r}; it takes {', '.join(PRECISIONS)}")
    try:
        import torch
        import transformers
    except ImportError:
        raise MissingExtraError(f"the student '{name}', in process,", "train") from None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = precision or ("auto" if device == "cuda" else "float32")
    typed = {("dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"): kind}
    here = Path(name).expanduser()
    if not here.is_dir() and (here.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1):
        raise InputError(f"the student '{name}' cannot be loaded: there is no such folder")
    source = str(here) if here.is_dir() else name
    try:
        with _silent():
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, local_files_only=here.is_dir())
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                source, local_files_only=here.is_dir(), **typed
            )
    except (OSError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"the student '{name}' cannot be loaded ({first}); give the folder or the name of a causal model, or a"
            " server: openai:NAME@URL, vllm:NAME"
        ) from error
    return LocalStudent(model.to(device), tokenizer, name, reuse=reuse)


def context_of(model: Any, tokenizer: Any) -> int | None:
    """Return how many tokens a model reads; None where neither it nor its tokenizer has a bound."""
    config = model.config.get_text_config()
    bounds = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions", "max_seq_len"))
    own = next((bound for bound in bounds if isinstance(bound, int) and bound > 0), None)
    if own is not None:
        return own
    length = getattr(tokenizer, "model_max_length", None)
    return int(length) if length is not None and length < 1 << 40 else None


def _summed(sheet: Sheet, found: Iterator[Found]) -> tuple[float, ...]:
    """Return the log-probability of each ending: the sum over its tokens, from as many rows as the item has."""
    values = [0.0] * len(sheet.tokens)
    for _ in sheet.rows:
        for ending, value in next(found):
            values[ending] += value
    return tuple(values)


def _probe(reader: Reader, words: Words, tolerance: float, name: str) -> str:
    """Return why keys and values cannot be kept, or "". Raises InputError where padding changes what a row says."""
    sheet = words.sheet(PROBE)
    if isinstance(sheet, str):
        return sheet

    rows = list(sheet.rows)

    def values(found: list[Found]) -> list[float]:
        return [value for row in found for _, value in row]

    def apart(one: list[float], other: list[float]) -> bool:
        return not all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))

    alone = [value for row in rows for value in values(reader.in_one_batch([row]))]
    if apart(alone, values(reader.in_one_batch(rows))):
        raise InputError(
            f"the student '{name}' is no causal model: what follows a token changes its probability; give a model that"
            " was trained to continue text"
        )
    reader.reuse = True
    try:
        return (
            "kept keys and values give other log-probabilities"
            if apart(alone, values(reader.read(rows, sheet.start)))
            else ""
        )
    # Whatever a model's own code raises here means that it does not keep keys and values as others do.
    except Exception as error:
        return f"it keeps no keys and values that can be used again ({type(error).__name__})"
    finally:
        reader.forget()


def _fingerprint(model: Any, tokenizer: Any) -> str:
    """Return a hash of what makes the marks: 64 evenly spaced values of every weight, the settings, the tokenizer."""
    settings = {name: value for name, value in model.config.to_dict().items() if name not in PASSING}
    digest = blake2b(json.dumps(settings, sort_keys=True, default=str).encode(), digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().flatten()
        some = flat[:: max(1, len(flat) // 64)].float().cpu().numpy()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode() + some.tobytes())
    fast = getattr(tokenizer, "is_fast", False)
    words = tokenizer.backend_tokenizer.to_str() if fast else repr(sorted(tokenizer.get_vocab().items()))
    digest.update(words.encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the package from drawing bars while it loads."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
