"""Sign-in against a token endpoint on loopback: four flows, one renewal for all, and no secret in any message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from stream.clock import SystemClock
from stream.errors import AuthRefused, ConfigError, StreamError, Unreachable
from stream.salesforce.sign_in import JWT_BEARER, SignIn, Token
from tests.edge.conftest import FakeClock

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SECRETS = {"client_secret": "hush-client", "password": "hush-password", "refresh_token": "hush-refresh"}


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


class TokenEndpoint:
    """Answers as scripted, or else with a new token each time; `forms` is what was sent."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.answers: list[Callable[[], web.StreamResponse]] = []
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        self.asked.set()
        await self.gate.wait()
        if self.answers:
            return self.answers.pop(0)()
        return web.json_response({"access_token": f"token-{len(self.forms)}", "instance_url": self.url})

    def refuse(self, status: int, error: str, description: str, **headers: str) -> None:
        body = {"error": error, "error_description": description}
        self.answers.append(lambda: web.json_response(body, status=status, headers=headers))


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    """A token endpoint."""
    endpoint = TokenEndpoint()
    app = web.Application()
    app.router.add_post("/services/oauth2/token", endpoint.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield endpoint
    endpoint.gate.set()
    await runner.cleanup()


Make = Callable[..., SignIn]


@pytest.fixture
def sign_in_at(endpoint: TokenEndpoint, http: aiohttp.ClientSession) -> Make:
    """Makes the subject, by client credentials unless told otherwise."""

    def make(**options: Any) -> SignIn:
        usual: dict[str, Any] = {
            "login_url": endpoint.url,
            "flow": "client_credentials",
            "client_id": "consumer-key",
            "username": "integration@example.com",
            "private_key": pem(KEY),
            "session": http,
            "clock": SystemClock(),
        }
        return SignIn(**usual | SECRETS | options)

    return make


async def test_jwt_bearer_is_signed_for_this_app_user_and_host(endpoint: TokenEndpoint, sign_in_at: Make) -> None:
    token = await sign_in_at(flow="jwt", login_url=endpoint.url + "/").token()
    assert (token.access_token, token.instance_url) == ("token-1", endpoint.url)
    form = endpoint.forms[0]
    assert form["grant_type"] == JWT_BEARER
    assert set(form) == {"grant_type", "assertion"}
    claims = jwt.decode(form["assertion"], KEY.public_key(), algorithms=["RS256"], audience=endpoint.url)
    assert (claims["iss"], claims["sub"]) == ("consumer-key", "integration@example.com")
    assert 0 < claims["exp"] - SystemClock().now() <= 180


async def test_a_jwt_takes_its_time_from_the_injected_clock(endpoint: TokenEndpoint, sign_in_at: Make) -> None:
    clock = FakeClock()
    await sign_in_at(flow="jwt", clock=clock).token()
    claims = jwt.decode(endpoint.forms[0]["assertion"], options={"verify_signature": False})
    assert claims["exp"] == int(clock.now()) + 120


@pytest.mark.parametrize(
    ("flow", "form"),
    [
        ("client_credentials", {"client_id": "consumer-key", "client_secret": "hush-client"}),
        (
            "refresh_token",
            {"client_id": "consumer-key", "client_secret": "hush-client", "refresh_token": "hush-refresh"},
        ),
        (
            "password",
            {
                "client_id": "consumer-key",
                "client_secret": "hush-client",
                "username": "integration@example.com",
                "password": "hush-password",
            },
        ),
    ],
)
async def test_the_other_flows_send_what_they_need_and_no_more(
    endpoint: TokenEndpoint, sign_in_at: Make, flow: str, form: dict[str, str]
) -> None:
    await sign_in_at(flow=flow).token()
    assert endpoint.forms == [{"grant_type": flow, **form}]


async def test_a_refresh_token_of_a_public_app_goes_without_a_secret(endpoint: TokenEndpoint, sign_in_at: Make) -> None:
    await sign_in_at(flow="refresh_token", client_secret="").token()
    assert "client_secret" not in endpoint.forms[0]


async def test_the_token_is_kept_until_it_is_renewed(endpoint: TokenEndpoint, sign_in_at: Make) -> None:
    sign_in = sign_in_at()
    first = await sign_in.token()
    assert await sign_in.token() is first
    assert len(endpoint.forms) == 1
    second = await sign_in.renew(first)
    assert second.access_token == "token-2"
    assert await sign_in.token() is second
    assert await sign_in.renew(first) is second, "an older token's refusal says nothing about the current one"
    assert len(endpoint.forms) == 2


async def test_callers_with_the_same_stale_token_share_one_renewal(endpoint: TokenEndpoint, sign_in_at: Make) -> None:
    sign_in = sign_in_at()
    stale = await sign_in.token()
    renewed = await asyncio.gather(*(sign_in.renew(stale) for _ in range(20)))
    assert len({id(token) for token in renewed}) == 1
    assert len(endpoint.forms) == 2


async def test_a_renewal_that_gives_the_same_text_is_still_one_renewal(endpoint: TokenEndpoint, sign_in_at: Make) -> None:
    same = {"access_token": "same", "instance_url": endpoint.url}
    endpoint.answers = [lambda: web.json_response(same)] * 3
    sign_in = sign_in_at()
    stale = await sign_in.token()
    await asyncio.gather(*(sign_in.renew(stale) for _ in range(5)))
    assert len(endpoint.forms) == 2


async def test_callers_at_the_same_time_share_a_failure_too(endpoint: TokenEndpoint, sign_in_at: Make) -> None:
    endpoint.refuse(400, "invalid_grant", "authentication failure")
    sign_in = sign_in_at()
    results = await asyncio.gather(*(sign_in.token() for _ in range(10)), return_exceptions=True)
    assert {type(result) for result in results} == {AuthRefused}
    assert len(endpoint.forms) == 1, "ten wrong passwords would lock the user out"
    assert (await sign_in.token()).access_token == "token-2", "a later caller tries again"


async def test_a_caller_that_gives_up_leaves_the_sign_in_to_the_next(endpoint: TokenEndpoint, sign_in_at: Make) -> None:
    endpoint.gate.clear()
    sign_in = sign_in_at()
    first, second = asyncio.create_task(sign_in.token()), asyncio.create_task(sign_in.token())
    await endpoint.asked.wait()
    first.cancel()
    endpoint.gate.set()
    assert isinstance(await second, Token)
    assert first.cancelled()


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refusal_tells_what_salesforce_said(endpoint: TokenEndpoint, sign_in_at: Make, status: int) -> None:
    endpoint.refuse(status, "invalid_grant", "user hasn't approved this consumer")
    with pytest.raises(AuthRefused, match="invalid_grant: user hasn't approved this consumer") as caught:
        await sign_in_at().token()
    assert not caught.value.heals_itself


async def test_no_secret_gets_into_a_message_or_a_repr(endpoint: TokenEndpoint, sign_in_at: Make) -> None:
    echoed = " ".join([*SECRETS.values(), "integration@example.com", "ey" + "J0" * 30, "x\ny"])
    endpoint.refuse(400, "invalid_client", echoed)
    sign_in = sign_in_at(flow="password")
    with pytest.raises(AuthRefused) as caught:
        await sign_in.token()
    shown = [str(caught.value), repr(sign_in), repr(await sign_in.token())]
    for text in shown:
        assert not any(secret in text for secret in [*SECRETS.values(), "integration@", "J0J0", "token-2", "\n"])


@pytest.mark.parametrize("error", ["unknown_error", "server_error", "temporarily_unavailable"])
async def test_a_passing_trouble_told_with_status_400_is_an_outage(endpoint: TokenEndpoint, sign_in_at: Make, error: str) -> None:
    endpoint.refuse(400, error, "retry your request")
    with pytest.raises(Unreachable, match="retry your request") as caught:
        await sign_in_at().token()
    assert not caught.value.sent


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=503, text="busy"),
        lambda: web.json_response({"error": "x"}, status=500),
        lambda: web.json_response({"error": "x"}, status=429),
        lambda: web.Response(status=200, text="<html>maintenance</html>"),
        lambda: web.Response(status=400, text="<html>a proxy's words</html>"),
        lambda: web.json_response(["no object"]),
        lambda: web.json_response({"instance_url": "https://x"}),
        lambda: web.json_response({"access_token": None, "instance_url": "https://x"}),
        lambda: web.json_response({"access_token": "two\r\nlines", "instance_url": "https://x"}),
        lambda: web.Response(status=200, body=b'{"a":"' + b"x" * (2 << 20) + b'"}'),
    ],
)
async def test_an_answer_without_use_is_an_outage(
    endpoint: TokenEndpoint, sign_in_at: Make, answer: Callable[[], web.StreamResponse]
) -> None:
    endpoint.answers.append(answer)
    sign_in = sign_in_at()
    with pytest.raises(Unreachable) as caught:
        await sign_in.token()
    assert not caught.value.sent
    assert (await sign_in.token()).access_token == "token-2"


