"""The two clients in Python, each a program of its own that prints a JSON line for what it has received.

python -m bench.torture.clients daemon|aiosfstream URL FOLDER SECRETS      secrets as JSON; ends with stdin

daemon         its capture, with the daemon's own settings; an event counts once it is committed in the outbox, and again each
               time the outbox does not recognise it
aiosfstream    `aiosfstream-ng` as its documentation shows it ("Advanced Usage: Replay"): markers in a shelf, and all retained
               events where a marker is too old
"""

from __future__ import annotations

import asyncio
import json
import shelve
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiosfstream_ng.auth import PasswordAuthenticator
from aiosfstream_ng.client import Client
from aiosfstream_ng.replay import ReplayOption

from bench.capture import capture_into
from bench.setting import quiet
from store.intake import Taken
from store.model import Change, Replay
from store.store import Store
from stream.clock import SystemClock
from stream.salesforce.sign_in import SignIn
from stream.source import NEW_EVENTS

CHANNEL = "/data/ChangeEvents"
Secrets = Mapping[str, str]


def say(event: str) -> None:
    """This event was received."""
    print(json.dumps({"event": event}), flush=True)


@dataclass(slots=True)
class TellingStore(Store):
    """The store, which says what was applied once it is committed."""

    seen: set[str] = field(default_factory=set)

    async def take(self, changes: Sequence[Change], replay: Replay | None, now_ms: int, **more: Any) -> Taken:
        """As ever. Where fewer were applied than came, it was those that were not seen before, as far as the number goes."""
        taken = await Store.take(self, changes, replay, now_ms, **more)
        events = sorted((change.record_id for change in changes), key=self.seen.__contains__)
        for event in events[: taken.applied]:
            say(event)
        self.seen.update(events)
        return taken


async def daemon(url: str, folder: Path, secrets: Secrets) -> None:
    """The daemon's capture."""
    quiet()
    store = await TellingStore.open(folder / "store.db")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        given: dict[str, Any] = dict(secrets)
        sign_in = SignIn(login_url=url, flow="password", session=session, clock=SystemClock(), **given)
        await capture_into(store, sign_in, first_from=NEW_EVENTS).run()


class Here(PasswordAuthenticator):
    """Signs in at the simulated Salesforce: the library knows the addresses of the real one only."""

    url = ""

    @property
    def _token_url(self) -> str:
        return f"{self.url}/services/oauth2/token"


async def aiosfstream(url: str, folder: Path, secrets: Secrets) -> None:
    """The library on which the daemon's adapter stands, without its fences."""
    here = Here(secrets["client_id"], secrets["client_secret"], secrets["username"], secrets["password"])
    here.url = url
    with shelve.open(str(folder / "replay")) as replay:  # noqa: S301 - its own
        async with Client(here, replay=replay, replay_fallback=ReplayOption.ALL_EVENTS) as client:
            await client.subscribe(CHANNEL)
            async for message in client:
                say(message["data"]["payload"]["ChangeEventHeader"]["recordIds"][0])


async def main() -> None:
    """Run one of them until standard input ends or it fails."""
    which, url, folder, secrets = sys.argv[1:]
    run = {"daemon": daemon, "aiosfstream": aiosfstream}[which]
    running = asyncio.create_task(run(url, Path(folder), json.loads(secrets)))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    ending = asyncio.create_task(reader.read())
    await asyncio.wait((running, ending), return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()


if __name__ == "__main__":
    asyncio.run(main())
