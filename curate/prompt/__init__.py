"""Prompts as files: load and check them, render and ask them, read the replies."""

from curate.prompt.template import LANGUAGES, Prompt, Reply, ask_for, load_prompt, prompt_names, to_json

__all__ = ["LANGUAGES", "Prompt", "Reply", "ask_for", "load_prompt", "prompt_names", "to_json"]
