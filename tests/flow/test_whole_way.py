"""The whole way on real parts: a change in Salesforce reaches Marketo, its score comes back."""

from __future__ import annotations

from pathlib import Path

from flow.world import world

from sandbox.salesforce.seed import seed_org


async def test_a_whole_org_arrives(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.marketo.limits.calls_per_20s = 100_000
        seed_org(here.org, publish=True)
        here.touch_built_in_users()
        await here.start()
        await here.until_equal(seconds=60)