async def test_silence_and_a_closed_port_are_outages(endpoint: TokenEndpoint, sign_in_at: Make) -> None:
    endpoint.gate.clear()
    with pytest.raises(Unreachable, match="no answer in time"):
        await sign_in_at(timeout_seconds=0.05).token()
    with pytest.raises(Unreachable, match="cannot connect") as caught:
        await sign_in_at(login_url="http://127.0.0.1:1").token()
    assert not caught.value.sent


async def test_a_redirect_is_not_followed_with_secrets(endpoint: TokenEndpoint, sign_in_at: Make) -> None:
    elsewhere = {"Location": f"{endpoint.url}/services/oauth2/token"}
    endpoint.answers.append(lambda: web.Response(status=307, headers=elsewhere))
    with pytest.raises(Unreachable, match=r"salesforce\.login_url"):
        await sign_in_at().token()
    assert len(endpoint.forms) == 1


@pytest.mark.parametrize("instance_url", ["http://na1.salesforce.com", "ftp://x", "", None, "https://", "https://x:port"])
async def test_a_token_for_an_unsafe_address_is_not_used(
    endpoint: TokenEndpoint, sign_in_at: Make, instance_url: str | None
) -> None:
    endpoint.answers.append(lambda: web.json_response({"access_token": "t", "instance_url": instance_url}))
    with pytest.raises(AuthRefused, match="instance_url"):
        await sign_in_at().token()


