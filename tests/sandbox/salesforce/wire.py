"""A bare HTTP client for the simulated Salesforce, and other small things its tests share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from sandbox.salesforce.server import SimulatedSalesforce

ALL = "/data/ChangeEvents"
START = 1_780_000_000.25


class Moment:
    """A clock that a test moves."""

    def __init__(self, seconds: float = START) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        """The errorCode of a refused request."""
        return str(self.body[0]["errorCode"])


class Wire:
    """Signed-in requests, without any cleverness."""

    def __init__(self, salesforce: SimulatedSalesforce, session: aiohttp.ClientSession) -> None:
        self.salesforce = salesforce
        self.session = session
        self.headers = {"Authorization": f"Bearer {salesforce.sign_in.issue()}"}

    async def send(self, method: str, path: str, **more: Any) -> Answer:
        """One request; the body is parsed when it is JSON."""
        headers = {**self.headers, **more.pop("headers", {})}
        async with self.session.request(method, self.salesforce.base_url + path, headers=headers, **more) as response:
            raw = await response.read()
            body = orjson.loads(raw) if raw[:1] in {b"{", b"["} else raw.decode()
            return Answer(response.status, dict(response.headers), body)

    async def rest(self, method: str, path: str, **more: Any) -> Answer:
        """One REST request below the version."""
        return await self.send(method, f"/services/data/v62.0{path}", **more)

    async def query(self, soql: str, verb: str = "query") -> Answer:
        """One SOQL query."""
        return await self.rest("GET", f"/{verb}", params={"q": soql})

    async def bayeux(self, *messages: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        """Send Bayeux messages in one request."""
        answer = await self.send("POST", "/cometd/62.0", json=list(messages), **more)
        assert answer.status == 200, answer
        assert isinstance(answer.body, list)
        return answer.body

    async def handshake(self) -> Subscriber:
        """A new session whose first connect was answered."""
        answer = (await self.bayeux(HANDSHAKE))[0]
        assert answer["successful"], answer
        subscriber = Subscriber(self, answer["clientId"])
        await subscriber.connect()
        return subscriber


HANDSHAKE = {"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"], "id": "1"}


@dataclass(slots=True)
class Subscriber:
    """One Bayeux session."""

    wire: Wire
    client_id: str

    async def meta(self, kind: str, **more: Any) -> list[dict[str, Any]]:
        """Send one meta message of this session."""
        return await self.wire.bayeux({"channel": f"/meta/{kind}", "clientId": self.client_id, "id": "7", **more})

    async def connect(self) -> list[dict[str, Any]]:
        """One connect."""
        return await self.meta("connect", connectionType="long-polling")

    async def subscribe(self, channel: str = ALL, replay: Any = None) -> dict[str, Any]:
        """Subscribe; returns the subscribe reply."""
        ext = {} if replay is None else {"ext": {"replay": {channel: replay}}}
        answers = await self.meta("subscribe", subscription=channel, **ext)
        return next(answer for answer in answers if answer["channel"] == "/meta/subscribe")

    async def events(self) -> list[dict[str, Any]]:
        """The payloads that one connect brings."""
        return [answer["data"]["payload"] for answer in await self.connect() if "data" in answer]


def header(payload: dict[str, Any]) -> dict[str, Any]:
    """The ChangeEventHeader of an event's payload."""
    found = payload["ChangeEventHeader"]
    assert isinstance(found, dict)
    return found
