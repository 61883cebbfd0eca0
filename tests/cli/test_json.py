"""`--json` everywhere where there is something to tell: one document on stdout, and the same exit code as without it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import click
import orjson
import pytest

from store.model import Change, Dead
from store.store import Store
from stream.ids import widen
from tests.cli.shell import ask, config_file, here_and_now
from tests.cli.test_help import ALL, command_of
from tests.flow.scenes import company
from tests.flow.world import world

NOW = 1_790_000_000_000
ACCOUNT = widen("0015g00000000D1")
NO_RESULT = {"run", "sandbox", "completion", "init"}
"""These end with the process, or write files of their own."""

ALWAYS = {"dead show"}
"""JSON anyway."""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration, and a store with a dead letter in it; no daemon runs."""

    async def fill() -> None:
        store = await Store.open(tmp_path / "store.db")
        await store.take([Change("Account", ACCOUNT, fields={"Name": "D"}, whole=True)], None, NOW)
        [claimed] = await store.claim("Account", "upsert", most=9, now_ms=NOW, linger_ms=0)
        await store.finish([Dead(claimed.entry.entry_id, claimed.entry.key, "1006", "its cause", "its cure")], NOW)
        await store.close()

    asyncio.run(fill())
    return str(config_file(tmp_path))


def test_every_command_that_has_a_result_takes_it() -> None:
    taking = {
        " ".join(path)
        for path in ALL
        if any(isinstance(option, click.Option) and "--json" in option.opts for option in command_of(path).params)
    }
    assert taking == {" ".join(path) for path in ALL} - NO_RESULT - ALWAYS


FLOWS = {"deliver": {"was_held": False, "held": True}, "scores": {"was_held": False, "held": True}}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["pause"], 0, {"flows": FLOWS, "taken_up": "no daemon"}),
        (["resume", "scores"], 0, {"flows": {"scores": {"was_held": False, "held": False}}, "taken_up": "no daemon"}),
        (["resume", "leaving"], 0, {"flows": {"leaving": {"was_held": False, "held": False}}, "taken_up": "no daemon"}),
        (["dead", "retry", "1"], 0, {"done": [1], "kept": [], "unknown": [], "taken_up": "no daemon"}),
        (["dead", "drop", "1", "9"], 1, {"done": [1], "kept": [], "unknown": ["9"]}),
        (["backfill", "Lead"], 0, {"objects": ["Lead"], "outcome": "no daemon"}),
        (["replay", "set", "/data/ChangeEvents", "-2"], 0, {"channel": "/data/ChangeEvents", "replay_id": -2}),
    ],
)
def test_what_it_tells(config: str, words: list[str], code: int, told: dict[str, Any]) -> None:
    said = here_and_now(*words, "--json", "--config", config)
    assert said.code == code
    assert orjson.loads(said.out) == told


async def test_what_it_tells_of_a_running_daemon(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, reconcile__interval_seconds=86400.0) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        said = await ask(here, "backfill", "Lead", "--json")
        assert (said.code, orjson.loads(said.out)) == (0, {"objects": ["Lead"], "outcome": "read"})
        said = await ask(here, "pause", "scores", "--json")
        assert orjson.loads(said.out) == {"flows": {"scores": {"was_held": False, "held": True}}, "taken_up": "yes"}
        said = await ask(here, "resume", "scores", "--json")
        assert orjson.loads(said.out) == {"flows": {"scores": {"was_held": True, "held": False}}, "taken_up": "yes"}
        said = await ask(here, "doctor")
        assert re.search(r"checks( are well)?\.$", said.out.rstrip()), "what it comes to"
