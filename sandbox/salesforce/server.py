"""The simulated Salesforce as one HTTP server: sign-in, REST, Bulk API queries and the Streaming API over one `Org`.

salesforce = SimulatedSalesforce()
await salesforce.start()
lead = salesforce.org.create("Lead", {"LastName": "Lee", "Company": "Acme"})   # subscribers get the event
salesforce.faults.add(Fault("respond", path="/query", status=503))
await salesforce.stop(); await salesforce.start()                              # a restart, on the same port
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from types import TracebackType
from typing import Self, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandbox.faults import FaultScript
from sandbox.salesforce.bayeux import Bayeux
from sandbox.salesforce.bulk import BulkQueries
from sandbox.salesforce.gate import Gate
from sandbox.salesforce.oauth import SignIn
from sandbox.salesforce.org import Org
from sandbox.salesforce.rest import Rest
from sandbox.salesforce.sobjects import SObjects

BODY_BYTES_MAX = 6 << 20
LINE_BYTES_MAX = 1 << 20  # the gate answers 414 and 431 at Salesforce's limits; aiohttp's own must lie beyond


class SimulatedSalesforce:
    """Salesforce on this machine. `calls` counts requests by method and path pattern, `sign_in` holds every credential.

    Use the host `localhost`: aiohttp clients keep no cookies for IP addresses.
    """

    def __init__(self, org: Org | None = None, *, now: Callable[[], float] | None = None, seed: int = 1) -> None:
        clock = now or time.time  # noqa: TID251 - the sandbox may not import the daemon's clock
        self.org = org or Org(clock, seed=seed)
        self.faults = FaultScript()
        self.sign_in = SignIn(self.org, seed)
        self.bayeux = Bayeux(self.org, self.sign_in, seed)
        self.rest = Rest(self.org)
        self.calls: Counter[str] = Counter()
        self._gate = Gate(self.org, self.sign_in)
        self.bulk = BulkQueries(self.org, self._gate, seed)
        self._sobjects = SObjects(self.org, self._gate)
        self._runner: web.AppRunner | None = None
        self._address = ("localhost", 0)

    async def start(self, host: str = "localhost", port: int = 0) -> str:
        """Listen and return the base URL; after a `stop`, on the same port unless another one is named."""
        if self._runner is not None:
            raise RuntimeError("the simulated Salesforce is running already")
        app = self.application()
        runner = web.AppRunner(app, max_line_size=LINE_BYTES_MAX, max_field_size=LINE_BYTES_MAX, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, host, port or self._address[1], reuse_address=True)
        await site.start()
        self._address = (host, runner.addresses[0][1])
        self._runner = runner
        self.bayeux.start()
        return self.base_url

    def application(self) -> web.Application:
        """All endpoints, as they are served: sign-in, REST, Bulk API and streaming behind the scripted faults and the gate."""
        middlewares = [cast("Middleware", self.faults.middleware), self._counter, self._gate.middleware]
        app = web.Application(middlewares=middlewares, client_max_size=BODY_BYTES_MAX)
        for part in (self.sign_in, self.rest, self._sobjects, self.bulk, self.bayeux):
            app.add_routes(part.routes())
        app.on_response_prepare.append(self._tell_time)
        return app

    async def stop(self) -> None:
        """Stop listening. Records, events and tokens stay; Bayeux sessions are forgotten."""
        if self._runner is None:
            return
        self.bayeux.stop()
        self.faults.release()
        runner, self._runner = self._runner, None
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        """Start on a free port."""
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        await self.stop()

    @property
    def base_url(self) -> str:
        """Where it listens: login URL and instance URL in one."""
        return f"http://{self._address[0]}:{self._address[1]}"

    def settings(self, flow: str = "jwt") -> dict[str, str]:
        """What a client has to be configured with to sign in here: `login_url`, `flow`, and the credentials of that flow."""
        sign_in = self.sign_in
        secrets = {
            "jwt": {"private_key": sign_in.private_key, "username": sign_in.username},
            "client_credentials": {"client_secret": sign_in.client_secret},
            "refresh_token": {"client_secret": sign_in.client_secret, "refresh_token": sign_in.refresh_token},
            "password": {
                "client_secret": sign_in.client_secret,
                "username": sign_in.username,
                "password": sign_in.password,
            },
        }
        return {"login_url": self.base_url, "flow": flow, "client_id": sign_in.client_id, **secrets[flow]}

    async def _tell_time(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Every answer names the time by this org's own clock."""
        response.headers["Date"] = formatdate(self.org.now(), usegmt=True)

    @property
    def _counter(self) -> Middleware:
        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            resource = request.match_info.route.resource
            pattern = resource.canonical if resource else request.path
            self.calls[f"{request.method} {pattern.removesuffix('{slash}').removesuffix('{tail}')}"] += 1
            return await handler(request)

        return count
