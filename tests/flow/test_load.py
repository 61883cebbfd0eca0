"""First loads, holes and sweeps: what no event tells arrives all the same, once, and what is proven complete is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.oracle import resent
from sandbox.oracle_rules import Rules
from sandbox.salesforce.seed import seed_org
from store.model import Hole
from tests.flow.scenes import company, contact_of, deal, lead_of, user
from tests.flow.world import World, world

LOADING: dict[str, Any] = {"reconcile__backfill_on_first_start": True}


async def covered(here: World, obj: Any = "Lead") -> None:
    """Wait until an object has no hole."""
    assert here.store is not None
    for _ in range(500):
        stream = await here.store.stream("/data/ChangeEvents")
        if stream is not None and not await here.store.holes(obj, stream.until_s) and await here.store.intervals(obj):
            return
        await here.pause()
    raise AssertionError(f"{obj}: {await here.store.holes(obj)}")


async def test_everything_that_was_there_before_arrives_with_its_relations(tmp_path: Path) -> None:
    async with world(tmp_path, **LOADING) as here:
        seed_org(here.org, users=4, accounts=5, contacts=20, leads=20, opportunities=6, roles=12, publish=False)
        await here.start()
        await here.until_quiet()
        assert here.events("stream_subscribed")[0]["replay_from"] == -1, "what a load reads need not be replayed"
        assert [line["object"] for line in here.events("load_finished")] == [
            "User",
            "Account",
            "Contact",
            "Lead",
            "Opportunity",
            "OpportunityContactRole",
        ]
        assert all(line["log_level"] != "error" for line in here.logs)
        for obj in ("User", "Lead", "OpportunityContactRole"):
            await covered(here, obj)


async def test_what_changes_during_a_load_is_not_missed_and_old_rows_do_not_turn_it_back(tmp_path: Path) -> None:
    async with world(tmp_path, **LOADING) as here:
        made = seed_org(here.org, users=3, accounts=3, contacts=8, leads=8, opportunities=3, roles=4, publish=False)
        slow = here.salesforce.faults.add(Fault("delay", path="/query.*FROM\\+Lead", seconds=0.5, times=2))
        await here.start()
        await here.until(lambda: slow.hits)
        here.org.update("Lead", made.leads[0], {"Title": "Live"})
        here.org.delete("Lead", made.leads[1])
        new = here.org.create("Lead", lead_of("New"))
        await here.until_quiet()
        assert here.lead_of(made.leads[0])["title"] == "Live"
        assert here.lead_of(new)["lastName"] == "New"


async def test_a_load_that_is_cut_short_goes_on_where_it_was(tmp_path: Path) -> None:
    async with world(tmp_path, **LOADING) as here:
        here.salesforce.rest.page_size = 200
        seed_org(here.org, users=3, accounts=3, contacts=3, leads=900, opportunities=3, roles=3, publish=False)
        here.salesforce.faults.add(Fault("respond", path="/query/|/queryAll/", status=503, skip=2, times=3))
        await here.start()
        await here.until_quiet(seconds=60.0)
        assert here.events("load_failed")


async def test_a_daemon_stopped_in_mid_load_reads_only_the_rest(tmp_path: Path) -> None:
    async with world(tmp_path, **LOADING) as here:
        made = seed_org(here.org, users=3, accounts=3, contacts=3, leads=50, opportunities=3, roles=3, publish=False)
        held = here.salesforce.faults.add(Fault("hang", path="/query.*FROM\\+Opportunity\\+", times=1))
        await here.start()
        await here.until(lambda: held.hits)
        await here.until(lambda: not any("Lead 00Q" in each for each in here.report().problems))
        await here.stop()
        here.salesforce.faults.clear()
        mark = len(here.instance.journal)
        whole = here.salesforce.faults.add(Fault("delay", path=r"/query(All)?\?q=(?!.*WHERE).*FROM\+Lead", times=None))
        await here.start()
        await here.until_quiet()
        assert not whole.hits
        assert not resent(here.instance, mark, len(here.instance.journal))
        assert made


async def test_content_that_marketo_has_costs_no_call(tmp_path: Path) -> None:
    async with world(tmp_path, **LOADING) as here:
        deal(here)
        await here.start()
        await here.until_quiet()
        mark = len(here.instance.journal)
        assert here.store is not None
        await here.store.cut([here.hole("Lead"), here.hole("Contact"), here.hole("Account")])
        await here.until(lambda: len(here.events("load_finished")) >= 9)
        await here.until_quiet()
        assert here.instance.journal[mark:] == []


async def test_live_changes_go_before_what_a_load_brought(tmp_path: Path) -> None:
    async with world(tmp_path, marketo__concurrency=1, deliver__batch_size=5, **LOADING) as here:
        made = seed_org(here.org, users=3, accounts=2, contacts=4, leads=60, opportunities=3, roles=3, publish=False)
        here.marketo.latency_seconds = 0.05
        await here.start()
        await here.until(lambda: len(here.instance.leads) > 14)
        here.org.update("Contact", made.contacts[0], {"Title": "Live"})
        await here.until(lambda: here.lead_of(made.contacts[0]).get("title") == "Live")
        assert len(here.instance.leads) < 60, "the load is still under way"
        await here.until_quiet()


async def test_a_change_that_the_stream_lost_is_found_by_the_sweep_and_said(tmp_path: Path) -> None:
    async with world(tmp_path, reconcile__interval_seconds=200.0) as here:
        account, contact = company(here)
        await here.start()
        await here.until_quiet()
        with here.org.losing_events():
            here.org.update("Account", account, {"Phone": "lost"})
            lost = here.org.create("Lead", lead_of("Lost"))
        await here.until(lambda: here.instance.leads_of(lost), seconds=60.0)
        await here.until_quiet()
        assert here.instance.companies[account]["mainPhone"] == "lost"
        assert {line["object"] for line in here.events("changes_missed_by_stream")} == {"Account", "Lead"}
        assert contact


async def test_a_stream_that_brings_nothing_of_an_object_is_called_silent(tmp_path: Path) -> None:
    async with world(tmp_path, reconcile__interval_seconds=200.0) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        here.org.publisher.silenced.add("Contact")
        made = [here.org.create("Contact", contact_of(account, f"Silent{number}")) for number in range(6)]
        await here.until(lambda: all(here.instance.leads_of(each) for each in made), seconds=60.0)
        made += [here.org.create("Contact", contact_of(account, f"Still{number}")) for number in range(6)]
        await here.until(lambda: here.events("stream_silent"), seconds=60.0)
        assert here.events("stream_silent")[0]["log_level"] == "error"
        here.org.publisher.silenced.clear()
        here.org.update("Contact", made[0], {"Title": "Heard"})
        await here.until(lambda: here.events("stream_heard_again"), seconds=60.0)


async def test_a_quiet_stream_whose_replay_id_expired_reads_only_what_was_not_heard(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        await here.until_proven()
        await here.stop()
        here.org.log.expire_all()
        lead = here.org.create("Lead", lead_of("Unheard"))
        here.org.log.expire_all()
        whole = Fault("delay", path=r"/queryAll\?q=(?!.*WHERE).*FROM\+Lead", times=None)
        here.salesforce.faults.add(whole)
        await here.start()
        await here.until(lambda: here.instance.leads_of(lead))
        assert len(here.events("replay_id_refused")) == 1
        await covered(here)
        started = [line for line in here.events("load_started") if line["object"] == "Lead"]
        assert [line["why"] for line in started] == ["the stored replay id had expired"]
        assert not whole.hits, "what is read again is bounded by what was proven"


async def test_a_field_that_is_mapped_anew_reaches_those_who_are_there_already(tmp_path: Path) -> None:
    async with world(tmp_path, **LOADING) as here:
        lead = here.org.create("Lead", {**lead_of("Mapped"), "Region__c": "North"})
        await here.start()
        await here.until_quiet()
        assert not here.lead_of(lead).get("department")
        await here.stop()
        here.overrides["fields.Lead"] = {"Region__c": "department"}
        await here.start()
        await here.until(lambda: here.lead_of(lead).get("department") == "North")
        assert here.events("mapping_changed")


async def test_an_owner_who_left_before_the_load_is_sent_because_a_record_names_him(tmp_path: Path) -> None:
    async with world(tmp_path, **LOADING) as here:
        gone = user(here, "gone", IsActive=False)
        lead = here.org.create("Lead", {**lead_of("Owned"), "OwnerId": gone})
        await here.start()
        await here.until_quiet()
        assert here.lead_of(lead)["externalSalesPersonId"] == gone


async def test_large_objects_come_by_bulk_jobs(tmp_path: Path) -> None:
    async with world(tmp_path, reconcile__bulk_above=10, **LOADING) as here:
        here.salesforce.bulk.work_seconds = 3.0
        seed_org(here.org, users=3, accounts=3, contacts=30, leads=40, opportunities=12, roles=4, publish=False)
        await here.start()
        await here.until_quiet()
        assert {line["object"] for line in here.events("bulk_job_started")} == {"Contact", "Lead", "Opportunity"}
        assert not here.salesforce.bulk.jobs, "what was read is deleted"


async def test_a_bulk_job_outlives_the_daemon_and_is_gone_on_with(tmp_path: Path) -> None:
    async with world(tmp_path, reconcile__bulk_above=10, **LOADING) as here:
        seed_org(here.org, users=3, accounts=3, contacts=3, leads=40, opportunities=3, roles=3, publish=False)
        held = here.salesforce.faults.add(Fault("hang", path="/jobs/query/.*/results", times=1))
        await here.start()
        await here.until(lambda: held.hits)
        await here.stop()
        here.salesforce.faults.clear()
        await here.start()
        await here.until_quiet()
        leads = [line["event"] for line in here.logs if line.get("object") == "Lead"]
        assert leads[: leads.index("load_finished")] == ["load_started", "bulk_job_started", "load_started"]


async def test_a_lost_bulk_job_is_begun_anew_and_a_refused_one_read_by_pages(tmp_path: Path) -> None:
    async with world(tmp_path, reconcile__bulk_above=10, **LOADING) as here:
        seed_org(here.org, users=3, accounts=3, contacts=30, leads=40, opportunities=3, roles=3, publish=False)
        gone = [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]
        here.salesforce.faults.add(Fault("respond", path="/jobs/query/.*/results", status=404, body=gone))
        await here.start()
        await here.until_quiet()
        assert len(here.events("bulk_job_started")) == 3
        assert len(here.events("load_failed")) == 1


async def test_the_daily_limit_of_events_is_said_and_queries_bring_what_changes_meanwhile(tmp_path: Path) -> None:
    async with world(tmp_path, reconcile__interval_seconds=60.0) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        here.org.delivered_events.limit = here.org.delivered_events.used
        here.org.update("Account", account, {"Phone": "limited"})
        lead = here.org.create("Lead", lead_of("Limited"))
        await here.until(lambda: here.instance.leads_of(lead), seconds=60.0)
        assert here.running.capture.state == "lost"
        lost = here.events("stream_lost")
        assert [line for line in lost if "daily limit exceeded" in line["cause"]]
        assert len({line["cause"] for line in lost}) < 5, "always in the same words: repeats are counted"
        here.org.delivered_events.limit += 1000
        here.org.update("Account", account, {"Phone": "free again"})
        await here.until_quiet(seconds=60.0)
        assert here.instance.companies[account]["mainPhone"] == "free again"
        await covered(here)


async def test_a_stop_of_many_days_is_read_again_from_where_it_was_and_no_further(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__deletes__Lead="delete") as here:
        account, contact = company(here)
        gone = here.org.create("Lead", lead_of("Gone"))
        old = here.org.create("Lead", lead_of("Old"))
        await here.start()
        await here.until_quiet()
        await here.until_proven()
        await here.stop()
        here.org.update("Contact", contact, {"Title": "CEO"})
        here.org.delete("Lead", gone)
        here.clock.jump(5 * 86400.0)
        here.org.update("Account", account, {"Phone": "2"})
        await here.start()
        await here.until_quiet(Rules(deletes={"Lead": "delete", "Opportunity": "delete", "OpportunityContactRole": "delete"}))
        assert [line["log_level"] for line in here.events("replay_id_refused")] == ["error"]
        assert not here.events("changes_missed_by_stream"), "no stream was there that could have missed them"
        await covered(here)
        assert here.lead_of(old)


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_polled_object_that_is_read_again_from_the_beginning_goes_on_being_polled(tmp_path: Path, restarts: bool) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        assert here.store is not None
        if restarts:
            await here.salesforce.stop()
        await here.store.cut([Hole("OpportunityContactRole", 0.0, here.clock.now(), "asked for by the operator")])
        if restarts:
            await here.restart()
            await here.salesforce.start()
        await here.until(lambda: [line["object"] for line in here.events("load_finished")] == ["OpportunityContactRole"])
        await covered(here, "OpportunityContactRole")
        here.org.update("OpportunityContactRole", made.role, {"IsPrimary": True})
        await here.until_quiet()
