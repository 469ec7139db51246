"""A rules file: the `rules` of a domain file on their own, for data that belongs to no domain."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from curate.config.files import explain
from curate.config.schema import Domain, Rules
from curate.errors import ConfigError
from curate.io.marked import load_marked


def load_rules(path: Path) -> Rules:
    """Return the rules of a YAML file with the keys instruction, input and response, as under `rules` in a domain file.

    Raises ConfigError with one line per mistake, naming file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the rules cannot be read: {error}") from None
    raw, lines = load_marked(text, str(path))
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}:1: a rules file has the keys instruction, input, response; {raw!r} has none")
    marks = {("rules", *key): (str(path), line) for key, line in lines.items()}
    try:
        return Domain.general("rules", "rules", rules=raw).rules
    except ValidationError as error:
        raise ConfigError("\n".join(explain(one, marks, str(path)) for one in error.errors())) from None
