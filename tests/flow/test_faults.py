"""What can happen to a call on its way, and outages of either side: nothing is lost, doubled, or blamed on a record."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from sandbox.faults import Action, Fault
from stream.edges import Patience
from stream.marketo.client import Timeouts
from tests.flow.scenes import company, contact_of, deal, lead_of
from tests.flow.world import World, world

SHORT = Patience(Timeouts(0.4, 0.4, 0.4, 0.4, 0.4, 0.4), salesforce_seconds=0.4)
PATHS = {
    "identity": r"/identity/",
    "describe": r"describe2?\.json",
    "salespersons": r"/salespersons\.json",
    "companies": r"/companies\.json",
    "leads": r"/leads\.json",
    "opportunities": r"/opportunities\.json",
    "roles": r"/opportunities/roles\.json",
    "activities": r"/activities",
}
ACTIONS: tuple[Action, ...] = ("reset_before", "reset_after", "hang", "hang_after", "truncate")


async def everything_happens(here: World) -> None:
    """Creates, updates, a conversion, a deletion, and scores; ends when both sides agree."""
    made = deal(here)
    await here.until_quiet(seconds=40)
    here.org.update("Contact", made.contact, {"Title": "CEO"})
    here.org.update("Opportunity", made.opportunity, {"StageName": "Closed Won"})
    here.org.update("OpportunityContactRole", made.role, {"Role": "Decider"})
    converted = here.org.convert_lead(made.lead, account_id=made.account, opportunity=True)
    here.org.create("Contact", contact_of(made.account, "New"))
    await here.until_quiet(seconds=40)
    here.org.delete("Opportunity", made.opportunity)
    here.instance.scores.change_score(here.lead_of(converted.contact_id)["id"], 9)
    await here.until(lambda: made.opportunity not in here.instance.opportunities)
    await here.until_quiet(seconds=40)
    assert not here.events("dead_letter")


@pytest.mark.parametrize("where", sorted(PATHS))
@pytest.mark.parametrize("action", ACTIONS)
async def test_a_call_goes_wrong_on_its_way(tmp_path: Path, action: Action, where: str) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        for skip in (0, 2, 4):
            here.marketo.faults.add(Fault(action, path=PATHS[where], skip=skip, times=1))
        await here.start(SHORT)
        await everything_happens(here)


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_call_to_salesforce_goes_wrong_on_its_way(tmp_path: Path, action: Action) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        for path in ("/query", "/composite/sobjects", "/describe", "/services/oauth2/token", "/cometd"):
            here.salesforce.faults.add(Fault(action, path=path, skip=1, times=2))
        await here.start(Patience(SHORT.marketo, 0.4, liveness_seconds=10.0, margin_seconds=5.0))
        await everything_happens(here)


async def test_marketo_is_down_at_the_start_and_again_later(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        account, _ = company(here)
        await here.marketo.stop()
        await here.start()
        await here.until(lambda: here.events("deliver_not_ready"))
        await here.until(lambda: here.running.capture.events >= 4)
        await here.marketo.start()
        await here.until_quiet(seconds=40)
        await here.marketo.stop()
        here.org.update("Account", account, {"Phone": "2"})
        lead = here.org.create("Lead", lead_of("During"))
        await here.until(lambda: here.events("deliver_paused"))
        await here.marketo.start()
        await here.until_quiet(seconds=60)
        assert here.lead_of(lead)
        assert not here.events("dead_letter")


async def test_both_are_down_and_the_daemon_waits(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        await here.marketo.stop()
        await here.salesforce.stop()
        await here.start()
        await here.until(lambda: here.events("stream_lost") and here.events("deliver_not_ready"))
        await here.salesforce.start()
        await here.marketo.start()
        await here.until_quiet(seconds=60)


@pytest.mark.parametrize("down", ["marketo", "salesforce"])
async def test_a_stop_does_not_wait_for_who_is_down(tmp_path: Path, down: str) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        service = here.marketo if down == "marketo" else here.salesforce
        await service.stop()
        await here.start()
        await here.until(lambda: here.events("deliver_not_ready") or here.events("stream_lost"))
        began = here.clock.monotonic()
        await here.stop()
        assert here.clock.monotonic() - began < 3
        await service.start()


def _at_least(here: World, people: int) -> bool:
    return len(here.instance.leads) >= people


async def test_the_token_is_revoked_in_the_middle_of_many_batches(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__batch_size=5, deliver__max_attempts=1) as here:
        here.touch_built_in_users()
        for number in range(60):
            here.org.create("Lead", lead_of(f"L{number}"))
        await here.start()
        for count in (5, 25, 45):
            await here.until(partial(_at_least, here, count))
            here.marketo.identity.revoke_token()
        await here.until_quiet()
        assert not here.events("dead_letter")
        assert not here.events("deliver_paused")


async def test_an_update_whose_answer_was_lost_is_sent_again_and_turns_nothing_back(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        fault = here.marketo.faults.add(Fault("reset_after", path=PATHS["companies"], method="POST", times=1))
        here.org.update("Account", account, {"Phone": "first"})
        await here.until(lambda: fault.hits)
        here.org.update("Account", account, {"Phone": "second"})
        await here.until_quiet()
        assert here.instance.companies[account]["mainPhone"] == "second"


async def test_a_lost_create_that_is_deleted_meanwhile_leaves_nobody_behind(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__deletes__Lead="delete") as here:
        here.touch_built_in_users()
        lead = here.org.create("Lead", lead_of("Brief"))
        fault = Fault("reset_after", path=PATHS["leads"], body_matches="createOnly", times=1)
        here.marketo.faults.add(fault)
        await here.start()
        await here.until(lambda: fault.hits)
        here.org.delete("Lead", lead)
        await here.until(lambda: not here.instance.leads)
        assert not await here.dead()


async def test_changes_that_arrive_while_their_record_is_in_flight_are_not_lost(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, contact = company(here)
        here.marketo.latency_seconds = 1.0
        await here.start()
        for number in range(30):
            here.org.update("Account", account, {"Phone": f"{number}"})
            here.org.update("Contact", contact, {"Title": f"{number}"})
            await here.clock.sleep(0.5)
        await here.until_quiet(seconds=40)
        assert here.instance.companies[account]["mainPhone"] == "29"
        assert here.lead_of(contact)["title"] == "29"
