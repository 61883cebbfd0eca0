"""The simulated services in a process of their own, so that what they cost is nobody's; counted where a call arrives.

python -m bench.services      commands on stdin, an answer a line on stdout; ends with stdin
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandbox.marketo.api import CODE
from sandbox.marketo.server import SimulatedMarketo
from sandbox.salesforce.server import SimulatedSalesforce

LEADS = "/rest/v1/leads.json"
SETTLE_SECONDS = 30.0
CALLS_PER_20S, CONCURRENCY, DAILY_CALLS = 100, 10, 50_000  # Marketo's own
BAD_VALUE = "1003"
DAY_SECONDS = 86400.0


@dataclass(slots=True)
class Census:
    """When the writes of people arrived and were answered, and how many records were accepted."""

    first: float = 0.0
    last: float = 0.0
    records: int = 0
    accepted: dict[str, float] = field(default_factory=dict)
    """Marketo id → when the last answer that accepted it was there."""
    codes: Counter[str] = field(default_factory=Counter)
    """How often which code was the answer to a whole call."""


@dataclass(slots=True, repr=False)
class CountedMarketo(SimulatedMarketo):
    """A Marketo that notes when the writes of people come and go."""

    census: Census = field(default_factory=Census)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        response = await SimulatedMarketo._answer(self, request)  # noqa: SLF001 - its own, of the class it is made of
        if code := response.get(CODE):
            self.census.codes[code] += 1
        if request.path == LEADS and request.method == "POST" and isinstance(response, web.Response):
            rows = json.loads(bytes(response.body or b"")).get("result", ())  # type: ignore[arg-type] # the sandbox answers with bytes
            accepted = [str(row["id"]) for row in rows if row.get("status") in {"created", "updated"}]  # reads are POSTs, too
            self.census.records += len(accepted)
            if accepted:
                self.census.accepted |= dict.fromkeys(accepted, time.perf_counter())
                self.census.first, self.census.last = self.census.first or began, time.perf_counter()
        return response


class CountedSalesforce(SimulatedSalesforce):
    """A Salesforce that notes what is asked of leads, and when the first page of the answer is."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = ""
        self.first_page = 0.0

    @property
    def _counter(self) -> Middleware:
        counting = super()._counter

        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            asked = request.query.get("q", "")
            if request.method == "POST" and request.path.endswith("/jobs/query"):
                asked = json.loads(await request.read())["query"]
            if "FROM Lead" in asked and "COUNT(" not in asked.upper():
                self.asked = asked
            is_page = request.path.endswith("/results") or (request.method == "GET" and self.asked == asked)
            if self.asked and is_page and not self.first_page:
                self.first_page = time.perf_counter()
            return await counting(request, handler)

        return note

    def read(self) -> dict[str, Any]:
        """What was asked, and when the first page was, by the clock that all processes of this machine share; forgotten then."""
        told = {"soql": self.asked, "first_page": self.first_page}
        self.asked, self.first_page = "", 0.0
        return told


