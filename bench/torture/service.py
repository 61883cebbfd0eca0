"""The simulated Salesforce of the torture, in a process of its own: events all the time, one harm at a time, each request noted.

python -m bench.torture.service      commands on stdin, an answer a line on stdout; ends with stdin

Its times are Salesforce's made shorter, in the same order of one another: a poll of 10 s for 110, a session that is forgotten
after 8 s for 40 (longer than any client here waits before it connects again, shorter than a hung poll).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from bench.services import serve
from sandbox.faults import Action, Fault
from sandbox.salesforce.server import SimulatedSalesforce

POLL_SECONDS, SESSION_SECONDS = 10.0, 8.0
EVENTS_A_SECOND = 20
DOUBLED = 10
BUSY = "503::Server is too busy. Please try your request again later."
SETTLE_SECONDS = 10.0


@dataclass(slots=True)
class Tortured:
    """The service, and the commands it obeys. Times are of the machine's monotonic clock, which all its processes share."""

    salesforce: SimulatedSalesforce = field(default_factory=SimulatedSalesforce)
    requests: list[tuple[float, str, str]] = field(default_factory=list)
    published: list[tuple[float, str]] = field(default_factory=list)
    paused: bool = False
    _publishing: asyncio.Task[None] | None = None

    async def start(self) -> dict[str, Any]:
        """Listen, and tell where."""
        bayeux = self.salesforce.bayeux
        bayeux.poll_seconds, bayeux.session_seconds = POLL_SECONDS, SESSION_SECONDS
        self.salesforce.faults.watch = self._note
        await self.salesforce.start()
        sign_in = self.salesforce.sign_in
        names = ("client_id", "client_secret", "username", "password")
        return {"url": self.salesforce.base_url, **{name: getattr(sign_in, name) for name in names}}

    async def stop(self) -> None:
        """End."""
        await self.quiet()
        self.salesforce.faults.clear()
        await self.salesforce.stop()

    def _note(self, request: web.Request, body: str) -> None:
        """Each Bayeux message with its client id; any other request by its path."""
        now, messages = time.monotonic(), []
        if request.path.startswith("/cometd/"):
            with suppress(orjson.JSONDecodeError):
                messages = orjson.loads(body)
        for each in messages if isinstance(messages, list) else [messages]:
            self.requests.append((now, str(each.get("channel")), str(each.get("clientId", ""))))
        if not messages:
            self.requests.append((now, request.path, ""))

    # ---- events

    async def begin(self) -> None:
        """Publish from now on, as soon as somebody is subscribed."""
        while not any(session.subscriptions for session in self.salesforce.bayeux.sessions):
            await asyncio.sleep(0.02)
        self._publishing = asyncio.create_task(self._publish())

    async def _publish(self) -> None:
        number = 0
        while True:
            if not self.paused:
                number += 1
                record_id = self.salesforce.org.create("Lead", {"LastName": f"L{number}", "Company": "C"})
                self.published.append((time.monotonic(), record_id))
            await asyncio.sleep(1 / EVENTS_A_SECOND)

    async def quiet(self) -> None:
        """Publish nothing more."""
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)

    def told(self) -> dict[str, Any]:
        """What was noted until now."""
        return {"requests": self.requests, "published": self.published}

    # ---- tortures

    async def harm(self, which: str) -> float:
        """Do it; returns when it was done."""
        return float(await getattr(self, f"_{which}")())

    async def _unknown_client(self) -> float:
        """The session is forgotten while its poll is held."""
        self.salesforce.bayeux.drop_sessions()
        return time.monotonic()

    async def _stale_replay_id(self) -> float:
        """The session is forgotten, and the replay id of the last event that the client has is no longer valid."""
        self.paused = True
        log = self.salesforce.org.log
        async with asyncio.timeout(SETTLE_SECONDS):
            while any(session.has_waiting(log) for session in self.salesforce.bayeux.sessions):
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)  # until the client has written down what is on its way
        log.expire_before(log.last_replay_id + 1)
        self.salesforce.bayeux.drop_sessions()
        self.paused = False
        return time.monotonic()

    async def _hung_poll(self) -> float:
        """The next poll is answered never, and what its answer would have held is gone from the session."""
        return await self._spoilt("hang_after")

    async def _lost_answer(self) -> float:
        """The connection breaks under the answer of the next poll, with the events in it."""
        return await self._spoilt("reset_after")

    async def _spoilt(self, action: Action) -> float:
        fault = self.salesforce.faults.add(Fault(action, path="^/cometd/", body_matches="/meta/connect"))
        while not fault.hits:
            await asyncio.sleep(0.005)
        return next(when for when, channel, _ in reversed(self.requests) if channel == "/meta/connect")

    async def _refused_token(self) -> float:
        """The access token is revoked: 401::Authentication invalid."""
        self.salesforce.sign_in.revoke_tokens()
        return time.monotonic()

    async def _refused_subscribe(self) -> float:
        """The session is forgotten, and the next subscription is refused, once, because the server is too busy."""
        self.salesforce.bayeux.refuse_next.append(BUSY)
        self.salesforce.bayeux.drop_sessions()
        return time.monotonic()

    async def _duplicates(self) -> float:
        """The last events are published a second time, half of them under the replay ids they had."""
        publisher, events = self.salesforce.org.publisher, self.salesforce.org.log.events()[-DOUBLED:]
        for number, event in enumerate(events):
            publisher.duplicate(event["event"]["replayId"], same_replay_id=number % 2 == 0)
        return time.monotonic()


if __name__ == "__main__":
    asyncio.run(serve(Tortured()))
