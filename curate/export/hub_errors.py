"""What the Hub's client raises, in one line that says what would work; and its own talk, silenced."""

from __future__ import annotations

import contextlib
import errno
import sys
import warnings
from collections.abc import Iterator

from curate.errors import CurateError, HubError

TOKENS = "https://huggingface.co/settings/tokens"

AGAIN = "the same command again goes on from there"

NETWORK = ("httpx", "httpx2", "httpcore", "requests", "urllib3", "socket", "ssl")
"""Packages whose errors mean that no answer came."""


@contextlib.contextmanager
def silenced(quiet: bool) -> Iterator[None]:
    """Let the Hub's client warn of nothing in the block, and draw its bars only where somebody sees them."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    level, hidden = logging.get_verbosity(), are_progress_bars_disabled()
    logging.set_verbosity_error()
    if quiet or not sys.stderr.isatty():
        disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if not hidden:
            enable_progress_bars()


@contextlib.contextmanager
def explained(repo: str, user: str = "") -> Iterator[None]:
    """Raise what goes wrong with the Hub in the block as a HubError of one line that names what would work."""
    try:
        yield
    except (CurateError, KeyboardInterrupt):
        raise
    # The client's errors come from four packages, and which ones differs with its version.
    except Exception as error:
        raise HubError(_without_token(_explain(error, repo, user))) from None


def _explain(error: Exception, repo: str, user: str) -> str:
    chain = list(_chain(error))
    for cause in chain:
        response = getattr(cause, "response", None)
        if response is not None and getattr(response, "status_code", None):
            return _refused(cause, int(response.status_code), repo, user)
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"{cause.filename or repo}: the disk is full; free space, and {AGAIN}"
        if type(cause).__name__ == "OfflineModeIsEnabled":
            return "HF_HUB_OFFLINE is set, so that nothing is asked of the Hub; unset it"
        if type(cause).__module__.partition(".")[0] in NETWORK or isinstance(cause, (ConnectionError, TimeoutError)):
            what = f"{type(cause).__name__}: {_short(cause)}"
            return f"the Hub cannot be reached ({what}); check the network, and {AGAIN}"
    return f"{repo}: {type(error).__name__}: {_short(error)}; {AGAIN}"


def _refused(error: BaseException, status: int, repo: str, user: str) -> str:
    said = _short(getattr(error, "server_message", None) or error)
    if "GatedRepo" in type(error).__name__ or (status == 403 and not user):
        return f"{repo}: you may not read it ({status}: {said}); ask for access on its page at the Hub, or log in"
    if status == 401:
        from huggingface_hub import get_token

        if not get_token():
            return f"{repo}: the Hub has no such dataset, or none that it shows without a token (401); set HF_TOKEN"
        return f"the Hub does not accept the token (401); set HF_TOKEN to one from {TOKENS}, or log in anew"
    if status == 403:
        return f"{repo}: you as {user} may not do this (403: {said}); push to another name, or use a token that may"
    if status == 404:
        return f"{repo}: the Hub has no such dataset, or none that you may see (404); check the name, or log in"
    if status in (409, 412):
        return f"{repo}: another change is being made ({status}: {said}); wait a moment, and {AGAIN}"
    if status == 429:
        return f"the Hub asks for fewer requests (429: {said}); wait some minutes, and {AGAIN}"
    if status >= 500:
        return f"the Hub fails ({status}: {said}); {AGAIN}"
    return f"{repo}: the Hub refuses ({status}: {said})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _short(error: object) -> str:
    return " ".join(str(error).split())[:200]


def _without_token(text: str) -> str:
    """Return a message without the token, should a server or a library have put it there."""
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "***") if token else text
