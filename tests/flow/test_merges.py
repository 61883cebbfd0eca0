"""Merges in Salesforce: relations follow the winner, and the Marketo people become one, whatever goes wrong on the way."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Action, Fault
from sandbox.marketo.schema import LEAD
from sandbox.oracle_rules import Fate, Rules
from store.model import Change
from stream.edges import Patience
from stream.marketo.client import Timeouts
from stream.operating.dead import Selection
from stream.operating.dead import retry as retry_dead
from tests.crash.crashing import Running
from tests.flow.scenes import company, contact_of, deal, lead_of, opportunity_of
from tests.flow.test_codes import refusal
from tests.flow.world import World, world

MERGE = r"/merge\.json"
ROLES = r"/(composite|query).*OpportunityContactRole"
PEOPLE = ("Contact", "Lead")


def person(here: World, name: str, obj: str, **more: Any) -> str:
    """A contact or a lead."""
    return str(here.org.create(obj, contact_of(None, name, **more) if obj == "Contact" else lead_of(name, **more)))


async def two(here: World, obj: str = "Contact", **more: Any) -> tuple[str, str]:
    """Two people whom both sides know: the winner, and the loser, who has a phone."""
    here.touch_built_in_users()
    winner, loser = person(here, "Winner", obj), person(here, "Loser", obj, Phone="555", **more)
    await here.start()
    await here.until_quiet()
    return winner, loser


def merges(here: World) -> int:
    """How many people were merged by us."""
    return sum(write.object == LEAD and write.action == "merged" for write in here.instance.journal)


def created(here: World) -> int:
    """How many people were made by us."""
    return sum(write.object == LEAD and write.action == "created" for write in here.instance.journal)


@pytest.mark.parametrize("obj", PEOPLE)
async def test_the_people_are_merged_and_the_winner_carries_its_own_id(tmp_path: Path, obj: str) -> None:
    async with world(tmp_path) as here:
        winner, loser = await two(here, obj)
        kept, lost = here.lead_of(winner)["id"], here.lead_of(loser)["id"]
        here.org.merge(obj, winner, loser, {"Title": "CEO", "Email": "loser@example.com"})
        await here.until(lambda: lost not in here.instance.leads)
        await here.until_quiet()
        assert here.lead_of(winner)["id"] == kept
        assert here.instance.merged_away == {lost: kept}
        assert (here.lead_of(winner)["title"], here.lead_of(winner)["email"]) == ("CEO", "loser@example.com")
        assert here.lead_of(winner).get("phone") is None  # Salesforce kept the winner's, which is empty
        assert merges(here) == 1
        here.instance.scores.change_score(kept, 44)
        await here.until_quiet()
        assert here.org.get(obj, winner)["mkto_si__Priority__c"] == 44
        assert not await here.dead()


@pytest.mark.parametrize("fate", ["delete", "keep"])
@pytest.mark.parametrize("obj", PEOPLE)
async def test_where_people_are_not_merged_the_losers_goes_as_deletions_do(tmp_path: Path, obj: str, fate: Fate) -> None:
    rules = Rules(merge_people=False, deletes={obj: fate})
    deletes: dict[str, Any] = {f"deliver__deletes__{obj}": fate}
    async with world(tmp_path, deliver__merge_people=False, **deletes) as here:
        winner, loser = await two(here, obj)
        here.org.merge(obj, winner, loser, {"Title": "CEO"})
        if fate == "delete":
            await here.until(lambda: not here.instance.leads_of(loser))
        await here.until_quiet(rules)
        assert bool(here.instance.leads_of(loser)) is (fate == "keep")
        assert here.lead_of(winner)["title"] == "CEO"
        assert merges(here) == 0
        assert not await here.dead()


@pytest.mark.parametrize("older", ["winner", "loser"])
@pytest.mark.parametrize("fate", ["delete", "keep"])
async def test_two_who_shared_one_person_keep_it(tmp_path: Path, older: str, fate: Fate) -> None:
    rules = Rules(deletes={"Contact": fate}, deleted_field="isGone")
    async with world(tmp_path, deliver__deletes__Contact=fate) as here:
        here.touch_built_in_users()
        first, second = (person(here, "Same", "Contact", Title=title) for title in ("First", "Second"))
        winner, loser = (first, second) if older == "winner" else (second, first)
        await here.start()
        await here.until_quiet()
        (kept,) = here.instance.leads
        here.org.merge("Contact", winner, loser, {"Department": "Sales"})
        await here.until(lambda: bool(here.instance.leads_of(winner)) and here.lead_of(winner).get("department") == "Sales")
        await here.until_quiet(Rules(deletes=rules.deletes))
        assert here.lead_of(winner)["id"] == kept
        assert merges(here) == 0
        assert not any(write.action == "deleted" for write in here.instance.journal)


async def test_a_person_whom_somebody_else_shares_is_not_merged_away(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        winner, loser = await two(here, "Contact")
        lead = here.org.create("Lead", lead_of("Loser"))
        await here.until_quiet()
        shared = here.lead_of(loser)["id"]
        here.org.merge("Contact", winner, loser)
        await here.until(lambda: bool(here.instance.leads_of(lead)))
        await here.until_quiet()
        assert here.lead_of(lead)["id"] == shared
        assert merges(here) == 0


@pytest.mark.parametrize("late", PEOPLE)
async def test_a_person_whose_other_record_is_deleted_too_is_merged_and_not_deleted_with_it(tmp_path: Path, late: str) -> None:
    """Both happen while the daemon is down; of which Salesforce can tell later whether it was merged must not matter."""
    rules = Rules(deletes={"Lead": "delete", "Contact": "delete"})
    async with world(tmp_path, deliver__deletes__Lead="delete", deliver__deletes__Contact="delete") as here:
        winner, loser = await two(here, "Contact")
        lead = here.org.create("Lead", lead_of("Loser"))
        await here.until_quiet(rules)
        kept, shared = here.lead_of(winner)["id"], here.lead_of(loser)["id"]
        await here.stop()
        here.org.merge("Contact", winner, loser)
        here.org.delete("Lead", lead)
        here.salesforce.faults.add(Fault("respond", path=rf"/queryAll.*FROM\+{late}\+", status=503, times=2))
        await here.start()
        await here.until_quiet(rules)
        assert here.instance.merged_away == {shared: kept}
        assert not any(write.action == "deleted" for write in here.instance.journal)


async def test_a_winner_that_shares_its_person_leaves_it_to_who_carries_it_to_clear_what_the_loser_had(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        winner = here.org.create("Lead", lead_of("Lee"))  # the contact carries their person
        loser = person(here, "Loser", "Lead", Phone="555")
        await here.start()
        await here.until_quiet()
        here.org.merge("Lead", winner, loser)
        await here.until(lambda: merges(here) == 1)
        await here.until_quiet()
        assert here.lead_of(contact).get("phone") is None
        assert len(here.instance.leads) == 1


async def test_a_lead_converted_into_a_contact_that_was_merged_meanwhile(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, contact = company(here)
        lead = here.org.create("Lead", lead_of("Ito", Phone="555"))
        await here.start()
        await here.until_quiet()
        await here.stop()
        made = here.org.convert_lead(lead, account_id=account)
        here.org.merge("Contact", contact, made.contact_id)
        await here.start()
        await here.until(lambda: len(here.instance.leads) == 1)
        await here.until_quiet()
        assert here.lead_of(contact).get("phone") is None
        assert not await here.dead()


async def test_a_lead_converted_into_a_contact_that_was_deleted_meanwhile(tmp_path: Path) -> None:
    rules = Rules(deletes={"Contact": "delete", "Lead": "delete"})  # the oracle goes by the id that the person still carries
    async with world(tmp_path, deliver__deletes__Contact="delete") as here:
        account, contact = company(here)
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.start()
        await here.until_quiet(rules)
        await here.stop()
        made = here.org.convert_lead(lead, account_id=account)
        here.org.delete("Contact", made.contact_id)
        await here.start()
        await here.until(lambda: len(here.instance.leads) == 1)
        await here.until_quiet(rules)
        assert here.lead_of(contact)
        assert not await here.dead()


def in_flight(here: World, record_id: str) -> bool:
    """Whether an entry of this record is under way."""
    with closing(sqlite3.connect(f"file:{here.folder / 'store.db'}?mode=ro", uri=True)) as database:
        asked = "SELECT 1 FROM entry WHERE state = 'in_flight' AND read = '' AND record_id = ?"
        return bool(database.execute(asked, (record_id,)).fetchall())


async def test_a_converted_lead_that_is_handed_a_person_while_it_is_under_way_passes_it_on(tmp_path: Path) -> None:
    """A lead is merged into one that was converted, and just then that one is settled once more."""
    async with world(tmp_path) as here:
        account, _ = company(here)
        lead, loser = here.org.create("Lead", lead_of("Ito")), here.org.create("Lead", lead_of("Loser"))
        await here.start()
        await here.until_quiet()
        lost = here.lead_of(loser)["id"]
        down = here.salesforce.faults.add(Fault("respond", path=r"/queryAll.*MasterRecordId", status=503, times=None))
        here.org.merge("Lead", lead, loser)
        contact = here.org.convert_lead(lead, account_id=account).contact_id
        await here.until(lambda: bool(here.instance.leads_of(contact)) and down.hits)
        asked = here.marketo.faults.add(Fault("delay", path=r"/leads\.json", when=lambda _, text: lead in text, seconds=2.0))
        down.times = 0
        await here.until(lambda: asked.hits)
        assert here.store is not None
        await here.store.take([Change("Lead", lead, read="somebody asks")], None, int(here.machine.now() * 1000))
        await here.until(lambda: in_flight(here, lead))
        await here.until(lambda: lost not in here.instance.leads)
        await here.until_quiet()
        assert not await here.dead()


@pytest.mark.parametrize("fate", ["delete", "keep"])
@pytest.mark.parametrize("told", ["by events", "by the delete alone", "by no event"])
async def test_an_accounts_contacts_and_opportunities_move_before_its_company_goes(tmp_path: Path, fate: Fate, told: str) -> None:
    rules = Rules(deletes={"Account": fate})
    more: dict[str, Any] = {"reconcile__interval_seconds": 5.0} if told == "by no event" else {}
    if told == "by the delete alone":  # the children are loaded at the start, and then not polled for an hour
        more = {f"salesforce__objects__{obj}": "poll" for obj in ("Contact", "Opportunity")}
        more |= {f"reconcile__{name}_seconds": 36_000.0 for name in ("poll_interval", "interval")}
        more["reconcile__backfill_on_first_start"] = True
    async with world(tmp_path, deliver__deletes__Account=fate, **more) as here:
        made = deal(here)
        loser = here.org.create("Account", {"Name": "Lost"})
        contact = here.org.create("Contact", contact_of(loser, "Moving"))
        opportunity = here.org.create("Opportunity", opportunity_of(loser))
        await here.start()
        await here.until_equal(rules)
        place = len(here.instance.journal)
        if told == "by no event":
            with here.org.losing_events():
                here.org.merge("Account", made.account, loser, {"Phone": "9"})
        else:
            here.org.merge("Account", made.account, loser, {"Phone": "9"})
        await here.until(lambda: here.lead_of(contact)["externalCompanyId"] == made.account, 40)
        if fate == "delete":
            await here.until(lambda: loser not in here.instance.companies, 40)
        await here.until_equal(rules, seconds=40)
        assert here.instance.opportunities[opportunity]["externalCompanyId"] == made.account
        assert (loser in here.instance.companies) is (fate == "keep")
        if fate == "delete":
            writes = here.instance.journal[place:]
            gone = next(number for number, write in enumerate(writes) if write.action == "deleted")
            moved = {write.key for write in writes[:gone] if write.fields.get("externalCompanyId") == made.account}
            assert moved >= {here.lead_of(contact)["id"], opportunity}
        assert not await here.dead()


async def test_a_contacts_roles_follow_it(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        loser = here.org.create("Contact", contact_of(made.account, "Loser"))
        other = here.org.create("Opportunity", opportunity_of(made.account))
        roles = [
            here.org.create("OpportunityContactRole", {"OpportunityId": one, "ContactId": loser, "Role": "User"})
            for one in (made.opportunity, other)
        ]
        await here.start()
        await here.until_quiet()
        here.org.merge("Contact", made.contact, loser)
        await here.until(lambda: merges(here) == 1)
        await here.until_quiet()
        kept = here.lead_of(made.contact)["id"]
        assert {(role["externalOpportunityId"], role["role"]) for role in here.instance.roles.values()} == {
            *((one, "User") for one in (made.opportunity, other)),
            (made.opportunity, "Buyer"),
        }
        assert {role["leadId"] for role in here.instance.roles.values()} == {kept}
        assert roles
        assert not await here.dead()


def role_keys(here: World) -> set[tuple[str, int, str]]:
    """Under which keys contact roles stand in Marketo."""
    return {(role["externalOpportunityId"], role["leadId"], role["role"]) for role in here.instance.roles.values()}


@pytest.mark.parametrize("told", ["answered", "unanswered"])
async def test_a_role_that_moved_with_its_person_and_gets_another_name_leaves_nothing_behind(tmp_path: Path, told: str) -> None:
    """Marketo's merge brings the loser's roles to the winner, under keys that nobody has sent."""
    async with world(tmp_path) as here:
        made = deal(here)
        loser = here.org.create("Contact", contact_of(made.account, "Loser"))
        pair = {"OpportunityId": made.opportunity, "ContactId": loser}
        role = here.org.create("OpportunityContactRole", {**pair, "Role": "User"})
        await here.start()
        await here.until_quiet()
        kept, lost = here.lead_of(made.contact)["id"], here.lead_of(loser)["id"]
        assert (made.opportunity, lost, "User") in role_keys(here)
        down = here.salesforce.faults.add(Fault("respond", path=ROLES, status=503, times=None))
        if told == "unanswered":
            here.marketo.faults.add(Fault("hang_after", path=MERGE))
        here.org.merge("Contact", made.contact, loser)
        await here.until(lambda: merges(here) == 1)
        assert (made.opportunity, kept, "User") in role_keys(here)
        here.org.update("OpportunityContactRole", role, {"Role": "Decider"})
        down.times = 0
        await here.until(lambda: (made.opportunity, kept, "Decider") in role_keys(here))
        await here.until(lambda: (made.opportunity, kept, "User") not in role_keys(here))
        here.marketo.faults.clear()
        await here.until_quiet()
        assert role_keys(here) == {(made.opportunity, kept, name) for name in ("Buyer", "Decider")}
        assert not await here.dead()


@pytest.mark.parametrize("order", ["up", "down"])
@pytest.mark.parametrize("down", [True, False])
async def test_chains_of_merges_end_with_one_person_and_one_company(tmp_path: Path, down: bool, order: str) -> None:
    rules = Rules(deletes={"Account": "delete"})
    async with world(tmp_path, deliver__deletes__Account="delete") as here:
        here.touch_built_in_users()
        accounts = [here.org.create("Account", {"Name": f"A{number}"}) for number in range(4)]
        contacts = [here.org.create("Contact", contact_of(account, f"C{n}")) for n, account in enumerate(accounts)]
        await here.start()
        await here.until_quiet(rules)
        if down:
            await here.stop()
        steps = [(1, 0), (2, 1), (3, 2)] if order == "up" else [(2, 3), (1, 2), (0, 1)]
        for winner, loser in steps:
            here.org.merge("Account", accounts[winner], accounts[loser])
            here.org.merge("Contact", contacts[winner], contacts[loser], {"Title": f"{winner} and {loser}"})
        if down:
            await here.start()
        last = 3 if order == "up" else 0
        await here.until(lambda: len(here.instance.leads) == 1 and len(here.instance.companies) == 1, 60)
        await here.until_quiet(rules, seconds=60)
        assert here.lead_of(contacts[last])["externalCompanyId"] == accounts[last]
        assert created(here) == 4
        assert not await here.dead()


async def test_a_winner_that_is_merged_itself_before_its_losers_person_was(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        first, second, third = (person(here, name, "Lead") for name in ("First", "Second", "Third"))
        await here.start()
        await here.until_quiet()
        fault = here.marketo.faults.add(Fault("reset_before", path=MERGE, times=None))
        here.org.merge("Lead", second, first)
        await here.until(lambda: fault.hits)
        here.org.merge("Lead", third, second)
        await here.until(lambda: fault.hits > 3, 40)
        here.marketo.faults.clear()
        await here.until(lambda: len(here.instance.leads) == 1, 40)
        await here.until_quiet()
        assert here.lead_of(third)
        assert merges(here) == 2
        assert not await here.dead()


async def test_more_than_twenty_five_are_merged_into_one(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.marketo.keep_exchanges = True
        here.touch_built_in_users()
        winner, *losers = [person(here, f"P{number}", "Lead") for number in range(32)]
        await here.start()
        await here.until_quiet()
        await here.stop()
        for loser in losers:
            here.org.merge("Lead", winner, loser)
        await here.start()
        await here.until(lambda: len(here.instance.leads) == 1, 60)
        await here.until_quiet(seconds=60)
        calls = [exchange for exchange in here.marketo.exchanges if exchange.path.endswith("/merge.json")]
        assert len(calls) == 2
        assert here.lead_of(winner)


@pytest.mark.parametrize("known", [True, False])
async def test_a_winner_that_is_not_in_marketo_takes_the_losers_person(tmp_path: Path, known: bool) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        loser = person(here, "Loser", "Lead")
        await here.start()
        await here.until_quiet()
        kept = here.lead_of(loser)["id"]
        with here.org.losing_events():
            winner = person(here, "Unheard", "Lead")
        if known:  # and it cannot be sent yet
            here.instance.refuse("lead", winner, "1003", times=None)
            here.org.update("Lead", winner, {"Title": "x"})
            await here.until_dead()
            here.instance.refusals.clear()
        here.org.merge("Lead", winner, loser, {"Title": "CEO"})
        await here.until(lambda: bool(here.instance.leads_of(winner)) and not here.instance.leads_of(loser))
        await here.until_quiet()
        assert here.lead_of(winner)["title"] == "CEO"
        assert len(here.instance.leads) == 1
        assert here.lead_of(winner)["id"] == kept or merges(here) == 1
        assert not await here.dead()


async def test_a_winner_whose_create_was_lost_is_found_before_anything_is_merged(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        loser = person(here, "Loser", "Lead")
        await here.start()
        await here.until_quiet()
        lost = Fault("reset_after", path=r"^/rest/v1/leads\.json", body_matches="createOnly", times=1)
        here.marketo.faults.add(lost)
        winner = person(here, "Winner", "Lead")
        await here.until(lambda: lost.hits)
        here.org.merge("Lead", winner, loser)
        await here.until(lambda: len(here.instance.leads) == 1)
        await here.until_quiet()
        assert here.lead_of(winner)
        assert merges(here) == 1


@pytest.mark.parametrize("code", ["712", "714", "1076", "1077", "1078", "1079", "1080"])
async def test_a_refused_merge_is_a_dead_letter_that_names_both(tmp_path: Path, code: str) -> None:
    async with world(tmp_path) as here:
        winner, loser = await two(here)
        people = {str(here.lead_of(one)["id"]) for one in (winner, loser)}
        refused = Fault("respond", path=MERGE, method="POST", times=None, body=refusal(code))
        here.marketo.faults.add(refused)
        here.org.merge("Contact", winner, loser)
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code) == (loser, code)
        assert all(word in letter.cause for word in (winner, loser, *people))
        assert letter.cure
        assert refused.hits == 1
        here.marketo.faults.clear()
        await retry_dead(here.folder / "store.db", Selection(), int(here.clock.now() * 1000))
        await here.until(lambda: merges(here) == 1)
        await here.until_quiet()
        assert here.lead_of(winner)


async def test_of_several_losers_only_the_one_that_marketo_refuses_is_left(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        winner, *losers = [person(here, f"P{number}", "Lead") for number in range(6)]
        await here.start()
        await here.until_quiet()
        await here.stop()
        bad = losers[2]
        number = here.lead_of(bad)["id"]
        for loser in losers:
            here.org.merge("Lead", winner, loser)
        here.marketo.faults.add(
            Fault("respond", path=rf"{MERGE}\?leadIds=[\d,%C]*{number}\b", method="POST", times=None, body=refusal("714"))
        )
        await here.start()
        (letter,) = await here.until_dead()
        assert letter.id == bad
        await here.until(lambda: merges(here) == 4)
        assert len(here.instance.leads) == 2


SHORT = Patience(Timeouts(0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4))


@pytest.mark.parametrize("action", ["reset_before", "reset_after", "hang", "hang_after", "truncate"])
async def test_a_merge_goes_wrong_on_its_way(tmp_path: Path, action: Action) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        here.touch_built_in_users()
        winner, loser = person(here, "Winner", "Lead"), person(here, "Loser", "Lead", Phone="555")
        await here.start(SHORT)
        await here.until_quiet()
        fault = here.marketo.faults.add(Fault(action, path=MERGE, times=2))
        here.org.merge("Lead", winner, loser, {"Title": "CEO"})
        await here.until(lambda: len(here.instance.leads) == 1 and here.lead_of(winner).get("title") == "CEO", 40)
        await here.until_quiet(seconds=40)
        assert fault.hits
        assert here.lead_of(winner).get("phone") is None
        assert merges(here) == 1
        assert not await here.dead()


@pytest.mark.parametrize(("path", "action"), [(MERGE, "hang"), (MERGE, "hang_after"), (r"/queryAll", "hang_after")])
async def test_killed_in_the_middle_of_a_merge_it_is_done_by_the_next_daemon(tmp_path: Path, path: str, action: Action) -> None:
    async with world(tmp_path, speed=1.0, deliver__deletes__Lead="delete") as here:
        here.touch_built_in_users()
        winner, loser = person(here, "Winner", "Lead"), person(here, "Loser", "Lead")
        config = here.write_config()
        running = await Running.start(config)
        await here.until_equal()
        service = here.salesforce if "query" in path else here.marketo
        held = service.faults.add(Fault(action, path=path, body_matches=".*", times=None))
        here.org.merge("Lead", winner, loser)
        await here.until(lambda: held.hits)
        await here.clock.sleep(0.3)
        assert await running.end(signal.SIGKILL) == -signal.SIGKILL, running.errors
        service.faults.clear()
        running = await Running.start(config)
        await running.until_logged("daemon_started")
        try:
            await here.until(lambda: len(here.instance.leads) == 1)
            await here.until_equal()
        finally:
            assert await running.end(signal.SIGTERM) == 0
        assert here.lead_of(winner)
        assert merges(here) == 1


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("whose", ["winner", "loser"])
async def test_one_of_the_two_was_deleted_in_marketo_before(tmp_path: Path, whose: str, told: bool) -> None:
    async with world(tmp_path, speed=40.0) as here:
        winner, loser = await two(here, "Lead")
        here.instance.activities.late_seconds = 60.0 if told else 1e9  # when the feed tells of it
        here.instance.delete_lead(here.lead_of(winner if whose == "winner" else loser)["id"])
        here.org.merge("Lead", winner, loser)  # nothing is to be sent of the winner
        await here.until(lambda: bool(here.instance.leads_of(winner)) and len(here.instance.leads) == 1, 60)
        await here.until_quiet(seconds=60)
        assert not await here.dead()


async def test_a_lead_converted_into_a_contact_with_a_person_of_its_own_is_merged_too(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.start()
        await here.until_quiet()
        kept = here.lead_of(contact)["id"]
        here.org.convert_lead(lead, contact_id=contact)
        await here.until(lambda: merges(here) == 1)
        await here.until_quiet()
        assert here.lead_of(contact)["id"] == kept
        assert len(here.instance.leads) == 1
        assert not await here.dead()


async def test_an_undeleted_loser_is_a_person_of_its_own_again(tmp_path: Path) -> None:
    rules = Rules(deletes={"Lead": "delete"})
    async with world(tmp_path, deliver__deletes__Lead="delete") as here:
        winner, loser = await two(here, "Lead")
        here.org.merge("Lead", winner, loser)
        await here.until(lambda: merges(here) == 1)
        await here.until_quiet(rules)
        here.org.undelete("Lead", loser)
        await here.until_quiet(rules)
        assert here.lead_of(loser)["id"] != here.lead_of(winner)["id"]
        here.org.delete("Lead", loser)
        await here.until(lambda: not here.instance.leads_of(loser))
        await here.until_quiet(rules)
        assert merges(here) == 1
        assert here.lead_of(winner)


async def test_while_salesforce_cannot_say_what_was_merged_nothing_is_deleted(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__deletes__Lead="delete") as here:
        winner, loser = await two(here, "Lead")
        gone = person(here, "Gone", "Lead")
        await here.until_quiet(Rules(deletes={"Lead": "delete"}))
        fault = here.salesforce.faults.add(Fault("reset_before", path=r"/queryAll.*MasterRecordId", times=None))
        here.org.merge("Lead", winner, loser)
        here.org.delete("Lead", gone)
        await here.until(lambda: here.events("lookup_failed"))
        here.org.update("Lead", winner, {"Title": "goes on"})
        await here.until(lambda: here.lead_of(winner).get("title") == "goes on")
        assert len(here.instance.leads) == 3
        here.salesforce.faults.clear()
        await here.until(lambda: len(here.instance.leads) == 1, 40)
        await here.until_quiet(Rules(deletes={"Lead": "delete"}))
        assert fault.hits
        assert merges(here) == 1


async def test_many_deletes_are_looked_up_in_one_call(tmp_path: Path) -> None:
    rules = Rules(deletes={"Lead": "delete"})
    async with world(tmp_path, deliver__deletes__Lead="delete") as here:
        here.touch_built_in_users()
        leads = [person(here, f"L{number}", "Lead") for number in range(120)]
        await here.start()
        await here.until_quiet(rules, seconds=60)
        counted = here.salesforce.faults.add(Fault("delay", path=r"/queryAll.*MasterRecordId", times=None))
        here.org.delete_many("Lead", leads)
        await here.until(lambda: not here.instance.leads, 60)
        await here.until_quiet(rules)
        assert counted.hits <= 3
