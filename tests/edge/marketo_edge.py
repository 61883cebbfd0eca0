"""The Marketo client at the simulated Marketo, with clocks that need no real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from sandbox.faults import Fault
from sandbox.marketo import SimulatedMarketo
from sandbox.marketo.server import Exchange
from stream.budgets.budget import CENTRAL, DailyBudget
from stream.marketo.client import MarketoClient, Timeouts
from stream.marketo.limits import Gate

REST = "/rest/"


class JumpingClock:
    """A clock whose sleeps take no time: they move it on."""

    def __init__(self) -> None:
        self.at = 1_795_435_200.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.at

    def monotonic(self) -> float:
        """The same."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Move on."""
        self.at += seconds
        await asyncio.sleep(0)  # noqa: TID251 - only lets others run


@dataclass
class MarketoEdge:
    """A client, the service behind it, and what the client was built from."""

    marketo: SimulatedMarketo
    session: aiohttp.ClientSession
    clock: JumpingClock
    budget: DailyBudget
    client: MarketoClient

    def other_client(self, *, secret: str = "", timeouts: Timeouts | None = None, gate: Gate | None = None) -> MarketoClient:
        """A client of the same instance, with other settings."""
        return MarketoClient(
            self.marketo.base_url,
            self.marketo.client_id,
            secret or self.marketo.client_secret,
            session=self.session,
            gate=gate or Gate(self.clock, calls_per_20s=10_000),
            budget=self.budget,
            clock=self.clock,
            timeouts=timeouts,
        )

    def fail(self, action: Any, path: str = REST, **more: Any) -> Fault:
        """Script a fault."""
        return self.marketo.faults.add(Fault(action, path=path, **more))

    def answer(self, body: Any, *, status: int = 200, path: str = REST, times: int | None = 1, **more: Any) -> Fault:
        """Answer this instead of doing the work; text is sent as it is."""
        return self.fail("respond", path, status=status, body=body, times=times, **more)

    def errors(self, *errors: Any, **more: Any) -> Fault:
        """Answer `success: false` with these errors."""
        return self.answer({"requestId": "1#1", "success": False, "errors": list(errors)}, **more)

    @property
    def rest(self) -> Sequence[Exchange]:
        """What was exchanged, sign-ins left out."""
        return [exchange for exchange in self.marketo.exchanges if exchange.path.startswith(REST)]

    @property
    def last_body(self) -> Any:
        """The JSON body of the last call."""
        return orjson.loads(self.rest[-1].body)

    async def companies(self, count: int, **fields: Any) -> list[dict[str, Any]]:
        """Companies that Marketo knows."""
        records = [{"externalCompanyId": f"001{number:015}", "company": f"Company {number}", **fields} for number in range(count)]
        for first in range(0, count, 300):
            await self.client.sync("companies", records[first : first + 300])
        return records


@asynccontextmanager
async def marketo_edge() -> AsyncIterator[MarketoEdge]:
    """A simulated Marketo and a client of it."""
    clock = JumpingClock()
    marketo = SimulatedMarketo(keep_exchanges=True)
    marketo.limits.calls_per_20s = marketo.limits.concurrency = 10_000
    await marketo.start()
    try:
        async with aiohttp.ClientSession() as session:
            budget = DailyBudget("Marketo calls", 10_000, clock.now, CENTRAL)
            edge = MarketoEdge(marketo, session, clock, budget, client=None)  # type: ignore[arg-type]
            edge.client = edge.other_client()
            yield edge
    finally:
        await marketo.stop()
