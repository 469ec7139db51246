"""Ledger keys: what makes two calls the same call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from curate.types import Request

KEY_BYTES = 16
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def call_key(model: str, request: Request) -> bytes:
    """Return the key of a call: model, messages, parameters, schema and attempt; never a URL or a secret."""
    schema = request.schema and schema_text(request.schema)
    parts = [model, request.messages, request.max_tokens, request.temperature, schema, request.attempt]
    # Only where there are any: the calls of other requests keep their keys.
    return _digest([*parts, sorted(request.sampling.items())] if request.sampling else parts)


_schemas: dict[int, tuple[Mapping[str, Any], str]] = {}


def schema_text(schema: Mapping[str, Any]) -> str:
    """Return a schema's JSON; a prompt gives all its requests the same object, so it is written out once."""
    known = _schemas.get(id(schema))
    if known is None:
        if len(_schemas) >= 256:
            _schemas.clear()
        # The object is kept beside its text: while it lives, nothing else can have its id.
        known = _schemas[id(schema)] = (schema, json.dumps(schema, sort_keys=True))
    return known[1]


def verdict_key(function: str, version: str, options: Any, text: str) -> bytes:
    """Return the key of a cached verdict: the function, its version, its options and the text it judged."""
    return _digest(["verdict", function, version, json.dumps(options, sort_keys=True), text])


def _digest(value: Any) -> bytes:
    # surrogatepass: model text may hold lone surrogates, and a key must exist for every text.
    return blake2b(_encode(value).encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()
