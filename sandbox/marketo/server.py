"""The simulated Marketo on a socket.

    census (counts what arrives) → scripted faults → sizes → identity, or sign-in and limits → endpoint

Stopping closes every connection; starting again without a port comes back on the same one, with all its state.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Final, cast

from aiohttp import web
from aiohttp.typedefs import Middleware

from sandbox.faults import FaultScript, Handler
from sandbox.marketo.api import BODY_BYTES_MAX, CODE, URI_BYTES_MAX, Api
from sandbox.marketo.calls import effective_method, form_of
from sandbox.marketo.identity import Identity
from sandbox.marketo.instance import Instance
from sandbox.marketo.limits import Limits, Ticket

IDENTITY_PATH: Final = "/identity/oauth/token"
NUMBER: Final = web.RequestKey("marketo_request", int)
TICKET: Final = web.RequestKey("marketo_ticket", Ticket)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call as it was: what came and what went back (kept only where `keep_exchanges` is set)."""

    number: int
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: bytes


@dataclass(slots=True, repr=False)
class SimulatedMarketo:
    """A Marketo with one custom service. Everything a test may turn is an attribute: instance, faults, limits, identity.

    `calls` counts arrivals by endpoint (`"POST /rest/v1/leads.json"`, queries as GET however they were sent, ids as `{id}`).
    `latency_seconds` is added to every admitted call, or what a function of the path says.
    """

    client_id: str = "sandbox-marketo-client"
    client_secret: str = "sandbox-marketo-secret"
    instance: Instance = field(default_factory=Instance)
    faults: FaultScript = field(default_factory=FaultScript)
    latency_seconds: float | Callable[[str], float] = 0.0
    keep_exchanges: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    exchanges: list[Exchange] = field(default_factory=list)
    host: str = "127.0.0.1"
    port: int = 0
    identity: Identity = field(init=False)
    limits: Limits = field(init=False)
    _api: Api = field(init=False)
    _requests: int = 0
    _runner: web.AppRunner | None = None

    def __post_init__(self) -> None:
        """Build what belongs to the credentials."""
        self.identity = Identity(self.instance.now, self.client_id, self.client_secret)
        self.limits = Limits(self.instance.now)
        self._api = Api(self.instance, self.identity, self.limits, self._pause)

    @property
    def base_url(self) -> str:
        """Where it listens, without a trailing slash."""
        return f"http://{self.host}:{self.port}"

    async def start(self, host: str = "localhost", port: int | None = None) -> None:
        """Listen on one loopback address. Port 0 picks a free one; without a port, the one of the last time."""
        if self._runner is not None:
            return
        self.host = "127.0.0.1" if host == "localhost" else host
        app = self.application()
        runner = web.AppRunner(app, access_log=None, max_line_size=1 << 20, max_field_size=1 << 16, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, self.host, self.port if port is None else port, reuse_address=True).start()
        self._runner = runner
        self.port = runner.addresses[0][1]

    def application(self) -> web.Application:
        """All endpoints, as they are served: behind the count of arrivals and the scripted faults."""
        middlewares = [self._census(), cast("Middleware", self.faults.middleware)]
        app = web.Application(middlewares=middlewares, client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", self._answer)
        app.on_response_prepare.append(self._date)
        return app

    async def stop(self) -> None:
        """Stop listening and cut what is open. State stays, and `start` comes back on the same port."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            self.faults.release()
            await runner.cleanup()

    def _census(self) -> Middleware:
        @web.middleware
        async def census(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._counted(request, handler)

        return census

    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count what arrives and how much of it at once, before anything else; identity calls are not limited."""
        self._requests += 1
        number = request[NUMBER] = self._requests
        body = await request.read()
        method = effective_method(request, form_of(request, body))
        self.calls[f"{method} {re.sub('/[0-9]+', '/{id}', request.path)}"] += 1
        ticket = self.limits.arrive(self.identity.scope) if request.path.startswith("/rest/") else None
        if ticket is not None:
            request[TICKET] = ticket
        code = None
        try:
            response = await handler(request)
            code = response.get(CODE)
        finally:
            if ticket is not None:
                self.limits.leave(ticket, code)
        if self.keep_exchanges:
            self._keep(number, request, body, response)
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if len(request.raw_path) > URI_BYTES_MAX:
            return web.Response(status=414, text="Request-URI Too Long")
        if request.path == IDENTITY_PATH and request.method in {"GET", "POST"}:
            await self._pause(request.path)
            status, answer = self.identity.token({**request.query, **form_of(request, await request.read())})
            return web.json_response(answer, status=status)
        if not request.path.startswith("/rest/"):
            return web.Response(status=404, text="Not Found")
        return await self._api.answer(request, request[NUMBER], request[TICKET])

    async def _date(self, _: web.Request, response: web.StreamResponse) -> None:
        """Every answer tells the instance's own time."""
        response.headers["Date"] = formatdate(self.instance.now(), usegmt=True)

    async def _pause(self, path: str) -> None:
        seconds = self.latency_seconds(path) if callable(self.latency_seconds) else self.latency_seconds
        if seconds > 0:
            await self.instance.sleep(seconds)

    def _keep(self, number: int, request: web.Request, body: bytes, response: web.StreamResponse) -> None:
        answer = response.body if isinstance(response, web.Response) and isinstance(response.body, bytes) else b""
        self.exchanges.append(
            Exchange(
                number,
                request.method,
                request.path,
                request.query_string,
                dict(request.headers),
                body,
                response.status,
                answer,
            )
        )
