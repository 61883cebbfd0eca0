"""The REST API of the simulated Marketo: sign-in, limits and permission, then the endpoint, then the envelope."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from sandbox.marketo.answers import Refused, envelope, refusal
from sandbox.marketo.calls import Call
from sandbox.marketo.endpoints import Endpoint, routes
from sandbox.marketo.identity import Identity
from sandbox.marketo.instance import Instance
from sandbox.marketo.limits import Limits, Ticket

URI_BYTES_MAX: Final = 8192
BODY_BYTES_MAX: Final = 1024 * 1024
CODE: Final = web.ResponseKey("marketo_code", str)

Pause = Callable[[str], Awaitable[None]]


class Api:
    """Routes of one instance."""

    def __init__(self, instance: Instance, identity: Identity, limits: Limits, pause: Pause) -> None:
        self._instance = instance
        self._identity = identity
        self._limits = limits
        self._pause = pause
        self._routes = [(re.compile(rf"/rest/v1/{path}\.json"), methods) for path, methods in routes(instance, limits).items()]

    async def answer(self, request: web.Request, number: int, ticket: Ticket) -> web.Response:
        """Answer one REST call; whatever is refused is refused with HTTP 200."""
        request_id = f"{number:x}#{int(self._instance.now() * 1000):x}"
        quirks = self._instance.quirks
        try:
            call = Call(request, number, await request.read())
            self._admit(request, call, ticket)
            await self._pause(call.path)
            if quirks.crowded_seconds:
                await self._instance.sleep(quirks.crowded_seconds * (ticket.at_once - 1))
            page = await self._endpoint(call)(call)
        except Refused as refused:
            response = _json(refusal(refused, request_id, integer_codes=quirks.integer_codes))
            response[CODE] = refused.code
            return response
        return _json(envelope(page, request_id, sparse=quirks.sparse))

    def _admit(self, request: web.Request, call: Call, ticket: Ticket) -> None:
        header = request.headers.get("Authorization", "")
        token = header.removeprefix("Bearer ").strip() if header.startswith("Bearer ") else None
        in_query = call.query.get("access_token") or call.form.get("access_token")
        if in_query:
            self._instance.violated(call.number, "token_in_query", "", None, "the access_token parameter has been withdrawn")
            if token is None and self._instance.quirks.accept_query_token:
                token = in_query
        self._identity.check(token)
        self._limits.check(ticket)
        if any(re.search(path, call.path) for path in self._instance.quirks.denied_paths):
            raise Refused("603", "Access denied")

    def _endpoint(self, call: Call) -> Endpoint:
        for path, methods in self._routes:
            match = path.fullmatch(call.path)
            if match is None:
                continue
            call.place = match.groupdict()
            if call.method not in methods:
                raise Refused("605", f"HTTP Method '{call.method}' not supported")
            return methods[call.method]
        raise Refused("610", "Requested resource not found")


def _json(answer: Mapping[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(answer), content_type="application/json")
