"""The tables of the matrix: each way in which a call can go wrong, and what may become of a record by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from sandbox.faults import Action
from stream.marketo.codes import RULES

DAY = 86400.0
PAGE = "<html><body>Somebody else's words</body></html>"


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One way to fail.

    `down`: the whole service goes away at this call for a while, and its name cannot be resolved either. `ahead_seconds`: the
    machine's clock is set while the call is under way, and right again afterwards.
    """

    name: str
    action: Action = "respond"
    status: int = 200
    body: Any = PAGE
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    down: bool = False
    ahead_seconds: float = 0.0
    code: str = ""

    @property
    def works(self) -> bool:
        """Whether what was asked for is done all the same, or looks as if there were nothing to do."""
        return self.action in {"rewrite", "reset_after", "hang_after", "truncate", "delay"} or self.code == "702"

    @property
    def claims_success(self) -> bool:
        """Whether Marketo says that it has done what it has not."""
        return self.action == "respond" and isinstance(self.body, dict) and self.body.get("success") is True

    @property
    def sort(self) -> str:
        """What it has in common with others: of each sort one is tried at every call, also where not everything is."""
        if self.down or self.ahead_seconds:
            return self.name
        if self.code:
            return "code"
        if self.status != 200:
            return "HTTP 5xx" if self.status >= 500 else "HTTP"
        return "shape" if self.action in {"respond", "rewrite"} else self.action


WIRE = (
    Way("the service is down, and its name unknown", "hang", down=True),
    Way("reset before the work", "reset_before"),
    Way("reset after the work", "reset_after"),
    Way("hang before the work", "hang"),
    Way("hang after the work", "hang_after"),
    Way("truncated", "truncate"),
    Way("slow", "delay", seconds=0.2),
    Way("the clock is set ahead", "delay", seconds=0.1, ahead_seconds=DAY),
    Way("the clock is set back", "delay", seconds=0.1, ahead_seconds=-DAY),
    Way("no JSON"),
    Way("no JSON, after the work", "rewrite"),
    Way("empty", body=""),
    Way("another shape: a list", body=[]),
    Way("another shape: a number", body=7),
    Way("another shape: an empty object", body={}),
    Way("another shape: null", body=None),
)
HTTP = tuple(Way(f"HTTP {status}", status=status) for status in (301, 400, 401, 403, 404, 408, 413, 414, 429, 500, 502, 503, 504))
GATEWAY = (Way("HTTP 502 after the work", "rewrite", status=502),)
"""A redirect among them: nobody follows it with a token in hand."""


def _marketo(code: str) -> dict[str, Any]:
    return {"requestId": "1", "success": False, "errors": [{"code": code, "message": "scripted"}]}


def refusal(code: str) -> Way:
    """Marketo refuses the whole call, with this code."""
    return Way(f"code {code}", body=_marketo(code), code=code)


NO_CODES = frozenset({"401", "403", "404", "413", "414", "mismatch", "unreachable"})
"""Rows of Marketo's table that stand for something else than a code in an answer."""
CODES: Sequence[str] = (*sorted(set(RULES) - NO_CODES, key=int), "699", "799", "1999")
"""All of Marketo's codes, and three that nobody knows."""

MARKETO = (
    *WIRE,
    *HTTP,
    *GATEWAY,
    *map(refusal, CODES),
    *(Way(f"code {code} after the work", "rewrite", body=_marketo(code), code=code) for code in ("604", "608", "611", "713")),
    Way("fewer results than records", "rewrite", body={"requestId": "1", "success": True, "result": []}),
    Way("success without a result", body={"requestId": "1", "success": True}),
    Way("a result of another shape", body={"requestId": "1", "success": True, "result": {"status": "created"}}),
    Way("results without a status", "rewrite", body={"requestId": "1", "success": True, "result": [{"seq": 0}]}, code="unknown"),
    Way("an error without a code", body={"requestId": "1", "success": False, "errors": []}, code="unknown"),
)
MARKETO_TOKEN = (
    *WIRE,
    *HTTP,
    Way("no token in the answer", body={"expires_in": 3600}),
    Way("a token of another shape", body={"access_token": 7, "expires_in": "soon"}),
    Way("wrong credentials", status=401, body={"error": "invalid_client", "error_description": "Bad client credentials"}),
)


def _salesforce(code: str, status: int, message: str = "scripted") -> Way:
    name = f"{code} ({message})" if message != "scripted" else code
    return Way(name, status=status, body=[{"errorCode": code, "message": message}], code=code)


