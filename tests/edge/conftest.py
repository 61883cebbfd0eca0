"""Fixtures of the streaming tests: both Bayeux servers, sign-in, and a watch over what is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from stream.clock import SystemClock
from stream.salesforce.sign_in import SignIn, Token
from stream.salesforce.streaming import CometdSource
from tests.edge.bayeux import CHANNEL, BayeuxServer, missing
from tests.edge.scripted_bayeux import ScriptedBayeux


class FakeClock:
    """A clock that stands still until it is told to advance."""

    def __init__(self) -> None:
        self._at = 1000.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self.asked: list[float] = []

    def now(self) -> float:
        """Seconds since the epoch."""
        return 1_700_000_000.0 + self._at

    def monotonic(self) -> float:
        """Seconds of no known origin."""
        return self._at

    async def sleep(self, seconds: float) -> None:
        """Sleep until the clock was advanced so far."""
        self.asked.append(seconds)
        if seconds > 0:
            woken = asyncio.Event()
            self._sleepers.append((self._at + seconds, woken))
            await woken.wait()

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._at += seconds
        for due, woken in self._sleepers:
            if due <= self._at:
                woken.set()


@dataclass
class FakeTokens:
    """A sign-in that needs no server: token-1, and after each renewal the next."""

    instance_url: str
    failures: list[Exception] = field(default_factory=list)
    renewals: int = 0
    _token: Token | None = None

    async def token(self) -> Token:
        """The current token."""
        if self._token is None:
            self._token = Token("token-1", self.instance_url)
        return self._token

    async def renew(self, stale: Token) -> Token:
        """The next token, or the next failure."""
        assert stale is self._token
        if self.failures:
            raise self.failures.pop(0)
        self.renewals += 1
        self._token = Token(f"token-{self.renewals + 1}", self.instance_url)
        return self._token


@dataclass
class Aftermath:
    """What a test may look at once everything is closed: reports of the loop, and tasks still running."""

    reports: list[dict[str, Any]]
    before: set[asyncio.Task[Any]]

    def tasks(self) -> set[asyncio.Task[Any]]:
        """Tasks that were not there when the test began."""
        known = {*self.before, asyncio.current_task()}
        return {task for task in asyncio.all_tasks() if task not in known and not _of_server(task)}


def _of_server(task: asyncio.Task[Any]) -> bool:
    return "RequestHandler" in repr(task.get_coro())


@pytest.fixture
async def aftermath() -> AsyncIterator[Aftermath]:
    """Watches the loop's exception handler; any report fails the test."""
    loop = asyncio.get_running_loop()
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))
    yield Aftermath(reports, asyncio.all_tasks())
    loop.set_exception_handler(None)
    assert reports == []


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A session for sign-in and for the control interface."""
    async with aiohttp.ClientSession() as session:
        yield session


StartBayeux = Callable[..., Awaitable[BayeuxServer]]


@pytest.fixture
async def start_bayeux(http: aiohttp.ClientSession) -> AsyncIterator[StartBayeux]:
    """Starts the real Bayeux server with options, or skips the test where it cannot run."""
    if reason := missing():
        pytest.skip(reason)
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> BayeuxServer:
            server = BayeuxServer(http, options)
            stack.push_async_callback(server.stop)
            await server.start()
            return server

        yield start


@pytest.fixture
async def bayeux(start_bayeux: StartBayeux) -> BayeuxServer:
    """The real Bayeux server, as it comes."""
    return await start_bayeux()


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedBayeux]:
    """The scripted Bayeux server."""
    async with ScriptedBayeux().serving() as server:
        yield server


MakeSource = Callable[..., CometdSource]


def _source(sign_in: SignIn | FakeTokens, options: dict[str, Any]) -> CometdSource:
    usual: dict[str, Any] = {"channel": CHANNEL, "api_version": "62.0", "clock": SystemClock()}
    return CometdSource(sign_in, **usual | options)


@pytest.fixture
def source_of(http: aiohttp.ClientSession) -> MakeSource:
    """Makes the subject for a server, with a real sign-in at that server."""

    def make(server: BayeuxServer, **options: Any) -> CometdSource:
        sign_in = SignIn(
            login_url=server.url,
            flow="client_credentials",
            client_id="id",
            client_secret="secret",
            session=http,
            clock=SystemClock(),
        )
        return _source(sign_in, options)

    return make


@pytest.fixture
def scripted_source(scripted: ScriptedBayeux) -> MakeSource:
    """Makes the subject for the scripted server, with tokens that need none."""

    def make(tokens: FakeTokens | None = None, **options: Any) -> CometdSource:
        return _source(tokens or FakeTokens(scripted.base_url), options)

    return make
