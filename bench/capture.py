"""Change events a second from a Bayeux server nobody here wrote (npm `cometd-nodejs-server`) into the durable outbox.

The server, a process of its own, publishes as fast as it can to a client that is subscribed. The rival is the library's bare
client, which parses each message and counts it. Both are timed from the first publish; the outbox until the last commit.

Garbage is collected as seldom as in the daemon's process where its capture runs, and as Python does by itself where the bare
client does. That client once more, with garbage collected as seldom, is told beside it.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiosfstream_ng.client import Client
from aiosfstream_ng.replay import ReplayOption

from bench.measure import Figure, Size, Target, alternate
from bench.setting import known_people, lead_ids, now_ms
from store.store import Store
from stream.capture import Capture
from stream.changes import Echo
from stream.cli.run import collect_less_often
from stream.clock import SystemClock
from stream.config.model import ObjectModes
from stream.mapping import SourceFields, source_fields, wanted
from stream.retry import Backoff
from stream.salesforce.cometd_fences import SignedIn
from stream.salesforce.sign_in import SignIn, Token
from stream.salesforce.streaming import CometdSource
from stream.server_clock import ServerClock
from stream.source import ALL_RETAINED
from tests.edge.bayeux import CHANNEL, BayeuxServer, missing

AT_ONCE = 100
POLL_MS = 1000  # the bare client is open only once its first poll, which brings nothing, was answered
VERSION = "62.0"
LEAD = source_fields("Lead", wanted("Lead", {}, lead_company=False))


class BareClient(Client):
    """The library's client as it is, at the version that the server has."""

    @staticmethod
    def get_cometd_url(instance_url: str) -> str:
        """Where Bayeux is spoken."""
        return f"{instance_url}/cometd/{VERSION}"


def payloads(ids: Sequence[str]) -> list[dict[str, Any]]:
    """An edit of each lead, as Change Data Capture tells it."""
    header = {
        "entityName": "Lead",
        "changeType": "UPDATE",
        "changeOrigin": "",
        "changedFields": ["Title", "Phone"],
        "commitUser": "005",
    }
    return [
        {
            "ChangeEventHeader": {
                **header,
                "recordIds": [each],
                "commitTimestamp": now_ms(),
                "transactionKey": f"{number:032d}",
                "sequenceNumber": 1,
                "commitNumber": number,
            },
            "Title": f"Title {number}",
            "Phone": "0123456789",
        }
        for number, each in enumerate(ids)
    ]


@asynccontextmanager
async def server() -> AsyncIterator[tuple[BayeuxServer, SignIn, aiohttp.ClientSession]]:
    """A new server, and the way to sign in there."""
    async with aiohttp.ClientSession(json_serialize=lambda value: orjson.dumps(value).decode()) as session:
        bayeux = BayeuxServer(session, {"timeout": POLL_MS})
        await bayeux.start()
        try:
            sign_in = SignIn(
                login_url=bayeux.url,
                flow="client_credentials",
                client_id="bench",
                client_secret="bench",  # noqa: S106 - the server takes any
                session=session,
                clock=SystemClock(),
            )
            yield bayeux, sign_in, session
        finally:
            await bayeux.stop()


async def flood(bayeux: BayeuxServer, ids: Sequence[str]) -> float:
    """Let it publish once somebody is subscribed and waits; returns when."""
    events = payloads(ids)
    await bayeux.until(lambda stats: stats["subscribers"] == 1)
    began = time.perf_counter()
    await bayeux.call("flood", channel=CHANNEL, payloads=events, at_once=AT_ONCE)
    return began


@contextmanager
def collecting_as_the_daemon() -> Iterator[None]:
    """Garbage that holds itself is looked for as seldom as `msi-stream run` has it."""
    before = gc.get_threshold()
    gc.collect()
    collect_less_often()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def ours(ids: Sequence[str]) -> float:
    """Into the outbox."""
    with collecting_as_the_daemon(), tempfile.TemporaryDirectory() as folder:
        async with server() as (bayeux, sign_in, _):
            store = await Store.open(Path(folder) / "store.db")
            await known_people(store, ids, [str(number) for number in range(len(ids))])
            capture = capture_into(store, sign_in)
            running = asyncio.create_task(capture.run())
            began = await flood(bayeux, ids)
            while capture.events < len(ids):  # it counts what is committed; to ask the store would be work for it
                await asyncio.sleep(0.005)
            seconds = time.perf_counter() - began
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            replay = await store.replay(CHANNEL)
            held = sum((await store.backlog()).values())
            await store.close()
    if held != len(ids) or replay is None or replay.replay_id != len(ids):
        raise RuntimeError(f"{held} entries are in the outbox, up to {replay}, expected {len(ids)}")
    return len(ids) / seconds


def capture_into(store: Store, sign_in: SignIn, first_from: int = ALL_RETAINED) -> Capture:
    """The daemon's capture, with its own settings."""
    clock = SystemClock()
    return Capture(
        source=CometdSource(sign_in, channel=CHANNEL, api_version=VERSION, clock=clock),
        store=store,
        clock=clock,
        channel=CHANNEL,
        modes=ObjectModes(),
        fields=SourceFields({"Lead": LEAD}),
        echo=Echo("msi-stream", frozenset()),
        backoff=Backoff(1.0, 60.0),
        server_clock=ServerClock(clock),
        first_from=first_from,
    )


async def bare(ids: Sequence[str]) -> float:
    """Counted only, by the library's own client."""
    async with server() as (bayeux, sign_in, _):
        token = Token(
            (await sign_in.token()).access_token, f"http://localhost:{bayeux.port}"
        )  # it keeps no cookies of an address
        client = BareClient(SignedIn(token), replay=ReplayOption.NEW_EVENTS)
        await client.open()
        await client.subscribe(CHANNEL)
        began = await flood(bayeux, ids)
        for _each in ids:
            await client.receive()
        seconds = time.perf_counter() - began
        with no_word_of_cancelled_polls():
            await client.close()
            await asyncio.sleep(0)
    return len(ids) / seconds


async def bare_as_ours(ids: Sequence[str]) -> float:
    """Likewise, with the daemon's way to collect garbage."""
    with collecting_as_the_daemon():
        return await bare(ids)


@contextmanager
def no_word_of_cancelled_polls() -> Iterator[None]:
    """The library cancels its poll when it closes, and its own callback then fails with that: pages of it say nothing here."""
    loop = asyncio.get_running_loop()

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), asyncio.CancelledError):
            loop.default_exception_handler(context)

    loop.set_exception_handler(tell)
    try:
        yield
    finally:
        loop.set_exception_handler(None)


async def figures(size: Size) -> list[Figure]:
    """The row; none where Node.js is missing."""
    if reason := missing():
        print(f"capture is not measured: {reason}")
        return []
    ids = lead_ids(size.of(tiny=200, quick=3_000, whole=20_000))
    seldom = "bare client, garbage collected as seldom as here"
    samples = await alternate(
        {
            "capture": lambda: ours(ids),
            "bare client": lambda: bare(ids),
            "control": lambda: bare(ids),
            seldom: lambda: bare_as_ours(ids),
        },
        size.turns,
    )
    others = {seldom: samples.pop(seldom)}
    return [Figure("capture", "events/s", "the bare library client", Target(0.8, 5_000), samples, others=others)]