@dataclass(slots=True)
class Services:
    """Both, and the commands they obey."""

    salesforce: CountedSalesforce = field(default_factory=CountedSalesforce)
    marketo: CountedMarketo = field(default_factory=CountedMarketo)

    async def start(self) -> dict[str, Any]:
        """Listen, and tell where."""
        self.marketo.limits.calls_per_20s = 10**9
        self.marketo.limits.daily_calls = 10**9
        self.salesforce.org.api_calls.limit = self.salesforce.org.delivered_events.limit = 10**9
        await self.salesforce.start()
        await self.marketo.start()
        sign_in = self.salesforce.sign_in
        return {
            "salesforce.login_url": self.salesforce.base_url,
            "salesforce.client_id": sign_in.client_id,
            "salesforce.client_secret": sign_in.client_secret,
            "salesforce.private_key": sign_in.private_key,
            "salesforce.username": sign_in.username,
            "marketo.base_url": self.marketo.base_url,
            "marketo.client_id": self.marketo.client_id,
            "marketo.client_secret": self.marketo.client_secret,
        }

    async def stop(self) -> None:
        """End."""
        await self.marketo.stop()
        await self.salesforce.stop()

    def people(self, external_ids: list[str]) -> list[str]:
        """Create a person in Marketo for each external id; returns the Marketo ids."""
        made = [
            self.marketo.instance.create_lead(externalPersonId=each, email=f"p{n}@example.com", lastName=f"Person {n}")
            for n, each in enumerate(external_ids)
        ]
        return [str(each) for each in made]

    def people_with(self, marketo_ids: list[str]) -> int:
        """People with these Marketo ids, as a store has them that was made without Marketo; returns how many there are now."""
        leads = self.marketo.instance.leads
        for each in marketo_ids:
            leads.put(int(each), {"id": int(each), "externalPersonId": f"store {each}", "leadPartitionId": 1})
        return len(leads)

    def leads(self, count: int) -> dict[str, list[str]]:
        """So many leads in Salesforce, and their people in Marketo."""
        ids = [
            self.salesforce.org.create("Lead", {"LastName": f"L{n}", "Company": "C", "Email": f"l{n}@example.com"})
            for n in range(count)
        ]
        return {"ids": ids, "marketo_ids": self.people(ids)}

    def long_known(self, count: int) -> dict[str, list[str]]:
        """So many leads of whom neither side has anything new to tell: made yesterday, and not published."""
        instance, now = self.marketo.instance, self.marketo.instance.now
        instance.now = instance.activities.now = lambda: now() - DAY_SECONDS
        with self.salesforce.org.losing_events():
            made = self.leads(count)
        instance.now = instance.activities.now = now
        return made

    def limited(self, skipped: list[str], poisonous: list[str]) -> None:
        """Marketo's real limits from now on. Of these people every write is skipped, or makes Marketo refuse the whole call."""
        limits, instance = self.marketo.limits, self.marketo.instance
        limits.calls_per_20s, limits.concurrency, limits.daily_calls = CALLS_PER_20S, CONCURRENCY, DAILY_CALLS
        for refuse, ids in ((instance.refuse, skipped), (instance.refuse_batch_containing, poisonous)):
            refuse("lead", partial(_is_among, frozenset(map(int, ids))), BAD_VALUE, times=None)
        self.counted()

    def drained(self) -> dict[str, Any]:
        """How many calls came, but for signing in, whom they reached, and which codes were the answers to whole calls."""
        census = self.marketo.census
        calls = sum(count for name, count in self.marketo.calls.items() if " /rest/" in name)
        return {"calls": calls, "accepted": sorted(census.accepted), "codes": dict(census.codes)}

    def rescore(self, share: float, seed: int) -> int:
        """The nightly recalculation, which leaves no trace; returns how many have other scores now."""
        return len(self.marketo.instance.scores.recalculate(share, seed))

    async def changes(self, rate: int, count: int) -> list[float]:
        """Edit the leads in turn, so many a second; the seconds until Marketo had accepted each edit.

        A lead that is edited again before its edit was accepted counts from its first edit.
        """
        known = {
            str(row["externalPersonId"]): str(one)
            for one, row in self.marketo.instance.leads.items()
            if row.get("externalPersonId")
        }
        ids = [each for each in known if self.salesforce.org.inspect("Lead", each) is not None]
        waiting: dict[str, float] = {}
        took: list[float] = []
        began, census = time.perf_counter(), self.marketo.census
        census.accepted.clear()
        edits = 0
        while edits < count or waiting:
            for marketo_id, when in list(census.accepted.items()):
                if marketo_id in waiting:
                    took.append(when - waiting.pop(marketo_id))
                del census.accepted[marketo_id]
            if edits < count and time.perf_counter() >= began + edits / rate:
                record_id = ids[edits % len(ids)]
                edits += 1
                waiting.setdefault(known[record_id], time.perf_counter())
                self.salesforce.org.update("Lead", record_id, {"Title": f"edit {edits} {began}"})
            elif time.perf_counter() > began + count / rate + SETTLE_SECONDS:
                raise RuntimeError(f"{len(waiting)} edits were not accepted")
            else:
                await asyncio.sleep(0.001)
        return took

    def arrived(self) -> int:
        """How many records were accepted since the last count."""
        return self.marketo.census.records

    def reading(self) -> dict[str, Any]:
        """What was asked of leads since the last time, and when its first page was."""
        return self.salesforce.read()

    def counted(self) -> dict[str, Any]:
        """What arrived since the last time, and over how long."""
        census, self.marketo.census = self.marketo.census, Census()
        calls, salesforce = dict(self.marketo.calls), dict(self.salesforce.calls)
        self.marketo.calls.clear()
        self.salesforce.calls.clear()
        return {"records": census.records, "seconds": census.last - census.first, "calls": calls, "salesforce": salesforce}


def _is_among(ids: frozenset[int], record: Mapping[str, Any]) -> bool:
    return record.get("id") in ids


@dataclass(slots=True)
class Remote:
    """The process, as the benchmarks see it."""

    process: asyncio.subprocess.Process
    settings: Mapping[str, Any] = field(default_factory=dict)

    async def ask(self, command: str, **arguments: Any) -> Any:
        """One command, one answer."""
        into, out = _pipes(self.process)
        into.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        await into.drain()
        line = await out.readline()
        if not line:
            raise RuntimeError("the simulated services have ended")
        return json.loads(line)


def _pipes(process: asyncio.subprocess.Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process was started without pipes")
    return process.stdin, process.stdout


@asynccontextmanager
async def services(module: str = "bench.services") -> AsyncIterator[Remote]:
    """Start them, and end them."""
    root = Path(__file__).parents[1]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, stdin=PIPE, stdout=PIPE, cwd=root, limit=1 << 26)
    remote = Remote(process)
    try:
        remote.settings = await remote.ask("start")
        yield remote
    finally:
        _pipes(process)[0].close()
        await process.wait()


class Stoppable(Protocol):
    """What serves."""

    async def stop(self) -> None:
        """End."""
        ...


async def serve(services: Stoppable) -> None:
    """Obey the commands on standard input until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        answer = getattr(services, command.pop("command"))(**command)
        print(json.dumps(await answer if asyncio.iscoroutine(answer) else answer), flush=True)
    await services.stop()


if __name__ == "__main__":
    asyncio.run(serve(Services()))
