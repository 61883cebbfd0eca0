"""Everything at once: an org that does not stand still, both services failing now and then, restarts in between."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any, Literal

import pytest

from sandbox.faults import Action, Fault
from sandbox.oracle_rules import Fate, Rules
from sandbox.salesforce.seed import seed_org
from stream.edges import Patience
from stream.marketo.client import Timeouts
from tests.crash.crashing import Restless
from tests.flow.world import World, world

USUAL = (4, 11)
FATES: tuple[Fate, ...] = ("keep", "delete")
ACTIONS: tuple[Action, ...] = ("reset_before", "reset_after", "truncate", "hang_after", "respond")
PATIENCE = Patience(Timeouts(1.0, 1.0, 1.0, 1.0, 1.0, 1.0), salesforce_seconds=1.0)


def trouble(here: World, chance: random.Random) -> None:
    """One thing that goes wrong."""
    action = chance.choice(ACTIONS)
    kind = chance.randrange(8)
    if kind < 3:
        path = chance.choice((r"leads\.json", r"companies\.json", r"opportunities", "/rest/", "delete"))
        here.marketo.faults.add(Fault(action, path=path, times=1, status=503, body="down"))
    elif kind < 5:
        path = chance.choice(("/query", "/composite", "/cometd"))
        here.salesforce.faults.add(Fault(action, path=path, times=1, status=503, body="down"))
    elif kind == 5:
        here.salesforce.sign_in.revoke_tokens()
    elif kind == 6:
        here.marketo.identity.revoke_token()
    else:
        here.salesforce.bayeux.drop_sessions()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The usual storms, or those that were asked for."""
    first, _, last = (metafunc.config.getoption("--storms") or "").partition("-")
    metafunc.parametrize("seed", range(int(first), int(last or first) + 1) if first else USUAL)


def rules_of(seed: int) -> Rules:
    """What the settings ask for: in the usual storms what moves most, in others as the seed has it."""
    if seed in USUAL:
        return Rules(deletes={"Lead": "delete", "Opportunity": "delete", "OpportunityContactRole": "delete"})
    chance = random.Random(f"rules {seed}")  # noqa: S311 - reproducible settings
    fates: dict[str, Fate] = {obj: chance.choice(FATES) for obj in ("Lead", "Contact", "Opportunity")}
    fates["OpportunityContactRole"] = "delete"  # one that is kept moves with its person: the oracle does not follow it
    shared: Literal["share", "duplicate"] = "share" if chance.random() < 0.8 else "duplicate"
    return Rules(deletes=fates, shared_email=shared, merge_people=chance.random() < 0.8)


async def test_a_storm_loses_nothing_and_doubles_nobody(tmp_path: Path, seed: int) -> None:
    chance, rules = random.Random(seed), rules_of(seed)  # noqa: S311 - reproducible troubles
    settings: dict[str, Any] = {f"deliver__deletes__{obj}": fate for obj, fate in rules.deletes.items()}
    settings |= {"deliver__shared_email": rules.shared_email, "deliver__merge_people": rules.merge_people}
    async with world(tmp_path, deliver__batch_size=20, deliver__max_attempts=2, **settings) as here:
        here.marketo.latency_seconds = 0.2
        here.instance.quirks.create_latency_seconds = 0.2
        made = seed_org(here.org, scale=0.1, seed=seed, publish=True)
        here.touch_built_in_users()
        restless = Restless(here, made, seed)
        await here.start(PATIENCE)
        for turn in range(120):
            restless.step()
            if chance.random() < 0.3:
                trouble(here, chance)
            if chance.random() < 0.1:
                with here.org.as_gaps():
                    restless.step()
            if turn in {40, 80}:
                await here.stop()
                await here.start(PATIENCE)
            await asyncio.sleep(0.02)  # noqa: TID251 - the pace of the storm
        here.marketo.faults.clear()
        here.salesforce.faults.clear()
        await here.until_quiet(rules, 60)
        assert not await here.dead()
