"""Models by spec: `openai:NAME@URL`, `vllm:NAME`, `hf:NAME`, `procedural`, `scripted:FILE.py`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from curate.errors import InputError
from curate.models.base import Model, ModelOptions
from curate.models.prices import Price, price_of
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
    from curate.models.http import HttpModel, Server

    name, urls = servers_of(rest)
    servers = [Server(name, url, environment_key(), options) for url in urls]
    return HttpModel(name, servers, options=options, price=price_at(name, urls, options))


def price_at(name: str, urls: list[str], options: ModelOptions) -> Price | None:
    """Return the price of a model at its servers; None where it is not known, or theirs differ."""
    hosts = {urlsplit(url).hostname or "" for url in urls}
    return price_of(name, hosts.pop() if len(hosts) == 1 else "", options)


def servers_of(rest: str) -> tuple[str, list[str]]:
    """Return the name and the URLs of what follows `openai:`. Raises InputError for anything else."""
    name, _, where = rest.partition("@http")
    urls = f"http{where}".split(",") if where else [os.environ.get("OPENAI_BASE_URL") or OPENAI_URL]
    if not name or "@" in name:
        raise InputError("expected openai:NAME@URL with a URL that begins with http:// or https://, or openai:NAME")
    for url in urls:
        _check_url(url)
    return name, urls


def environment_key() -> str:
    """Return the key that the environment holds, or the empty string."""
    return next((os.environ[variable] for variable in KEYS if os.environ.get(variable)), "")


def check_key(urls: list[str]) -> None:
    """Raise InputError where a server is known to need a key and the environment holds none."""
    if not environment_key() and any(urlsplit(url).hostname == "api.openai.com" for url in urls):
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


def _needs_vllm(rest: str) -> None:
    from curate.models.child import vllm_python

    _check_folder(rest)
    vllm_python()


def _needs_hf(rest: str) -> None:
    from curate.models.child import hf_program

    _check_folder(rest)
    hf_program()


def _check_folder(name: str) -> None:
    """Raise InputError where a path, or a folder, holds no model: its server would take a minute to say so."""
    path = Path(name)
    a_path = name.startswith((".", "/", "~")) or path.is_dir()
    if a_path and not path.is_file() and not any((path / one).is_file() for one in ("config.json", "params.json")):
        raise InputError("no model lies there; the folder of a model has a config.json")


NEEDS: dict[str, Callable[[str], None]] = {
    "openai": lambda rest: check_key(servers_of(rest)[1]),
    "vllm": _needs_vllm,
    "hf": _needs_hf,
}
"""What a model needs to be asked, by the spec's part before the colon: raises InputError where it is not there."""
