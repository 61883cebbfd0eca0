"""Ends other than a kill: SIGTERM under load, with a Marketo that hangs, a second daemon, a place that is none."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from sandbox.faults import Fault
from sandbox.oracle_rules import Rules
from sandbox.salesforce.seed import seed_org
from tests.crash.crashing import Restless, Running
from tests.flow.scenes import company, deal
from tests.flow.world import world

RULES = Rules(deletes={"Lead": "delete", "Opportunity": "delete", "OpportunityContactRole": "delete"})


@pytest.mark.timeout(120)
async def test_sigterm_under_load_ends_in_good_order_and_loses_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, deliver__deletes__Lead="delete") as here:
        here.marketo.latency_seconds = 0.1
        made = seed_org(here.org, scale=0.2, publish=True)
        here.touch_built_in_users()
        restless = Restless(here, made, 3)
        changes = asyncio.create_task(restless.run(0.02))
        config = here.write_config()
        for number in range(6):
            running = await Running.start(config)
            await running.until_logged("daemon_started")
            await asyncio.sleep(0.15 * number)  # noqa: TID251 - the moment of the signal
            began = time.monotonic()  # noqa: TID251 - how long another process takes
            assert await running.end(signal.SIGTERM if number % 2 else signal.SIGINT) == 0, running.errors
            assert time.monotonic() - began < 10  # noqa: TID251 - see above
            assert running.logged("daemon_stopped")
            assert not running.errors
        changes.cancel()
        running = await Running.start(config)
        try:
            await here.until_equal(RULES, seconds=60)
        finally:
            assert await running.end(signal.SIGTERM) == 0


@pytest.mark.timeout(60)
async def test_sigterm_does_not_wait_for_a_marketo_that_hangs(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        fault = here.marketo.faults.add(Fault("hang", path="/rest/", method="POST", times=None))
        running = await Running.start(here.write_config())
        await here.until(lambda: fault.hits)
        began = time.monotonic()  # noqa: TID251 - how long another process takes
        assert await running.end(signal.SIGTERM) == 0, running.errors
        assert time.monotonic() - began < 25  # noqa: TID251 - the drain's deadline and a little
        here.marketo.faults.clear()
        running = await Running.start(here.write_config())
        await here.until_equal(seconds=30)
        assert await running.end(signal.SIGTERM) == 0


async def test_what_is_being_read_at_the_end_goes_back_and_nothing_has_to_be_recovered(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        made = deal(here)
        running = await Running.start(here.write_config())
        await here.until_equal()
        hung = here.salesforce.faults.add(Fault("hang", path="/composite/sobjects/Lead", times=None))
        with here.org.as_gaps():
            here.org.update("Lead", made.lead, {"Title": "while it is read"})
        await here.until(lambda: hung.hits)
        assert await running.end(signal.SIGTERM) == 0, running.errors
        here.salesforce.faults.clear()
        running = await Running.start(here.write_config())
        await running.until_logged("daemon_started")
        started = next(line for line in running.lines if line["event"] == "daemon_started")
        assert (started["previous_run"], started["recovered"]) == ("in good order", 0)
        await here.until_equal()
        assert await running.end(signal.SIGTERM) == 0


async def test_a_second_daemon_on_the_store_ends_with_3_and_the_first_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        config = here.write_config()
        first = await Running.start(config)
        await first.until_logged("daemon_started")
        second = await Running.start(config)
        assert await second.wait() == 3
        assert str(first.pid) in second.errors
        assert "Traceback" not in second.errors
        await here.until_equal()
        assert await first.end(signal.SIGTERM) == 0


async def test_a_store_in_no_directory_is_one_message(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, store__path=str(tmp_path / "nowhere" / "store.db")) as here:
        running = await Running.start(here.write_config())
        assert await running.wait() == 2
        assert "nowhere" in running.errors
        assert "Traceback" not in running.errors
