"""Marketo's lead database over REST: sync, delete, find, describe, activities, usage.

Every call takes from the daily budget and passes the gate. Only a refused token is renewed and the call repeated, once; every
other failure is raised: Unreachable, AuthRefused, BudgetSpent, or AnswerRefused (a MarketoError) for `outcomes` to judge.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

import aiohttp

from stream.budgets.budget import DailyBudget
from stream.clock import Clock
from stream.errors import MarketoError, Unreachable
from stream.marketo.answers import Describe, Page, RecordResult, activity_of, align, describe_of, usage_of
from stream.marketo.identity import Identity, Token
from stream.marketo.limits import Gate
from stream.marketo.wire import Answer, AnswerRefused, Request, dumps, read_answer, translated
from stream.server_clock import ServerClock

MarketoObject = Literal["salespersons", "companies", "leads", "opportunities", "opportunities/roles"]
SyncAction = Literal["createOrUpdate", "updateOnly", "createOnly", "createDuplicate"]

MOST_RECORDS = 300
MOST_BODY_BYTES = 1_000_000  # Marketo answers 413 above 1 MB
ENVELOPE_BYTES = 1_000  # what surrounds the records in a body: action, lookup field, partition
MOST_ACTIVITY_TYPES = 10
MOST_MERGED = 25
MOST_PAGES = 200  # 60,000 records for 300 values: a paging that goes on beyond this does not end
TOKEN_CODES = frozenset({"601", "602"})
NO_DATA_CODE = "702"
NO_SUCH_CALL_CODES = frozenset({"404", "610"})
NATIVE_CRM_CODE = "1018"
ROLES_PATH = "/rest/v1/opportunities/roles"


class _Content(TypedDict, total=False):
    body: bytes
    form: Mapping[str, str]
    records: int


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds a call may take: each is longer than Marketo's own timeout for it, so that Marketo speaks first."""

    sync_leads: float = 100.0
    write: float = 70.0
    query: float = 70.0
    paging_token: float = 310.0
    other: float = 40.0
    connect: float = 15.0
    merge: float = 190.0


def record_bytes(record: Mapping[str, Any]) -> int:
    """What one record adds to a body, its comma included."""
    return len(dumps(record)) + 1


def body_bytes(records: Sequence[Mapping[str, Any]]) -> int:
    """The size of a body with these records, rather too large than too small; to be kept within MOST_BODY_BYTES."""
    return ENVELOPE_BYTES + len(dumps(records))


