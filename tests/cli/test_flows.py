"""`pause` and `resume`: beside a running daemon, without one, across restarts; capture goes on, and status says it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from store.holds import POISONED
from store.store import Store
from stream.clock import SystemClock
from stream.operating import flows
from tests.cli.shell import ask, config_file, here_and_now
from tests.flow.scenes import company, lead_of
from tests.flow.world import World, world

NOTE = {"since": 1_790_000_000.0, "refused": 201, "judged": 640, "code": "1006", "cause": "Marketo has no such field"}


async def made_store(path: Path, **notes: Any) -> None:
    """A store that a daemon has left behind."""
    store = await Store.open(path)
    for name, value in notes.items():
        await store.put_note(name, value)
    await store.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose store no daemon holds."""
    asyncio.run(made_store(tmp_path / "store.db"))
    return config_file(tmp_path)


def status_of(config: Path) -> Any:
    """What `status --json` prints."""
    return here_and_now("status", "--json", "--config", str(config)).json()


def test_without_a_daemon_it_holds_from_the_next_start_on(config: Path) -> None:
    said = here_and_now("pause", "deliver", "--config", str(config))
    assert said.code == 0
    assert "Delivery to Marketo is paused" in said.out
    assert "No daemon runs: the next start is paused." in said.out
    told = status_of(config)
    assert told["state"] == "stopped"
    assert told["paused"].keys() == {"deliver"}
    assert any("paused by the operator since 20" in reason and "resume deliver" in reason for reason in told["reasons"])
    since = told["paused"]["deliver"]
    again = here_and_now("pause", "--config", str(config))
    assert f"Delivery to Marketo has been paused since {since}" in again.out
    assert status_of(config)["paused"].keys() == {"deliver", "scores"}
    assert status_of(config)["paused"]["deliver"] == since
    one = here_and_now("resume", "scores", "--config", str(config))
    assert (one.code, status_of(config)["paused"].keys()) == (0, {"deliver"})
    both = here_and_now("resume", "--config", str(config))
    assert "Delivery to Marketo goes on." in both.out
    assert "Bringing scores back to Salesforce was not held." in both.out
    assert status_of(config)["paused"] == {}


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_wrong_words_and_no_store_are_usage_errors(tmp_path: Path, command: str) -> None:
    config = config_file(tmp_path)
    assert here_and_now(command, "capture", "--config", str(config)).code == 2
    said = here_and_now(command, "--config", str(config))
    assert said.code == 2
    assert "there is no store" in said.message


def test_resume_ends_a_stop_of_the_delivery_itself(tmp_path: Path) -> None:
    asyncio.run(made_store(tmp_path / "store.db", **{POISONED: NOTE}))
    config = config_file(tmp_path)
    (reason, *_) = status_of(config)["reasons"][1:]
    for words in (
        "201 of the last 640 records were refused",
        "1006",
        "no such field",
        "dead retry --code 1006",
        "resume deliver",
    ):
        assert words in reason
    assert status_of(config)["poisoned"]["refused"] == 201
    assert here_and_now("pause", "scores", "--config", str(config)).code == 0
    assert here_and_now("resume", "scores", "--config", str(config)).code == 0
    assert status_of(config)["poisoned"]
    said = here_and_now("resume", "deliver", "--config", str(config))
    assert (said.code, "goes on" in said.out) == (0, True)
    assert status_of(config)["poisoned"] is None


async def until_heard(here: World) -> None:
    """Wait until the daemon's heartbeat says that the stream is connected."""
    assert here.store is not None
    while ((await here.store.note("heartbeat")) or {"stream": {"state": ""}})["stream"]["state"] != "connected":
        await here.clock.sleep(0.05)


async def test_a_running_daemon_takes_it_up_finishes_what_is_in_flight_and_goes_on_buffering(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        await until_heard(here)
        here.marketo.latency_seconds = 1.0
        here.org.update("Account", account, {"Phone": "in flight"})
        await here.until(lambda: here.running.deliver.busy)
        said = await ask(here, "pause", "deliver")
        assert said.code == 0
        assert "The daemon has taken it up." in said.out
        here.marketo.latency_seconds = 0.0
        await here.until(lambda: here.instance.companies[account]["mainPhone"] == "in flight")
        events = here.running.capture.events
        lead = here.org.create("Lead", lead_of("Buffered"))
        await here.until(lambda: here.running.capture.events > events)
        told = (await ask(here, "status", "--json")).json()
        assert told["state"] == "degraded"
        assert told["backlog"] == {"Lead": 1}
        assert ["paused by the operator" in reason for reason in told["reasons"]] == [True]
        await here.restart()
        await until_heard(here)
        await here.clock.sleep(1)
        assert not here.instance.leads_of(lead)
        said = await ask(here, "resume")
        assert (said.code, "has taken it up" in said.out) == (0, True)
        await here.until_quiet()
        assert here.lead_of(lead)


async def test_paused_scores_stand_still_while_changes_go_on(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, contact = company(here)
        await here.start()
        await here.until_quiet()
        await flows.pause(here.folder / "store.db", ["scores"], here.clock)
        await here.clock.sleep(10)
        written, calls = here.running.scores.written, here.running.edges.marketo_budget.used
        here.instance.scores.change_score(here.lead_of(contact)["id"], 77)
        await here.clock.sleep(20)
        assert here.running.scores.written == written
        assert here.running.edges.marketo_budget.used == calls
        here.org.update("Account", account, {"Phone": "goes on"})
        await here.until(lambda: here.instance.companies[account]["mainPhone"] == "goes on")
        await flows.resume(here.folder / "store.db", ["scores"], here.clock)
        await here.until_quiet()
        assert here.org.get("Contact", contact)["mkto_si__Priority__c"] == 77


async def test_a_daemon_that_hangs_is_told_from_one_that_has_taken_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "TAKEN_UP_SECONDS", 0.3)
    store = await Store.open(tmp_path / "store.db")  # holds the lock, and takes up nothing
    try:
        said = await flows.pause(tmp_path / "store.db", ["scores"], SystemClock())
        assert said.taken_up == "not yet"
        assert (await store.holds()).paused.keys() == {"scores"}
    finally:
        await store.close()
