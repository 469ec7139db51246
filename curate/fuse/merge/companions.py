"""What lies beside the weights of a merged model: config, tokenizer, chat template, card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from curate.errors import InputError
from curate.fuse.merge.checkpoint import Checkpoint, folder_of
from curate.fuse.merge.recipe import Recipe

TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)

OTHERS = ("generation_config.json", "preprocessor_config.json")


def copy_companions(draft: Path, recipe: Recipe, checkpoints: list[Checkpoint], dtype: str) -> None:
    """Copy config and tokenizer into `draft`, from the base (else the first model) unless the recipe says otherwise.

    Raises InputError where the models' tokenizers differ and the recipe does not say whose to take: rows of their
    embeddings then stand for other tokens.
    """
    first = checkpoints[0]
    config = dict(first.config)
    # transformers 5 writes dtype, earlier ones torch_dtype; whoever reads it knows the one it wrote.
    config["torch_dtype" if "torch_dtype" in config else "dtype"] = dtype
    (draft / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for name in OTHERS:
        _copy(first.folder, draft, name)
    source = first.folder
    if recipe.tokenizer_source is not None:
        source = folder_of(recipe.tokenizer_source)
    else:
        check_tokenizers(checkpoints)
    for name in TOKENIZER:
        _copy(source, draft, name)


def check_tokenizers(checkpoints: list[Checkpoint]) -> None:
    """Raise InputError where two of the models have the same token at different rows of their embeddings."""
    first = checkpoints[0]
    known = _vocabulary(first.folder)
    for other in checkpoints[1:]:
        theirs = _vocabulary(other.folder)
        wrong = next((token for token, row in theirs.items() if known.get(token, row) != row), None)
        if known and wrong is not None:
            raise InputError(
                f"{other.name}: the token {wrong!r} is number {theirs[wrong]:,} and in {first.name} "
                f"{known[wrong]:,}: their embeddings cannot be merged; set tokenizer_source to merge them all the same"
            )


def _vocabulary(folder: Path) -> dict[str, int]:
    """Return the tokens of a fast tokenizer with their numbers; nothing where there is none."""
    try:
        raw: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    vocab = raw.get("model", {}).get("vocab", {})
    # A unigram model lists [token, score].
    pairs = vocab.items() if isinstance(vocab, dict) else ((row[0], number) for number, row in enumerate(vocab))
    return {**dict(pairs), **{row["content"]: row["id"] for row in raw.get("added_tokens", [])}}


def _copy(source: Path, draft: Path, name: str) -> None:
    if (source / name).is_file():
        shutil.copyfile(source / name, draft / name)


def write_card(draft: Path, recipe: Recipe) -> None:
    """Write the model card: what was merged, how, and the recipe that makes it again."""
    # A path of the one who merged is nobody else's business: the card names folders by their last part.
    named = {name: Path(name).name if Path(name).is_dir() else name for name in (recipe.base, *recipe.models) if name}
    shown = recipe.as_dict()
    shown["models"] = [{**row, "model": named[row["model"]]} for row in shown["models"]]
    if recipe.base:
        shown["base_model"] = named[recipe.base]
    if recipe.tokenizer_source:
        shown["tokenizer_source"] = Path(recipe.tokenizer_source).name
    head = {"base_model": [*named.values()], "library_name": "transformers", "tags": ["merge", "curate"]}
    of = f" Their changes are measured against {named[recipe.base]}." if recipe.base else ""
    (draft / "README.md").write_text(
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n# A merge by {recipe.method}\n\n"
        f"Merged by [curate](https://pypi.org/project/curate-llm/) from {len(recipe.models)} models.{of}\n\n"
        f"```yaml\n{yaml.safe_dump(shown, sort_keys=False)}```\n",
        encoding="utf-8",
    )
