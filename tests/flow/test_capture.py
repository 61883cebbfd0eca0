"""What is heard, however it is told: restarts, expired and lost positions, doubled, merged, gapped and illegible events."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.oracle import resent
from sandbox.oracle_rules import Rules
from sandbox.salesforce.caller import Caller
from stream.edges import Patience
from tests.flow.scenes import company
from tests.flow.world import World, world


def updates(here: World, since: int) -> list[Any]:
    """What Marketo took after a journal position."""
    return list(here.instance.journal[since:])


async def test_the_first_start_takes_everything_that_is_retained(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        assert here.events("stream_subscribed")[0]["replay_from"] == -2


async def test_a_flood_of_events_shares_transactions(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__linger_seconds=3600.0) as here:
        account, _ = company(here)
        for number in range(400):
            here.org.update("Account", account, {"Phone": str(number)})
        await here.start()
        await here.until(lambda: here.running.capture.events > 400)
        assert here.store is not None
        assert here.store.writer.commits < 100
        record = await here.record(("Account", account))
        replay = await here.store.replay("/data/ChangeEvents")
        assert record is not None
        assert replay is not None
        assert (replay.replay_id, record.commit_ms) == (here.org.log.last_replay_id, replay.commit_ms)


async def test_a_restart_goes_on_at_the_stored_id_and_sends_nothing_again(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        mark = len(here.instance.journal)
        last = here.org.log.last_replay_id
        await here.stop()
        here.org.update("Account", account, {"Phone": "2"})
        await here.start()
        await here.until_quiet()
        assert here.events("stream_subscribed")[-1]["replay_from"] == last
        assert not resent(here.instance, mark, len(here.instance.journal))
        assert [write.key for write in updates(here, mark)] == [account]


async def test_an_expired_replay_id_is_said_once_and_nothing_is_missing(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, contact = company(here)
        await here.start()
        await here.until_quiet()
        await here.stop()
        here.org.update("Account", account, {"Phone": "2"})
        lead = here.org.create("Lead", {"LastName": "Lost", "Company": "Gone"})
        here.org.log.expire_all()
        here.org.update("Contact", contact, {"Title": "CEO"})
        await here.start()
        await here.until_quiet()
        assert len(here.events("replay_id_refused")) == 1
        assert here.events("replay_id_refused")[0]["log_level"] == "error"
        assert here.lead_of(lead)["lastName"] == "Lost"
        assert here.instance.companies[account]["mainPhone"] == "2"


async def test_an_expired_replay_id_brings_deletions_too(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__deletes__Contact="delete") as here:
        _, contact = company(here)
        await here.start()
        await here.until_quiet()
        await here.stop()
        here.org.delete("Contact", contact)
        here.org.log.expire_all()
        await here.start()
        await here.until(lambda: not here.instance.leads_of(contact))


async def test_a_server_restart_in_mid_stream_loses_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, contact = company(here)
        await here.start()
        await here.until_quiet()
        await here.salesforce.stop()
        here.org.update("Account", account, {"Phone": "2"})
        await here.salesforce.start()
        here.org.update("Contact", contact, {"Title": "CEO"})
        await here.until_quiet()
        assert here.lead_of(contact)["title"] == "CEO"


async def test_an_unknown_client_subscribes_again(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        for number in range(3):
            here.salesforce.bayeux.drop_sessions()
            here.org.update("Account", account, {"Phone": f"3{number}"})
            await here.until_quiet()
        assert here.instance.companies[account]["mainPhone"] == "32"


async def test_a_revoked_token_is_renewed(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        for number in range(3):
            here.salesforce.sign_in.revoke_tokens()
            here.org.update("Account", account, {"Phone": f"4{number}"})
            await here.until_quiet()
        assert here.instance.companies[account]["mainPhone"] == "42"


async def test_a_forgotten_session_is_taken_up_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        await here.salesforce.bayeux.held()
        here.salesforce.bayeux.drop_sessions()
        here.org.update("Account", account, {"Phone": "5"})
        await here.until(lambda: here.instance.companies[account]["mainPhone"] == "5")
        [lost] = here.events("stream_lost")
        assert "Unknown client" in lost["cause"]
        assert lost["retry_seconds"] == 0.0


async def test_a_silent_server_is_left_and_asked_anew(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        here.salesforce.bayeux.poll_seconds = 60.0
        await here.start(Patience(liveness_seconds=5.0, margin_seconds=1.0))
        await here.until_quiet()
        here.salesforce.bayeux.mute_sessions()
        here.org.update("Account", account, {"Phone": "5"})
        await here.until(lambda: here.instance.companies[account]["mainPhone"] == "5")
        assert any("silent" in line["cause"] for line in here.events("stream_lost"))


@pytest.mark.parametrize("same_replay_id", [False, True])
async def test_the_same_event_twice_is_harmless(tmp_path: Path, same_replay_id: bool) -> None:
    async with world(tmp_path) as here:
        account, contact = company(here)
        await here.start()
        await here.until_quiet()
        mark = len(here.instance.journal)
        here.org.update("Account", account, {"Phone": "6"})
        here.org.publisher.duplicate(here.org.log.last_replay_id, same_replay_id=same_replay_id)
        here.org.update("Contact", contact, {"Title": "CFO"})
        await here.until_equal()
        await here.until(lambda: here.running.capture.events >= 6)
        await here.until_equal()
        assert len([write for write in updates(here, mark) if write.key == account]) == 1


async def test_an_older_event_that_comes_again_turns_nothing_back(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        here.org.update("Account", account, {"Phone": "old"})
        old = here.org.log.last_replay_id
        here.org.update("Account", account, {"Phone": "new"})
        await here.until_quiet()
        mark = len(here.instance.journal)
        here.org.publisher.duplicate(old)
        await here.until_quiet()
        assert here.instance.companies[account]["mainPhone"] == "new"
        assert all(write.fields.get("mainPhone") != "old" for write in updates(here, mark))


async def test_one_event_for_several_records_changes_them_all(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        leads = [here.org.create("Lead", {"LastName": f"L{n}", "Company": "C"}) for n in range(5)]
        await here.start()
        await here.until_quiet()
        here.org.update_many("Lead", leads, {"City": "Oslo"})
        await here.until_quiet()
        assert {here.lead_of(lead)["city"] for lead in leads} == {"Oslo"}


async def test_a_difference_of_a_long_text_is_read_whole(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        here.org.update("Contact", contact, {"Description": "word " * 400})
        await here.start()
        await here.until_quiet()
        here.org.update("Contact", contact, {"Description": "word " * 400 + "end"})
        await here.until_quiet()
        assert here.lead_of(contact)["mktoPersonNotes"].endswith("end")


async def test_gaps_of_each_kind_are_read(tmp_path: Path) -> None:
    rules = Rules(deletes={"Lead": "delete", "Contact": "delete"})
    settings: dict[str, Any] = {"deliver__deletes__Lead": "delete", "deliver__deletes__Contact": "delete"}
    async with world(tmp_path, **settings) as here:
        company(here)
        await here.start()
        await here.until_quiet(rules)
        with here.org.as_gaps():
            lead = here.org.create("Lead", {"LastName": "Gap", "Company": "C"})
        await here.until_quiet(rules)
        assert here.lead_of(lead)["lastName"] == "Gap"
        assert [(line["object"], line["log_level"]) for line in here.events("reread_asked")] == [("Lead", "warning")]
        with here.org.as_gaps():
            here.org.update("Lead", lead, {"LastName": "Gap2"})
        await here.until_quiet(rules)
        assert here.lead_of(lead)["lastName"] == "Gap2"
        with here.org.as_gaps():
            here.org.delete("Lead", lead)
        await here.until(lambda: not here.instance.leads_of(lead))
        with here.org.as_gaps():
            here.org.undelete("Lead", lead)
        await here.until_quiet(rules)
        assert here.lead_of(lead)["lastName"] == "Gap2"


@pytest.mark.parametrize("kind", ["overflow", "wildcard"])
async def test_an_event_without_ids_reads_the_object_again(tmp_path: Path, kind: str) -> None:
    async with world(tmp_path) as here:
        company(here)
        leads = [here.org.create("Lead", {"LastName": f"L{n}", "Company": "C"}) for n in range(30)]
        await here.start()
        await here.until_quiet()
        with here.org.losing_events():
            for lead in leads:
                here.org.update("Lead", lead, {"City": "Lima"})
        if kind == "overflow":
            here.org.publisher.gap("Lead", [], "GAP_OVERFLOW")
        else:
            here.org.publisher.wildcard("Lead")
        await here.until_quiet()
        assert {here.lead_of(lead)["city"] for lead in leads} == {"Lima"}
        assert len(here.events("reread_asked")) == 1


async def test_a_second_request_for_a_reread_while_one_runs_is_not_forgotten(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        leads = [here.org.create("Lead", {"LastName": f"L{n}", "Company": "C"}) for n in range(3)]
        await here.start()
        await here.until_quiet()
        slow = here.salesforce.faults.add(Fault("delay", path="/queryAll.*FROM\\+Lead", seconds=1.0))
        here.org.publisher.wildcard("Lead")
        await here.until(lambda: slow.hits)
        here.org.publisher.wildcard("Lead")
        await here.until(lambda: len(here.events("reread_asked")) == 2)
        await here.until(lambda: len(here.events("load_finished")) == 2)
        assert leads


async def test_an_illegible_event_is_kept_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        here.org.publisher.inject({"payload": {"ChangeEventHeader": {"entityName": "Lead", "changeType": "EXPLODE"}}})
        here.org.publisher.inject({"payload": None})
        here.org.publisher.inject({})
        here.org.update("Account", account, {"Phone": "7"})
        await here.until_quiet()
        letters = await here.until_dead(3)
        assert {letter.code for letter in letters} == {"UNREADABLE_EVENT"}
        assert all(letter.cause and letter.cure for letter in letters)
        assert here.instance.companies[account]["mainPhone"] == "7"


async def test_events_of_an_object_that_is_off_are_passed_over_with_one_warning(tmp_path: Path) -> None:
    async with world(tmp_path, salesforce__objects__Lead="off") as here:
        account, _ = company(here)
        await here.start()
        for number in range(3):
            here.org.create("Lead", {"LastName": f"Off{number}", "Company": "C"})
        here.org.update("Account", account, {"Phone": "8"})
        await here.until_quiet(Rules(filters={"User": lambda row: row["UserType"] == "Standard", "Lead": lambda _: False}))
        passed = [line for line in here.events("events_passed_over") if line["object"] == "Lead"]
        assert len(passed) == 1
        assert passed[0]["log_level"] == "warning"
        assert len(here.instance.leads) == 1


async def test_a_polled_object_comes_by_query(tmp_path: Path) -> None:
    async with world(tmp_path, salesforce__objects__Lead="poll", deliver__deletes__Lead="delete") as here:
        rules = Rules(deletes={"Lead": "delete"})
        company(here)
        await here.start()
        lead = here.org.create("Lead", {"LastName": "Poll", "Company": "C"})
        other = here.org.create("Lead", {"LastName": "Other", "Company": "C"})
        await here.until_quiet(rules)
        here.org.update("Lead", lead, {"Title": "Boss"})
        here.org.delete("Lead", other)
        await here.until(lambda: not here.instance.leads_of(other))
        await here.until_quiet(rules)
        assert here.lead_of(lead)["title"] == "Boss"


async def test_our_own_score_writes_are_dropped_but_not_a_triggers_edits(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        await here.start()
        await here.until_quiet()
        mark = len(here.instance.journal)
        here.instance.scores.change_score(here.lead_of(contact)["id"], 42)
        await here.until_quiet()
        assert here.running.capture.echoes == 1
        assert not updates(here, mark)

        def trigger(obj: str, _id: str, _before: Any, after: Any) -> dict[str, Any] | None:
            return {"Department": "Rated"} if obj == "Contact" and after.get("mkto_si__Priority__c") == 77 else None

        here.org.on_update.append(trigger)
        here.instance.scores.change_score(here.lead_of(contact)["id"], 77)
        await here.until(lambda: here.lead_of(contact).get("department") == "Rated")
        await here.until_quiet()
        assert here.running.capture.echoes == 1


async def test_somebody_elses_edit_of_a_score_field_is_no_echo_and_harmless(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        await here.start()
        await here.until_quiet()
        by = Caller(here.org.api_user_id, client="another-tool")
        here.org.update("Contact", contact, {"mkto_si__Priority__c": 5, "Title": "Rated"}, by)
        await here.until(lambda: here.lead_of(contact).get("title") == "Rated")
        assert not here.running.capture.echoes


async def test_salesforce_is_down_at_the_start_and_comes_back(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        await here.salesforce.stop()
        await here.start()
        await here.until(lambda: here.events("stream_lost"))
        await here.salesforce.start()
        await here.until_quiet()


async def test_the_sign_in_is_refused_and_mended(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        refusal = {"error": "invalid_grant", "error_description": "user hasn't approved this consumer"}
        here.salesforce.faults.add(Fault("respond", path="/services/oauth2/token", times=None, status=400, body=refusal))
        await here.start()
        await here.until(lambda: here.events("stream_lost"))
        assert re.search("invalid_grant", here.events("stream_lost")[0]["cause"])
        here.salesforce.faults.clear()
        await here.until_quiet()


async def test_rest_fails_while_the_stream_works(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, contact = company(here)
        await here.start()
        await here.until_quiet()
        here.salesforce.faults.add(Fault("respond", path="/services/data/", times=None, status=503, body="down"))
        here.org.update("Account", account, {"Phone": "straight"})
        await here.until(lambda: here.instance.companies[account]["mainPhone"] == "straight")
        opportunity = here.org.create("Opportunity", {"Name": "D", "StageName": "Prospecting", "CloseDate": "2027-01-01"})
        here.org.update("Contact", contact, {"Email": "new@example.com"})
        await here.until(lambda: here.events("read_failed"))
        assert opportunity not in here.instance.opportunities
        here.salesforce.faults.clear()
        await here.until_quiet()
        assert opportunity in here.instance.opportunities
        assert not await here.dead()


async def test_even_everything_retained_is_refused_and_the_daemon_waits_between_attempts(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        error = "400::The replayId {-2} you provided was invalid.  Please provide a valid ID"
        answer = [
            {"channel": "/meta/subscribe", "successful": False, "id": "3", "error": error, "subscription": "/data/ChangeEvents"}
        ]
        fault = Fault("rewrite", path="/cometd", body_matches="/meta/subscribe", times=3, body=answer)
        here.salesforce.faults.add(fault)
        await here.start()
        await here.until_quiet()
        assert fault.hits == 3
        assert not here.events("replay_id_refused")
        assert here.events("stream_lost")
