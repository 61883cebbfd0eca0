"""One REST call, taken apart: its method (a query may be sent as POST), its parameters, its JSON body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from sandbox.marketo.answers import Refused


class Call:
    """One request: its number, path and query, its form or JSON body; `place` holds what the path names (an id)."""

    def __init__(self, request: web.Request, number: int, body: bytes) -> None:
        self.number = number
        self.path = request.path
        self._content_type = request.content_type
        self._body = body
        self.query: dict[str, Any] = _joined(request.query.items())
        self.form: dict[str, Any] = form_of(request, body)
        self.method = effective_method(request, self.form)
        self.place: dict[str, str] = {}

    def json(self) -> Any:
        """The body. Raises Refused: 612 not sent as JSON, 609 no JSON."""
        if self._content_type != "application/json":
            raise Refused("612", "Invalid Content Type")
        try:
            return orjson.loads(self._body)
        except orjson.JSONDecodeError:
            raise Refused("609", "Invalid JSON") from None

    def parameters(self) -> dict[str, Any]:
        """What a query asks: from the URI, from a form, or (compound keys) from a JSON body."""
        if not self.form and self._body and self._content_type == "application/json":
            body = self.json()
            return {**self.query, **(body if isinstance(body, Mapping) else {})}
        return {**self.query, **self.form}

    def required(self, name: str) -> str:
        """A parameter. Raises Refused 1002 when it is missing."""
        value = self.parameters().get(name)
        if value is None or value == "":
            raise Refused("1002", f"Missing value for the required parameter '{name}'")
        return str(value)


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Parameters by name; one that is repeated becomes one list between commas."""
    joined: dict[str, Any] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def form_of(request: web.Request, body: bytes) -> dict[str, Any]:
    """The body's parameters, where it is a form."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    return _joined(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def effective_method(request: web.Request, form: Mapping[str, Any]) -> str:
    """GET for a query sent as POST with `_method=GET` (in the URI or in the form)."""
    tunnelled = str(request.query.get("_method") or form.get("_method") or "").upper()
    return "GET" if request.method == "POST" and tunnelled == "GET" else request.method