SALESFORCE = (
    *WIRE,
    *HTTP,
    *GATEWAY,
    _salesforce("REQUEST_LIMIT_EXCEEDED", 403, "TotalRequests Limit exceeded."),
    _salesforce("REQUEST_LIMIT_EXCEEDED", 403, "ConcurrentPerOrgLongTxn Limit exceeded."),
    _salesforce("INVALID_SESSION_ID", 401),
    _salesforce("UNABLE_TO_LOCK_ROW", 400),
    _salesforce("ENTITY_IS_DELETED", 404),
    _salesforce("QUERY_TIMEOUT", 400),
    _salesforce("INVALID_QUERY_LOCATOR", 400),
    _salesforce("INVALID_FIELD", 400, "No such column 'Nope' on entity 'Contact'"),
    _salesforce("INVALID_TYPE", 400),
    _salesforce("MALFORMED_QUERY", 400),
    _salesforce("NOT_FOUND", 404),
    _salesforce("INSUFFICIENT_ACCESS", 403),
    _salesforce("API_DISABLED_FOR_ORG", 403),
    _salesforce("EXCEEDED_ID_LIMIT", 400),
    _salesforce("SERVER_UNAVAILABLE", 503),
    _salesforce("UNKNOWN_EXCEPTION", 500),
    _salesforce("NEVER_HEARD_OF", 400),
    Way("records of another shape", body={"totalSize": 1, "done": True, "records": [7]}),
    Way("more to come, and not where", body={"totalSize": 1, "done": False, "records": []}),
)


def _rows(_request: web.Request, text: str, *, code: str) -> list[Any]:
    error = {"statusCode": code, "message": "scripted", "fields": []}
    return [{"success": False, "errors": [error]} for _ in orjson.loads(text)["records"]]


SALESFORCE_WRITES = (
    *SALESFORCE,
    *(
        Way(f"each row {code}", body=partial(_rows, code=code), code=code)
        for code in ("UNABLE_TO_LOCK_ROW", "REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE", "QUERY_TIMEOUT", "NEVER_HEARD_OF")
    ),
    Way("fewer results than rows", "rewrite", body=[]),
    Way("results of another shape", "rewrite", body=[7]),
)
"""Refusals of a row that are final are no fault that ends: `tests/flow/test_scores.py` has them."""


def _oauth(error: str, description: str = "scripted") -> Way:
    return Way(f"{error} ({description})", status=400, body={"error": error, "error_description": description}, code=error)


SALESFORCE_TOKEN = (
    *WIRE,
    *HTTP,
    _oauth("invalid_grant", "expired authorization code"),
    _oauth("invalid_grant", "user hasn't approved this consumer"),
    _oauth("invalid_client_id"),
    _oauth("unknown_error"),
    _oauth("server_error"),
    _oauth("invalid_request", "login rate exceeded"),
    Way("no token in the answer", body={"instance_url": "https://x.my.salesforce.com"}),
    Way("an instance_url that is not safe", body={"access_token": "t", "instance_url": "http://elsewhere.example"}),
)


def _reply(_request: web.Request, text: str, *, members: Mapping[str, Any]) -> list[Any]:
    asked = orjson.loads(text)[0]
    return [{"channel": asked["channel"], "id": asked.get("id"), **members}]


def _bayeux(name: str, error: str, **more: Any) -> Way:
    """A refusal in reply to what was asked."""
    return Way(name, body=partial(_reply, members={"successful": False, "error": error, **more}), code=error)


STREAM = (
    *WIRE,
    *HTTP,
    *GATEWAY,
    _bayeux("401", "401::Authentication invalid"),
    _bayeux("401 within 403", "403::Handshake denied", ext={"sfdc": {"failureReason": "401::Authentication invalid"}}),
    _bayeux("402 unknown client", "402::Unknown client", advice={"reconnect": "handshake"}),
    _bayeux("403 unknown client", "403::Unknown client", advice={"reconnect": "handshake", "interval": 0}),
    _bayeux("400 the replay id is refused", "400::The replayId {9} you provided was invalid.  Please provide a valid ID"),
    _bayeux("403 daily events", "403::Organization total events daily limit exceeded"),
    _bayeux("403 subscribe refused", "403:denied_by_security_policy:create_denied"),
    _bayeux("503 busy", "503::Server is too busy"),
    _bayeux("an error nobody knows", "499::Whatever"),
    _bayeux("advice not to come back", "403::Whatever", advice={"reconnect": "none"}),
    Way("the server's farewell", body=[{"channel": "/meta/disconnect"}]),
    Way("advice of a handshake", body=partial(_reply, members={"successful": True, "advice": {"reconnect": "handshake"}})),
    Way("no reply among the messages", body=[{"channel": "/meta/nobody", "successful": True}]),
    Way("messages of another shape", body=[{"no": "channel"}, 7]),
)
