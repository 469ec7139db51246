"""Chat templates: which one, and what text it makes of a conversation."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import jinja2.nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from curate.errors import InputError

FOLDER = Path(__file__).parents[1] / "chat_templates"

DATE = date(2024, 7, 26)
"""What a template takes for today (Llama 3.2's asks): with the real date, the same data would be other tokens tomorrow.
It is the date that Llama 3.1's template has fixed."""

MARK = f"\ufdd0{uuid.uuid4().hex}\ufdd0"
"""A text that nobody's data contains; it stands for an edge in a rendered conversation."""

Turn = Mapping[str, str]
"""A message as templates see it: role, content, and perhaps reasoning_content, or instruction and input."""


class TemplateRefusal(Exception):
    """The template does not take a conversation; the message is its own."""


@dataclass(frozen=True)
class Template:
    """A chat template by its name (for messages) and its text, with the tokens that it may name (`bos_token`).

    Where there is none, `text` is empty and `name` says what to do about it.
    """

    name: str
    text: str
    tokens: Mapping[str, str]

    def render(self, turns: Sequence[Turn], *, prompt: bool = False) -> str:
        """Return the conversation as text; with `prompt`, up to where the model is to answer.

        `{% generation %}` blocks stand between two `MARK`s.

        Raises:
            TemplateRefusal: the template raises.
            InputError: there is no template, which documents do without and conversations do not.
        """
        if not self.text:
            raise InputError(self.name)
        messages = [dict(turn) for turn in turns]
        try:
            return self._compiled.render(
                {"bos_token": "", "eos_token": "", **self.tokens},
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=prompt,
            )
        # What else a template can raise is any error of the Python operations that it spells.
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            raise TemplateRefusal(" ".join(str(error).split())[:200]) from error

    @property
    def tagged(self) -> bool:
        """Whether the template itself says which parts the model writes."""
        return "endgeneration" in self.text

    @property
    def takes_reasoning(self) -> bool:
        """Whether the template puts `reasoning_content` where it belongs."""
        return "reasoning_content" in self.text

    @cached_property
    def _compiled(self) -> jinja2.Template:
        try:
            template = _environment().from_string(self.text)
        except jinja2.TemplateSyntaxError as error:
            raise InputError(f"{self.name}:{error.lineno}: not a chat template ({error.message})") from None
        # A chain of tables, which takes as long to copy for every rendering as a short template to render.
        template.globals = dict(template.globals)
        return template


def shipped_templates() -> list[str]:
    """Return the names of the shipped templates."""
    return sorted(path.stem for path in FOLDER.glob("*.jinja"))


def find_template(name: str | None, tokenizer: Any, needed: bool = True) -> Template:
    """Return the template of a shipped name or of a file, or the tokenizer's own where `name` is None.

    One that is not `needed`, as it may be that there are documents alone, has no text where there is none.

    Raises:
        InputError: no such template, a file that is none, or a tokenizer that has none of its own.
    """
    tokens = {key: str(value) for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    shipped = shipped_templates()
    if name is None:
        own = _own(tokenizer)
        if not own and needed:
            raise InputError(_missing())
        found = Template("the model's chat template" if own else _missing(), own, tokens)
    elif name in shipped:
        found = Template(f"the template {name}", (FOLDER / f"{name}.jinja").read_text(encoding="utf-8"), tokens)
    elif Path(name).is_file():
        try:
            found = Template(name, Path(name).read_text(encoding="utf-8"), tokens)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{name}: cannot be read ({error})") from None
    else:
        raise InputError(f"--template {name}: neither a file nor one of {', '.join(shipped)}")
    _ = found._compiled
    return found


def _own(tokenizer: Any) -> str:
    own = tokenizer.chat_template
    # A few models bring several, of which the others serve tools and retrieval.
    return str((own.get("default") if isinstance(own, Mapping) else own) or "")


def _missing() -> str:
    return (
        "the model's tokenizer has no chat template, as base models have none; choose one with --template: "
        f"{', '.join(shipped_templates())}, or a file"
    )


class _Generation(Extension):
    """`{% generation %}...{% endgeneration %}`: what the model writes, as transformers has it."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        """Return the block as a call of `_marked`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    def _marked(self, caller: Any) -> str:
        return f"{MARK}{caller()}{MARK}"


def _environment() -> ImmutableSandboxedEnvironment:
    """Return what transformers gives a template, but for the date; templates come with models and are not trusted."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = DATE.strftime
    return environment


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    # Jinja's own would escape HTML.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)
