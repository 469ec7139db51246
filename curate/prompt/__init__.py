"""Prompts as files: load and check them (`template.py`), ask them (`ask.py`), read the replies (`reply.py`)."""

from curate.prompt.ask import Reply, ask_for
from curate.prompt.template import LANGUAGES, Prompt, load_prompt, prompt_names, to_json

__all__ = ["LANGUAGES", "Prompt", "Reply", "ask_for", "load_prompt", "prompt_names", "to_json"]
