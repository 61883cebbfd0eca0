"""A mistyped filter: no more leave than may in a day, the others wait for a person, and a mended filter takes them back."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from sandbox.oracle_rules import Rules
from stream.config import load
from stream.operating.flows import resume
from stream.operating.status import status
from stream.operating.why import why
from tests.crash.crashing import Running
from tests.flow.scenes import lead_of
from tests.flow.world import World, world

LIMIT = 4
MANY = 12
TYPO = "Sync_to_Marketo__c = true"  # nobody has ticked it
GONE = Rules(
    deletes={"Lead": "delete"},
    filters={"User": lambda row: row.get("UserType") == "Standard", "Lead": lambda row: bool(row.get("Sync_to_Marketo__c"))},
)
HERE = Rules(deletes={"Lead": "delete"})
SETTINGS: dict[str, Any] = {"deliver__max_leaving_a_day": LIMIT, "deliver__deletes__Lead": "delete"}


async def told(here: World) -> Any:
    """What `status --json` prints."""
    return (await status(load(here.write_config(), {}).settings, here.clock.now())).as_json()


async def until_held(here: World, count: int) -> Any:
    """Wait until so many leads wait for a person, and nothing else goes on; returns the status."""
    async with asyncio.timeout(60):
        while (found := await told(here))["leaving"]["waiting"].get("Lead") != count or found["backlog"] != {"Lead": count}:
            await here.pause()
        return found


def leads(here: World, number: int = MANY) -> list[str]:
    """So many leads."""
    here.touch_built_in_users()
    return [here.org.create("Lead", lead_of(f"L{each}")) for each in range(number)]


async def with_typo(here: World) -> list[str]:
    """Everybody is in Marketo, and then the filter is mistyped."""
    made = leads(here)
    await here.start()
    await here.until_quiet(HERE)
    await here.stop()
    here.overrides["filters.Lead"] = TYPO
    await here.start()
    return made


async def test_a_mistyped_filter_takes_nobody_away_and_a_mended_one_takes_them_back(tmp_path: Path) -> None:
    async with world(tmp_path, **SETTINGS) as here:
        made = await with_typo(here)
        found = await until_held(here, MANY)
        assert (found["state"], found["leaving"]) == ("degraded", {"limit": LIMIT, "waiting": {"Lead": MANY}})
        (reason,) = [reason for reason in found["reasons"] if "left the filter" in reason]
        assert f"{MANY} Lead records left the filter, and stay in Marketo for now" in reason
        assert "msi-stream resume leaving" in reason
        assert "put it right and restart" in reason
        assert all(here.lead_of(one) for one in made)
        story = await why(tmp_path / "store.db", made[1], int(here.clock.now() * 1000))
        assert "stays in Marketo for now" in story.stands
        assert "msi-stream resume leaving" in story.cure
        new = here.org.create("Lead", lead_of("New", Sync_to_Marketo__c=True))
        here.org.update("Lead", made[0], {"Title": "Still outside"})
        await here.until(lambda: here.instance.leads_of(new))
        await until_held(here, MANY)
        assert [(line["object"], line["log_level"]) for line in here.events("leaving_held")] == [("Lead", "error")]
        await here.restart()
        await until_held(here, MANY)
        await here.stop()

        here.overrides["filters.Lead"] = ""
        await here.start()
        await here.until_quiet(HERE)
        assert all(here.lead_of(one) for one in made)
        assert here.lead_of(made[0])["title"] == "Still outside"
        await here.until(lambda: here.events("leaving_goes_on"))
        found = await told(here)
        assert found["leaving"]["waiting"] == {}
        assert not any("left the filter" in reason for reason in found["reasons"])


async def test_who_is_to_go_goes_when_a_person_says_so_and_others_within_a_day(tmp_path: Path) -> None:
    async with world(tmp_path, **SETTINGS) as here:
        made = await with_typo(here)
        late = here.org.create("Lead", lead_of("Late", Sync_to_Marketo__c=True))
        await here.until(lambda: here.instance.leads_of(late))
        await until_held(here, MANY)
        said = await resume(tmp_path / "store.db", ("leaving",), here.clock)
        assert (dict(said.before.leaving), said.taken_up) == ({"Lead": MANY}, "yes")
        await here.until_quiet(GONE)
        assert not any(here.instance.leads_of(one) for one in made)
        here.org.update("Lead", late, {"Sync_to_Marketo__c": False})
        await here.until_quiet(GONE)
        assert not here.instance.leads
        assert not await here.dead()


async def test_as_many_as_may_leave_and_one_who_is_deleted_or_comes_back_waits_for_nobody(tmp_path: Path) -> None:
    async with world(tmp_path, **SETTINGS, filters__Lead=TYPO) as here:
        here.touch_built_in_users()
        made = [here.org.create("Lead", lead_of(f"L{each}", Sync_to_Marketo__c=True)) for each in range(9)]
        await here.start()
        await here.until_quiet(GONE)
        for one in made[:LIMIT]:
            here.org.update("Lead", one, {"Sync_to_Marketo__c": False})
        await here.until_quiet(GONE)
        assert not here.events("leaving_held")
        for one in made[LIMIT:]:
            here.org.update("Lead", one, {"Sync_to_Marketo__c": False})
            await here.until(lambda: here.events("leaving_held"))
        await until_held(here, 5)
        here.org.delete("Lead", made[LIMIT])
        here.org.update("Lead", made[LIMIT + 1], {"Sync_to_Marketo__c": True, "Title": "Back"})
        await until_held(here, 3)
        await here.until(lambda: not here.instance.leads_of(made[LIMIT]))
        await here.until(lambda: here.lead_of(made[LIMIT + 1]).get("title") == "Back")
        here.clock.jump(25 * 3600)  # a day later they still wait
        await here.restart()
        await until_held(here, 3)


async def run_killed(here: World, logged: str) -> None:
    """A daemon that is killed as soon as it has logged this."""
    running = await Running.start(here.write_config())
    try:
        await here.until(lambda: running.logged(logged), 60)
    finally:
        code = await running.end(signal.SIGKILL)
    assert code == -signal.SIGKILL, running.errors


async def run_quiet(here: World, rules: Rules) -> None:
    """A daemon that runs until both sides agree and nothing is left to do, and ends in good order."""
    running = await Running.start(here.write_config())
    try:
        await here.until(lambda: running.logged("daemon_ready"), 60)
        await here.until_equal(rules, 60)
        async with asyncio.timeout(60):
            while (await told(here))["backlog"]:
                await here.pause()
        await here.until_equal(rules, 60)
    finally:
        code = await running.end(signal.SIGTERM)
    assert code == 0, running.errors


async def test_no_kill_lets_more_leave_or_forgets_who_enters(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **SETTINGS) as here:
        made = leads(here)
        inside = [here.org.create("Lead", lead_of(f"In{each}", Sync_to_Marketo__c=True)) for each in range(3)]

        await run_quiet(here, HERE)
        here.overrides["filters.Lead"] = TYPO
        await run_killed(here, "filter_changed")
        await run_killed(here, "leaving_held")
        await run_killed(here, "leaving_held")
        assert (await told(here))["leaving"]["waiting"] == {"Lead": MANY}
        assert all(here.lead_of(one) for one in [*made, *inside])
        await resume(tmp_path / "store.db", ("leaving",), here.clock)
        await run_killed(here, "batch_delivered")
        await run_quiet(here, GONE)
        assert {person.get("externalPersonId") for person in here.instance.leads.values()} == set(inside)
        del here.overrides["filters.Lead"]
        await run_killed(here, "filter_changed")
        await run_killed(here, "batch_delivered")
        await run_quiet(here, HERE)
        assert all(here.lead_of(one) for one in [*made, *inside])
