"""The page's server: on this machine only, on a port and with a token of its own, in a thread beside the caller's."""

from __future__ import annotations

import asyncio
import html
import json
import logging
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from curate.errors import CurateError, RunError
from curate.io import resource
from curate.view.desk import Desk, Given
from curate.view.guard import guarded
from curate.view.index import Tick
from curate.view.store import Json

HOST = "127.0.0.1"

LARGEST = 8 << 20
"""Bytes of a request's body."""

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
}

log = logging.getLogger("curate.view")


class View:
    """A page that is being served. `url` is its address; `close()` ends it.

    Raises:
        InputError: nothing to look at is there.
        RunError: the port is taken, or the index can be written nowhere.
    """

    def __init__(self, path: str | Path, port: int = 0, tick: Tick = lambda done, total: None) -> None:
        self.desk = Desk(str(path), tick)
        self.token = secrets.token_urlsafe(24)
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._ready = threading.Event()
        self._problem: OSError | None = None
        self._app = application(self.desk, self.token)
        self._thread = threading.Thread(target=self._run, args=(port,), name="curate view", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._problem is not None:
            self.desk.close()
            raise RunError(
                f"port {port} of {HOST} cannot be used ({self._problem.strerror}); leave out --port to get a free one"
            ) from self._problem

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.desk.store.source.path} at {self.url}>"

    def _repr_html_(self) -> str:
        """Show a notebook the link."""
        name = html.escape(self.desk.store.source.path)
        return f'<a href="{html.escape(self.url)}" target="_blank" rel="noopener">Open the page of {name}</a>'

    def as_json(self) -> dict[str, Any]:
        """Return the address, what is shown there, and where decisions go, as JSON values."""
        store = self.desk.store
        kept, dropped = self.desk.counts
        return {
            "url": self.url,
            "source": store.source.path,
            "kept": kept,
            "dropped": dropped,
            "decided": len(store.reviews.standing),
            "journal": str(store.source.journal),
            "notes": [*store.reviews.warnings, *store.notes],
        }

    def wait(self, tick: Tick = lambda done, total: None) -> None:
        """Wait until all samples are read; of a large run the first ones are shown before.

        Raises:
            RunError: the others cannot be read.
        """
        self.desk.opening.wait(tick)

    def close(self) -> None:
        """End the server; decisions are on the disk already."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()
            self.desk.close()

    def _run(self, port: int) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(port))
        finally:
            self._ready.set()
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _serve(self, port: int) -> None:
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1.0, logger=_silent())
        await runner.setup()
        try:
            site = web.TCPSite(runner, HOST, port)
            await site.start()
            self.url = f"http://{HOST}:{runner.addresses[0][1]}/{self.token}/"
            self._ready.set()
            await self._over.wait()
        except OSError as error:
            self._problem = error
        finally:
            await runner.cleanup()


def application(desk: Desk, token: str) -> web.Application:
    """Return the page's files and its requests under /TOKEN/, behind the guard."""
    app = web.Application(middlewares=[guarded(token)], client_max_size=LARGEST)
    files = _files()

    async def file(request: web.Request) -> web.Response:
        # A name in this table or nothing: no path is ever made from what a request says.
        path = files.get(request.match_info["name"] or "view/index.html")
        if path is None:
            raise web.HTTPNotFound(text="there is no such file\n")
        return web.Response(body=path.read_bytes(), content_type=TYPES[path.suffix], charset="utf-8")

    async def ask(request: web.Request) -> web.Response:
        return await _answer(desk.ask, request.match_info["name"], request.query)

    async def act(request: web.Request) -> web.Response:
        try:
            given = json.loads(await request.read())
        except (ValueError, RecursionError, web.RequestPayloadError):
            given = None
        if not isinstance(given, dict):
            return _json({"error": "the body must be a JSON object"}, 400)
        return await _answer(desk.act, request.match_info["name"], given)

    app.router.add_get(f"/{token}/api/{{name}}", ask, allow_head=False)
    app.router.add_post(f"/{token}/api/{{name}}", act)
    app.router.add_get(f"/{token}/{{name:.*}}", file, allow_head=False)
    return app


def _silent() -> logging.Logger:
    """Return a logger for what is no request: any program of this machine may send such, and the terminal is ours."""
    logger = logging.getLogger(f"{log.name}.http")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


def _files() -> dict[str, Path]:
    """Return the page's files by the names under which it asks for them."""
    web_folder = resource("web")
    found = [path for part in ("view", "vendor") for path in (web_folder / part).iterdir() if path.suffix in TYPES]
    found += [web_folder / "base.css", web_folder / "math.js"]
    return {path.relative_to(web_folder).as_posix(): path for path in found}


async def _answer(table: dict[str, Callable[[Given], Json]], name: str, given: Any) -> web.Response:
    """Answer a request in a thread of its own; what cannot be done is said in one line."""
    if name not in table:
        return _json({"error": "there is no such request"}, 404)
    try:
        return _json(await asyncio.to_thread(table[name], given))
    except CurateError as error:
        return _json({"error": str(error)}, 400)
    except Exception as error:  # the page says so, and the server goes on
        log.exception("the request '%s' failed", name)
        return _json({"error": f"{type(error).__name__}: {error}"}, 500)


def _json(value: Json, status: int = 200) -> web.Response:
    # Escaped: half a surrogate pair, which a model may write, has no UTF-8.
    return web.Response(text=json.dumps(value), status=status, content_type="application/json")
