"""Sign-in: one token at a time, the same until it ends, taken from the Authorization header only."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.marketo.answers import Refused


@dataclass(slots=True)
class Identity:
    """The custom service's credentials and its current token. `lifetime_seconds` goes for tokens issued from now on."""

    now: Callable[[], float]
    client_id: str
    client_secret: str
    lifetime_seconds: float = 3600.0
    scope: str = "msi-stream@api.example"
    issued: int = 0
    asked: int = 0
    _token: str = ""
    _ends: float = 0.0
    _expired: set[str] = field(default_factory=set)

    def token(self, parameters: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """HTTP status and body for a token request: 200, or 401 with `error` and `error_description`."""
        self.asked += 1
        if parameters.get("grant_type") != "client_credentials":
            return 401, _no("unsupported_grant_type", "Unsupported grant type")
        if parameters.get("client_id") != self.client_id:
            return 401, _no("unauthorized", "No client with requested id")
        if parameters.get("client_secret") != self.client_secret:
            return 401, _no("invalid_client", "Bad client credentials")
        if not self._token or self.now() >= self._ends:
            self._issue()
        left = max(0, math.floor(self._ends - self.now()))
        return 200, {"access_token": self._token, "token_type": "bearer", "expires_in": left, "scope": self.scope}

    def check(self, token: str | None) -> None:
        """Raises Refused: 600 no token, 601 not ours, 602 expired."""
        if not token:
            raise Refused("600", "Access token not specified")
        if token in self._expired or (token == self._token and self.now() >= self._ends):
            raise Refused("602", "Access token expired")
        if token != self._token:
            raise Refused("601", "Access token invalid")

    def expire_token(self) -> None:
        """The current token ends now: it gets 602."""
        if self._token:
            self._expired.add(self._token)
        self._token = ""

    def revoke_token(self) -> None:
        """The current token is no longer known: it gets 601."""
        self._token = ""

    def _issue(self) -> None:
        self.expire_token()
        self.issued += 1
        self._token = f"{uuid.UUID(int=self.issued << 96)}:int"
        self._ends = self.now() + self.lifetime_seconds


def _no(error: str, description: str) -> dict[str, Any]:
    return {"error": error, "error_description": description}
