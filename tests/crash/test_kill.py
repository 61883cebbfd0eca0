"""SIGKILL at random moments, more than fifty times, under a stream of changes: afterwards both sides agree."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from sandbox.oracle_rules import Rules
from sandbox.salesforce.seed import seed_org
from tests.crash.crashing import Restless, Running, state_of
from tests.flow.world import world

KILLS = 52
SEED = 7
RULES = Rules(deletes={"Lead": "delete", "Opportunity": "delete", "OpportunityContactRole": "delete"})


@pytest.mark.timeout(280)
async def test_fifty_kills_lose_nothing_and_double_nobody(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - reproducible moments
    states: Counter[str] = Counter()
    async with world(tmp_path, speed=1.0, deliver__deletes__Lead="delete") as here:
        here.marketo.latency_seconds = 0.05
        here.instance.quirks.create_latency_seconds = 0.02
        made = seed_org(here.org, scale=0.2, publish=True)
        here.touch_built_in_users()
        restless = Restless(here, made, SEED)
        changes = asyncio.create_task(restless.run(0.05))
        config = here.write_config()
        for _ in range(KILLS):
            running = await Running.start(config)
            if chance.random() < 0.9:
                await running.until_logged("daemon_started")
            await asyncio.sleep(chance.random() * 0.5)  # noqa: TID251 - the moment of the kill is random on purpose
            assert await running.end(signal.SIGKILL) == -signal.SIGKILL, running.errors
            states[state_of(tmp_path / "store.db", running)] += 1
        changes.cancel()
        running = await Running.start(config)
        try:
            await here.until_equal(RULES, seconds=60)
        finally:
            code = await running.end(signal.SIGTERM)
        assert (code, running.errors) == (0, "")
    told = ", ".join(f"{number} × {state}" for state, number in states.most_common())
    print(f"{KILLS} kills under {restless.number} changes: {told}")  # noqa: T201 - the test's own report
    assert states.total() == KILLS
    assert states["people in flight"] or states["others in flight"]
