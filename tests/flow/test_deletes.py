"""Deletions: each object deleted or kept, marked, undeleted, made again, in the order that leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Action, Fault
from sandbox.marketo.schema import LEAD, Field
from sandbox.oracle_rules import Fate, Rules
from tests.flow.scenes import Deal, company, contact_of, deal, lead_of, opportunity_of
from tests.flow.world import World, world

OBJECTS = ("Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole")


def fates(choice: Fate) -> tuple[dict[str, Any], Rules]:
    """The settings by which everything is deleted, or everything kept, and the oracle's rules to them."""
    return {f"deliver__deletes__{name}": choice for name in OBJECTS}, Rules(deletes=dict.fromkeys(OBJECTS, choice))


def apart(rules: Rules, made: Deal) -> Rules:
    """The oracle knows no way to expect the kept role of a contact that is gone."""
    return replace(rules, excused=(made.opportunity,)) if rules.deletes["Contact"] == "keep" else rules


def is_there(here: World, name: str, record_id: str) -> bool:
    """Whether Marketo has the record."""
    if name == "Account":
        return record_id in here.instance.companies
    if name == "Opportunity":
        return record_id in here.instance.opportunities
    if name == "OpportunityContactRole":
        return len(here.instance.roles) > 0
    return bool(here.instance.leads_of(record_id))


@pytest.mark.parametrize("choice", ["delete", "keep"])
@pytest.mark.parametrize("name", OBJECTS)
async def test_a_deletion_does_what_the_setting_says(tmp_path: Path, name: str, choice: Fate) -> None:
    settings, rules = fates(choice)
    async with world(tmp_path, **settings) as here:
        made = deal(here)
        ids = dict(zip(OBJECTS, (made.account, made.contact, made.lead, made.opportunity, made.role), strict=True))
        await here.start()
        await here.until_quiet(rules)
        here.org.delete(name, ids[name])
        if choice == "delete":
            await here.until(lambda: not is_there(here, name, ids[name]))
        await here.until_quiet(apart(rules, made))
        assert is_there(here, name, ids[name]) is (choice == "keep")
        assert not await here.dead()


@pytest.mark.parametrize("choice", ["delete", "keep"])
@pytest.mark.parametrize("name", OBJECTS[:4])
async def test_an_undeleted_record_and_its_children_come_back_whole(tmp_path: Path, name: str, choice: Fate) -> None:
    settings, rules = fates(choice)
    async with world(tmp_path, **settings) as here:
        made = deal(here)
        ids = dict(zip(OBJECTS, (made.account, made.contact, made.lead, made.opportunity, made.role), strict=True))
        await here.start()
        await here.until_quiet(rules)
        here.org.delete(name, ids[name])
        if choice == "delete":
            await here.until(lambda: not is_there(here, name, ids[name]))
        await here.until_quiet(apart(rules, made))
        here.org.undelete(name, ids[name])
        await here.until_quiet(rules)
        assert is_there(here, name, ids[name])
        assert not await here.dead()


async def test_a_kept_person_is_marked_and_unmarked(tmp_path: Path) -> None:
    rules = Rules(deleted_field="isGone")
    async with world(tmp_path, deliver__deleted_field="isGone") as here:
        here.instance.add_field(LEAD, Field("isGone", "boolean"))
        _, contact = company(here)
        await here.start()
        await here.until_quiet(rules)
        here.org.delete("Contact", contact)
        await here.until_quiet(rules)
        assert here.lead_of(contact)["isGone"] is True
        here.org.undelete("Contact", contact)
        await here.until_quiet(rules)
        assert here.lead_of(contact)["isGone"] is False


async def test_a_shared_person_is_not_marked_while_one_of_them_lives(tmp_path: Path) -> None:
    rules = Rules(deleted_field="isGone")
    async with world(tmp_path, deliver__deleted_field="isGone") as here:
        here.instance.add_field(LEAD, Field("isGone", "boolean"))
        _, contact = company(here)
        lead = here.org.create("Lead", lead_of("Lee"))
        await here.start()
        await here.until_quiet(rules)
        here.org.delete("Contact", contact)
        await here.until_quiet(rules)
        assert not here.lead_of(lead).get("isGone")


