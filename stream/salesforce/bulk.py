"""Bulk API 2.0 queries: one job for many records, waited for, and read page by page.

    start(soql) ▶ job id ▶ wait ▶ pages: rows, and the locator of what follows ▶ delete

A job id and a locator are plain text: whoever stores them goes on in another process, for the seven days that Salesforce keeps a
job. A page counts only when it is whole: all rows that were announced, the last one ended by its newline. Raised: what
SalesforceClient raises, and BulkJobLost.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from stream.clock import Clock
from stream.errors import BulkJobLost, StreamError, Unreachable
from stream.retry import Backoff
from stream.salesforce.bulk_rows import RowCutter, RowTyper, Torn, Unsuited
from stream.salesforce.rest import CallRefused, ObjectDescribe, SalesforceClient
from stream.salesforce.soql import check_id
from stream.watch import pulse

PAGE_RECORDS = 5_000  # two are held at a time: one is read while the other is stored
PAGE_SECONDS = 1_800.0
POLL = Backoff(least_seconds=2.0, most_seconds=60.0)
WAIT_SECONDS_MAX = 6 * 3600.0
RUNNING = frozenset({"Open", "UploadComplete", "InProgress"})
GONE_STATUSES = frozenset({400, 404, 409, 410})
CHUNK_BYTES = 1 << 16
_CODE = re.compile(r"([A-Za-z]\w*)\s*:")
_HOPELESS = re.compile(
    r"FeatureNotEnabled|FUNCTIONALITY_NOT_ENABLED|INVALID_|MALFORMED_|INSUFFICIENT_|InvalidEntity|No such column|not supported",
)

Page = tuple[list[dict[str, Any]], str]
Describe = Callable[[str], Awaitable[ObjectDescribe]]


@dataclass(frozen=True, slots=True)
class BulkJob:
    """What Salesforce says of a job. `detail` are its words about a failure: they may hold personal data."""

    id: str
    object: str
    state: str
    records: int
    detail: str = field(default="", repr=False)

    @property
    def is_running(self) -> bool:
        """Whether it may still come to an end."""
        return self.state in RUNNING


class BulkQuery:
    """Bulk queries of one org. `describe` gives an object's fields (the client's own, or a cache's)."""

    def __init__(
        self,
        client: SalesforceClient,
        clock: Clock,
        *,
        describe: Describe | None = None,
        page_records: int = PAGE_RECORDS,
        poll: Backoff = POLL,
        wait_seconds_max: float = WAIT_SECONDS_MAX,
    ) -> None:
        self._client = client
        self._clock = clock
        self._describe = describe or client.describe
        self._page_records = page_records
        self._poll = poll
        self._wait_seconds_max = wait_seconds_max
        self._base = f"{client.base}/jobs/query"

    async def start(self, soql: str, deleted: bool = True) -> str:
        """Start a query and return its job id; with `deleted`, records in the recycle bin too."""
        body = {
            "operation": "queryAll" if deleted else "query",
            "query": soql,
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }
        return _job_of(self._base, await self._client.call("POST", self._base, body=body)).id

    async def job(self, job_id: str) -> BulkJob:
        """The job as it is now. Raises BulkJobLost where Salesforce no longer knows it."""
        try:
            return _job_of(self._base, await self._client.call("GET", self._path(job_id)))
        except CallRefused as refused:
            raise _lost(refused) if refused.status == 404 else refused from refused

    async def wait(self, job_id: str) -> None:
        """Return when the job is complete. Raises BulkJobLost; Unreachable too where it takes too long, and waiting may go on."""
        began, looks = self._clock.monotonic(), 0
        while (job := await self.job(job_id)).is_running:
            looks += 1
            if self._clock.monotonic() - began >= self._wait_seconds_max:
                raise Unreachable(f"the bulk query is still {job.state} after {self._wait_seconds_max:.0f} s")
            wait_seconds = self._poll.wait_seconds(looks)
            pulse.beat(wait_seconds)
            await self._clock.sleep(wait_seconds)
        _check(job)

    async def pages(self, job_id: str, locator: str = "") -> AsyncIterator[Page]:
        """The rows of a complete job from a locator on, each page with the locator of what follows ("": that was all).

        The job is deleted when the next page is asked for after the last one, for then that one has been taken.
        """
        job = await self._complete(job_id)
        describe = await self._describe(job.object)
        left = None if locator else job.records
        seen = {locator}
        while True:
            rows, locator = await self._page(job_id, locator, describe)
            if locator and locator in seen:
                raise Unreachable("the pages of the bulk query do not end")
            seen.add(locator)
            left = None if left is None else left - len(rows)
            if left and not locator:
                raise BulkJobLost(f"the pages of the bulk query lack {left} of {job.records} records", another_helps=True)
            yield rows, locator
            if not locator:
                await self.delete(job_id)
                return

    async def delete(self, job_id: str) -> None:
        """Let Salesforce forget the job and its results, if that is to be had now: it forgets them by itself in seven days."""

        async def nothing(_response: aiohttp.ClientResponse) -> None:
            return

        with suppress(StreamError):
            await self._client.ask("DELETE", self._path(job_id), nothing)

    def _path(self, job_id: str) -> str:
        return f"{self._base}/{check_id(job_id)}"

    async def _complete(self, job_id: str) -> BulkJob:
        job = await self.job(job_id)
        if job.is_running:
            raise Unreachable(f"the bulk query is still {job.state}")
        _check(job)
        return job

    async def _page(self, job_id: str, locator: str, describe: ObjectDescribe) -> Page:
        path = f"{self._path(job_id)}/results"
        params = {"maxRecords": str(self._page_records)} | ({"locator": locator} if locator else {})

        async def read(response: aiohttp.ClientResponse) -> Page:
            return await _read_page(response, describe, self._page_records)

        try:
            return await self._client.ask("GET", path, read, params=params, headers={"Accept": "text/csv"}, seconds=PAGE_SECONDS)
        except CallRefused as refused:
            raise _lost(refused) if refused.status in GONE_STATUSES else refused from refused
        except Torn as torn:
            raise Unreachable(f"GET {path}: {torn}") from torn
        except Unsuited as unsuited:
            hint = "read this object by SOQL instead"
            raise BulkJobLost(f"GET {path}: {unsuited}", another_helps=False, hint=hint) from unsuited


