"""Who is talked to: only a server whose certificate is trusted, and through the proxy where there is one; each edge alike."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stream import connecting
from stream.budgets.budget import CENTRAL, DailyBudget
from stream.clock import SystemClock
from stream.errors import StreamError
from stream.marketo.client import MarketoClient
from stream.marketo.limits import Gate
from stream.salesforce.bulk import BulkQuery
from stream.salesforce.rest import SalesforceClient
from stream.salesforce.sign_in import SignIn
from stream.salesforce.streaming import CometdSource
from tests.edge.salesforce_edge import FixedToken
from tests.edge.streaming_steps import attempt

CLOCK = SystemClock()
SECRET = "never-sent-7d1f"


@dataclass
class Server:
    """Answers with nothing, or points elsewhere; keeps what came: for a proxy, the whole address that was asked for."""

    url: str = ""
    elsewhere: str = ""
    seen: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Keep it."""
        self.seen.append(f"{request.method} {request.raw_path}" if request.raw_path.startswith("http") else request.path)
        if self.elsewhere:
            return web.json_response({}, status=307, headers={"Location": f"{self.elsewhere}{request.path}"})
        return web.json_response({}, status=502)


@dataclass
class Held:
    """A token that is there already, so that the call itself is the first contact."""

    url: str

    async def token(self) -> FixedToken:
        """The token."""
        return FixedToken(SECRET, self.url)

    async def renew(self, stale: Any) -> FixedToken:
        """The same."""
        return await self.token() if stale else FixedToken(SECRET, self.url)


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's side of a certificate that nobody has signed, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.fromtimestamp(CLOCK.now(), UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(path)
    return serving, ssl.create_default_context(cadata=made.public_bytes(serialization.Encoding.PEM).decode())


@asynccontextmanager
async def served(context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """The server, listening on loopback."""
    server = Server()
    runner = web.ServerRunner(web.Server(server.answer))  # type: ignore[arg-type] # its handlers get a BaseRequest
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    server.url = f"{'https' if context else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def salesforce(url: str, session: aiohttp.ClientSession) -> SalesforceClient:
    """A client with a token."""
    budget = DailyBudget("Salesforce calls", 1000, CLOCK.now)
    more: Any = {"budget": budget, "clock": CLOCK, "total_seconds": 5.0}
    return SalesforceClient(Held(url), session, api_version="62.0", client_name="msi-stream", **more)


def marketo(url: str, session: aiohttp.ClientSession) -> MarketoClient:
    """A client that has to sign in first."""
    budget = DailyBudget("Marketo calls", 1000, CLOCK.now, CENTRAL)
    more: Any = {"gate": Gate(CLOCK, calls_per_20s=100), "budget": budget, "clock": CLOCK, "timeouts": None}
    return MarketoClient(url, "service", SECRET, session=session, **more)


async def sign_in(url: str, session: aiohttp.ClientSession) -> None:
    """Salesforce's token endpoint."""
    given: Any = {"flow": "client_credentials", "client_id": "app", "client_secret": SECRET, "login_url": url, "clock": CLOCK}
    await SignIn(session=session, **given).token()


async def read(url: str, session: aiohttp.ClientSession) -> None:
    """Salesforce's REST API."""
    await salesforce(url, session).limits()


async def bulk(url: str, session: aiohttp.ClientSession) -> None:
    """Salesforce's Bulk API."""
    await BulkQuery(salesforce(url, session), CLOCK).start("SELECT Id FROM User")


async def stream(url: str, session: aiohttp.ClientSession) -> None:
    """Salesforce's events, over a session of their own."""
    assert session
    tokens: Any = Held(url)
    source = CometdSource(tokens, channel="/data/ChangeEvents", api_version="62.0", clock=CLOCK)
    raise await attempt(source)


async def people(url: str, session: aiohttp.ClientSession) -> None:
    """Marketo, which signs in first."""
    await marketo(url, session).describe("leads")


EDGES = (sign_in, read, bulk, stream, people)
Edge = Callable[[str, aiohttp.ClientSession], Awaitable[None]]


@pytest.mark.parametrize("edge", EDGES)
async def test_a_server_with_an_untrusted_certificate_hears_nothing(edge: Edge, tmp_path: Path) -> None:
    serving, trusting = certificate(tmp_path)
    async with served(serving) as server, aiohttp.ClientSession(trust_env=True) as session:
        with pytest.raises(StreamError) as refused:
            await edge(server.url, session)
        assert server.seen == []
        assert SECRET not in str(refused.value)
        async with session.get(server.url, ssl=trusting) as answer:  # whoever trusts it is heard
            assert answer.status == 502
        assert server.seen == ["/"]


@pytest.mark.parametrize("edge", EDGES)
async def test_every_call_goes_through_the_proxy(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        async with connecting.session() as session:
            with pytest.raises(StreamError):
                await edge("http://127.0.0.1:9", session)
        assert proxy.seen
        assert all(" http://127.0.0.1:9/" in line for line in proxy.seen)


@pytest.mark.parametrize("edge", EDGES)
async def test_no_secret_goes_where_an_answer_points(edge: Edge) -> None:
    async with served() as server, served() as other, connecting.session() as session:
        server.elsewhere = other.url
        with pytest.raises(StreamError):
            await edge(server.url, session)
        assert server.seen
        assert other.seen == []


async def test_a_sign_in_that_answers_without_end_is_given_up() -> None:
    sent = 0

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)
            sent += 65536

    runner = web.ServerRunner(web.Server(endless))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(StreamError, match="larger than"):
                await sign_in(f"http://127.0.0.1:{runner.addresses[0][1]}", session)
    finally:
        await runner.cleanup()
    assert 2**20 < sent < 2**24  # a megabyte, and what lay in the sockets
