"""A client of the simulated Salesforce, and all that it was built from, for the tests of the REST and the Bulk API edge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from sandbox.faults import Fault
from sandbox.salesforce.server import SimulatedSalesforce
from stream.budgets.budget import DailyBudget
from stream.clock import Clock, SystemClock
from stream.salesforce import rest
from stream.salesforce.rest import SalesforceClient

CLOCK = SystemClock()
NOBODY = "003000000009999AAA"
ANY_CALL = "/services/data/"


@dataclass
class FixedToken:
    access_token: str
    instance_url: str


@dataclass
class ScriptedSignIn:
    """Gives what the org issues, and counts how often it was asked for more."""

    salesforce: SimulatedSalesforce
    renewals: int = 0
    current: FixedToken | None = None

    async def token(self) -> FixedToken:
        if self.current is None:
            self.current = self._issue()
        return self.current

    async def renew(self, stale: Any) -> FixedToken:
        assert stale is self.current
        self.renewals += 1
        self.current = self._issue()
        return self.current

    def _issue(self) -> FixedToken:
        return FixedToken(self.salesforce.sign_in.issue(), f"{self.salesforce.base_url}/")


@dataclass
class Edge:
    """A client of the simulated org, and all that it was built from."""

    client: SalesforceClient
    salesforce: SimulatedSalesforce
    sign_in: ScriptedSignIn
    budget: DailyBudget
    session: aiohttp.ClientSession

    def client_of(
        self, sign_in: rest.SignIn, total_seconds: float = 30.0, api_version: str = "62.0", clock: Clock = CLOCK
    ) -> SalesforceClient:
        more: Any = {"budget": self.budget, "clock": clock, "total_seconds": total_seconds}
        return SalesforceClient(sign_in, self.session, api_version=api_version, client_name="msi-stream", **more)

    def credentials(self, flow: str) -> dict[str, Any]:
        org = self.salesforce.sign_in
        names = ("client_id", "client_secret", "private_key", "username", "password", "refresh_token")
        given: dict[str, Any] = {name: getattr(org, name) for name in names}
        return given | {"flow": flow, "login_url": self.salesforce.base_url, "session": self.session, "clock": CLOCK}

    def fail(self, fault: Fault) -> Fault:
        return self.salesforce.faults.add(fault)

    def answer(self, body: Any, *, status: int = 200, path: str = ANY_CALL, times: int | None = 1) -> Fault:
        return self.fail(Fault("respond", path=path, status=status, body=body, times=times))

    def contacts(self, count: int, **fields: Any) -> list[str]:
        return [self.salesforce.org.create("Contact", {"LastName": f"Person {number}", **fields}) for number in range(count)]


class LeapingClock(SystemClock):
    """A clock that stands still but for its sleeps, each of which takes no time at all; `slept` holds them."""

    def __init__(self) -> None:
        self._at = super().now()
        self.slept: list[float] = []

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._at

    def monotonic(self) -> float:
        """Seconds of no known origin."""
        return self._at

    async def sleep(self, seconds: float) -> None:
        """Leap so far."""
        self.slept.append(seconds)
        self._at += seconds


@asynccontextmanager
async def salesforce_edge(clock: Clock = CLOCK) -> AsyncIterator[Edge]:
    """A simulated Salesforce and a client of it, in the same time."""
    async with SimulatedSalesforce(now=clock.now) as salesforce, aiohttp.ClientSession() as session:
        sign_in, budget = ScriptedSignIn(salesforce), DailyBudget("Salesforce calls", 1000, clock.now)
        client = SalesforceClient(sign_in, session, api_version="62.0", client_name="msi-stream", budget=budget, clock=clock)
        yield Edge(client, salesforce, sign_in, budget, session)
