"""SIGKILL at random moments, more than fifty times, under a stream of changes: afterwards both sides agree."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.salesforce.seed import seed_org
from tests.flow.world import World, world

KILLS = 55


async def _start(config: Path, log: Path) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MSI_STREAM_")}
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stream", "run", "--config", str(config), stdout=output, stderr=output, env=environment
        )


def _change(here: World, made: Any, chance: random.Random, number: int) -> None:
    """One change as people make them."""
    org = here.org
    kind = chance.randrange(6)
    if kind == 0:
        org.create("Lead", {"LastName": f"Kill{number}", "Company": "K", "Email": f"kill{number}@example.com"})
    elif kind == 1:
        account = org.create("Account", {"Name": f"Killed {number}"})
        org.create("Contact", {"LastName": f"Kill{number}", "AccountId": account, "Email": f"contact{number}@example.com"})
    elif kind == 2:
        org.update("Account", chance.choice(made.accounts), {"Industry": f"Industry {number}"})
    elif kind == 3:
        org.update("Opportunity", chance.choice(made.opportunities), {"NextStep": f"Step {number}"})
    elif kind == 4:
        org.update("Contact", chance.choice(made.contacts), {"Title": f"Title {number}"})
    else:
        here.instance.scores.busy_day(0.05, number)


@pytest.mark.timeout(280)
async def test_fifty_kills_lose_nothing_and_double_nobody(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - reproducible moments
    async with world(tmp_path, deliver__settle_seconds=0.2, salesforce__flow="client_credentials") as here:
        here.marketo.limits.calls_per_20s = 100_000
        here.marketo.latency_seconds = 0.01
        made = seed_org(here.org, scale=0.2, publish=True)
        here.touch_built_in_users()
        config, log = here.write_config(), tmp_path / "log"
        codes: list[int] = []
        for kill in range(KILLS):
            process = await _start(config, log)
            moment = 0.45 + chance.random() * 0.6
            for step in range(4):
                await asyncio.sleep(moment / 4)  # noqa: TID251 - the moment of the kill is random on purpose
                _change(here, made, chance, kill * 10 + step)
            process.kill()
            codes.append(await process.wait())
        assert codes == [-9] * KILLS, log.read_text()[-2000:]
        process = await _start(config, log)
        try:
            await here.until_equal(seconds=60)
        finally:
            process.terminate()
            code = await process.wait()
        assert code == 0
