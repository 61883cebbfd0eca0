"""Bulk API 2.0 query jobs: a query runs by itself, and its result is fetched as CSV, a set at a time.

    POST jobs/query ▶ UploadComplete ▶ InProgress ▶ JobComplete · Failed · Aborted      GET jobs/query/{id}/results?locator=…

A job keeps the rows of the moment it was made. Shapes, limits and codes are those of the Bulk API 2.0 guide; of results
asked for in another version of the API it says only that this is a 409.
"""

from __future__ import annotations

import gzip
import random
from typing import Any

from aiohttp import web

from sandbox.salesforce.bulk_csv import DELIMITERS, LINE_ENDINGS, write_row
from sandbox.salesforce.bulk_jobs import RUNNING, Job, alphabetical, failure_of, read_asked, rows_of
from sandbox.salesforce.errors import Refused, missing_record
from sandbox.salesforce.gate import Gate, read_object
from sandbox.salesforce.ids import id18, mint_id
from sandbox.salesforce.oauth import json_response
from sandbox.salesforce.org import Org
from sandbox.salesforce.rest import ROOT

FIRST_VERSION, ORDERED_COLUMNS_VERSION = 47.0, 50.0
LISTED_MAX = 1_000


class BulkQueries:
    """The query jobs. `work_seconds` is how long one is InProgress, after `queue_seconds` in UploadComplete.

    `failures` are the errorMessages of the next jobs, which then fail; `unsupported` objects have no Bulk API; a job is gone, and
    its results with it, `results_seconds` after its end.
    """

    def __init__(self, org: Org, gate: Gate, seed: int = 1) -> None:
        self.queue_seconds = 0.0
        self.work_seconds = 0.2
        self.results_seconds = 7 * 86_400.0
        self.set_size = 50_000
        self.chunk_size = 1_000
        self.failures: list[str] = []
        self.unsupported: set[str] = set()
        self.jobs: dict[str, Job] = {}
        self._org = org
        self._gate = gate
        self._rng = random.Random(seed)
        self._count = 0

    def routes(self) -> list[web.RouteDef]:
        """The HTTP endpoints."""
        many, one = f"{ROOT}/jobs/query", f"{ROOT}/jobs/query/{{job}}"
        return [
            web.post(f"{many}{{slash:/?}}", self._create),
            web.get(f"{many}{{slash:/?}}", self._list),
            web.get(one, self._info),
            web.patch(one, self._abort),
            web.delete(one, self._delete),
            web.get(f"{one}/results{{slash:/?}}", self._results),
        ]

    # ---- making a job

    async def _create(self, request: web.Request) -> web.Response:
        version = _version(request)
        asked = read_asked(await _json_body(request))
        jobs = self._org.bulk_query_jobs
        if jobs.exhausted:
            reached = f"Max bulk v2 query jobs ({jobs.limit}) per 24 hrs has been reached ({jobs.used + 1})"
            raise Refused("LIMIT_EXCEEDED", reached)
        table = rows_of(self._org, asked, self.chunk_size, self._rng)
        if table.obj in self.unsupported:
            raise Refused("INVALIDENTITY", f"Entity '{table.obj}' is not supported by the Bulk API.")
        if float(version) < ORDERED_COLUMNS_VERSION:
            table = alphabetical(table)
        jobs.use()
        self._count += 1
        now = self._org.now()
        job = Job(
            id=mint_id("750", self._count),
            asked=asked,
            version=version,
            user_id=self._gate.caller(request).user_id,
            table=table,
            created=now,
            begins=now + self.queue_seconds,
            ends=now + self.queue_seconds + self.work_seconds,
            failure=self.failures.pop(0) if self.failures else failure_of(table),
        )
        self.jobs[job.id] = job
        return json_response(self._shown(job) | {"state": "UploadComplete"})

    # ---- looking after a job

    def _job(self, request: web.Request) -> Job:
        """The job that a request names."""
        _version(request)
        self._forget_old()
        job = self.jobs.get(id18(request.match_info["job"]) or "")
        if job is None:
            raise missing_record()
        return job

    def _forget_old(self) -> None:
        now = self._org.now()
        for job in list(self.jobs.values()):
            if job.state(now) not in RUNNING and job.changed(now) + self.results_seconds <= now:
                del self.jobs[job.id]

    async def _info(self, request: web.Request) -> web.Response:
        return json_response(self._shown(self._job(request), whole=True))

    async def _list(self, request: web.Request) -> web.Response:
        _version(request)
        self._forget_old()
        asked = request.query
        others = asked.get("jobType", "V2Query") != "V2Query" or asked.get("isPkChunkingEnabled", "").lower() == "true"
        jobs = [] if others else list(self.jobs.values())
        start = int(asked["queryLocator"]) if asked.get("queryLocator", "").isdigit() else 0
        more = len(jobs) > start + LISTED_MAX
        following = f"{request.path}?queryLocator={start + LISTED_MAX}" if more else None
        records = [self._shown(job) for job in jobs[start : start + LISTED_MAX]]
        return json_response({"done": not more, "records": records, "nextRecordsUrl": following})

    async def _abort(self, request: web.Request) -> web.Response:
        job = self._job(request)
        if await _json_body(request) != {"state": "Aborted"}:
            raise Refused("INVALIDJOBSTATE", "the only state a query job can be given is Aborted")
        if job.state(self._org.now()) not in RUNNING:
            raise Refused("INVALIDJOBSTATE", f"Aborting is not allowed for a job that is {job.state(self._org.now())}")
        job.aborted = self._org.now()
        return json_response(self._shown(job))

    async def _delete(self, request: web.Request) -> web.Response:
        job = self._job(request)
        if job.state(self._org.now()) in RUNNING:
            raise Refused("API_ERROR", "Error encountered when deleting the job because the job is not terminated")
        del self.jobs[job.id]
        return web.Response(status=204)

    def _shown(self, job: Job, *, whole: bool = False) -> dict[str, Any]:
        now = self._org.now()
        state = job.state(now)
        shown: dict[str, Any] = {
            "id": job.id,
            "operation": job.asked.operation,
            "object": job.table.obj,
            "createdById": job.user_id,
            "createdDate": self._org.moment(job.created),
            "systemModstamp": self._org.moment(job.changed(now)),
            "state": state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(job.version),
            "lineEnding": job.asked.line_ending,
            "columnDelimiter": job.asked.delimiter,
        }
        if whole:
            shown |= {
                "jobType": "V2Query",
                "numberRecordsProcessed": len(job.table.rows) if state == "JobComplete" else 0,
                "retries": 0,
                "totalProcessingTime": 0 if state in RUNNING else int((job.changed(now) - job.created) * 1000),
                "isPkChunkingSupported": True,
            }
        return shown | ({"errorMessage": job.failure} if state == "Failed" else {})

    # ---- results

    async def _results(self, request: web.Request) -> web.Response:
        job = self._job(request)
        if request.match_info["version"] != job.version:
            raise Refused("API_ERROR", f"the job was created with version {job.version} of the API", status=409)
        if job.state(self._org.now()) != "JobComplete":
            return web.Response(status=204)
        start, size = job.start_of(request.query.get("locator")), self._size(request.query.get("maxRecords"))
        rows = job.table.rows[start : start + size]
        style = (DELIMITERS[job.asked.delimiter], LINE_ENDINGS[job.asked.line_ending])
        text = write_row(job.table.columns, *style) + "".join(write_row(row, *style) for row in rows)
        headers = {
            "Sforce-Locator": job.locator(start + len(rows)),
            "Sforce-NumberOfRecords": str(len(rows)),
        }
        body = text.encode()
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"], body = "gzip", gzip.compress(body, compresslevel=1, mtime=0)
        return web.Response(body=body, headers=headers, content_type="text/csv", charset="UTF-8")

    def _size(self, asked: str | None) -> int:
        if asked is None:
            return self.set_size
        if not asked.isdigit() or int(asked) < 1:
            raise Refused("API_ERROR", "maxRecords must be a positive number")
        return min(int(asked), self.set_size)


def _version(request: web.Request) -> str:
    """The version of the API that was called; query jobs came with 47.0."""
    version = request.match_info["version"]
    if float(version) < FIRST_VERSION:
        raise missing_record()
    return version


async def _json_body(request: web.Request) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise Refused("UNSUPPORTED_MEDIA_TYPE", f"Content type {request.content_type} is not supported", status=415)
    return await read_object(request)
