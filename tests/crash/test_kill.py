"""SIGKILL at random moments, more than fifty times, under a stream of changes: afterwards both sides agree."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.faults import Fault
from sandbox.oracle import resent
from sandbox.oracle_rules import Rules
from sandbox.salesforce.seed import seed_org
from store.view import in_flight
from tests.crash.crashing import Restless, Running, state_of, states_of, written
from tests.flow.scenes import company, contact_of, lead_of
from tests.flow.world import World, world

KILLS = 52
SEED = 7
RULES = Rules(deletes={"Lead": "delete", "Opportunity": "delete", "OpportunityContactRole": "delete"})


async def until_some_moment(here: World, running: Running, chance: random.Random) -> None:
    """Before it has started, soon after, or when Marketo gets one of its next writes: however fast this machine is."""
    if chance.random() < 0.9:
        await running.until_logged("daemon_started")
    if chance.random() < 0.5:
        writes = written(here) + chance.randrange(1, 6)
        with suppress(AssertionError):  # there may be nothing to write
            await here.until(lambda: written(here) >= writes, 5)
        await asyncio.sleep(chance.random() * 0.05)  # noqa: TID251 - while it is at work on that one
    else:
        await asyncio.sleep(chance.random() * 0.5)  # noqa: TID251 - the moment of the kill is random on purpose


@pytest.mark.timeout(900)
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
            await until_some_moment(here, running, chance)
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
    assert states["people in flight"] + states["others in flight"] + states["a delete in flight"] >= 5


async def test_a_kill_makes_nobody_be_sent_again_who_was_not_under_way(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        sharing = here.org.create("Lead", lead_of("Sharing", Email="lee@example.com"))
        alone = here.org.create("Lead", lead_of("Alone"))
        config = here.write_config()
        running = await Running.start(config)
        await here.until_equal()
        here.marketo.faults.add(Fault("hang_after", path=r"^/rest/v1/leads\.json$", body_matches='"title"'))
        with here.org.transaction():
            for lead in (sharing, alone):
                here.org.update("Lead", lead, {"Title": "CTO"})
        await here.until(lambda: here.lead_of(alone).get("title") == "CTO")
        assert await running.end(signal.SIGKILL) == -signal.SIGKILL
        here.marketo.faults.clear()
        assert {record.record_id for record, _ in await in_flight(tmp_path / "store.db")} == {sharing, alone}
        place = len(here.instance.journal)
        running = await Running.start(config)
        await here.until(lambda: len(here.instance.journal) > place)
        with here.org.transaction():  # once this has arrived, whatever a recovery still asked for has gone out before it
            here.org.update("Lead", alone, {"Title": "CEO"})
        await here.until_equal()
        assert await running.end(signal.SIGTERM) == 0
        assert {write.key for write in resent(here.instance, place, len(here.instance.journal))} == {here.lead_of(alone)["id"]}


async def test_a_person_that_was_perhaps_taken_over_is_not_deleted_with_its_first_record(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, deliver__deletes__Lead="delete", deliver__settle_seconds=6.0) as here:
        account, _ = company(here)
        lead = here.org.create("Lead", lead_of("First", Title="Boss"))
        config = here.write_config()
        running = await Running.start(config)
        await here.until_equal(RULES)
        person = here.lead_of(lead)["id"]
        here.marketo.faults.add(Fault("hang_after", path=r"^/rest/v1/leads\.json$", body_matches='"updateOnly"'))
        contact = here.org.create("Contact", contact_of(account, "Second", Email="first@example.com"))
        await here.until(lambda: here.instance.leads_of(contact))
        assert await running.end(signal.SIGKILL) == -signal.SIGKILL
        here.marketo.faults.clear()
        here.org.delete("Lead", lead)
        running = await Running.start(config)
        await here.until(lambda: states_of(tmp_path / "store.db", lead, contact) == ["deleted", "synced"])
        await here.until_equal(RULES)
        assert await running.end(signal.SIGTERM) == 0
        assert (here.lead_of(contact)["id"], here.lead_of(contact).get("title")) == (person, None)


async def test_a_parting_that_was_perhaps_done_is_done_for_both(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        _, contact = company(here)
        lead = here.org.create("Lead", lead_of("Sharing", Email="lee@example.com"))
        config = here.write_config()
        running = await Running.start(config)
        await here.until_equal(RULES)
        person = here.lead_of(contact)["id"]
        here.marketo.faults.add(Fault("hang_after", path=r"^/rest/v1/leads\.json$", body_matches="fresh@example"))
        here.org.update("Contact", contact, {"Email": "fresh@example.com"})
        await here.until(lambda: here.lead_of(contact)["email"] == "fresh@example.com")
        assert await running.end(signal.SIGKILL) == -signal.SIGKILL
        here.marketo.faults.clear()
        running = await Running.start(config)
        await here.until_equal(RULES)
        assert await running.end(signal.SIGTERM) == 0
        assert here.lead_of(contact)["id"] == person
        assert here.lead_of(lead)["email"] == "lee@example.com"


async def test_who_takes_a_person_over_empties_what_it_lacks_also_after_a_kill(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        account, _ = company(here)
        lead = here.org.create("Lead", lead_of("First", Title="Boss"))
        config = here.write_config()
        running = await Running.start(config)
        await here.until_equal(RULES)
        person = here.lead_of(lead)["id"]
        fault = here.marketo.faults.add(Fault("hang", path=r"^/rest/v1/leads\.json$", body_matches='"updateOnly"'))
        contact = here.org.create("Contact", contact_of(account, "Second", Email="first@example.com"))
        await here.until(lambda: fault.hits)
        assert await running.end(signal.SIGKILL) == -signal.SIGKILL
        here.marketo.faults.clear()
        running = await Running.start(config)
        await here.until(lambda: states_of(tmp_path / "store.db", lead, contact) == ["synced", "synced"])
        await here.until_equal(RULES)
        assert await running.end(signal.SIGTERM) == 0
        assert (here.lead_of(contact)["id"], here.lead_of(contact).get("title")) == (person, None)


async def test_a_lead_that_was_perhaps_created_is_found_though_its_contact_is_merged_away_meanwhile(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, deliver__settle_seconds=4.0) as here:
        account, kept = company(here)
        config = here.write_config()
        running = await Running.start(config)
        await here.until_equal(RULES)
        here.marketo.faults.add(Fault("hang_after", path=r"^/rest/v1/leads\.json$", body_matches="createOnly"))
        lead = here.org.create("Lead", lead_of("Lost"))
        await here.until(lambda: here.instance.leads_of(lead))
        assert await running.end(signal.SIGKILL) == -signal.SIGKILL
        here.marketo.faults.clear()
        contact = here.org.convert_lead(lead, account_id=account).contact_id
        here.org.merge("Contact", kept, contact)
        running = await Running.start(config)
        await here.until(lambda: states_of(tmp_path / "store.db", lead) == ["converted"])
        await here.until_equal(RULES)
        assert await running.end(signal.SIGTERM) == 0
        assert not here.instance.leads_of(lead)