async def test_deleted_and_made_again(tmp_path: Path) -> None:
    settings, rules = fates("delete")
    async with world(tmp_path, **settings) as here:
        account, contact = company(here)
        await here.start()
        await here.until_quiet(rules)
        here.org.delete("Contact", contact)
        again = here.org.create("Contact", contact_of(account, "Lee", Title="Again"))
        await here.until(lambda: here.instance.leads_of(again) and not here.instance.leads_of(contact))
        await here.until_quiet(rules)
        assert here.lead_of(again)["title"] == "Again"


async def test_made_and_deleted_before_the_daemon_saw_it(tmp_path: Path) -> None:
    settings, rules = fates("delete")
    async with world(tmp_path, **settings) as here:
        made = deal(here)
        for name, record_id in (("Account", made.account), ("Lead", made.lead)):
            here.org.delete(name, record_id)
        await here.start()
        await here.until_quiet(rules)
        assert not here.instance.leads
        assert not here.instance.opportunities
        assert not await here.dead()


async def test_a_whole_account_goes_children_first(tmp_path: Path) -> None:
    settings, rules = fates("delete")
    async with world(tmp_path, **settings) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet(rules)
        mark = len(here.instance.journal)
        here.org.delete("Account", made.account)
        await here.until(lambda: made.account not in here.instance.companies)
        await here.until_quiet(rules)
        gone = [write.object for write in here.instance.journal[mark:] if write.action == "deleted"]
        assert gone.index("company") > gone.index("opportunity")
        assert gone.index("company") > gone.index("lead")
        assert not await here.dead()


