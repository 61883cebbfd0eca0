"""Salesforce's sign-in: four OAuth flows, one access token for all callers, renewed by one of them at a time.

    flow ▶ form ▶ POST {login_url}/services/oauth2/token ▶ Token, or AuthRefused · Unreachable

Salesforce names no lifetime: a token is used until it is refused. An Unreachable from here always says `sent=False`: the call
that needed the token was not made.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import jwt
import orjson

from stream.clock import Clock
from stream.errors import AuthRefused, ConfigError, StreamError, Unreachable
from stream.salesforce.bounded import is_safe_url, read_bounded, translated
from stream.server_clock import ServerClock

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path, not a secret
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 120  # Salesforce takes at most 180: a clock may be a minute ahead, or two behind
SKEW_SECONDS_MAX = 30.0
TOTAL_SECONDS = 30.0
MOST_ANSWER_BYTES = 1 << 20
WHAT = "the sign-in at Salesforce"
NEEDED: Mapping[str, tuple[str, ...]] = {
    "jwt": ("client_id", "private_key", "username"),
    "client_credentials": ("client_id", "client_secret"),
    "refresh_token": ("client_id", "refresh_token"),
    "password": ("client_id", "client_secret", "username", "password"),
}
_TOKEN_LIKE = re.compile(r"[\w.+/=!-]{40,}")
PASSING = frozenset({"unknown_error", "server_error", "temporarily_unavailable", "rate_limit_exceeded"})  # also with HTTP 400


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """An access token as one answer gave it. Two answers may hold the same text: they are told apart by identity."""

    access_token: str = field(repr=False)
    instance_url: str


class SignIn:
    """Gives the current access token. Raises AuthRefused where the sign-in is refused, Unreachable for outages."""

    def __init__(
        self,
        *,
        login_url: str,
        flow: str,
        client_id: str,
        session: aiohttp.ClientSession,
        clock: Clock,
        client_secret: str = "",
        private_key: str = "",
        username: str = "",
        password: str = "",
        refresh_token: str = "",
        timeout_seconds: float = TOTAL_SECONDS,
        server_clock: ServerClock | None = None,
    ) -> None:
        self._login_url = login_url.rstrip("/")
        self._flow = flow
        self._given = {
            "client_id": client_id,
            "client_secret": client_secret,
            "private_key": private_key,
            "username": username,
            "password": password,
            "refresh_token": refresh_token,
        }
        self._session = session
        self._clock = clock
        self._server_clock = server_clock or ServerClock(clock)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._token: Token | None = None
        self._renewal = asyncio.Lock()
        self._answered = 0
        self._failure: StreamError | None = None
        self._check()

    def __repr__(self) -> str:
        """Where tokens come from and how, and neither a token nor a credential."""
        return f"SignIn({self._login_url}, {self._flow})"

    async def token(self) -> Token:
        """The cached token; the first caller signs in."""
        return self._token or await self._renewed(None)

    async def renew(self, stale: Token) -> Token:
        """The token to use after Salesforce refused this one. Callers at the same time share one sign-in, and its failure too."""
        return await self._renewed(stale)

    async def _renewed(self, stale: Token | None) -> Token:
        answered = self._answered
        async with self._renewal:
            if self._token is not None and self._token is not stale:
                return self._token
            if self._failure is not None and self._answered != answered:
                raise self._failure  # the sign-in that failed while this caller waited was made for this caller too
            try:
                self._token, self._failure = await self._ask(), None
            except StreamError as failure:
                self._failure = failure
                raise
            finally:
                self._answered += 1
            return self._token

    async def _ask(self) -> Token:
        url = self._login_url + TOKEN_PATH
        async with translated(WHAT, always_unsent=True):
            request = self._session.post(url, data=self._form(), timeout=self._timeout, allow_redirects=False)
            async with request as response:
                self._server_clock.note(response.headers.get("Date"))
                try:
                    text = await read_bounded(response, MOST_ANSWER_BYTES, what=WHAT)
                except Unreachable as error:
                    raise Unreachable(error.message, sent=False) from error
                return self._token_of(response, _loads_object(text))

    def _form(self) -> dict[str, str]:
        if self._flow == "jwt":
            return {"grant_type": JWT_BEARER, "assertion": self._assertion()}
        names = ("client_id", "client_secret", *NEEDED[self._flow])
        given = {name: self._given[name] for name in names if self._given[name]}
        return {"grant_type": self._flow, **given}

    def _assertion(self) -> str:
        """The signed claims, dated by Salesforce's own clock once it has been heard: ours may have been set wrong."""
        claims = {
            "iss": self._given["client_id"],
            "sub": self._given["username"],
            "aud": self._login_url,
            "exp": int(self._server_clock.now()) + ASSERTION_SECONDS,
        }
        return jwt.encode(claims, self._given["private_key"], algorithm="RS256")

    def _token_of(self, response: aiohttp.ClientResponse, answer: dict[str, Any] | None) -> Token:
        if 300 <= response.status < 400:
            raise Unreachable(
                f"{WHAT}: HTTP {response.status} points elsewhere", sent=False, hint="set salesforce.login_url to it"
            )
        if response.status >= 500 or response.status in {408, 425, 429} or answer is None:
            raise Unreachable(f"{WHAT}: HTTP {response.status} without a usable answer", sent=False)
        if response.status != 200:
            raise self._refusal(response, answer)
        access_token, instance_url = answer.get("access_token"), answer.get("instance_url")
        if not isinstance(access_token, str) or not re.fullmatch(r"[\x21-\x7e]+", access_token):
            raise Unreachable(f"{WHAT}: the answer holds no access token", sent=False)
        if not isinstance(instance_url, str) or not is_safe_url(instance_url):
            raise AuthRefused(f"{WHAT}: the answer names no https instance_url, so the token cannot be used safely")
        return Token(access_token, instance_url.rstrip("/"))

    def _refusal(self, response: aiohttp.ClientResponse, answer: Mapping[str, Any]) -> StreamError:
        error, description = (self._legible(answer.get(name)) for name in ("error", "error_description"))
        told = f"HTTP {response.status}, {error or 'no error named'}: {description or 'no description'}"
        if error in PASSING or "rate exceeded" in description.lower():
            return Unreachable(f"{WHAT}: {told}", sent=False)
        return AuthRefused(f"Salesforce refused the sign-in ({told})", hint=self._hint())

    def _legible(self, text: Any) -> str:
        """Salesforce's words, short, on one line and free of anything secret."""
        words = " ".join(str(text or "").split())
        secrets = [value for name, value in self._given.items() if value and name != "client_id"]
        for secret in sorted(secrets, key=len, reverse=True):
            words = words.replace(secret, "…")
        return _TOKEN_LIKE.sub("…", words)[:200]

    def _hint(self) -> str:
        skew = self._clock.now() - self._server_clock.now()
        if self._flow == "jwt" and abs(skew) > SKEW_SECONDS_MAX:
            way = "ahead of" if skew > 0 else "behind"
            return f"this machine's clock is {abs(skew):.0f} s {way} Salesforce's: set it right"
        return "compare salesforce.flow, client_id and its secrets with the connected app, and the user's permission to use it"

    def _check(self) -> None:
        if self._flow not in NEEDED:
            raise ConfigError(f"salesforce.flow is {self._flow!r}; expected one of {', '.join(NEEDED)}")
        if not is_safe_url(self._login_url):
            raise ConfigError("salesforce.login_url must be https; plain http is allowed only for loopback addresses")
        for name in NEEDED[self._flow]:
            if not self._given[name]:
                raise ConfigError(f'salesforce.{name} is empty; flow "{self._flow}" needs it')
        if self._flow == "jwt":
            _checked("salesforce.private_key", self._assertion)


def _checked(key: str, sign: Callable[[], str]) -> None:
    """Sign once with the key, so that a bad one is told at the start; its text stays out of the message."""
    try:
        sign()
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        raise ConfigError(f"{key} cannot sign: expected an unencrypted RSA private key in PEM") from None


def _loads_object(text: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
