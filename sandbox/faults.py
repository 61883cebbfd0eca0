"""Scripted faults, the same for both simulated services: which request goes wrong, how, and how often.

A `FaultScript` is an aiohttp middleware in front of a service. Each `Fault` names the requests it meets (method, a regular
expression over the path with its query, one over the body, and `when`, a function of both), how many to let pass first, how many
to spoil, and how:

    respond        answer `status` with `body` (or what a function of the request and its text makes), without doing the work
    rewrite        do the work, then answer `status` with `body` instead of the true answer
    reset_before   cut the connection before the work is done
    reset_after    do the work, then cut the connection
    hang           never answer (until the client gives up or `release()` is called), work not done
    hang_after     do the work, then never answer
    truncate       do the work, then send only half of the answer's bytes under its full Content-Length
    delay          do the work after `seconds`
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from aiohttp import web

Action = Literal["respond", "rewrite", "reset_before", "reset_after", "hang", "hang_after", "truncate", "delay"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Look = Callable[[web.Request, str], object]


@dataclass(slots=True)
class Fault:
    """One scripted fault. `times=None` goes on until it is removed; `hits` counts the requests it spoiled."""

    action: Action
    path: str = ".*"
    method: str = ".*"
    body_matches: str = ".*"
    skip: int = 0
    times: int | None = 1
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    when: Look | None = None
    hits: int = 0

    def takes(self, request: web.Request, body: str) -> bool:
        """Whether this request is to be spoiled; counts skips and hits."""
        if self.times is not None and self.hits >= self.times:
            return False
        if not (re.fullmatch(self.method, request.method) and re.search(self.path, request.path_qs)):
            return False
        if not re.search(self.body_matches, body, re.DOTALL) or (self.when is not None and not self.when(request, body)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.hits += 1
        return True


class FaultScript:
    """The faults of one service, tried in order; the first that takes a request spoils it. `watch` is shown every request."""

    def __init__(self) -> None:
        self.watch: Look | None = None
        self._faults: list[Fault] = []
        self._released = asyncio.Event()

    def __iter__(self) -> Iterator[Fault]:
        """The faults that are scripted now."""
        return iter(self._faults)

    def add(self, fault: Fault) -> Fault:
        """Script one more fault and return it, so that its hits can be looked at."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """End all faults, and let every hanging request go."""
        self._faults.clear()
        self.release()

    def release(self) -> None:
        """Let every hanging request go (its connection is cut)."""
        self._released.set()
        self._released = asyncio.Event()

    @property
    def middleware(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        """The aiohttp middleware that applies the script."""

        @web.middleware
        async def spoil(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._faults and self.watch is None:
                return await handler(request)
            body = (await request.read()).decode(errors="replace")
            if self.watch is not None:
                self.watch(request, body)
            for fault in self._faults:
                if fault.takes(request, body):
                    return await self._apply(fault, request, body, handler)
            return await handler(request)

        return spoil

    async def _apply(self, fault: Fault, request: web.Request, body: str, handler: Handler) -> web.StreamResponse:
        if fault.action == "delay":
            await asyncio.sleep(fault.seconds)  # noqa: TID251 - the simulated wire is slow
            return await handler(request)
        if fault.action == "hang":
            await self._released.wait()
        if fault.action in {"hang", "reset_before"}:
            return cut(request)
        if fault.action == "respond":
            return _answer(fault, request, body)
        response = await handler(request)
        if fault.action == "rewrite":
            return _answer(fault, request, body)
        if fault.action == "truncate":
            return await _truncate(request, response)
        if fault.action == "hang_after":
            await self._released.wait()
        return cut(request)


def cut(request: web.Request) -> web.Response:
    """Cut the connection under the request; what is returned is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _answer(fault: Fault, request: web.Request, body: str) -> web.Response:
    answer = fault.body(request, body) if callable(fault.body) else fault.body
    if isinstance(answer, str):
        return web.Response(status=fault.status, text=answer, headers=fault.headers)
    return web.Response(
        status=fault.status,
        body=orjson.dumps(answer),
        headers=fault.headers,
        content_type="application/json",
    )


async def _truncate(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    whole = response.body if isinstance(response, web.Response) and isinstance(response.body, bytes) else b"{}"
    torn = web.StreamResponse(status=response.status, headers=response.headers)
    torn.headers["Content-Length"] = str(len(whole))
    await torn.prepare(request)
    await torn.write(whole[: len(whole) // 2])
    return cut(request)
