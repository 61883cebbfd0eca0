"""More new people in a day than allowed wait for the next, said so; everything else goes on, and no kill makes room."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from sandbox.faults import Fault
from sandbox.marketo.schema import LEAD
from sandbox.oracle_rules import Rules
from stream.budgets.budget import CENTRAL, day_in
from stream.config import load
from stream.operating.status import status
from tests.crash.crashing import Running
from tests.flow.scenes import company, contact_of, deal, lead_of, opportunity_of
from tests.flow.world import World, world

LIMIT = 4


def created(here: World) -> int:
    """How many people were made by us."""
    return sum(write.object == LEAD and write.action == "created" for write in here.instance.journal)


async def told(here: World) -> Any:
    """What `status --json` prints."""
    return (await status(load(here.write_config(), {}).settings, here.clock.now())).as_json()


async def until_waiting(here: World, count: int, blocked: int = 0) -> Any:
    """Wait until so many wait, so many at least wait for one of those, and nothing else does; returns the status."""
    async with asyncio.timeout(40):
        while (
            (found := await told(here))["new_people"]["waiting"] != count
            or found["blocked_entries"] < blocked
            or here.running.deliver.busy
        ):
            await here.until(lambda: True)
            await here.clock.sleep(0.5)
        return found


def next_day(here: World) -> None:
    """It becomes tomorrow for everybody."""
    here.clock.jump(day_in(CENTRAL, here.clock.now())[1] + 1)


async def test_who_is_one_too_many_waits_for_tomorrow_and_nothing_else_does(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_new_people_a_day=LIMIT) as here:
        made = deal(here)  # a contact and a lead: two of the four
        await here.start()
        await here.until_quiet()
        known = here.instance.create_lead(email="known@example.com")
        leads = [here.org.create("Lead", lead_of(f"L{number}")) for number in range(6)]
        found = await until_waiting(here, 4)
        assert created(here) == LIMIT
        assert found["state"] == "degraded"
        assert any("4 of the new people wait until" in reason for reason in found["reasons"])
        assert found["new_people"]["today"] == found["new_people"]["limit"] == LIMIT
        assert [line["limit"] for line in here.events("new_people_wait")] == [LIMIT]

        contact = here.org.create("Contact", contact_of(made.account, "Late"))
        role = here.org.create(
            "OpportunityContactRole", {"OpportunityId": made.opportunity, "ContactId": contact, "Role": "Buyer"}
        )
        adopted = here.org.create("Lead", lead_of("Known"))
        deal_too = here.org.create("Opportunity", opportunity_of(made.account))
        here.org.update("Contact", made.contact, {"Title": "Goes on"})
        await here.until(lambda: here.instance.leads[known].get("externalPersonId") == adopted)
        await here.until(lambda: here.lead_of(made.contact).get("title") == "Goes on")
        await here.until(lambda: deal_too in here.instance.opportunities)
        found = await until_waiting(here, 5, blocked=1)
        (blocked,) = found["blocked"]
        assert (blocked["object"], blocked["waits_for"]["id"]) == ("OpportunityContactRole", contact)
        assert "max_new_people_a_day" in blocked["why"]
        assert created(here) == LIMIT
        assert len(here.events("new_people_wait")) == 1
        assert not await here.dead()

        next_day(here)
        await until_waiting(here, 1)
        assert created(here) == 2 * LIMIT
        next_day(here)
        await here.until_quiet(seconds=60)
        assert created(here) == 2 * LIMIT + 1
        assert all(here.lead_of(one) for one in (*leads, contact))
        assert role
        assert (await told(here))["new_people"]["waiting"] == 0


async def test_what_needs_no_room_after_all_waits_no_longer(tmp_path: Path) -> None:
    rules = Rules(deletes={"Lead": "delete"})
    async with world(tmp_path, deliver__max_new_people_a_day=1, deliver__deletes__Lead="delete") as here:
        account, contact = company(here)
        await here.start()
        await here.until_quiet(rules)
        gone, converted, known = (here.org.create("Lead", lead_of(name)) for name in ("Gone", "Converted", "Other"))
        await until_waiting(here, 3)
        here.instance.create_lead(email="known@example.com")
        here.org.delete("Lead", gone)
        here.org.update("Lead", known, {"Email": "known@example.com"})
        made = here.org.convert_lead(converted, account_id=account)
        await until_waiting(here, 1)
        assert here.lead_of(known)["lastName"] == "Other"
        assert created(here) == 1
        next_day(here)
        await here.until_quiet(rules, seconds=60)
        assert here.lead_of(made.contact_id)
        assert here.lead_of(contact)


async def test_a_raised_limit_lets_them_go_at_the_next_start(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_new_people_a_day=2) as here:
        here.touch_built_in_users()
        for number in range(5):
            here.org.create("Lead", lead_of(f"L{number}"))
        await here.start()
        await until_waiting(here, 3)
        await here.restart()
        await here.clock.sleep(10)
        await until_waiting(here, 3)
        here.overrides["deliver.max_new_people_a_day"] = 100
        await here.restart()
        await here.until_quiet()
        assert created(here) == 5


async def test_only_who_was_created_is_counted(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_new_people_a_day=LIMIT) as here:
        here.touch_built_in_users()
        bad = [here.org.create("Lead", lead_of(f"Bad{number}")) for number in range(10)]
        here.instance.refuse("lead", lambda record: record.get("externalPersonId") in bad, "1003", times=None)
        lost = Fault("reset_before", path=r"^/rest/v1/leads\.json", body_matches="createOnly", skip=1, times=3)
        here.marketo.faults.add(lost)
        await here.start()
        await here.until_dead(10)
        for number in range(LIMIT):
            here.org.create("Lead", lead_of(f"Good{number}"))
        await here.until_quiet(Rules(excused=tuple(bad)))
        assert created(here) == LIMIT
        assert (await told(here))["new_people"]["today"] == LIMIT


async def test_no_kill_makes_room(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, deliver__max_new_people_a_day=LIMIT, deliver__batch_size=2) as here:
        here.touch_built_in_users()
        config = here.write_config()
        for number in range(10):
            here.org.create("Lead", lead_of(f"L{number}"))
        runs: list[Running] = []  # whichever meets the limit first says it, and those after it need not
        for count in (2, 4):
            held = Fault("hang_after", path=r"^/rest/v1/leads\.json", body_matches="createOnly", times=1)
            here.marketo.faults.add(held)
            running = await Running.start(config)
            runs.append(running)
            await here.until(lambda: created(here) >= count, 60)  # noqa: B023 - awaited at once
            assert await running.end(signal.SIGKILL) == -signal.SIGKILL, running.errors
            here.marketo.faults.clear()
        assert created(here) == LIMIT
        running = await Running.start(config)
        try:
            runs.append(running)
            await here.until(lambda: any(run.logged("new_people_wait") for run in runs), 60)
            async with asyncio.timeout(40):
                while (found := await told(here))["new_people"]["waiting"] != 10 - LIMIT:
                    await here.clock.sleep(0.1)
        finally:
            await running.end(signal.SIGTERM)
        assert found["new_people"]["today"] == LIMIT
        assert created(here) == LIMIT