class MarketoClient:
    """One Marketo instance, as one API user sees it."""

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secret: str,
        *,
        session: aiohttp.ClientSession,
        gate: Gate,
        budget: DailyBudget,
        clock: Clock,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._session = session
        self.server_clock = ServerClock(clock)
        self._gate = gate
        self._budget = budget
        self._timeouts = timeouts or Timeouts()
        self._identity = Identity(
            base_url, client_id, client_secret, session=session, clock=clock, timeout_seconds=self._timeouts.other
        )

    def __repr__(self) -> str:
        """Which instance, and none of its secrets."""
        return f"MarketoClient({self._base_url})"

    async def sync(
        self,
        obj: MarketoObject,
        records: Sequence[Mapping[str, Any]],
        *,
        action: SyncAction = "createOrUpdate",
        lookup_field: str | None = None,
        partition: str | None = None,
    ) -> list[RecordResult]:
        """Upsert at most 300 records; the results stand in the records' order. The last two are for leads only."""
        if obj != "leads" and (lookup_field or partition):
            raise ValueError(f"{obj} take neither a lookup field nor a partition")
        keyed = {"dedupeBy": "dedupeFields"} if obj != "leads" else {"lookupField": lookup_field, "partitionName": partition}
        body = {"action": action, **{name: value for name, value in keyed.items() if value}}
        seconds = self._timeouts.sync_leads if obj == "leads" else self._timeouts.write
        return await self._write(obj, f"/rest/v1/{obj}.json", body, records, seconds)

    async def delete(self, obj: MarketoObject, keys: Sequence[Mapping[str, Any]]) -> list[RecordResult]:
        """Delete at most 300 records, named by their dedupe fields (leads: by `id`); results in the keys' order."""
        body = {} if obj == "leads" else {"deleteBy": "dedupeFields"}
        return await self._write(obj, f"/rest/v1/{obj}/delete.json", body, keys, self._timeouts.write)

    async def merge(self, winner: str, losers: Sequence[str]) -> None:
        """Merge at most 25 people into another. Refused as a whole: nothing has been merged then, or everything."""
        _at_most(MOST_MERGED, losers, "people")
        path = f"/rest/v1/leads/{winner}/merge.json"
        await self._call(Request("POST", path, self._timeouts.merge, {"leadIds": ",".join(losers)}))

    async def find(
        self, obj: MarketoObject, filter_type: str, values: Sequence[str], fields: Sequence[str]
    ) -> list[dict[str, Any]]:
        """The records whose `filter_type` is one of at most 300 values, from all pages.

        A value that is empty or holds a comma, which separates values, cannot be asked for and finds nothing.
        """
        _at_most(MOST_RECORDS, values, "values")
        asked = [value for value in dict.fromkeys(values) if value and "," not in value]
        if not asked:
            return []
        form = {"filterType": filter_type, "filterValues": ",".join(asked), "fields": ",".join(fields), "batchSize": "300"}
        return await self._pages(obj, lambda page: {"form": {**form, **page}, "records": len(asked)})

    async def find_roles(self, keys: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> list[dict[str, Any]]:
        """The opportunity roles with these compound keys (externalOpportunityId, leadId, role), at most 300."""
        _at_most(MOST_RECORDS, keys, "keys")
        if not keys:
            return []
        body = {"filterType": "dedupeFields", "fields": list(fields), "input": list(keys), "batchSize": MOST_RECORDS}
        return await self._pages("opportunities/roles", lambda page: {"body": dumps({**body, **page}), "records": len(keys)})

    async def describe(self, obj: MarketoObject) -> Describe:
        """The object's fields on this instance. Refused for opportunity roles where native CRM sync is on."""
        path = f"/rest/v1/{obj}/describe{'2' if obj == 'leads' else ''}.json"
        return describe_of(path, (await self._read(path)).result)

    async def activity_types(self) -> Mapping[str, int]:
        """The ids of the activity types by their names."""
        rows = (await self._read("/rest/v1/activities/types.json")).result
        return {str(row["name"]): row["id"] for row in rows if "name" in row and isinstance(row.get("id"), int)}

    async def paging_token(self, since: datetime) -> str:
        """A token for the activities after this moment, which must name its zone."""
        if since.tzinfo is None:
            raise ValueError("a paging token needs a moment with a time zone")
        path, moment = "/rest/v1/activities/pagingtoken.json", since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        answer = await self._read(path, {"sinceDatetime": moment}, self._timeouts.paging_token)
        if not answer.next_token:
            raise Unreachable(f"{path}: the answer holds no token")
        return answer.next_token

    async def activities(self, token: str, type_ids: Sequence[int]) -> Page:
        """The next activities of at most ten types. A page may be empty and still say that there is more."""
        _at_most(MOST_ACTIVITY_TYPES, type_ids, "activity types")
        path, types = "/rest/v1/activities.json", ",".join(map(str, type_ids))
        answer = await self._read(path, {"nextPageToken": token, "activityTypeIds": types, "batchSize": str(MOST_RECORDS)})
        if answer.more and answer.next_token in {"", token}:
            raise Unreachable(f"{path}: the answer says that there is more, and not where")
        found = [activity for row in answer.result if (activity := activity_of(row))]
        return Page(found, answer.next_token or token, answer.more is True)

    async def partitions(self) -> frozenset[str]:
        """The names of the partitions that people may lie in."""
        rows = (await self._read("/rest/v1/leads/partitions.json")).result
        return frozenset(str(row["name"]) for row in rows if row.get("name"))

    async def usage_today(self) -> int:
        """The calls that all integrations of this instance made today."""
        return usage_of((await self._read("/rest/v1/stats/usage.json")).result)

    async def _write(
        self, obj: MarketoObject, path: str, body: Mapping[str, Any], records: Sequence[Mapping[str, Any]], seconds: float
    ) -> list[RecordResult]:
        _at_most(MOST_RECORDS, records, "records")
        if not records:
            return []
        request = Request("POST", path, seconds, body=dumps({**body, "input": list(records)}), records=len(records))
        answer = await self._call(request)
        return align(request.endpoint, answer.result, len(records), by_seq=obj != "leads")

    async def _read(self, path: str, params: Mapping[str, str] | None = None, seconds: float | None = None) -> Answer:
        return await self._call(Request("GET", path, seconds or self._timeouts.other, params or {}), empty=NO_DATA_CODE)

    async def _pages(self, obj: MarketoObject, content: Callable[[Mapping[str, str]], _Content]) -> list[dict[str, Any]]:
        """All pages of a query, which is sent as POST because 300 values do not fit in a URI."""
        path, rows, page, seen = f"/rest/v1/{obj}.json", list[dict[str, Any]](), dict[str, str](), set[str]()
        while len(seen) < MOST_PAGES:
            request = Request("POST", path, self._timeouts.query, {"_method": "GET"}, **content(page))
            answer = await self._call(request, empty=NO_DATA_CODE)
            rows += answer.result
            if not answer.next_token or answer.more is False:
                return rows
            if answer.next_token in seen:
                break
            seen.add(answer.next_token)
            page = {"nextPageToken": answer.next_token}
        raise Unreachable(f"{path}: the pages do not end")

    async def _call(self, request: Request, *, empty: str = "") -> Answer:
        """One call, repeated once where Marketo refused the token. An answer with the code `empty` is an empty one."""
        token = await self._identity.token()
        try:
            try:
                return await self._send(request, token)
            except MarketoError as error:
                if error.code not in TOKEN_CODES:
                    raise
            return await self._send(request, await self._identity.renewed(token))
        except MarketoError as error:
            if error.code != empty:
                raise
            return Answer()

    async def _send(self, request: Request, token: Token) -> Answer:
        self._budget.take()
        async with self._gate.call() as place:
            try:
                async with translated(request.endpoint), self._request(request, token) as response:
                    self.server_clock.note(response.headers.get("Date"))
                    answer = await read_answer(request.endpoint, response)
                self._gate.answered(place, request.kind, request.records)
                return answer
            except AnswerRefused as error:
                self._gate.refused(error.code, place, request.kind, request.records)
                if error.code in NO_SUCH_CALL_CODES and request.path.startswith(ROLES_PATH):
                    error.code = NATIVE_CRM_CODE  # where native CRM sync is on, calls for roles are missing instead of refused
                raise

    def _request(self, request: Request, token: Token) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {"Authorization": f"Bearer {token.text}"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        return self._session.request(
            request.method,
            self._base_url + request.path,
            params=request.params,
            data=request.form if request.body is None else io.BytesIO(request.body),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=request.seconds, sock_connect=self._timeouts.connect),
            allow_redirects=False,
        )


def _at_most(most: int, values: Sequence[object], what: str) -> None:
    if len(values) > most:
        raise ValueError(f"{len(values)} {what} in one call; at most {most}")
