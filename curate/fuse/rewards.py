"""A reward model in process: any sequence-classification model of the transformers package, batched by length."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from curate.errors import InputError, MissingExtraError
from curate.types import Message

BATCH_TOKENS = {"cuda": 32_768, "cpu": 4_096}
"""Tokens, padding too, that pass through the model at a time."""

TOO_LONG, NOT_A_NUMBER = "longer than the model reads", "the model gave no number"

Scored = tuple[float | None, str]
"""A score, or None with the reason."""


class RewardModel:
    """Scores conversations. `fingerprint` changes with anything that changes a score."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        import torch

        self.name = name
        self._torch = torch
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._outputs = int(model.config.num_labels)
        if self._outputs not in (1, 2):
            raise InputError(
                f"--reward {name}: it has {self._outputs} outputs; a reward model has one (a score) or two (bad, good)"
            )
        self._longest = _longest(model, tokenizer)
        self._template = None
        if tokenizer.chat_template:
            from curate.train.data.templates import find_template

            self._template = find_template(None, tokenizer)
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        special = {str(token) for token in added if token.special} | set(tokenizer.all_special_tokens)
        self._special = sorted(special, key=lambda text: (-len(text), text))
        self.fingerprint = _fingerprint(model, tokenizer)

    def score(
        self, conversations: Sequence[Sequence[Message]], tick: Callable[[int], None] = lambda done: None
    ) -> list[Scored]:
        """Return the score of each conversation's last message, in order.

        Batches are formed from all of them, so that the same list gives the same scores to the bit on one machine.
        `tick` is told after each batch how many are done.
        """
        rows = [self._encoded(turns) for turns in conversations]
        scores: list[Scored] = [(None, TOO_LONG)] * len(rows)
        done = 0
        fitting = [place for place, row in enumerate(rows) if len(row["input_ids"]) <= self._longest]
        for places in _batches([(len(rows[place]["input_ids"]), place) for place in fitting], self._room()):
            for place, value in zip(places, self._forward([rows[place] for place in places]), strict=True):
                scores[place] = (value, "") if math.isfinite(value) else (None, NOT_A_NUMBER)
            done += len(places)
            tick(done)
        return scores

    def close(self) -> None:
        """Let go of the weights."""
        self._model = None

    def _room(self) -> int:
        return BATCH_TOKENS["cuda" if self._model.device.type == "cuda" else "cpu"]

    def _encoded(self, turns: Sequence[Message]) -> dict[str, list[int]]:
        """Return the ids of a conversation: by the model's chat template, or as a pair of texts where it has none."""
        plain: list[Mapping[str, str]] = [{**turn, "content": self._harmless(turn["content"])} for turn in turns]
        tokenizer = self._tokenizer
        if self._template is not None:
            from curate.train.data.formats import merged
            from curate.train.data.templates import TemplateRefusal

            try:
                text = self._template.render(plain)
            except TemplateRefusal:  # many templates have no place for a system message
                text = self._template.render(merged(plain))
            return dict(tokenizer(text, add_special_tokens=False, verbose=False))
        asked = "\n\n".join(turn["content"] for turn in plain[:-1])
        return dict(tokenizer(asked, plain[-1]["content"], verbose=False))

    def _harmless(self, text: str) -> str:
        """Return the text with the model's control tokens broken up: a response must not speak as the template does."""
        for token in self._special:
            text = text.replace(token, f"{token[0]} {token[1:]}") if len(token) > 1 else text
        return text

    def _forward(self, rows: Sequence[dict[str, list[int]]]) -> list[float]:
        """Return the raw scores of one batch, padded on the right."""
        torch = self._torch
        longest = max(len(row["input_ids"]) for row in rows)
        ids = [row["input_ids"] for row in rows]
        filler = self._filler(ids)
        # Causal models find the end of a text by this; one that is part of the text would move it.
        self._model.config.pad_token_id = filler
        given = {
            "input_ids": _padded(ids, longest, filler),
            "attention_mask": _padded([[1] * len(row) for row in ids], longest, 0),
        }
        if "token_type_ids" in rows[0]:
            given["token_type_ids"] = _padded([row["token_type_ids"] for row in rows], longest, 0)
        with torch.inference_mode():
            tensors = {name: torch.tensor(value, device=self._model.device) for name, value in given.items()}
            logits = self._model(**tensors).logits.float()
        values = logits[:, 0] if self._outputs == 1 else logits[:, 1] - logits[:, 0]
        return [float(value) for value in values]

    def _filler(self, rows: Sequence[Sequence[int]]) -> int:
        """Return an id to pad with that stands in no row."""
        used = {token for row in rows for token in row}
        own = self._tokenizer.pad_token_id
        if own is not None and own not in used:
            return int(own)
        return next(token for token in range(len(self._tokenizer) + 1) if token not in used)


def open_reward(spec: str) -> RewardModel:
    """Load a reward model, `hf:NAME` or a folder, on a GPU where there is one.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        InputError: there is no such model, or it does not classify sequences.
    """
    name = spec.removeprefix("hf:")
    here = Path(name).expanduser()
    if not here.is_dir() and (here.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1):
        raise InputError(f"--reward {name}: there is no such folder")
    try:
        import torch
        import transformers
    except ImportError:
        raise MissingExtraError(f"the reward model '{name}'", "train") from None
    source = str(here) if here.is_dir() else name
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    try:
        with _silent():
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, local_files_only=here.is_dir())
            model, loaded = transformers.AutoModelForSequenceClassification.from_pretrained(
                source, local_files_only=here.is_dir(), dtype=kind, output_loading_info=True
            )
    except (OSError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"--reward {name}: cannot be loaded ({first}); give a sequence-classification model"
        ) from error
    if loaded["missing_keys"]:
        missing = ", ".join(sorted(loaded["missing_keys"])[:3])
        raise InputError(
            f"--reward {name}: it has no trained head for scores (missing: {missing}); give a reward model"
        )
    return RewardModel(model.to(device), tokenizer, name)


def _batches(sized: Sequence[tuple[int, int]], room: int) -> Iterator[list[int]]:
    """Yield the places of texts (length, place) in batches of like length: at most `room` tokens with the padding."""
    batch: list[int] = []
    for size, place in sorted(sized):
        if batch and (len(batch) + 1) * size > room:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _padded(rows: Sequence[Sequence[int]], longest: int, filler: int) -> list[list[int]]:
    return [[*row, *[filler] * (longest - len(row))] for row in rows]


def _longest(model: Any, tokenizer: Any) -> int:
    config = model.config.get_text_config()
    bounds = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions"))
    own = [bound for bound in bounds if isinstance(bound, int) and bound > 0]
    return int(min([*own, tokenizer.model_max_length]))


def _fingerprint(model: Any, tokenizer: Any) -> str:
    """Return a hash of 64 evenly spaced values of every weight, and of the tokenizer with its template."""
    digest = blake2b(f"{model.dtype} {tokenizer.chat_template}".encode(), digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().flatten()
        some = flat[:: max(1, len(flat) // 64)].float().cpu().numpy()
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + some.tobytes())
    digest.update(repr(sorted(tokenizer.get_vocab().items())).encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the package from drawing bars while it loads, and from its own words on missing weights."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
