"""The whole way on real parts: a change in Salesforce reaches Marketo, its score comes back."""

from __future__ import annotations

from pathlib import Path

from sandbox.salesforce.seed import seed_org
from tests.flow.world import world


async def test_a_whole_org_arrives(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        seed_org(here.org, publish=True)
        here.touch_built_in_users()
        await here.start()
        await here.until_equal(seconds=60)