async def test_two_roles_that_are_one_in_marketo_go_with_the_last(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        twin = here.org.create(
            "OpportunityContactRole", {"OpportunityId": made.opportunity, "ContactId": made.contact, "Role": "Buyer"}
        )
        await here.start()
        await here.until_quiet()
        assert len(here.instance.roles) == 1
        here.org.delete("OpportunityContactRole", made.role)
        await here.until_quiet()
        polled = here.running.reconcile.polled_at["OpportunityContactRole"]
        await here.until(lambda: here.running.reconcile.polled_at["OpportunityContactRole"] > polled + 1)
        await here.until_quiet()
        assert len(here.instance.roles) == 1
        here.org.delete("OpportunityContactRole", twin)
        await here.until(lambda: not here.instance.roles)


async def test_both_of_two_roles_that_are_one_go_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        fields = {"OpportunityId": made.opportunity, "ContactId": made.contact, "Role": "Buyer"}
        twin = here.org.create("OpportunityContactRole", fields)
        await here.start()
        await here.until_quiet()
        here.org.delete_many("OpportunityContactRole", [made.role, twin])
        await here.until(lambda: not here.instance.roles)
        await here.until_quiet()


def _only_role(here: World, name: str) -> bool:
    return [role["role"] for role in here.instance.roles.values()] == [name]


async def test_a_role_changes_its_name_to_none_and_back(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        for name in ("Decider", None, "Buyer"):
            here.org.update("OpportunityContactRole", made.role, {"Role": name})
            await here.until(partial(_only_role, here, name or "Unspecified"))
        await here.until_quiet()


async def test_a_renamed_role_is_there_under_its_new_name_before_the_old_one_goes(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=2) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        mark = len(here.instance.journal)
        here.org.update("OpportunityContactRole", made.role, {"Role": "Decider"})
        await here.until(partial(_only_role, here, "Decider"))
        writes = [(write.action, write.key[2]) for write in here.instance.journal[mark:] if write.object == "role"]
        assert writes == [("created", "Decider"), ("deleted", "Buyer")]
        here.instance.refuse("role", lambda fields: fields.get("role") == "Unwanted", "1003", times=None)
        here.org.update("OpportunityContactRole", made.role, {"Role": "Unwanted"})
        await here.until_dead()
        assert _only_role(here, "Decider"), "what Marketo will not take under its new name stays under the old one"
        here.org.update("OpportunityContactRole", made.role, {"Role": "Evaluator"})
        await here.until_quiet()
        assert _only_role(here, "Evaluator")


@pytest.mark.parametrize("fate", ["renamed again", "renamed back", "deleted"])
@pytest.mark.parametrize("action", ["reset_after", "reset_before"])
async def test_a_rename_whose_answer_was_lost_leaves_no_role_behind(tmp_path: Path, action: Action, fate: str) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        lost = here.marketo.faults.add(Fault(action, path=r"/opportunities/roles\.json", body_matches="Decider", times=2))
        here.org.update("OpportunityContactRole", made.role, {"Role": "Decider"})
        await here.until(lambda: lost.hits)
        if fate == "deleted":
            here.org.delete("OpportunityContactRole", made.role)
            await here.until(lambda: not here.instance.roles)
        else:
            here.org.update("OpportunityContactRole", made.role, {"Role": "Buyer" if fate == "renamed back" else "Evaluator"})
        await here.until_quiet()
        assert not await here.dead()


async def test_a_delete_that_is_refused_is_one_dead_letter_and_stays_so(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=2) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        here.instance.refuse("role", lambda _: True, "1022", times=None)
        here.org.delete("OpportunityContactRole", made.role)
        (letter,) = await here.until_dead()
        assert letter.code == "1022"
        polled = here.running.reconcile.polled_at["OpportunityContactRole"]
        await here.until(lambda: here.running.reconcile.polled_at["OpportunityContactRole"] > polled + 5)
        assert len(here.events("dead_letter")) == 1
        here.instance.refusals.clear()
        assert here.store is not None
        await here.store.retry_dead([letter], int(here.clock.now() * 1000))
        await here.until(lambda: not here.instance.roles)


@pytest.mark.parametrize("code", ["1005", "1017"])
async def test_a_person_whose_delete_is_answered_in_the_wrong_words_does_not_stay_behind(tmp_path: Path, code: str) -> None:
    async with world(tmp_path, deliver__max_attempts=2, deliver__deletes__Lead="delete") as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        body = {"requestId": "1", "success": False, "errors": [{"code": code, "message": "Record already exists"}]}
        here.marketo.faults.add(Fault("respond", path=r"/leads/delete\.json", times=None, body=body))
        here.org.delete("Lead", made.lead)
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code) == (made.lead, code)
        here.marketo.faults.clear()
        assert here.store is not None
        await here.store.retry_dead([letter], int(here.clock.now() * 1000))
        here.running.store.wake()
        await here.until(lambda: not here.instance.leads_of(made.lead))


async def test_a_delete_of_what_is_not_there_is_a_success(tmp_path: Path) -> None:
    settings, rules = fates("delete")
    async with world(tmp_path, **settings) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet(rules)
        here.instance.delete_lead(here.lead_of(made.contact)["id"])
        here.instance.opportunities.remove(made.opportunity)
        here.org.delete("Opportunity", made.opportunity)
        here.org.delete("Contact", made.contact)
        await here.until_quiet(rules)
        assert not await here.dead()


async def test_an_older_deletion_does_not_delete_what_was_read_alive_since(tmp_path: Path) -> None:
    settings, rules = fates("delete")
    async with world(tmp_path, **settings) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet(rules)
        here.salesforce.bayeux.silence = True
        here.org.delete("Account", account)
        deleted = here.org.log.last_replay_id
        here.org.undelete("Account", account)
        await here.clock.sleep(2.5)
        with here.org.losing_events():
            here.org.update("Account", account, {"Phone": "alive"})
        here.org.log.expire_all()
        here.org.publisher.wildcard("Account")
        here.salesforce.bayeux.silence = False
        await here.until(lambda: here.instance.companies[account].get("mainPhone") == "alive")
        assert deleted


async def test_a_record_emptied_from_the_recycle_bin_is_gone_all_the_same(tmp_path: Path) -> None:
    settings, rules = fates("delete")
    async with world(tmp_path, **settings) as here:
        account, contact = company(here)
        other = here.org.create("Opportunity", opportunity_of(account))
        await here.start()
        await here.until_quiet(rules)
        slow = here.salesforce.faults.add(Fault("delay", path="/composite/sobjects/Contact", times=None, seconds=0.2))
        with here.org.as_gaps():
            here.org.delete("Contact", contact)
        here.org.purge("Contact", contact)
        await here.until(lambda: slow.hits)
        assert other in here.instance.opportunities
        await here.until_dead()
