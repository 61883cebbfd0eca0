"""Marketo's sign-in: one access token for all callers, renewed by one of them at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from stream.clock import Clock
from stream.errors import AuthRefused, Unreachable
from stream.marketo.wire import read_json, translated

TOKEN_PATH = "/identity/oauth/token"  # noqa: S105 - a path, not a secret
RENEW_BEFORE_SECONDS = 60.0
UNSTATED_LIFE_SECONDS = 300.0
TRY_AGAIN = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """An access token as one answer gave it. Two answers may hold the same text: they are told apart by identity."""

    text: str = field(repr=False)
    renew_at: float


class Identity:
    """Gives the current access token. Raises AuthRefused where the credentials are refused, Unreachable for outages.

    An Unreachable from here always says `sent=False`: the call that needed the token was not made.
    """

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secret: str,
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        timeout_seconds: float = 40.0,
    ) -> None:
        self._url = base_url.rstrip("/") + TOKEN_PATH
        self._form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        self._session = session
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._token: Token | None = None
        self._renewal = asyncio.Lock()

    def __repr__(self) -> str:
        """Where the token comes from, and neither the token nor the credentials."""
        return f"Identity({self._url})"

    async def token(self) -> Token:
        """The cached token, or a new one where it is about to expire."""
        async with self._renewal:
            if self._token is None or self._clock.monotonic() >= self._token.renew_at:
                self._token = await self._ask()
            return self._token

    async def renewed(self, refused: Token) -> Token:
        """The token to use after Marketo refused this one; asked for only by the first of several callers."""
        async with self._renewal:
            if self._token is None or self._token is refused:
                self._token = await self._ask()
            return self._token

    async def _ask(self) -> Token:
        asked_at = self._clock.monotonic()
        async with translated("the sign-in at Marketo", always_unsent=True):
            request = self._session.post(self._url, data=self._form, timeout=self._timeout, allow_redirects=False)
            async with request as response:
                if 400 <= response.status < 500 and response.status not in TRY_AGAIN:
                    raise _refusal(response.status)
                answer = await read_json(response)
        text = answer.get("access_token")
        if not isinstance(text, str) or not text:
            raise Unreachable("the sign-in at Marketo was answered without a token", sent=False)
        return Token(text, renew_at=asked_at + _use_seconds(answer.get("expires_in")))


def _use_seconds(expires_in: Any) -> float:
    """How long a token is used. Marketo gives out the same token until it expires, so asking in its last minute is in vain."""
    try:
        life = float(expires_in)
    except (TypeError, ValueError):
        life = UNSTATED_LIFE_SECONDS
    return life - RENEW_BEFORE_SECONDS if life > RENEW_BEFORE_SECONDS else max(life, 1.0)


def _refusal(status: int) -> AuthRefused:
    return AuthRefused(
        f"Marketo refused the sign-in (HTTP {status})",
        hint="compare marketo.base_url, client_id and client_secret with the LaunchPoint service in Marketo's Admin",
    )
