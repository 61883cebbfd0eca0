"""Scores come back: what differs, once, in Salesforce's types, to whoever may be written to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.oracle_rules import Rules
from sandbox.salesforce.org import Org
from sandbox.salesforce.server import SimulatedSalesforce
from store.model import Claimed, Key, Kind, ObjectName
from stream.deliver import Deliver
from tests.flow.scenes import company, contact_of, lead_of
from tests.flow.world import World, world

SLOW = {"scores__sweep_interval_seconds": 86400.0}  # only the feed


def patches(here: World) -> int:
    """How many write calls Salesforce got."""
    return sum(count for name, count in here.salesforce.calls.items() if name.startswith("PATCH"))


def score(here: World, name: str, record_id: str, field: str) -> Any:
    """One MSI field in Salesforce."""
    return here.org.get(name, record_id)[f"mkto_si__{field}"]


async def rest(here: World, looks: int = 2) -> None:
    """Let the feed and the sweep look some more times."""
    await rest_of_feed(here, looks)
    for _ in range(looks):
        await _next_sweep(here)


async def rest_of_feed(here: World, looks: int = 2) -> None:
    """Let the feed look some more times."""
    feeds = here.marketo.calls["GET /rest/v1/activities.json"] + looks
    await here.until(lambda: here.marketo.calls["GET /rest/v1/activities.json"] > feeds)


async def _next_sweep(here: World) -> None:
    swept = here.running.scores.swept_until
    await here.until(lambda: here.running.scores.swept_until != swept)


async def begun(here: World) -> tuple[str, int]:
    """A contact in Marketo: its Salesforce and Marketo ids."""
    _, contact = company(here)
    await here.start()
    await here.until_quiet()
    return contact, here.lead_of(contact)["id"]


async def test_activities_bring_scores_within_a_look(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as here:
        contact, person = await begun(here)
        await here.until(lambda: here.running.scores.swept_until)
        here.instance.scores.interesting_moment(person, "Web", "Saw the price", "Site")
        here.instance.scores.change_score(person, 55)
        await here.until_equal()
        assert score(here, "Contact", contact, "Last_Interesting_Moment_Desc__c") == "Saw the price"
        assert score(here, "Contact", contact, "Priority__c") == 55


async def test_activities_that_come_late_or_a_page_at_a_time_are_found(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as here:
        here.instance.quirks.activities_scanned = 3
        _, person = await begun(here)
        await here.until(lambda: here.running.scores.swept_until)
        here.instance.scores.change_score(person, 11, late_seconds=8)
        for number in range(20):
            here.instance.change_lead(person, title=f"T{number}")
        here.instance.scores.interesting_moment(person)
        await here.until_equal(Rules(ignored_fields=("title",)))
        here.instance.scores.change_score(person, 12, late_seconds=8)
        await here.until_equal(Rules(ignored_fields=("title",)))


async def test_the_sweep_finds_what_changed_without_a_trace(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, person = await begun(here)
        here.instance.scores.set(person, relativeScore=3, relativeUrgency=2)
        await here.until_equal()
        assert score(here, "Contact", contact, "Relative_Score_Value__c") == 3
        here.instance.scores.set(person, relativeScore=None, relativeUrgency=1)
        await here.until_equal()
        assert score(here, "Contact", contact, "Relative_Score_Value__c") is None


async def test_the_sweep_reads_everybody_however_many_and_shared(tmp_path: Path) -> None:
    async with world(tmp_path, scores__sweep_interval_seconds=10.0) as here:
        here.touch_built_in_users()
        for number in range(640):
            here.org.create("Contact", contact_of(None, f"P{number}"))
        for number in range(5):
            here.org.create("Lead", lead_of(f"P{number}"))
        await here.start()
        await here.until_quiet(seconds=60)
        assert len(here.instance.scores.recalculate()) == 640
        await here.until_equal(seconds=60)


async def test_nothing_is_written_when_nothing_changed(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, person = await begun(here)
        here.instance.scores.interesting_moment(person)
        await here.until_quiet()
        assert patches(here) == 1
        await rest(here)
        await here.restart()
        await here.until(lambda: here.running.scores.swept_until)
        await rest(here)
        assert patches(here) == 1
        assert here.running.capture.echoes == 0


async def test_only_what_differs_is_written(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, person = await begun(here)
        here.instance.scores.interesting_moment(person)
        await here.until_quiet()
        events = len(here.org.log.events())
        here.instance.scores.change_score(person, 31)
        await here.until_quiet()
        (event,) = here.org.log.events()[events:]
        changed = set(event["payload"]["ChangeEventHeader"]["changedFields"])
        assert changed - {"LastModifiedDate", "LastModifiedById"} == {"mkto_si__Priority__c"}
        assert score(here, "Contact", contact, "Priority__c") == 31


ODD: dict[str, dict[str, Any]] = {
    "trimmed": {"msiLastInterestingMomentDesc": "  padded \r\n text  ", "msiLastInterestingMomentType": " Web "},
    "rounded": {"priority": 41.5, "relativeScore": 2.4999, "relativeUrgency": 1.5},
    "too long": {"msiLastInterestingMomentDesc": "long " * 300, "msiLastInterestingMomentSource": "s" * 240},
    "emoji": {"msiLastInterestingMomentDesc": "😀" * 200, "msiLastInterestingMomentType": "👍🏽" * 40},
    "emoji at the edge": {"msiLastInterestingMomentDesc": "x" * 254 + "😀"},
    "blank": {"msiLastInterestingMomentDesc": "   ", "msiLastInterestingMomentType": ""},
    "markup": {"msiLastInterestingMomentDesc": "<b>a & b</b> \"q\" 'x' \\ \t end"},
    "zero": {"priority": 0, "relativeScore": 0, "relativeUrgency": 0},
    "datetime": {"msiLastInterestingMomentDate": "2026-03-01T23:30:00-08:00"},
    "datetime with offset": {"msiLastInterestingMomentDate": "2026-03-01T23:30:00+0530"},
}

TOLD_APART = {"emoji", "emoji at the edge", "blank", "trimmed"}  # the oracle is stricter than Salesforce here


@pytest.mark.parametrize("name", ODD)
async def test_what_salesforce_does_to_a_value_is_no_change(tmp_path: Path, name: str) -> None:
    async with world(tmp_path) as here:
        _, person = await begun(here)
        here.instance.quirks.assorted_datetimes = False  # they are answered as they stand here
        here.instance.scores.set(person, **ODD[name])
        await rest(here)
        assert patches(here) == (name != "blank")
        await rest(here)
        assert patches(here) == (name != "blank")
        assert not await here.dead()
        if name not in TOLD_APART:
            await here.until_quiet()


async def test_a_score_in_no_form_that_is_known_leaves_the_one_before_and_holds_up_none(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, person = await begun(here)
        here.instance.change_lead(person, relativeUrgency=2)
        await here.until(lambda: score(here, "Contact", contact, "Urgency_Value__c") == 2)
        here.instance.change_lead(person, relativeUrgency={"high": True}, priority=7)
        await here.until(lambda: score(here, "Contact", contact, "Priority__c") == 7)
        assert score(here, "Contact", contact, "Urgency_Value__c") == 2
        assert [line["field"] for line in here.events("score_illegible")] == ["relativeUrgency"]


async def test_scores_of_a_shared_person_go_to_all_of_them(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, person = await begun(here)
        lead = here.org.create("Lead", lead_of("Lee"))
        await here.until_quiet()
        here.instance.scores.change_score(person, 66)
        await here.until_quiet()
        assert score(here, "Lead", lead, "Priority__c") == 66
        assert score(here, "Contact", contact, "Priority__c") == 66


async def test_a_converted_lead_is_not_written_to_but_its_contact_is(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.start()
        await here.until_quiet()
        here.salesforce.bayeux.silence = True
        made = here.org.convert_lead(lead, account_id=account)
        here.instance.scores.change_score(here.lead_of(lead)["id"], 5)
        await here.until(lambda: here.events("score_writes_stopped"))
        written = patches(here)
        await rest(here)
        assert patches(here) == written
        here.salesforce.bayeux.silence = False
        here.salesforce.bayeux.stir()
        await here.until_quiet()
        assert score(here, "Contact", made.contact_id, "Priority__c") == 5
        assert not await here.dead()


@pytest.mark.parametrize("name", ["Lead", "Contact"])
async def test_who_comes_to_a_person_that_has_scores_gets_them_without_a_sweep(tmp_path: Path, name: str) -> None:
    async with world(tmp_path, **SLOW) as here:
        known = here.instance.create_lead(email="ito@example.com")
        contact, _ = await begun(here)
        await here.until(lambda: here.running.scores.swept_until)
        await rest_of_feed(here)
        here.instance.scores.set(known, priority=44, relativeScore=3)
        account = here.org.get("Contact", contact)["AccountId"]
        new = here.org.create(name, lead_of("Ito") if name == "Lead" else contact_of(account, "Ito"))
        await here.until_quiet()
        assert score(here, name, new, "Priority__c") == 44


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("first", ["Lead", "Contact"])
async def test_none_of_the_scores_that_were_copied_to_a_contact_is_kept_where_it_is_another_person(
    tmp_path: Path, first: ObjectName, monkeypatch: pytest.MonkeyPatch, *, merge: bool
) -> None:
    """Whichever of them is delivered first."""
    rules = Rules(merge_people=merge)
    async with world(tmp_path, **SLOW, deliver__merge_people=merge) as here:
        account, _ = company(here)
        leads = [here.org.create("Lead", lead_of("Ito")) for _ in range(2)]
        await here.start()
        await here.until_quiet(rules)
        here.instance.scores.change_score(here.lead_of(leads[0])["id"], 77)
        await here.until_quiet(rules)
        await here.stop()
        here.org.update("Lead", leads[0], {"Email": "apart@example.com"})
        made = here.org.convert_lead(leads[0], account_id=account)
        assert score(here, "Contact", made.contact_id, "Priority__c") == 77
        goes_first: Key = (first, leads[0] if first == "Lead" else made.contact_id)
        claim = Deliver._claim

        async def in_turn(loop: Deliver, obj: ObjectName, kind: Kind, rank: int) -> list[list[Claimed]]:
            if obj in {"Lead", "Contact"} and obj != first:
                record = (await loop.store.records([goes_first])).get(goes_first)
                if record is None or record.state != ("converted" if first == "Lead" else "synced"):
                    return []
            return await claim(loop, obj, kind, rank)

        monkeypatch.setattr(Deliver, "_claim", in_turn)
        await here.start()
        await here.until_quiet(rules)
        assert here.lead_of(made.contact_id)["id"] != here.lead_of(leads[1])["id"]
        assert sorted(person.get("priority") or 0 for person in map(here.lead_of, (made.contact_id, leads[1]))) == [0, 77]
        for name, record_id in (("Contact", made.contact_id), ("Lead", leads[1])):
            assert score(here, name, record_id, "Priority__c") == here.lead_of(record_id).get("priority")


async def test_a_deleted_record_is_not_written_to_until_it_comes_back(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, person = await begun(here)
        here.salesforce.bayeux.silence = True
        here.org.delete("Contact", contact)
        here.instance.scores.change_score(person, 5)
        await here.until(lambda: here.events("score_writes_stopped"))
        written = patches(here)
        here.salesforce.bayeux.silence = False
        here.salesforce.bayeux.stir()
        await here.until_quiet()
        here.instance.scores.change_score(person, 6)
        await rest(here)
        assert patches(here) == written
        here.org.undelete("Contact", contact)
        await here.until_quiet()
        assert score(here, "Contact", contact, "Priority__c") == 6
        assert not await here.dead()


async def test_the_owner_of_a_lead_is_not_moved_by_a_score(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        assert here.org.lead_assignment_owner
        lead = here.org.create("Lead", lead_of("Ito"))
        owner = here.org.get("Lead", lead)["OwnerId"]
        await here.start()
        await here.until_quiet()
        here.instance.scores.change_score(here.lead_of(lead)["id"], 5)
        await here.until_quiet()
        assert here.org.get("Lead", lead)["OwnerId"] == owner


async def test_a_locked_row_is_tried_again_and_the_others_are_written(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        contact, person = await begun(here)
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.until_quiet()
        here.org.row_faults.add(contact, "UNABLE_TO_LOCK_ROW", times=2)
        here.instance.scores.change_score(person, 5)
        here.instance.scores.change_score(here.lead_of(lead)["id"], 6)
        await here.until_quiet()
        assert not here.events("dead_letter")


async def test_a_duplicate_rule_does_not_refuse_a_score(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, person = await begun(here)
        here.org.row_faults.add(contact, "DUPLICATES_DETECTED", times=None)
        here.instance.scores.change_score(person, 5)
        await here.until_quiet()


async def test_a_validation_rule_makes_a_dead_letter_after_its_attempts_and_a_retry_mends_it(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=2) as here:
        contact, person = await begun(here)
        here.org.row_faults.add(contact, "FIELD_CUSTOM_VALIDATION_EXCEPTION", times=None)
        here.instance.scores.change_score(person, 5)
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code, letter.attempts) == (contact, "FIELD_CUSTOM_VALIDATION_EXCEPTION", 2)
        assert letter.flow == "scores"
        assert letter.cure
        written = patches(here)
        await rest(here)
        assert patches(here) == written
        here.org.row_faults.clear()
        assert here.store is not None
        await here.store.retry_dead([letter], int(here.clock.now() * 1000))
        await here.until_quiet()
        assert not await here.dead()


@pytest.mark.parametrize("spelling", ["relativeScore", "relativeScoring"])
async def test_the_relative_score_is_found_under_either_name(tmp_path: Path, spelling: str) -> None:
    async with world(tmp_path) as here:
        here.instance.spell_relative_score(spelling)
        contact, person = await begun(here)
        here.instance.scores.set(person, **{spelling: 2})
        await here.until_quiet()
        assert score(here, "Contact", contact, "Relative_Score_Value__c") == 2


async def test_fields_without_the_namespace(tmp_path: Path) -> None:
    async with world(tmp_path, scores__field_prefix="") as here:
        old = here.salesforce
        org = Org(here.clock.now, msi_prefix="")
        await old.stop()
        here.salesforce = SimulatedSalesforce(org, now=here.clock.now)
        here.salesforce.bayeux.poll_seconds = 0.5
        await here.salesforce.start()
        try:
            rules = Rules(field_prefix="")
            _, contact = company(here)
            await here.start()
            await here.until_quiet(rules)
            here.instance.scores.change_score(here.lead_of(contact)["id"], 8)
            await here.until_quiet(rules)
            assert org.get("Contact", contact)["Priority__c"] == 8  # type: ignore[index]
            assert here.running.capture.echoes == 1
            await here.stop()
        finally:
            await here.salesforce.stop()


async def test_no_msi_fields_in_salesforce_is_said_and_nothing_breaks(tmp_path: Path) -> None:
    async with world(tmp_path, scores__field_prefix="other__") as here:
        account, _ = company(here)
        await here.start()
        await here.until(lambda: here.events("msi_fields_missing"))
        here.org.update("Account", account, {"Phone": "2"})
        await here.until_quiet(Rules(scores=False))
        assert patches(here) == 0


async def test_the_budget_of_writes_is_used_up_and_no_more(tmp_path: Path) -> None:
    async with world(tmp_path, scores__daily_writes=7) as here:
        here.touch_built_in_users()
        for number in range(12):
            here.org.create("Lead", lead_of(f"L{number}"))
        await here.start()
        await here.until_quiet()
        here.instance.scores.recalculate()
        await here.until(lambda: here.events("scores_failed"))
        assert re.search("score writes", here.events("scores_failed")[0]["cause"])
        assert here.running.scores.written == 7
        await here.stop()
        said = len(here.events("scores_failed"))
        await here.start()
        await here.until(lambda: len(here.events("scores_failed")) > said)
        assert here.running.scores.written == 0


@pytest.mark.parametrize("action", ["reset_before", "reset_after", "truncate"])
async def test_a_write_whose_answer_was_lost_is_made_good(tmp_path: Path, action: Any) -> None:
    async with world(tmp_path) as here:
        _, person = await begun(here)
        fault = Fault(action, method="PATCH", path="/composite/sobjects", times=2)
        here.salesforce.faults.add(fault)
        here.instance.scores.change_score(person, 5)
        await here.until(lambda: fault.hits == 2)
        await here.until_quiet()
        assert not await here.dead()


async def test_an_old_paging_token_is_renewed(tmp_path: Path) -> None:
    async with world(tmp_path, **SLOW) as here:
        here.instance.quirks.activities_scanned = 2
        _, person = await begun(here)
        await here.until(lambda: here.running.scores.swept_until)
        for number in range(6):
            here.instance.scores.change_score(person, number)
        refused = {"requestId": "1", "success": False, "errors": [{"code": "1003", "message": "Invalid nextPageToken"}]}
        fault = Fault("respond", path="/activities.json", skip=1, times=2, body=refused)
        here.marketo.faults.add(fault)
        await here.until_quiet()
        await here.until(lambda: fault.hits == 2)
        here.instance.scores.change_score(person, 99)
        await here.until_quiet()


async def test_a_value_that_returns_after_a_lost_answer_is_written_again(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, person = await begun(here)
        here.instance.scores.change_score(person, 1)
        await here.until_quiet()
        fault = Fault("reset_after", method="PATCH", path="/composite/sobjects", times=1)
        here.salesforce.faults.add(fault)
        here.instance.scores.change_score(person, 2)
        await here.until(lambda: fault.hits)
        here.instance.scores.change_score(person, 1)
        await here.until_quiet()
        assert score(here, "Contact", contact, "Priority__c") == 1
