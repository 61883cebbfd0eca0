"""SIGKILL in the middle of a first load: the next daemon reads only the rest, and nobody is sent twice who was not under way."""

from __future__ import annotations

import re
import signal
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from sandbox.faults import Fault
from sandbox.marketo.schema import LEAD
from sandbox.oracle import resent
from store.coverage import load_note
from store.model import PEOPLE
from store.view import in_flight
from stream.clock import SystemClock
from stream.rows import OVERLAP_S
from tests.crash.crashing import Running
from tests.flow.scenes import company, lead_of
from tests.flow.world import World, world

DAY = 86400.0
PAGES, PAGE, READ = 12, 10, 6
SETTINGS: dict[str, Any] = {"reconcile__backfill_on_first_start": True, "deliver__batch_size": 7}


async def leads_of_many_days(here: World) -> list[str]:
    """As many leads a day as a page holds, up to now, and a company from before them; returns one of each day."""
    days: list[str] = []
    with here.org.losing_events():
        company(here)
        for day in range(PAGES):
            here.clock.jump(DAY)
            days += [here.org.create("Lead", lead_of(f"D{day}n{number}")) for number in range(PAGE)][:1]
    return days


def listen(here: World) -> list[str]:
    """What Salesforce is asked for from now on, but for counts."""
    asked: list[str] = []

    def take(request: Any, _body: str) -> None:
        path = unquote_plus(request.path_qs)
        if "/query" in path and "COUNT()" not in path:
            asked.append(f"{request.method} {path}")

    here.salesforce.faults.watch = take
    return asked


async def kill_at(here: World, config: Path, fault: Fault) -> set[str]:
    """The first daemon dies while Salesforce does not answer this call; returns who was under way to Marketo then.

    The pages before are stored by then: a page is asked for while the one before it is being stored.
    """
    held = here.salesforce.faults.add(fault)
    running = await Running.start(config)
    await here.until(lambda: held.hits and stored(here) == READ * PAGE, 60)
    assert await running.end(signal.SIGKILL) == -signal.SIGKILL, running.errors
    here.salesforce.faults.clear()
    return {record.record_id for record, _ in await in_flight(here.folder / "store.db") if record.object in PEOPLE}


def stored(here: World) -> int:
    """How many rows of leads are in the store, as far as the load tells."""
    with closing(sqlite3.connect(f"file:{here.folder / 'store.db'}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT value ->> 'rows' FROM note WHERE name = ?", (load_note("Lead"),)).fetchone()
    return int(found[0]) if found else 0


async def go_on(here: World, config: Path, flying: set[str]) -> list[str]:
    """The second daemon brings the rest; returns what it asked for. Nobody is sent again but those who were under way."""
    place, asked = len(here.instance.journal), listen(here)
    running = await Running.start(config)

    def is_loaded() -> bool:
        running.hear()
        return "OpportunityContactRole" in [line["object"] for line in running.lines if line["event"] == "load_finished"]

    try:
        await here.until(is_loaded, 60)
        await here.until_equal(seconds=60)
    finally:
        code = await running.end(signal.SIGTERM)
    assert (code, running.errors) == (0, "")
    whole = [each for each in asked if "FROM" in each and "WHERE" not in each]
    assert [each.partition("FROM ")[2].split()[0] for each in whole] == ["Opportunity", "OpportunityContactRole"]
    again = {write.key for write in resent(here.instance, place, len(here.instance.journal)) if write.object == LEAD}
    assert again <= {here.lead_of(record_id)["id"] for record_id in flying}
    return asked


async def test_killed_between_two_pages_only_the_rest_is_read(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, starts_at=SystemClock().now() - PAGES * DAY, **SETTINGS) as here:
        here.salesforce.rest.page_size = PAGE
        days = await leads_of_many_days(here)
        config = here.write_config()
        flying = await kill_at(here, config, Fault("hang", path="/query(All)?/", skip=READ - 1))
        asked = await go_on(here, config, flying)
        since_s = min(
            _seconds(found[1]) for each in asked if (found := re.search(r"FROM Lead WHERE SystemModstamp >= (\S+)", each))
        )
        stored_s = _seconds(here.org.get("Lead", days[READ - 1])["SystemModstamp"])
        assert stored_s - OVERLAP_S - 1 <= since_s <= stored_s
        more = [each for each in asked if re.search("/query(All)?/", each)]
        assert len(more) == PAGES - READ, "after the last page that was stored, the rest"


async def test_killed_between_two_pages_of_a_bulk_job_only_the_rest_is_read(tmp_path: Path) -> None:
    began = SystemClock().now() - PAGES * DAY
    async with world(tmp_path, speed=1.0, starts_at=began, reconcile__bulk_above=PAGE, **SETTINGS) as here:
        here.salesforce.bulk.set_size = PAGE
        await leads_of_many_days(here)
        config = here.write_config()
        flying = await kill_at(here, config, Fault("hang", path="/jobs/query/.*/results", skip=READ))
        asked = await go_on(here, config, flying)
        assert not [each for each in asked if each.startswith("POST")], "the job is the same"
        assert len([each for each in asked if "/results" in each]) == PAGES - READ, "what was stored is not fetched again"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
