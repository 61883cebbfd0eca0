"""The REST API beside records: versions, limits, describe, and queries with their pages."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.salesforce.access import SetupTables
from sandbox.salesforce.describe import describe_global, describe_object
from sandbox.salesforce.errors import Refused
from sandbox.salesforce.gate import VERSIONS, read_options
from sandbox.salesforce.ids import mint_id
from sandbox.salesforce.oauth import json_response
from sandbox.salesforce.org import Org
from sandbox.salesforce.query import run
from sandbox.salesforce.soql import parse

ROOT = r"/services/data/v{version:\d+\.\d+}"
PAGE_MAX = 2_000
PAGE_MIN = 200
CURSORS_MAX = 10


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The rest of a query: its records are those of the moment it was asked."""

    records: list[dict[str, Any]]
    size: int


class Rest:
    """Queries and descriptions. `page_size` is the most records a page has; a client may ask for fewer (not below 200)."""

    def __init__(self, org: Org) -> None:
        self.page_size = PAGE_MAX
        self._org = org
        self._cursors: OrderedDict[str, _Cursor] = OrderedDict()
        self._cursor_count = 0
        self._setup = SetupTables(org.access, org.publisher, org.api_user_id)

    def routes(self) -> list[web.RouteDef]:
        """The HTTP endpoints."""
        return [
            web.get("/services/data{slash:/?}", self._versions),
            web.get(f"{ROOT}{{slash:/?}}", self._resources),
            web.get(f"{ROOT}/limits{{slash:/?}}", self._limits),
            web.get(f"{ROOT}/sobjects{{slash:/?}}", self._describe_global),
            web.get(f"{ROOT}/sobjects/{{object}}/describe{{slash:/?}}", self._describe),
            web.get(f"{ROOT}/tooling/query{{slash:/?}}", self._tooling),
            web.get(f"{ROOT}/query{{slash:/?}}", self._query),
            web.get(f"{ROOT}/queryAll{{slash:/?}}", self._query),
            web.get(f"{ROOT}/query/{{locator}}", self._more),
            web.get(f"{ROOT}/queryAll/{{locator}}", self._more),
        ]

    async def _versions(self, _request: web.Request) -> web.Response:
        return json_response([{"label": f"API {v}", "url": f"/services/data/v{v}", "version": v} for v in VERSIONS])

    async def _resources(self, request: web.Request) -> web.Response:
        base = f"/services/data/v{request.match_info['version']}"
        names = ("sobjects", "query", "queryAll", "limits", "composite", "jobs", "tooling")
        identity = f"{request.url.origin()}/id/{self._org.org_id}/{self._org.api_user_id}"
        return json_response({**{name: f"{base}/{name}" for name in names}, "identity": identity})

    async def _limits(self, _request: web.Request) -> web.Response:
        calls, events, jobs = self._org.api_calls, self._org.delivered_events, self._org.bulk_query_jobs
        event_limit = events.limit if events.limit is not None else 50_000
        answer = {
            "DailyApiRequests": {"Max": calls.limit, "Remaining": calls.left},
            "DailyBulkApiBatches": {"Max": 15_000, "Remaining": 15_000},
            "DailyBulkV2QueryJobs": {"Max": jobs.limit, "Remaining": jobs.left},
            "DailyDeliveredPlatformEvents": {"Max": event_limit, "Remaining": max(event_limit - events.used, 0)},
            "StreamingApiConcurrentClients": {"Max": 2_000, "Remaining": 2_000},
        }
        return json_response(answer)

    async def _describe_global(self, request: web.Request) -> web.Response:
        return json_response(describe_global(self._org, request.match_info["version"]))

    async def _describe(self, request: web.Request) -> web.Response:
        kind = self._org.type_named(request.match_info["object"])
        return json_response(describe_object(self._org, kind, request.match_info["version"]))

    async def _query(self, request: web.Request) -> web.Response:
        text = request.query.get("q")
        if text is None:
            raise Refused("MALFORMED_QUERY", "A query string has to be specified")
        version = request.match_info["version"]
        verb = "queryAll" if "/queryAll" in request.path else "query"
        query = parse(text)
        if self._setup.has(query.obj):
            return _whole(self._setup.run(query, version))
        result = run(self._org, query, with_deleted=verb == "queryAll", version=version)
        size = self._page_size(request)
        answer: dict[str, Any] = {"totalSize": result.total, "done": True, "records": result.records[:size]}
        if len(result.records) > size:
            locator = self._keep(_Cursor(result.records, size))
            answer |= {"done": False, "nextRecordsUrl": f"/services/data/v{version}/{verb}/{locator}-{size}"}
        return json_response(answer)

    async def _tooling(self, request: web.Request) -> web.Response:
        text = request.query.get("q")
        if text is None:
            raise Refused("MALFORMED_QUERY", "A query string has to be specified")
        return _whole(self._setup.run_tooling(parse(text), request.match_info["version"]))

    def _page_size(self, request: web.Request) -> int:
        asked = read_options(request.headers.get("Sforce-Query-Options", "")).get("batchsize", "")
        return min(self.page_size, max(int(asked), PAGE_MIN)) if asked.isdigit() else self.page_size

    def _keep(self, cursor: _Cursor) -> str:
        self._cursor_count += 1
        locator = mint_id("01g", self._cursor_count)
        self._cursors[locator] = cursor
        while len(self._cursors) > CURSORS_MAX:
            self._cursors.popitem(last=False)
        return locator

    async def _more(self, request: web.Request) -> web.Response:
        locator, _, start = request.match_info["locator"].rpartition("-")
        cursor = self._cursors.get(locator)
        if cursor is None or not start.isdigit():
            raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator")
        self._cursors.move_to_end(locator)
        first, last = int(start), int(start) + cursor.size
        answer: dict[str, Any] = {"totalSize": len(cursor.records), "done": True, "records": cursor.records[first:last]}
        if last < len(cursor.records):
            url = request.path.rpartition("/")[0]
            answer |= {"done": False, "nextRecordsUrl": f"{url}/{locator}-{last}"}
        return json_response(answer)


def _whole(rows: list[dict[str, Any]]) -> web.Response:
    return json_response({"size": len(rows), "totalSize": len(rows), "done": True, "records": rows})
