"""Every error a user can meet. A message names the place, the value and what would work."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"""//[^/\s"']*@""")


def without_credentials(text: str) -> str:
    """Return `text` with the user and the password of every URL in it hidden."""
    return _CREDENTIALS.sub("//***@", text)


class CurateError(Exception):
    """Base of all errors that are shown to the user as one line, without a traceback.

    `exit_code` is the process's exit code when the error reaches the command line. Whatever value a message names, the
    credentials of a URL in it are hidden.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(without_credentials(message))


class InputError(CurateError):
    """What the user gave cannot work: a file, a value, a domain, an option. Exit code 2."""

    exit_code = 2


class ConfigError(InputError):
    """A domain file or a prompt is wrong; the message names the file, the line and what would be right."""


class MissingExtraError(InputError):
    """An optional package is needed; the message is the line that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'curate-llm[{extra}]'")


class ModelError(CurateError):
    """A model cannot be used at all (wrong key, unknown name, server gone); the run stops at once."""


class LedgerError(CurateError):
    """The ledger cannot be opened or written (another version, corrupt, disk full)."""


class HubError(CurateError):
    """The Hub did not do what was asked: no token, no permission, another's repository, no network."""


class RunError(InputError):
    """A run directory cannot be used this way (other seed or domain, second process, unwritable)."""


class ParseError(Exception):
    """A model's reply cannot be read. Never fatal: it becomes a repair request, then a drop with this reason."""
