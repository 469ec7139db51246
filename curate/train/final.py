"""The model that comes out: written aside, then moved into place file by file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from curate.train.checkpoint import DRAFT, publish
from curate.train.data.templates import Template
from curate.train.model import causal
from curate.train.settings import Settings


def save_model(model: Any, config: Any, tokenizer: Any, template: Template, settings: Settings, folder: Path) -> None:
    """Write the model to `folder` in the precision it was published in, with the tokenizer and the template used."""
    if settings.method != "full" and settings.merge:
        model = model.merge_and_unload()
    whole = causal(model)
    if settings.method == "full" or settings.merge:
        whole.to(config.dtype or torch.float32)
    whole.config._attn_implementation_internal = None
    whole.config.use_cache = True
    model.save_pretrained(folder)
    tokenizer.chat_template = template.text or None
    tokenizer.save_pretrained(folder)


def move_in(draft: Path, out: Path) -> None:
    """Move the files of `draft` into `out`, each in one step."""
    staged = draft.with_name(f"{DRAFT}-whole")
    shutil.rmtree(staged, ignore_errors=True)
    publish(draft, staged)
    for path in sorted(staged.iterdir()):
        path.replace(out / path.name)
    staged.rmdir()
