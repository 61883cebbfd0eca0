"""The table of the demo: every kind of error makes its own line fail, and a line behind which nothing stands does not hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox import stage_proofs
from sandbox.marketo.schema import COMPANY, LEAD
from sandbox.oracle_journal import Report
from sandbox.salesforce.caller import Caller
from sandbox.stage import Stage
from sandbox.stage_changes import Changes, Conversion
from sandbox.stage_proofs import CALLS_A_ROUND, Facts, Proof, Restart, prove

LINE_OF = {
    "missing": "every record is in Marketo",
    "wrong field": "every record is in Marketo",
    "extra": "every record is in Marketo",
    "not moved": "every record is in Marketo",
    "wrong relation": "with the right relations",
    "child_before_parent": "no child before its parent",
    "duplicate": "no duplicate person",
    "duplicate_email": "no duplicate person",
    "duplicate_externalPersonId": "no duplicate person",
    "twice_in_batch": "no duplicate person",
    "score": "every score is back in Salesforce",
    "deleted": "deletes done as the settings say",
    "not deleted": "deletes done as the settings say",
    "cleared": "nothing cleared without cause",
    "not cleared": "nothing cleared without cause",
    "unsubscribed": "nothing cleared without cause",
    "token_in_query": "nothing else is wrong",
    "a kind nobody knows yet": "nothing else is wrong",
}


def facts() -> Facts:
    """A run in which something of everything happened, as far as the counts tell."""
    stage = Stage()
    stage.seed(40)
    changes = Changes(stage)
    changes.scored["by activities"] = changes.deleted["Lead"] = 1
    changes.cleared.add(("003", "phone"))
    lead_id = stage.instance.create_lead(externalPersonId="003A", externalSalesPersonId="005A")
    changes.conversions.append(Conversion("00QA", "003A", lead_id))
    stage.instance.wrote(1, LEAD, lead_id, "created", sent={"title": "CEO"}, changed={"title": "CEO"})
    stage.marketo.limits.calls = 1
    restart = Restart(start=1, events=stage.org.log.end, until=2, events_until=stage.org.log.end)
    stage.instance.wrote(2, LEAD, lead_id, "updated", sent={"title": "CTO"}, changed={"title": "CTO"})
    return Facts(
        stage,
        changes,
        calls_per_20s=50,
        concurrency=5,
        orderly=restart,
        killed=replace(restart, in_flight={(LEAD, lead_id): 0.0}),
    )


def failing(proofs: list[Proof]) -> list[str]:
    """The claims that do not hold."""
    return [proof.claim for proof in proofs if not proof.holds]


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Report:
    """What the oracle will say: nothing against it, until a test adds something."""
    report = Report()
    report.counts["compared"] = 1
    monkeypatch.setattr(stage_proofs, "compare", lambda *_: report)
    return report


def test_all_lines_hold_where_nothing_is_wrong(oracle: Report) -> None:
    assert oracle.ok
    assert failing(prove(facts())) == []


@pytest.mark.parametrize("kind", LINE_OF)
def test_each_kind_of_error_fails_its_line_and_is_told(kind: str, oracle: Report) -> None:
    oracle.wrong(kind, "record 1")
    proofs = prove(facts())
    assert failing(proofs) == [LINE_OF[kind]]
    assert [problem for proof in proofs for problem in proof.problems] == [f"{kind}: record 1"]


def test_an_untouched_marketo_proves_nothing() -> None:
    stage = Stage()
    stage.seed(40)
    proofs = prove(Facts(stage, Changes(stage), calls_per_20s=50, concurrency=5))
    assert [proof.claim for proof in proofs if proof.holds] == []


def test_what_could_not_be_played_to_its_end_fails(oracle: Report) -> None:
    run = facts()
    run.unfinished.append("while changes flow: stuck")
    assert oracle.ok
    assert failing(prove(run)) == ["nothing else is wrong"]


def test_a_needless_write_after_the_orderly_restart_fails(oracle: Report) -> None:
    run = facts()
    assert oracle.ok
    assert run.orderly is not None
    run.stage.instance.wrote(3, COMPANY, "001A", "updated", sent={"company": "Acme"}, changed={})
    run.orderly.until = 3
    assert failing(prove(run)) == ["nothing sent again after a restart"]


@pytest.mark.parametrize("before", [True, False])
def test_a_score_written_again_without_any_change_fails(before: bool, oracle: Report) -> None:
    run = facts()
    org = run.stage.org
    assert oracle.ok
    assert run.orderly is not None
    lead, ours = run.stage.seeded.leads[0], Caller(org.api_user_id, "msi-stream", auto_assign=False)
    if before:
        org.update("Lead", lead, {"mkto_si__Priority__c": 7}, ours)
    run.orderly.events = org.log.end
    org.update("Lead", lead, {"mkto_si__Priority__c": 7 if before else None}, ours)
    run.orderly.events_until = org.log.end
    assert failing(prove(run)) == (["nothing sent again after a restart"] if before else [])


@pytest.mark.parametrize("noted", [False, True])
def test_after_a_kill_only_what_was_not_noted_may_come_again(noted: bool, oracle: Report) -> None:
    run = facts()
    assert oracle.ok
    assert run.killed is not None
    other = run.stage.instance.create_lead()
    run.stage.instance.wrote(2, LEAD, other, "updated", sent={"title": "CTO"}, changed={"title": "CTO"})
    run.stage.instance.wrote(3, LEAD, other, "updated", sent={"title": "CTO"}, changed={})
    run.killed = replace(run.killed, start=3, until=4)
    if not noted:
        run.killed.in_flight = {**run.killed.in_flight, (LEAD, other): 0.0}
    assert failing(prove(run)) == (["kill -9 loses nothing"] if noted else [])


def test_a_daemon_that_puts_off_noting_what_was_accepted_fails(oracle: Report) -> None:
    run = facts()
    assert oracle.ok
    assert run.killed is not None
    for request in range(CALLS_A_ROUND * run.concurrency + 1):
        lead = run.stage.instance.create_lead()
        run.stage.instance.wrote(100 + request, LEAD, lead, "updated", sent={"title": "CTO"}, changed={"title": "CTO"})
        run.killed.in_flight = {**run.killed.in_flight, (LEAD, lead): run.stage.org.now() - 1}
    run.killed.start = run.killed.until = len(run.stage.instance.journal)
    assert failing(prove(run)) == ["kill -9 loses nothing"]


def test_a_kill_while_nothing_was_under_way_shows_nothing(oracle: Report) -> None:
    run = facts()
    assert oracle.ok
    assert run.killed is not None
    run.killed.in_flight = dict.fromkeys(run.killed.in_flight, run.stage.org.now() + 60)  # queued after Marketo's last write
    assert failing(prove(run)) == ["kill -9 loses nothing"]


@pytest.mark.parametrize("seen", ["highest_calls_in_20s", "highest_concurrency"])
def test_a_limit_that_was_exceeded_fails(seen: str, oracle: Report) -> None:
    run = facts()
    assert oracle.ok
    setattr(run.stage.marketo.limits, seen, 51)
    assert failing(prove(run)) == ["Marketo's limits kept"]


def test_a_converted_lead_with_another_marketo_id_fails(oracle: Report) -> None:
    run = facts()
    assert oracle.ok
    run.changes.conversions[0] = Conversion("00QA", "003A", 77)
    assert failing(prove(run)) == ["a converted lead stays who it was"]
