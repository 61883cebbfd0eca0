"""Salesforce over REST: describe, read by id, query, count, update, limits; and the call itself, for the Bulk API.

    token ▶ budget ▶ request ▶ bounded JSON ▶ typed values, or an error that says whether trying again can help

Only a refused token is renewed and the call repeated, once. Every other retry is the caller's. Raised: Unreachable, AuthRefused,
BudgetSpent, DailyLimit, and CallRefused (a SalesforceError) with Salesforce's errorCode; ValueError for what must not be sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import aiohttp
import orjson

from stream.budgets.budget import DailyBudget
from stream.clock import Clock
from stream.errors import AuthRefused, Unreachable
from stream.json_text import loads
from stream.salesforce.bounded import read_bounded, translated
from stream.salesforce.rest_answers import (
    CallRefused,
    FieldDescribe,
    Limit,
    ObjectDescribe,
    RowResult,
    SessionRefused,
    api_usage,
    count_of,
    describe_of,
    limits_of,
    page_of,
    records_of,
    refusal,
    results_of,
)
from stream.salesforce.soql import MOST_URI_BYTES, check_id, check_name, select_count, uri_bytes
from stream.server_clock import ServerClock

__all__ = ["CallRefused", "FieldDescribe", "Limit", "ObjectDescribe", "RowResult", "SalesforceClient", "SignIn", "Token"]

MOST_READ = 2000
MOST_WRITTEN = 200
MOST_ANSWER_BYTES = 64 * 1024 * 1024
CONNECT_SECONDS = 15.0
TOTAL_SECONDS = 120.0
_LOCATOR = re.compile(r"(?<=/query)/.*|(?<=/queryAll)/.*")  # a further page's place in a nextRecordsUrl
RESERVE_SHARE_MOST = 0.1  # of a small org's calls
TOLD_SECONDS = 900.0  # the calls of 24 hours ago run out of the window all the time (Salesforce, API request limits)
OTHERS = "all integrations together have used the org's daily calls up to its reserve"
SUCCESS = frozenset({200, 201, 204})
WRITE_HEADERS = {"Sforce-Auto-Assign": "FALSE", "Sforce-Duplicate-Rule-Header": "allowSave=true"}

T = TypeVar("T")
Read = Callable[[aiohttp.ClientResponse], Awaitable[T]]


class Token(Protocol):
    """An access token, and where it is good."""

    @property
    def access_token(self) -> str:
        """The token's text."""
        ...

    @property
    def instance_url(self) -> str:
        """The org's own address."""
        ...


class SignIn(Protocol):
    """Gives access tokens; `renew` is told which one was refused, so that several callers renew it once.

    Where it raises Unreachable, `sent` is False: the call that needed the token was not made.
    """

    async def token(self) -> Token:
        """The current token."""
        ...

    async def renew(self, stale: Any) -> Token:
        """A token other than this one, which `token` or `renew` gave."""
        ...


@dataclass(frozen=True, slots=True)
class _Request:
    """One call; its endpoint names it in messages, without any value that was asked for."""

    method: str
    path: str
    params: Mapping[str, str] | None = field(repr=False)
    payload: bytes | None = field(repr=False)
    headers: Mapping[str, str]
    seconds: float

    @property
    def endpoint(self) -> str:
        return _endpoint(self.method, self.path)