@pytest.mark.parametrize(("ahead", "words"), [(400, "400 s ahead of"), (-400, "400 s behind"), (5, "connected app")])
async def test_a_jwt_refused_under_a_wrong_clock_says_so(
    endpoint: TokenEndpoint, sign_in_at: Make, ahead: float, words: str
) -> None:
    clock = FakeClock()
    date = format_datetime(datetime.fromtimestamp(clock.now() - ahead, UTC), usegmt=True)
    endpoint.refuse(400, "invalid_grant", "expired authorization code", Date=date)
    sign_in = sign_in_at(flow="jwt", clock=clock)
    with pytest.raises(AuthRefused) as caught:
        await sign_in.token()
    assert words in caught.value.hint
    assert (await sign_in.token()).access_token == "token-2"
    claims = jwt.decode(endpoint.forms[-1]["assertion"], options={"verify_signature": False})
    assert claims["exp"] == int(clock.now() - ahead) + 120


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"login_url": "http://login.salesforce.com"}, "salesforce.login_url"),
        ({"login_url": "login.salesforce.com"}, "salesforce.login_url"),
        ({"login_url": "http://127.0.0.1.example.com"}, "salesforce.login_url"),
        ({"flow": "magic"}, "salesforce.flow"),
        ({"client_secret": ""}, "salesforce.client_secret"),
        ({"flow": "jwt", "private_key": ""}, "salesforce.private_key"),
        ({"flow": "jwt", "username": ""}, "salesforce.username"),
        ({"flow": "refresh_token", "refresh_token": ""}, "salesforce.refresh_token"),
        ({"flow": "password", "password": ""}, "salesforce.password"),
        ({"flow": "jwt", "private_key": "hush, no key"}, "salesforce.private_key"),
        ({"flow": "jwt", "private_key": pem(ec.generate_private_key(ec.SECP256R1()))}, "salesforce.private_key"),
    ],
)
async def test_what_cannot_work_is_told_at_the_start(sign_in_at: Make, options: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        sign_in_at(**options)
    assert "hush" not in str(caught.value)
    assert isinstance(caught.value, StreamError)


@pytest.mark.parametrize("host", ["https://login.salesforce.com", "http://localhost:1", "http://127.0.0.2:1", "http://[::1]:1"])
async def test_https_and_loopback_are_accepted(sign_in_at: Make, host: str) -> None:
    assert host in repr(sign_in_at(login_url=host))
