"""Models by spec: `openai:NAME@URL`, `vllm:NAME`, `hf:NAME`, `procedural`, `scripted:FILE.py`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from curate.errors import InputError
from curate.models.base import Model, ModelOptions
from curate.models.prices import price_of
from curate.models.scripted import ScriptedModel, scripted_file

OPENAI_URL = "https://api.openai.com/v1"
KEYS = ("CURATE_API_KEY", "OPENAI_API_KEY")
"""Environment variables a key is taken from, the first one first."""

WAYS = (
    "openai:NAME@URL (any OpenAI-compatible server, more URLs after commas), openai:NAME, vllm:NAME or hf:NAME"
    " (a server started here), procedural (mathematics, no model), scripted:FILE.py"
)


def open_model(
    role: str, spec: str | Callable[..., object], options: ModelOptions | None = None, *, to_ask: bool = True
) -> Model:
    """Return the model that a spec names; nothing is started or sent yet.

    A callable is a scripted model in process. A model that is opened only for its name and price (`to_ask` false) needs
    no key and no server's program. Raises InputError naming the role, the spec and what would work.
    """
    options = options or ModelOptions()
    if callable(spec):
        return ScriptedModel(spec, options=options)
    scheme, _, rest = spec.partition(":")
    opener = SCHEMES.get(scheme)
    if opener is None:
        raise InputError(f"{role}: no model is named {spec!r}; there are: {WAYS}")
    try:
        model = opener(rest, options)
        if to_ask and scheme in NEEDS:
            NEEDS[scheme](rest)
        return model
    except InputError as error:
        raise InputError(f"{role}: {spec!r}: {error}") from error


def _openai(rest: str, options: ModelOptions) -> Model:
    from curate.models.http import HttpModel

    name, urls = _servers(rest)
    hosts = {urlsplit(url).hostname or "" for url in urls}
    price = price_of(name, hosts.pop(), options) if len(hosts) == 1 else price_of(name, "", options)
    return HttpModel(name, urls, key=_key(), options=options, price=price)


def _servers(rest: str) -> tuple[str, list[str]]:
    """Return the name and the URLs of an openai: spec."""
    name, _, where = rest.partition("@http")
    urls = f"http{where}".split(",") if where else [os.environ.get("OPENAI_BASE_URL") or OPENAI_URL]
    if not name or "@" in name:
        raise InputError("expected openai:NAME@URL with a URL that begins with http:// or https://, or openai:NAME")
    for url in urls:
        _check_url(url)
    return name, urls


def _key() -> str:
    return next((os.environ[variable] for variable in KEYS if os.environ.get(variable)), "")


def _check_key(urls: list[str]) -> None:
    if not _key() and any(urlsplit(url).hostname == "api.openai.com" for url in urls):
        raise InputError("api.openai.com needs a key: set OPENAI_API_KEY, or name your own server, openai:NAME@URL")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        shown = url.rpartition("@")[2]
        raise InputError(f"{shown!r} is no URL of a server; expected something like http://127.0.0.1:8000/v1")


def _vllm(rest: str, options: ModelOptions) -> Model:
    from curate.models.child import vllm_model

    return vllm_model(_named(rest, "vllm"), options)


def _hf(rest: str, options: ModelOptions) -> Model:
    from curate.models.child import hf_model

    return hf_model(_named(rest, "hf"), options)


def _named(rest: str, scheme: str) -> str:
    if not rest:
        raise InputError(f"expected {scheme}:NAME with the name of a model on the Hub or the path of its folder")
    return rest


def _procedural(rest: str, options: ModelOptions) -> Model:
    from curate.models.procedural import Procedural

    if rest:
        raise InputError("procedural takes no name; write just procedural")
    model: Model = Procedural()
    return model


def _scripted(rest: str, options: ModelOptions) -> Model:
    if not rest:
        raise InputError("expected scripted:FILE.py, a Python file that defines reply(request)")
    return scripted_file(Path(rest), options)


SCHEMES: dict[str, Callable[[str, ModelOptions], Model]] = {
    "openai": _openai,
    "vllm": _vllm,
    "hf": _hf,
    "procedural": _procedural,
    "scripted": _scripted,
}
"""How a spec's part before the colon is opened."""


def _needs_vllm(_: str) -> None:
    from curate.models.child import vllm_python

    vllm_python()


def _needs_hf(_: str) -> None:
    from curate.models.child import hf_program

    hf_program()


NEEDS: dict[str, Callable[[str], None]] = {
    "openai": lambda rest: _check_key(_servers(rest)[1]),
    "vllm": _needs_vllm,
    "hf": _needs_hf,
}
"""What a model needs to be asked, by the spec's part before the colon: raises InputError where it is not there."""
