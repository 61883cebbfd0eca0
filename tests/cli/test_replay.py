"""`replay`: where the next start begins, shown beside a daemon, set only while none runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from store.model import Replay
from store.store import Store
from tests.cli.shell import ask, config_file, here_and_now
from tests.flow.scenes import company
from tests.flow.world import world

CHANNEL = "/data/ChangeEvents"


async def test_a_running_daemon_is_not_disturbed(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        (shown,) = (await ask(here, "replay", "show", "--json")).json()
        assert shown["channel"] == CHANNEL
        assert shown["replay_id"] == here.org.log.last_replay_id
        assert shown["newest_commit"].endswith("Z")
        said = await ask(here, "replay", "set", CHANNEL, "-2")
        assert said.code == 3
        assert "stop it first" in said.message
        assert here.store is not None
        held = await here.store.replay(CHANNEL)
        assert held is not None
        assert held.replay_id == here.org.log.last_replay_id


async def store_with(path: Path, *positions: Replay) -> None:
    """A store as a stopped daemon leaves it."""
    store = await Store.open(path)
    for position in positions:
        await store.set_replay(position)
    await store.close()


@pytest.mark.parametrize(
    ("replay_id", "meaning"), [("-2", "everything"), ("-1", "new events only"), ("2255700", "the events after 2255700")]
)
def test_a_position_is_set_and_explained(tmp_path: Path, replay_id: str, meaning: str) -> None:
    asyncio.run(store_with(tmp_path / "store.db", Replay(CHANNEL, 5, 1_790_000_000_000, 1_790_000_000_500)))
    config = ["--config", str(config_file(tmp_path))]
    said = here_and_now("replay", "set", CHANNEL, replay_id, *config)
    assert (said.code, said.err) == (0, "")
    assert meaning in said.out
    (shown,) = here_and_now("replay", "show", "--json", *config).json()
    assert shown["replay_id"] == int(replay_id)
    assert meaning in shown["begins_with"]
    assert shown["newest_commit"] == "2026-09-21T14:13:20Z"
    assert replay_id in here_and_now("replay", "show", *config).out


async def test_everything_retained_comes_again_and_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        await here.stop()
        writes = len(here.instance.journal)
        assert (await ask(here, "replay", "set", CHANNEL, "-2")).code == 0
        events = here.org.log.last_replay_id
        await here.start()
        await here.until(lambda: here.running.capture.events > 0)
        await here.until_quiet()
        assert here.org.log.last_replay_id == events
        assert len(here.instance.journal) == writes


def test_a_channel_that_nobody_listens_to_is_said(tmp_path: Path) -> None:
    asyncio.run(store_with(tmp_path / "store.db"))
    config = ["--config", str(config_file(tmp_path))]
    said = here_and_now("replay", "set", "/data/LeadChangeEvent", "-2", *config)
    assert said.code == 0
    assert f"listens to {CHANNEL}" in said.err
    shown = here_and_now("replay", "show", "--json", *config).json()
    assert [(each["channel"], each["replay_id"]) for each in shown] == [(CHANNEL, None), ("/data/LeadChangeEvent", -2)]


def test_without_a_store_there_is_nothing_to_show_or_set(tmp_path: Path) -> None:
    for words in (["show"], ["set", CHANNEL, "-2"]):
        said = here_and_now("replay", *words, "--config", str(config_file(tmp_path)))
        assert said.code == 2
        assert "there is no store" in said.message
    assert not (tmp_path / "store.db").exists()
