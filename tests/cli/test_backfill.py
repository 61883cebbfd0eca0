"""`backfill`: a running daemon is asked to read again, and somebody watches; what cannot be asked for is said."""

from __future__ import annotations

import asyncio
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from store.database import Lock
from store.model import Covered
from store.store import Store
from stream.cli.backfill import _Bars
from stream.operating import backfill
from stream.operating.backfill import Asked, Standing, since_of
from tests.cli.shell import ask, config_file, here_and_now
from tests.flow.scenes import company, lead_of
from tests.flow.world import world

NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC


async def test_what_no_event_told_of_arrives_and_the_command_tells_when(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, reconcile__interval_seconds=86400.0) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        with here.org.losing_events():
            lost = here.org.create("Lead", lead_of("Lost"))
        said = await ask(here, "backfill", "Lead", "--since", "1h")
        assert (said.code, said.err) == (0, "")
        assert "All is read: Lead." in said.out
        await here.until(lambda: here.instance.leads_of(lost))
        noted = await ask(here, "backfill", "Contact", "--no-wait")
        assert noted.code == 0
        assert "Noted: Contact" in noted.out
        await here.until(lambda: any(line["object"] == "Contact" for line in here.events("load_finished")))


def test_a_terminal_shows_a_bar_with_the_rate_and_the_time_that_is_left() -> None:
    drawn = StringIO()
    bars = _Bars(Console(file=drawn, force_terminal=True, width=120, color_system=None), Asked(("Lead",), 0.0, NOW))
    with bars:
        for rows in (2, 4):
            bars.show([Standing("Lead", "is read", rows, 1600, 2.0)])
    assert re.search(r"Lead .* 4 of 1,600 +2/s +\d+:\d\d:\d\d", drawn.getvalue()), drawn.getvalue()


async def test_a_daemon_that_is_stopped_while_somebody_watches_is_said(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        await here.salesforce.stop()
        watching = asyncio.create_task(ask(here, "backfill", "Lead"))
        await here.until(lambda: here.events("load_failed"), seconds=60.0)
        await here.stop()
        said = await watching
        assert said.code == 1
        assert "its next start goes on" in said.message
        await here.salesforce.start()


def test_a_daemon_that_holds_the_store_and_says_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def prepare() -> None:
        await (await Store.open(tmp_path / "store.db")).close()

    asyncio.run(prepare())
    monkeypatch.setattr(backfill, "SILENT_SECONDS", 0.5)
    lock = Lock(tmp_path / "store.db")
    lock.acquire()  # as by a daemon that hangs
    try:
        said = here_and_now("backfill", "Lead", "--config", str(config_file(tmp_path)))
    finally:
        lock.release()
    assert said.code == 1
    assert "has not taken it up yet, and says nothing" in said.message
    assert "msi-stream status" in said.message


def opened(path: Path) -> list[tuple[float, float, str]]:
    async def look() -> list[tuple[float, float, str]]:
        store = await Store.open(path)
        try:
            return await store.intervals("Lead")
        finally:
            await store.close()

    return asyncio.run(look())


def test_without_a_daemon_it_is_noted_for_the_next_start(tmp_path: Path) -> None:
    async def prepare() -> None:
        store = await Store.open(tmp_path / "store.db")
        await store.cover([Covered("Lead", 0.0, NOW, "read")])
        await store.close()

    asyncio.run(prepare())
    said = here_and_now("backfill", "lead", "--since", "2026-09-01", "--config", str(config_file(tmp_path)))
    assert (said.code, said.err) == (0, "")
    assert said.out == "No daemon runs: the next start reads Lead.\n"
    assert opened(tmp_path / "store.db") == [(0.0, 1788220800.0, "read")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["Opportunities"], "is not one of"),
        (["User"], 'found "off"'),
        (["Lead", "--since", "yesterday"], "found 'yesterday', expected a moment such as 2026-11-01"),
        (["Lead", "--since", "2999-01-01"], "which is to come"),
    ],
)
def test_what_cannot_be_asked_for_is_said(tmp_path: Path, words: list[str], told: str) -> None:
    config = config_file(tmp_path, salesforce__objects__User="off")
    said = here_and_now("backfill", *words, "--config", str(config))
    assert said.code == 2
    assert told in said.err


def test_a_store_that_is_not_there_is_said(tmp_path: Path) -> None:
    said = here_and_now("backfill", "--config", str(config_file(tmp_path)))
    assert said.code == 2
    assert "there is no store" in said.message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0.0),
        ("36h", NOW - 36 * 3600),
        ("7D", NOW - 7 * 86400),
        ("2026-09-21", 1789948800.0),
        ("2026-09-21T14:00+02:00", 1789992000.0),
        ("1950-01-01", 0.0),
    ],
)
def test_a_moment_in_its_spellings(text: str | None, seconds: float) -> None:
    assert since_of(text, NOW) == seconds
