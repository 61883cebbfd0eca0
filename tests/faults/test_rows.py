"""Every call that the daemon makes has a row, and every row its call: what is added later cannot stay outside the matrix."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.calls import marketo_call, salesforce_call
from tests.faults.matrix import STAGES, stage
from tests.faults.rows import BY_CALL, Stage
from tests.faults.steps import STEPS


@pytest.mark.parametrize("which", STAGES)
async def test_each_call_of_the_scenario_has_a_row(tmp_path: Path, which: Stage) -> None:
    seen: Counter[str] = Counter()
    found: set[str] = set()
    missing: set[str] = set()
    async with stage(tmp_path, which) as cast:
        here = cast.here
        here.marketo.faults.watch = lambda request, body: seen.update([marketo_call(request, body)])
        here.salesforce.faults.watch = lambda request, body: seen.update([salesforce_call(request, body)])
        for name, step in STEPS.items():
            seen.clear()
            await step(cast)
            await cast.quiet()
            wanted = {row.call for row in BY_CALL.values() if row.step == name and row.stage == which}
            for _ in range(500):
                if wanted <= seen.keys():
                    break
                await here.clock.sleep(1)
            missing |= {f"{call}: {name}" for call in wanted - seen.keys()}
            found |= seen.keys()
    assert found <= BY_CALL.keys(), f"no row for {sorted(found - BY_CALL.keys())}"
    assert not missing, f"not seen in the step that their row names: {sorted(missing)}"
