"""Put the page together: one HTML file that opens from disk, loads nothing and runs no script but its own.

Data stand in the page as gzip in base64, in elements that no browser runs; the page unpacks them with
DecompressionStream. A Content-Security-Policy names each script and style by its hash, so that nothing in the data
could run even if it came to be markup.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEB = Path(__file__).parents[2] / "web"
VENDOR = WEB / "vendor"
STYLES = (
    "base.css", "vendor/temml.css", "report/report.css", "report/tree.css", "report/sections.css", "report/curve.css",
    "report/exam.css",
)  # fmt: skip
SCRIPTS = (
    "vendor/d3.min.js",
    "vendor/d3-sankey.min.js",
    "vendor/temml.min.js",
    "math.js",
    *(
        f"report/{name}.js"
        for name in (
            "core", "head", "samples", "tasks", "treemap", "search", "grid", "scatter", "map", "flow", "curve", "near",
            "exam", "pictures", "measures", "cost", "main",
        )
    ),
)  # fmt: skip
"""In the order in which they run: a script uses what stands before it."""


@dataclass(frozen=True)
class Sources:
    """The files of a page, below curate/web: its frame, and what is inlined in it, in order."""

    frame: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]


REPORT = Sources("report/index.html", STYLES, SCRIPTS)

EXAM = Sources(
    "exam/index.html",
    STYLES,
    (
        "vendor/d3.min.js",
        "vendor/temml.min.js",
        "math.js",
        "report/core.js",
        "report/head.js",
        "report/exam.js",
        "report/cost.js",
        "exam/main.js",
    ),
)


def packed(data: Any) -> bytes:
    """Return a block of the page: bytes as they are, anything else as JSON, in gzip. Equal data give equal bytes."""
    raw = data if isinstance(data, bytes) else _json(data).encode()
    return gzip.compress(raw, compresslevel=7, mtime=0)


def _json(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Half a surrogate pair, which a model may write, has no UTF-8; JSON can escape it.
    return text if text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text) else json.dumps(data)


def assemble(title: str, blocks: Mapping[str, bytes], sources: Sources = REPORT) -> str:
    """Return the page with these blocks, by name; each is what `packed` gives."""
    styles = [_inlined(_source(name)) for name in sources.styles]
    scripts = [_source(name) for name in sources.scripts]
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "img-src data:",
            "font-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ]
    )
    data = "\n".join(
        f'<script type="application/gzip+base64" id="data-{name}">{base64.b64encode(block).decode()}</script>'
        for name, block in blocks.items()
    )
    parts = {
        "policy": f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        "title": html.escape(title),
        "styles": "\n".join(f"<style>{style}</style>" for style in styles),
        "data": data,
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    page = _source(sources.frame)
    for name, part in parts.items():
        before, mark, after = page.partition(f"<!-- {name} -->")
        assert mark, f"{sources.frame} has no place for the {name}"
        page = before + part + after
    return page


def _source(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def _inlined(style: str) -> str:
    """Return a style sheet with its font inside."""
    font = "Temml.woff2"
    data = base64.b64encode((VENDOR / font).read_bytes()).decode()
    return style.replace(f"url('{font}')", f"url('data:font/woff2;base64,{data}')")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