class SalesforceClient:
    """One Salesforce org, as one API user sees it; `base` is the path of its API.

    `api_usage` is what the last answer told: calls used, calls allowed.
    """

    def __init__(
        self,
        sign_in: SignIn,
        session: aiohttp.ClientSession,
        *,
        api_version: str,
        client_name: str,
        budget: DailyBudget,
        clock: Clock,
        total_seconds: float = TOTAL_SECONDS,
        server_clock: ServerClock | None = None,
        reserve_calls: int = 0,
    ) -> None:
        self._sign_in = sign_in
        self._session = session
        self.base = f"/services/data/v{api_version}"
        self._headers = {"Sforce-Call-Options": f"client={client_name}"}
        self._budget = budget
        self._clock = clock
        self._total_seconds = total_seconds
        self.reserve_calls = reserve_calls
        self.server_clock = server_clock or ServerClock(clock)
        self.api_usage: tuple[int, int] | None = None
        self.api_usage_at: float | None = None

    async def describe(self, obj: str) -> ObjectDescribe:
        """The object's fields, as far as the signed-in user may see them."""
        path = f"{self.base}/sobjects/{check_name(obj)}/describe"
        return describe_of(path, await self.call("GET", path))

    async def read(self, obj: str, ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any] | None]:
        """At most 2,000 records in the order of their ids; None for one that is deleted or not to be seen."""
        _at_most(MOST_READ, ids)
        if not ids:
            return []
        asked = list(dict.fromkeys(check_id(one) for one in ids))
        path = f"{self.base}/composite/sobjects/{check_name(obj)}"
        body = {"ids": asked, "fields": [check_name(field) for field in fields]}
        found = dict(zip(asked, records_of(path, asked, await self.call("POST", path, body=body)), strict=True))
        return [found[one] for one in ids]

    async def query(self, soql: str, *, deleted: bool = False) -> AsyncIterator[list[dict[str, Any]]]:
        """A query's rows, a page at a time; with `deleted`, those in the recycle bin too. Nothing is held between pages."""
        _fits_uri(soql)
        first = f"{self.base}/{'queryAll' if deleted else 'query'}"
        rows, following = page_of(first, await self.call("GET", first, params={"q": soql}))
        seen: set[str] = set()
        while True:
            yield rows
            if not following:
                return
            if following in seen:
                raise Unreachable(f"{first}: the pages do not end")
            seen.add(following)
            rows, following = page_of(first, await self.call("GET", following))

    async def count(self, obj: str, where: str = "", *, deleted: bool = False) -> int:
        """How many records a query would give; with `deleted`, those in the recycle bin too."""
        soql, path = select_count(obj, where), f"{self.base}/{'queryAll' if deleted else 'query'}"
        _fits_uri(soql)
        return count_of(path, await self.call("GET", path, params={"q": soql}))

    async def update(self, obj: str, rows: Sequence[Mapping[str, Any]]) -> list[RowResult]:
        """Write at most 200 records, each with its `Id`; a refused one does not hold up the others."""
        _at_most(MOST_WRITTEN, rows)
        if not rows:
            return []
        ids = [check_id(str(row.get("Id", ""))) for row in rows]
        records = [{"attributes": {"type": check_name(obj)}, **row} for row in rows]
        path = f"{self.base}/composite/sobjects"
        body = await self.call("PATCH", path, body={"allOrNone": False, "records": records}, headers=WRITE_HEADERS)
        return results_of(path, ids, body)

    async def limits(self) -> Mapping[str, Limit]:
        """The org's allowances by Salesforce's names (DailyApiRequests, DailyDeliveredPlatformEvents …)."""
        path = f"{self.base}/limits"
        return limits_of(path, await self.call("GET", path))

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON of one call."""

        async def whole(response: aiohttp.ClientResponse) -> Any:
            endpoint = _endpoint(method, path)
            answer = loads(await read_bounded(response, MOST_ANSWER_BYTES, what=endpoint))
            if answer is None:
                raise Unreachable(f"{endpoint}: the answer is no JSON")
            return answer

        return await self.ask(method, path, whole, params=params, body=body, headers=headers)

    async def ask(
        self,
        method: str,
        path: str,
        read: Read[T],
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> T:
        """One call, its answer (a success) read by `read`; repeated once with a new token where Salesforce refused the old one.

        The answer may take so many `seconds` in all, and may pause no longer than any other answer takes.
        """
        payload = None if body is None else _dumps(body)
        longest = self._total_seconds if seconds is None else seconds
        request = _Request(method, path, params, payload, {**self._headers, **(headers or {})}, longest)
        token = await self._sign_in.token()
        try:
            return await self._send(request, token, read)
        except SessionRefused:
            token = await self._sign_in.renew(token)
        try:
            return await self._send(request, token, read)
        except SessionRefused as refused:
            hint = "look at the connected app's policies and the user's session settings and permissions"
            raise AuthRefused(f"{refused.message}: Salesforce refuses a token it has just given", hint=hint) from refused

    async def _send(self, request: _Request, token: Token, read: Read[T]) -> T:
        self._budget.take()
        async with translated(request.endpoint), self._begin(request, token) as response:
            self.server_clock.note(response.headers.get("Date"))
            self._note_usage(response)
            if response.status in SUCCESS:
                return await read(response)
            body = loads(await read_bounded(response, MOST_ANSWER_BYTES, what=request.endpoint))
            raise refusal(request.endpoint, response.status, body)

    def _begin(self, request: _Request, token: Token) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {**request.headers, "Authorization": f"Bearer {token.access_token}"}
        if request.payload is not None:
            headers["Content-Type"] = "application/json"
        return self._session.request(
            request.method,
            token.instance_url.rstrip("/") + request.path,
            params=request.params,
            data=request.payload,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=request.seconds, sock_connect=CONNECT_SECONDS, sock_read=self._total_seconds),
            allow_redirects=False,
        )

    def _note_usage(self, response: aiohttp.ClientResponse) -> None:
        usage = api_usage(response.headers.get("Sforce-Limit-Info"))
        if usage is not None:
            self.api_usage, self.api_usage_at = usage, self._clock.now()
            used, allowed = usage
            reserve = min(self.reserve_calls, int(allowed * RESERVE_SHARE_MOST))
            if response.status in SUCCESS:
                self._budget.told(allowed - used - reserve, OTHERS, for_seconds=TOLD_SECONDS)


def _endpoint(method: str, path: str) -> str:
    return f"{method} {_LOCATOR.sub('', path)}"


def _at_most(most: int, values: Sequence[object]) -> None:
    if len(values) > most:
        raise ValueError(f"{len(values)} records in one call; at most {most}")


def _fits_uri(soql: str) -> None:
    if uri_bytes(soql) > MOST_URI_BYTES:
        raise ValueError(f"the query takes {uri_bytes(soql)} bytes of a URI; at most {MOST_URI_BYTES}")


def _dumps(value: Any) -> bytes:
    """JSON in UTF-8. Half a character, cut in two by a length, becomes a question mark."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False).encode(errors="replace")
