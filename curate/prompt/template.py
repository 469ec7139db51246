"""A prompt is a `.j2` file with declared variables and a reply schema: `render()`, `request()`, `parse()`.

A file is a YAML front matter between two `---` lines, then Jinja text in messages that begin with a line `[system]` or
`[user]`. The front matter:

    variables:   names that the text uses and the caller must give
    optional:    names that the text uses and the caller may leave out (empty text then)
    hidden:      names that `request()` asks for and the text does not use: they travel with the Request, for a model
                 that reads variables and no prose
    reply:       `text`, or the JSON schema of the reply, in which a value `$name` stands for that variable
    max_tokens:  the longest reply, in tokens
    temperature: a number, or null for the model's own default

`language` (its code) and `language_name` are always there. Text that a model wrote goes through the filter `tojson`, so
that it stays one line of data whatever it says. Bounds of the schema that come from a variable, `maxItems`, `maxLength`
and `additionalProperties` bind the decoder of a server that follows schemas; validation leaves them out, because one
over-long sample or name is to be dropped with its reason, and not with all the others of its reply.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from curate.errors import ConfigError, ParseError
from curate.io import resource
from curate.io.marked import KeyPath, load_marked, nearest
from curate.prompt.reply import Validator, compile_schema, read_json
from curate.types import Message, Request

LANGUAGES = {"en": "English", "zh": "Chinese"}
"""The languages that rules, prompts and encoders know, by code."""

BUILT_IN = ("language", "language_name")
_KEYS = ("variables", "optional", "hidden", "reply", "max_tokens", "temperature")
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def to_json(value: Any) -> str:
    """Return `value` as one line of JSON that no fence of lines can be broken from, with other scripts readable."""
    return _UNSAFE.sub(lambda m: f"\\u{ord(m[0]):04x}", json.dumps(value, ensure_ascii=False))


def _environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    # Jinja's own tojson is meant for HTML and would write `<` as \u003c.
    env.filters["tojson"] = to_json
    return env


_ENV = _environment()


@dataclass(frozen=True, slots=True)
class Prompt:
    """A loaded prompt file. `fingerprint` is a hash of its text; `schema` is None where the reply is text."""

    name: str
    path: Path
    language: str
    variables: tuple[str, ...]
    optional: tuple[str, ...]
    hidden: tuple[str, ...]
    schema: Mapping[str, Any] | None
    max_tokens: int
    temperature: float | None
    fingerprint: str
    parts: tuple[tuple[str, jinja2.Template], ...] = field(repr=False)
    lines: Mapping[str, int] = field(repr=False)
    bound: tuple[str, ...] = field(repr=False)
    """Variables that the schema names."""
    validate: Validator | None = field(repr=False)
    """The check of a reply; None for text."""
    filled: dict[tuple[Any, ...], Mapping[str, Any]] = field(repr=False, default_factory=dict)
    """The schemas filled so far, by the values of `bound`."""

    @property
    def where(self) -> str:
        """The file as errors name it, e.g. `prompts/explore/lookahead.j2`."""
        return _where(self.path)

    def render(self, **variables: Any) -> tuple[Message, ...]:
        """Return the messages.

        Raises ConfigError naming file, line and variable where one is missing or not declared, and where the text asks
        for what a variable does not have.
        """
        self._check(variables)
        values = self._values(variables)
        messages = []
        for role, template in self.parts:
            try:
                content = template.render(values)
            except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
                line = _error_line(error, self.path)
                raise ConfigError(f"{self.where}:{line}: cannot be rendered: {error}") from None
            messages.append({"role": role, "content": content.strip()})
        return tuple(messages)

    def request(
        self,
        role: str,
        *,
        attempt: str = "",
        stage: str = "",
        temperature: float | None = None,
        max_tokens: int | None = None,
        **variables: Any,
    ) -> Request:
        """Return the Request of one call; `temperature` and `max_tokens` override the file's.

        `attempt` tells apart calls that are otherwise equal. Raises ConfigError as `render`.
        """
        self._check(variables, self.hidden)
        return Request(
            role=role,
            messages=self.render(**variables),
            max_tokens=self.max_tokens if max_tokens is None else max_tokens,
            temperature=self.temperature if temperature is None else temperature,
            schema=self._schema_for(self._values(variables)),
            attempt=attempt,
            prompt=self.name,
            variables={"language": self.language, **variables},
            stage=stage,
        )

    def parse(self, text: str) -> Any:
        """Return what the reply says: the stripped text, or the JSON object that fits the schema.

        Raises ParseError(reason); never guesses.
        """
        if self.validate is None:
            if not text.strip():
                raise ParseError("the reply is empty")
            return text.strip()
        return read_json(text, self.validate)

    def _schema_for(self, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the schema filled with `values`, the same object for the same values: its text is made once."""
        if self.schema is None:
            return None
        key = tuple(values[name] for name in self.bound)
        if key not in self.filled:
            self.filled[key] = _fill(self.schema, values)
        return self.filled[key]

    def _values(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        language = {"language": self.language, "language_name": LANGUAGES.get(self.language, self.language)}
        return {**dict.fromkeys(self.optional, ""), **language, **variables}

    def _check(self, given: Mapping[str, Any], hidden: Iterable[str] = ()) -> None:
        # A variable that only the schema uses has no line of its own.
        needed = [*((name, "reply") for name in self.variables), *((name, "hidden") for name in hidden)]
        declared = (*self.variables, *self.optional, *self.hidden)
        known = f"(declared: {', '.join(declared)})"
        problems = [
            f"{self.where}:{self.lines.get(name) or self.lines[f'{key}:']}: variable '{name}' is not given {known}"
            for name, key in needed
            if name not in given
        ]
        problems += [
            f"{self.where}:{self.lines['variables:']}: there is no variable '{name}'{nearest(name, declared)} {known}"
            for name in given
            if name not in declared and name != "language"
        ]
        if problems:
            raise ConfigError("\n".join(problems))


def load_prompt(name: str, language: str = "en", folder: Path | None = None) -> Prompt:
    """Return the prompt `name` ("explore/lookahead") in `language`.

    The file is `NAME.LANGUAGE.j2` where there is one, else `NAME.j2`, in `folder` (default: the shipped prompts).
    Raises ConfigError naming everything that is wrong in the file, line by line.
    """
    folder = resource("prompts") if folder is None else folder
    for path in (folder / f"{name}.{language}.j2", folder / f"{name}.j2"):
        if path.is_file():
            return _load(name, path, language)
    known = prompt_names(folder)
    raise ConfigError(f"there is no prompt '{name}' in {folder}{nearest(name, known)} (known: {', '.join(known)})")


def prompt_names(folder: Path | None = None) -> list[str]:
    """Return the names of all prompts in `folder` (default: the shipped ones), without the language variants."""
    folder = resource("prompts") if folder is None else folder
    names = set()
    for path in folder.rglob("*.j2"):
        name = path.relative_to(folder).with_suffix("")
        names.add((name.with_suffix("") if name.suffix[1:] in LANGUAGES else name).as_posix())
    return sorted(names)


def _load(name: str, path: Path, language: str) -> Prompt:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{_where(path)}: cannot be read: {error}") from None
    return _compiled(name, path, language, text)


@lru_cache(maxsize=64)
def _compiled(name: str, path: Path, language: str, text: str) -> Prompt:
    """Return the prompt that `text` holds; once per text, since a run asks for each of its prompts several times."""
    where = _where(path)
    lines = text.splitlines()
    if not lines or lines[0] != "---" or "---" not in lines[1:]:
        raise ConfigError(f"{where}:1: a prompt file begins with a front matter between two lines '---'")
    end = lines.index("---", 1)
    head, marks = load_marked("\n".join(lines[1:end]), where, offset=1)
    problems = _check_head(head, marks, where)
    if problems:
        raise ConfigError("\n".join(problems))
    names = {key: tuple(head.get(key, ())) for key in ("variables", "optional", "hidden")}
    parts, used = _parts(lines, end + 1, path)
    problems = _check_names(names, used, head, marks, where)
    if problems:
        raise ConfigError("\n".join(problems))
    return Prompt(
        name=name,
        path=path,
        language=language,
        variables=names["variables"],
        optional=names["optional"],
        hidden=names["hidden"],
        schema=None if head["reply"] == "text" else head["reply"],
        max_tokens=head["max_tokens"],
        temperature=head.get("temperature"),
        fingerprint=hashlib.blake2b(text.encode(), digest_size=8).hexdigest(),
        parts=parts,
        bound=tuple(sorted(set(_variables_of(head["reply"])))),
        validate=None if head["reply"] == "text" else compile_schema(json.dumps(_open(head["reply"]))),
        # With the colon: a variable may be called as a key of the front matter is.
        lines={**{f"{key}:": marks[(key,)] for key in head}, **used},
    )


def _check_head(head: Any, marks: Mapping[KeyPath, int], where: str) -> list[str]:
    """Return what is wrong with the front matter, one line each."""
    if not isinstance(head, dict):
        return [f"{where}:2: the front matter must have the keys {', '.join(_KEYS)}"]

    def at(key: str) -> str:
        return f"{where}:{marks.get((key,), 2)}:"

    problems = [
        f"{at(key)} {key} is not a key of a prompt{nearest(str(key), _KEYS)} (known: {', '.join(_KEYS)})"
        for key in head
        if key not in _KEYS
    ]
    problems += [f"{at(key)} {key} is missing" for key in ("variables", "reply", "max_tokens") if key not in head]
    for key in ("variables", "optional", "hidden"):
        value = head.get(key, [])
        if not (isinstance(value, list) and all(isinstance(n, str) and n.isidentifier() for n in value)):
            problems.append(f"{at(key)} {key} must be a list of names, not {value!r}")
    tokens = head.get("max_tokens", 1)
    if not isinstance(tokens, int) or tokens < 1:
        problems.append(f"{at('max_tokens')} max_tokens must be a whole number of at least 1, not {tokens!r}")
    heat = head.get("temperature")
    if heat is not None and not (isinstance(heat, int | float) and 0 <= heat <= 2):
        problems.append(f"{at('temperature')} temperature must be a number from 0 to 2 or null, not {heat!r}")
    reply = head.get("reply", "text")
    if reply != "text":
        problems += [f"{at('reply')} {wrong}" for wrong in _check_schema(reply)]
    return problems


def _check_schema(schema: Any) -> list[str]:
    import fastjsonschema

    if not isinstance(schema, dict) or schema.get("type") != "object":
        return [f"reply must be 'text' or a JSON schema with 'type: object', not {schema!r}"]
    try:
        compile_schema(json.dumps(_open(schema)))
    except (fastjsonschema.JsonSchemaDefinitionException, TypeError) as error:
        return [f"reply is not a valid JSON schema: {error}"]
    return []


def _check_names(
    names: Mapping[str, tuple[str, ...]], used: Mapping[str, int], head: Any, marks: Mapping[KeyPath, int], where: str
) -> list[str]:
    """Return variables used and not declared, and declared and not used, one line each."""
    shown = names["variables"] + names["optional"]
    declared = shown + names["hidden"]
    in_schema = set(_variables_of(head["reply"]))
    known = f"(declared: {', '.join(declared)})"
    problems = [
        f"{where}:{line}: variable '{name}' is used and not declared{nearest(name, declared)} {known}"
        for name, line in used.items()
        if name not in declared and name not in BUILT_IN
    ]
    problems += [
        f"{where}:{marks[('reply',)]}: the schema's '${name}' is not declared{nearest(name, declared)} {known}"
        for name in sorted(in_schema - set(declared))
    ]
    problems += [
        f"{where}:{marks[('variables',)]}: variable '{name}' is declared and never used; put it under hidden if a model"
        " reads it without prose"
        for name in shown
        if name not in used and name not in in_schema
    ]
    return problems


def _parts(lines: list[str], begin: int, path: Path) -> tuple[tuple[tuple[str, jinja2.Template], ...], dict[str, int]]:
    """Return (role, template) per message and the line where each variable is first used."""
    where = _where(path)
    starts = [at for at in range(begin, len(lines)) if lines[at] in ("[system]", "[user]")]
    if not starts or any(line.strip() for line in lines[begin : starts[0]]):
        raise ConfigError(f"{where}:{begin + 1}: the text must begin with a line '[system]' or '[user]'")
    parts: list[tuple[str, jinja2.Template]] = []
    used: dict[str, int] = {}
    for at, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        # Leading empty lines keep Jinja's line numbers those of the file; they are stripped after rendering.
        source = "\n" * (at + 1) + "\n".join(lines[at + 1 : end])
        try:
            tree = _ENV.parse(source, filename=str(path))
            code = _ENV.compile(tree, filename=str(path))
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(f"{where}:{error.lineno}: not valid Jinja: {error.message}") from None
        free = meta.find_undeclared_variables(tree) - set(_ENV.globals)
        for node in tree.find_all(nodes.Name):
            if node.name in free:
                used.setdefault(node.name, node.lineno)
        parts.append((lines[at][1:-1], jinja2.Template.from_code(_ENV, code, _ENV.make_globals(None))))
    return tuple(parts), used


def _where(path: Path) -> str:
    """Return a shipped file as `prompts/...`, another as it was given."""
    shipped = resource("prompts")
    return f"prompts/{path.relative_to(shipped).as_posix()}" if path.is_relative_to(shipped) else str(path)


def _error_line(error: BaseException, path: Path) -> int:
    """Return the line of the template in which `error` was raised."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _variable(value: Any) -> str | None:
    return value[1:] if isinstance(value, str) and value.startswith("$") and value[1:].isidentifier() else None


def _variables_of(schema: Any) -> Iterable[str]:
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for value in children:
        name = _variable(value)
        yield from [name] if name else _variables_of(value)


def _fill(schema: Any, values: Mapping[str, Any]) -> Any:
    """Return the schema with each `$name` replaced by that variable."""
    if isinstance(schema, Mapping):
        return {key: _fill(value, values) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_fill(value, values) for value in schema]
    name = _variable(schema)
    return values[name] if name else schema


def _open(schema: Any) -> Any:
    """Return the schema as replies are validated: see the module's docstring."""
    if isinstance(schema, Mapping):
        return {
            key: _open(value)
            for key, value in schema.items()
            if not (key in ("additionalProperties", "maxItems", "maxLength") or _variable(value))
        }
    return [_open(value) for value in schema] if isinstance(schema, list) else schema