async def _read_page(response: aiohttp.ClientResponse, describe: ObjectDescribe, most: int) -> Page:
    """The rows of one page, once they are all there. Raises Torn, Unsuited, and aiohttp's errors."""
    announced, following = response.headers.get("Sforce-NumberOfRecords", ""), response.headers.get("Sforce-Locator")
    if not announced.isdecimal() or not following:
        raise Torn("the answer does not say how many records it has, or what follows")
    count, cutter, typer = int(announced), RowCutter(), None
    rows: list[dict[str, Any]] = []
    async for piece in response.content.iter_chunked(CHUNK_BYTES):
        pulse.beat()
        for values in cutter.feed(piece):
            if typer is None:
                typer = RowTyper(values, describe)
                continue
            rows.append(typer.row(values))
            if len(rows) > min(count, most):
                raise Torn(f"more rows came than the {count} announced, or the {most} asked for")
    cutter.close()
    if typer is None or len(rows) != count:
        raise Torn(f"{len(rows)} rows came of {count} announced")
    return rows, "" if following == "null" else following


def _job_of(endpoint: str, body: Any) -> BulkJob:
    """A job's description. Raises Unreachable where the answer is none."""
    found = body if isinstance(body, Mapping) else {}
    texts = {name: found.get(name) for name in ("id", "object", "state")}
    if not all(isinstance(text, str) and text for text in texts.values()):
        raise Unreachable(f"{endpoint}: the answer describes no job")
    try:
        check_id(str(texts["id"]))
    except ValueError:
        raise Unreachable(f"{endpoint}: the answer's job has no id") from None
    records = found.get("numberRecordsProcessed")
    return BulkJob(
        id=str(texts["id"]),
        object=str(texts["object"]),
        state=str(texts["state"]),
        records=records if isinstance(records, int) else 0,
        detail=str(found.get("errorMessage") or ""),
    )


def _check(job: BulkJob) -> None:
    """Raises BulkJobLost for a job that ended otherwise than complete."""
    if job.state == "JobComplete":
        return
    found = _CODE.match(job.detail)
    code = found[1] if found else ""
    hopeless = job.state == "Failed" and _HOPELESS.search(job.detail) is not None
    raise BulkJobLost(
        f"the bulk query of {job.object} ended as {job.state}" + (f", {code}" if code else ""),
        another_helps=not hopeless,
        code=code,
        detail=job.detail,
        hint="read this object by SOQL instead" if hopeless else "start it again",
    )


def _lost(refused: CallRefused) -> BulkJobLost:
    """A job, or a place in its results, that Salesforce does not know (any more)."""
    return BulkJobLost(
        f"{refused.message}: the bulk query or its results are gone",
        another_helps=True,
        code=refused.code,
        status=refused.status,
        detail=refused.detail,
        hint="start it again",
    )
