"""Who may talk to the page's server: this machine's browser, with the address that was printed, and no other page.

The token stands in the path and not in a cookie: a cookie of 127.0.0.1 is sent to every server on this machine,
whatever its port, and is sent along with requests that another page makes. Nothing is sent along by itself here.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

HOSTS = ("127.0.0.1", "localhost")
"""Names of this machine. Another name in the Host header is a foreign page's, whose address was bent to this machine
(DNS rebinding). Any port is right, as `ssh -L` may bring another one."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
        "font-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer. No text may become script or mark-up, even by a mistake in the page, and no other page may read,
embed or keep anything; there is no header that would let another origin in. Temml sets styles on the parts of a
formula, hence style-src-attr: where nothing can be loaded from elsewhere, a style can tell nobody anything."""


def refusal(request: web.Request, token: str) -> str:
    """Return why a request is refused, or ""."""
    host = request.headers.get("Host", "")
    if _name(host) not in HOSTS:
        return "this server answers to 127.0.0.1 and localhost only"
    given = request.path.removeprefix("/").split("/")[0]  # CONNECT has a path without the slash
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode()):
        return "the address lacks its token; open the address that `curate view` printed"
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return "requests from other pages are refused"
    if request.method not in ("GET", "HEAD") and request.content_type != "application/json":
        return "a change is sent as application/json"
    return ""


def _name(host: str) -> str:
    """Return the name in a Host header, without the port; "" for what is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def guarded(token: str) -> Middleware:
    """Return the middleware that refuses what `refusal` names and puts HEADERS on every answer."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if problem := refusal(request, token):
            return web.Response(status=403, text=f"{problem}\n", headers=HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(HEADERS)
            raise
        response.headers.update(HEADERS)
        return response

    return middleware
