"""`status`: the four states and their reasons, from heartbeats as the daemon leaves them, and beside a real one."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from store.model import OBJECTS, Change, Covered, Hole, Replay
from store.store import Store
from stream.budgets.quota import Rate
from stream.budgets.quota_watch import EVENTS_USED
from stream.cli.status import _drawn
from stream.clock import SystemClock
from stream.config import load
from stream.operating.status import Status, status
from tests.cli.shell import ask, config_file, here_and_now, msi
from tests.flow.scenes import company
from tests.flow.world import world
from tests.store.faults import unwritable
from tests.store.outbox_steps import sf_id

NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC, 09:13:20 in Chicago
HOUR = 3600.0
KEYS = {
    *("state", "reasons", "freshness_seconds", "hours_to_loss", "backlog", "blocked", "dead", "replay_ids"),
    *("coverage", "calls", "people"),
}
BEAT: Mapping[str, Any] = {
    "at": NOW - 1,
    "pid": 17,
    "stopped": False,
    "stream": {"state": "connected", "error": "", "heard_at": NOW - 2},
    "pending": 0,
    "paused": None,
    "errors": {"deliver": "", "reading": "", "reconcile": "", "scores": ""},
    "freshness": {"p50": 1.5, "p99": 4.25},
    "calls": {
        "marketo": {"used": 100, "budget": 45000, "day": "2026-09-21", "last_hour": 20},
        "salesforce": {"used": 30, "budget": 10000, "day": "2026-09-21", "last_hour": 10},
        "score_writes": {"used": 0, "budget": 10000, "day": "2026-09-21", "last_hour": 0},
    },
}


async def judged(folder: Path, beat: Mapping[str, Any] | None, *, held: bool = True, now: float = NOW) -> Status:
    """What status makes of this heartbeat."""
    store = await Store.open(folder / "store.db")
    try:
        if beat is not None:
            await store.put_note("heartbeat", beat)
        await store.cover([Covered(obj, 0.0, now - 60, "read") for obj in OBJECTS])
        if not held:
            await store.close()
        return await status(load(config_file(folder), {}).settings, now)
    finally:
        if held:
            await store.close()


def beat_with(**changes: Any) -> dict[str, Any]:
    """A healthy heartbeat with something else in it; `errors__scores` for errors.scores."""
    beat = deepcopy(dict(BEAT))
    for name, value in changes.items():
        *path, last = name.split("__")
        place = beat
        for part in path:
            place = place[part]
        place[last] = value
    return beat


async def test_all_well(tmp_path: Path) -> None:
    found = await judged(tmp_path, BEAT)
    assert (found.state, found.reasons) == ("ok", [])
    told = found.as_json()
    assert told.keys() >= KEYS
    assert told["freshness_seconds"] == {"p50": 1.5, "p99": 4.25, "oldest": None}
    assert told["hours_to_loss"] == 72.0
    assert told["coverage"]["Lead"] == [{"from": None, "to": "2026-09-21T14:12:20Z", "how": "read"}]
    marketo = told["calls"]["marketo"]
    assert (marketo["used"], marketo["budget"]) == (100, 45000)
    assert marketo["forecast"] == 100 + round(20 * (24 - 9.2222))


PAUSED = {"code": "603", "cause": "Marketo denies access", "cure": "Give the role permission."}


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"stream__state": "lost", "stream__error": "cannot connect to here:443"}, "failing", "cannot connect to here:443"),
        ({"paused": PAUSED}, "failing", "Marketo denies access (603). Give the role permission."),
        ({"errors__deliver": "cannot describe"}, "failing", "nothing goes to Marketo: cannot describe"),
        ({"stream__heard_at": NOW - 50 * HOUR}, "failing", "in 22 hours Salesforce begins to forget"),
        ({"stream__heard_at": NOW - 80 * HOUR}, "failing", "has begun to forget"),
        ({"stream__state": "starting"}, "degraded", "not connected yet"),
        ({"paused": {**PAUSED, "code": "606"}}, "degraded", "wait a moment"),
        ({"errors__scores": "refused"}, "degraded", "bringing scores back does not work: refused"),
        ({"errors__reading": "refused"}, "degraded", "reading records from Salesforce does not work"),
        ({"errors__reconcile": "refused"}, "degraded", "polling Salesforce does not work"),
        ({"calls__marketo__last_hour": 4000}, "degraded", "live changes alone will use up today's budget of 45,000"),
        (
            {"calls__salesforce__used": 10000},
            "degraded",
            "salesforce: today's budget of 10,000 is used up; it",
        ),
        (
            {"calls__score_writes": {**BEAT["calls"]["score_writes"], "budget": 0, "cut_short": EVENTS_USED}},
            "degraded",
            "score writes: nothing is left for today after 0: so few of Salesforce's daily delivered events are left",
        ),
        (
            {"calls__marketo": {**BEAT["calls"]["marketo"], "waits": True}},
            "degraded",
            "44,900 that are left today are kept",
        ),
        ({"calls__marketo": {**BEAT["calls"]["marketo"], "stretch": 4.0}}, "degraded", "wait 4 times as long"),
        ({"at": NOW - 40}, "stopped", "said nothing for 40 seconds"),
        ({"stopped": True}, "stopped", "it is just starting, or it hangs"),
    ],
)
async def test_what_is_wrong_is_said(tmp_path: Path, changes: dict[str, Any], state: str, words: str) -> None:
    found = await judged(tmp_path, beat_with(**changes))
    assert found.state == state
    assert len(found.reasons) == 1
    assert words in found.reasons[0]


@pytest.mark.parametrize(
    ("beat", "words"),
    [
        (None, "the daemon is stopped"),
        (beat_with(stopped=True, at=NOW - 7200), "was stopped 2 hours ago"),
        (beat_with(at=NOW - 300), "ended without stopping in good order 5 minutes ago"),
    ],
)
async def test_a_stopped_daemon_is_told_from_its_last_heartbeat(
    tmp_path: Path, beat: Mapping[str, Any] | None, words: str
) -> None:
    found = await judged(tmp_path, beat, held=False)
    assert found.state == "stopped"
    assert words in found.reasons[0]
    assert found.facts["freshness_seconds"]["p50"] is None


async def test_a_stopped_daemon_still_tells_what_will_be_lost(tmp_path: Path) -> None:
    found = await judged(tmp_path, beat_with(stopped=True), held=False, now=NOW + 60 * HOUR)
    assert found.facts["hours_to_loss"] == 12.0
    assert any("12 hours" in reason for reason in found.reasons)
    told = found.facts["calls"]["marketo"]
    assert (told["used"], told["budget"], told["forecast"], told["runs_out_at"]) == (0, 45000, 0, None)


async def test_the_last_hour_counts_across_the_reset_of_the_day() -> None:
    hour = Rate()
    for count, now, made in ((500, 0.0, 0), (560, 1800.0, 60), (5, 2000.0, 65), (5, 5500.0, 5), (5, 6000.0, 0)):
        hour.add(count, now)
        assert hour.in_span(now) == made


async def test_what_the_daemon_cannot_store_it_says_beside_the_store(tmp_path: Path) -> None:
    """The heartbeat is as old as the standstill, so nothing else is judged by it."""
    store = await Store.open(tmp_path / "store.db")
    try:
        await store.put_note("heartbeat", beat_with(at=NOW - 3600, stream__state="lost", paused=PAUSED))
        store.say("nothing can be stored since noon: the disk is full")
        found = await status(load(config_file(tmp_path), {}).settings, NOW)
    finally:
        await store.close()
    assert (found.state, found.reasons) == ("failing", ["nothing can be stored since noon: the disk is full"])


async def test_a_silent_daemon_whose_disk_is_read_only_is_told_with_it(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db")
    try:
        await store.put_note("heartbeat", beat_with(at=NOW - 3600))
        with unwritable(tmp_path / "store.db"):
            found = await status(load(config_file(tmp_path), {}).settings, NOW)
    finally:
        await store.close()
    assert found.state == "stopped"
    assert "said nothing for 60 minutes" in found.reasons[0]
    assert "this user may write" in found.reasons[1]


async def test_what_waits_names_what_it_waits_for_and_for_how_long(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db")
    try:
        account, contact = "0015g00000000A1AAA", "0035g00000000C1AAA"
        commit_ms = int((NOW - 90) * 1000)
        change = Change(
            "Contact", contact, fields={"LastName": "Lee"}, whole=True, refs={"account": account}, commit_ms=commit_ms
        )
        await store.take([change], Replay("/data/ChangeEvents", 9, commit_ms, commit_ms), int(NOW * 1000))
        await store.put_note("heartbeat", BEAT)
        await store.cover([Covered(obj, 0.0, NOW - 60, "read") for obj in OBJECTS])
        found = await status(load(config_file(tmp_path), {}).settings, NOW)
    finally:
        await store.close()
    assert found.state == "ok"
    assert found.facts["backlog"] == {"Account": 1, "Contact": 1}
    assert found.facts["freshness_seconds"]["oldest"] == 90.0
    assert found.facts["replay_ids"] == {"/data/ChangeEvents": 9}
    assert found.facts["blocked"] == [
        {
            "object": "Contact",
            "entries": 1,
            "waits_for": {"object": "Account", "id": account},
            "why": "it waits to be read from Salesforce",
        }
    ]


@pytest.mark.parametrize(
    ("batch_size", "concurrency", "words"),
    [
        (75, 2, "75 records in a call instead of 300, 2 calls to Marketo instead of 5"),
        (300, 2, "2 calls to Marketo instead of 5"),
        (300, 5, ""),
    ],
)
async def test_how_much_marketo_is_given_at_a_time_is_shown_where_it_is_less_than_is_set(
    tmp_path: Path, batch_size: int, concurrency: int, words: str
) -> None:
    told = {"batch_size": {"now": batch_size, "set": 300}, "concurrency": {"now": concurrency, "set": 5}}
    found = await judged(tmp_path, beat_with(pace=told))
    assert found.state == "ok"
    assert found.facts["pace"] == told
    screen = console_text(_drawn(found))
    assert words in screen
    assert ("at a time" in screen) == bool(words)
    stopped = await judged(tmp_path, beat_with(pace=told), held=False)
    assert {each["now"] for each in stopped.facts["pace"].values()} == {300, 5}, "the next start begins with what is set"


def console_text(drawn: RenderableType) -> str:
    """As a wide terminal shows it."""
    shown = Console(width=200, file=io.StringIO(), record=True)
    shown.print(drawn)
    return shown.export_text()


async def test_a_screen_holds_what_the_most_wait_for_and_says_where_the_rest_is(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    store = await Store.open(tmp_path / "store.db")
    try:
        waiting = [(account, number) for account in range(12) for number in range(12 - account)]
        changes = [
            Change("Contact", sf_id("Contact", 100 * account + number), refs={"account": sf_id("Account", account)}, whole=True)
            for account, number in waiting
        ]
        await store.take(changes, None, int(NOW * 1000))
    finally:
        await store.close()
    shown, told = await msi("status", "--config", str(config)), await msi("status", "--json", "--config", str(config))
    rows = [line for line in shown.out.splitlines() if "Account 001" in line]
    assert [row.split()[1] for row in rows] == ["12", "11", "10", "9", "8", "7", "6", "5"]
    assert "… and others: `msi-stream status --json` names them" in shown.out
    assert len(told.json()["blocked"]) == 12


def test_before_the_first_start_it_is_stopped_and_nothing_is_made(tmp_path: Path) -> None:
    said = here_and_now("status", "--json", "--config", str(config_file(tmp_path)))
    assert said.code == 1
    assert said.json()["state"] == "stopped"
    assert "never run" in said.json()["reasons"][0]
    assert said.json().keys() >= KEYS
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


async def test_looking_never_keeps_a_daemon_from_starting(tmp_path: Path) -> None:
    settings = load(config_file(tmp_path), {}).settings
    await (await Store.open(settings.store.path)).close()

    done = asyncio.Event()

    async def look() -> None:
        while not done.is_set():
            await status(settings, SystemClock().now())

    async with asyncio.timeout(30):
        looks = asyncio.gather(*(look() for _ in range(4)))
        for _ in range(100):
            await (await Store.open(settings.store.path)).close()
        done.set()
        await looks


async def test_beside_a_running_daemon_and_after_it(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        account, _ = company(here)
        here.instance.refuse("company", account, "1006", "Field 'company' not found", times=None)
        await here.start()
        await here.until_dead()
        assert here.store is not None
        while (await here.store.note("heartbeat"))["stream"]["state"] != "connected":
            await here.clock.sleep(0.05)
        said = await ask(here, "status", "--json")
        assert said.code == 1
        told = said.json()
        assert told["state"] == "degraded"
        assert told["reasons"] == ["1 dead letter: see `msi-stream dead list`"]
        assert told["dead"] == 1
        (blocked,) = told["blocked"]
        assert blocked["waits_for"] == {"object": "Account", "id": account}
        assert "dead letter (1006)" in blocked["why"]
        shown = await ask(here, "status")
        assert "degraded" in shown.out
        assert account in shown.out
        await here.stop()
        told = (await ask(here, "status", "--json")).json()
        assert told["state"] == "stopped"
        assert "was stopped" in told["reasons"][0]
        assert told["people"]["synced"] == 0


async def test_a_hole_is_told_with_its_reason_until_it_is_closed(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db")
    try:
        await store.put_note("heartbeat", BEAT)
        await store.cover([Covered(obj, 0.0, NOW - 60, "read") for obj in OBJECTS])
        await store.cut([Hole("Lead", NOW - 3600, NOW - 1800, "the stored replay id had expired")])
        settings = load(config_file(tmp_path), {}).settings
        found = await status(settings, NOW)
        assert found.state == "degraded"
        (reason,) = found.reasons
        assert reason.startswith("Lead: changes between 2026-09-21T13:13:20Z and 2026-09-21T13:43:20Z may be missing")
        assert [row.get("hole") for row in found.as_json()["coverage"]["Lead"]] == [
            None,
            "the stored replay id had expired",
            None,
        ]
        await store.put_note(
            "load:Lead", {"rows": 5, "total": 20, "rows_a_second": 0.5, "why": "the stored replay id had expired"}
        )
        (reason,) = (await status(settings, NOW)).reasons
        assert reason.startswith("Lead is being read, 5 of 20 records")
        await store.cover([Covered("Lead", NOW - 3600, NOW - 1800, "read")])
        await store.take_rows([], 0, notes={"load:Lead": None})
        assert (await status(settings, NOW)).state == "ok"
    finally:
        await store.close()


async def test_an_object_of_which_nothing_was_proven_for_long_is_said(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db")
    try:
        await store.put_note("heartbeat", BEAT)
        await store.cover([Covered(obj, 0.0, NOW - (86400 if obj == "Contact" else 60), "read") for obj in OBJECTS])
        (reason,) = (await status(load(config_file(tmp_path), {}).settings, NOW)).reasons
        assert reason == "Contact: nothing proves that changes since 2026-09-20T14:13:20Z have come"
    finally:
        await store.close()
