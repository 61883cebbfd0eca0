"""Ends other than a kill: SIGTERM under load, a second daemon, a full disk, a place that cannot be written."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.faults import Fault
from sandbox.oracle_rules import Rules
from sandbox.salesforce.seed import seed_org
from tests.crash.crashing import Restless, Running
from tests.flow.scenes import company, lead_of
from tests.flow.world import world

RULES = Rules(deletes={"Lead": "delete", "Opportunity": "delete", "OpportunityContactRole": "delete"})


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A disk of its own, or a skip where nobody may mount one."""
    place.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def remount(disk: Path, option: str) -> None:
    """Change the disk under the daemon's feet."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


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


async def test_a_second_daemon_on_the_store_ends_with_3_and_the_first_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        config = here.write_config()
        first = await Running.start(config)
        await first.until_logged("daemon_started")
        second = await Running.start(config)
        assert await second.wait() == 3
        assert str(first.process.pid) in second.errors
        assert "Traceback" not in second.errors
        await here.until_equal()
        assert await first.end(signal.SIGTERM) == 0


@pytest.mark.timeout(90)
async def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "900k") as disk:
        async with world(tmp_path, speed=1.0, store__path=str(disk / "store.db")) as here:
            company(here)
            config = here.write_config()
            running = await Running.start(config)
            await here.until_equal()
            here.marketo.faults.add(Fault("respond", path="/rest/", times=None, status=503, body="down"))
            for number in range(600):
                here.org.create("Lead", lead_of(f"L{number}", Description="x" * 900))
            assert await asyncio.wait_for(running.wait(), 40) == 1
            failures = [line for line in running.lines if line["event"] == "daemon_failed"]
            assert any("full" in str(line["error"]) and line["hint"] for line in failures), running.lines[-5:]
            assert not any("trace" in line for line in failures), failures
            here.marketo.faults.clear()
            remount(disk, "size=30m")
            running = await Running.start(config)
            await here.until_equal(seconds=40)
            assert await running.end(signal.SIGTERM) == 0


async def test_a_disk_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "900k") as disk:
        remount(disk, "ro")
        async with world(tmp_path, speed=1.0, store__path=str(disk / "store.db")) as here:
            company(here)
            running = await Running.start(here.write_config())
            assert await running.wait() == 2
            assert str(disk) in running.errors
            assert "Traceback" not in running.errors
            assert len(running.errors.strip().splitlines()) <= 2


async def test_a_store_in_no_directory_is_one_message(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, store__path=str(tmp_path / "nowhere" / "store.db")) as here:
        running = await Running.start(here.write_config())
        assert await running.wait() == 2
        assert "nowhere" in running.errors
        assert "Traceback" not in running.errors
