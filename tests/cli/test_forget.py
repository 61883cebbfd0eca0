"""`forget`: what it leaves of one person in the store's files, to the byte; and what it refuses to drop in silence."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from store.intake import ReadResult
from store.model import Ack, Change, Dead, ObjectName, Record, Unreadable
from store.rows import record_row
from store.scores import ScoreRow
from store.store import Store
from stream.ids import widen
from tests.cli.shell import ask, config_file, here_and_now, msi
from tests.flow.scenes import deal
from tests.flow.world import world

NOW = 1_790_000_000_000
CONTACT, OTHER, LOSER = widen("0035g00000000C1"), widen("0035g00000000C2"), widen("0035g00000000C3")
ROLE, OPPORTUNITY, ACCOUNT = widen("00K5g00000000R1"), widen("0065g00000000O1"), widen("0015g00000000A1")
EMAIL, NAME, MOMENT = "ada.lovelace@example.com", "Lovelace-Byron", "Visited the analytical engine"
KEPT = {EMAIL, MOMENT, CONTACT[:15], LOSER[:15]}
TRACES = (*KEPT, NAME, "Countess")  # what was delivered is kept no longer
LATER = NOW + 10**11


async def deliver(store: Store, obj: ObjectName, **also: Any) -> None:
    """All that is ready of an object is sent and accepted."""
    claimed = await store.claim(obj, "upsert", most=300, now_ms=NOW, linger_ms=0)
    await store.finish([Ack(each.entry.entry_id, each.entry.key, did="created", sent="*", **also) for each in claimed], NOW)


def contact(record_id: str, **fields: Any) -> Change:
    """A whole contact."""
    return Change("Contact", record_id, fields=fields, whole=True, commit_ms=NOW, source="CREATE")


async def known(store: Store) -> None:
    """A contact whom Marketo has, whose fields changed a hundred times among a thousand others, with scores, and a loser."""
    await store.take([contact(CONTACT, LastName=NAME, Email=EMAIL), contact(OTHER, LastName="Other")], None, NOW)
    await deliver(store, "Contact", marketo_id="12")
    for turn in range(100):
        crowd = [contact(widen(f"0035g0000{turn:03d}{n:03d}"), LastName="x" * (turn * n % 700)) for n in range(10)]
        edit = Change("Contact", CONTACT, fields={"LastName": NAME + "!" * turn, "Title": "Countess"}, commit_ms=NOW + turn + 1)
        await store.take([edit, *crowd], None, NOW)
        await deliver(store, "Contact")
    await store.remember_scores([ScoreRow(("Contact", CONTACT), {"mkto_si__Last_Interesting_Moment_Desc__c": MOMENT})])
    loser = Record("Contact", LOSER, state="deleted", merged_into=CONTACT)
    await store.submit(lambda tx: tx.run_many("put_record", [record_row(loser)]))
    raw = f'{{"ids": ["{CONTACT}"], "email": "{EMAIL}"}}'
    await store.take([], None, NOW, unreadable=[Unreadable("/data/ChangeEvents", 7, raw, "no header")])


def prepared(folder: Path, *steps: Any) -> Path:
    """A configuration whose store has been through these steps."""

    async def prepare() -> None:
        store = await Store.open(folder / "store.db")
        for step in steps:
            await step(store)
        await store.close()

    asyncio.run(prepare())
    return config_file(folder)


def found(folder: Path, traces: Sequence[str] = TRACES) -> set[str]:
    """Those of the texts that stand anywhere in the store's files."""
    held = b"".join(path.read_bytes() for path in folder.glob("store.db*"))
    return {trace for trace in traces if trace.encode() in held}


def test_no_byte_of_a_person_is_left_and_the_others_stay(tmp_path: Path) -> None:
    config = prepared(tmp_path, known)
    assert found(tmp_path) == KEPT
    said = here_and_now("forget", CONTACT[:15], "--config", str(config))
    assert said.code == 0, said
    assert f"Erased Contact {CONTACT}" in said.out
    assert f"Erased Contact {LOSER}" in said.out
    assert "1 event that nobody could read and that names it" in said.out
    assert found(tmp_path) == set()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as file:
        assert file.execute("SELECT count(*) FROM record").fetchone() == (1001,)
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert file.execute("SELECT count(*) FROM history WHERE record_id = ?", (OTHER,)).fetchone()[0] > 0
    again = here_and_now("forget", CONTACT, "--config", str(config))
    assert again.code == 1
    assert "nothing is known" in again.message


def test_whoever_stands_behind_the_same_marketo_person_is_told(tmp_path: Path) -> None:
    config = prepared(tmp_path, known)
    said = here_and_now("forget", CONTACT, "--json", "--config", str(config))
    assert said.json()["shared_with"] == [{"object": "Contact", "id": OTHER}]
    assert said.json()["erased"] is True
    assert said.json()["rewritten"] is True


async def role(store: Store) -> None:
    """The contact's role, which Marketo has, and another's."""
    rows = [
        Record(
            "OpportunityContactRole",
            record_id,
            state="synced",
            contact=contact_id,
            opportunity=OPPORTUNITY,
            sent_key=f'["{OPPORTUNITY}",17,"{name}"]',
        )
        for record_id, contact_id, name in ((ROLE, CONTACT, "Mine"), (widen("00K5g00000000R2"), OTHER, "Another's"))
    ]
    await store.submit(lambda tx: tx.run_many("put_record", [record_row(each) for each in rows]))


def test_the_persons_contact_roles_go_with_it(tmp_path: Path) -> None:
    config = prepared(tmp_path, known, role)
    said = here_and_now("forget", CONTACT, "--config", str(config))
    assert f"Erased OpportunityContactRole {ROLE}" in said.out
    assert found(tmp_path, [ROLE[:15], "Mine", "Another's"]) == {"Another's"}


async def edited(store: Store) -> None:
    """A change that is still to be delivered."""
    await store.take([Change("Contact", CONTACT, fields={"Title": "Mathematician"}, commit_ms=NOW + 1000)], None, NOW)


def test_a_change_that_is_still_to_be_delivered_is_not_dropped_in_silence(tmp_path: Path) -> None:
    config = prepared(tmp_path, known, edited)
    said = here_and_now("forget", CONTACT, "--config", str(config))
    assert said.code == 1
    assert f"a change of Contact {CONTACT} is still to be delivered: nothing was erased" in said.message
    assert "--undelivered" in said.message
    assert found(tmp_path) == KEPT
    given_up = here_and_now("forget", CONTACT, "--undelivered", "--config", str(config))
    assert given_up.code == 0
    assert "1 change that was still to be delivered, given up" in given_up.out
    assert found(tmp_path, [*TRACES, "Mathematician"]) == set()


async def refused(store: Store) -> None:
    """A dead letter that holds what Marketo would not take."""
    await edited(store)
    (claimed,) = await store.claim("Contact", "upsert", most=300, now_ms=NOW + 2000, linger_ms=0)
    await store.finish([Dead(claimed.entry.entry_id, claimed.entry.key, "1003", f"{EMAIL} is taken", "look")], NOW)


def test_a_dead_letter_goes_and_is_counted(tmp_path: Path) -> None:
    config = prepared(tmp_path, known, refused)
    said = here_and_now("forget", CONTACT, "--config", str(config))
    assert said.code == 0
    assert "1 dead letter of it" in said.out
    assert found(tmp_path, [*TRACES, "Mathematician"]) == set()


async def test_what_a_running_daemon_has_under_way_is_left_alone(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    store = await Store.open(tmp_path / "store.db")
    try:
        await edited(store)
        assert await store.claim_reads("Contact", most=9, now_ms=NOW + 2000, linger_ms=0)
        said = await msi("forget", CONTACT, "--undelivered", "--config", str(config))
        assert said.code == 1
        assert "just being read or sent: nothing was erased" in said.message
        assert await store.records([("Contact", CONTACT)])
    finally:
        await store.close()


async def waiting(store: Store) -> None:
    """A contact that waits for its account, which a dead letter holds."""
    await store.take([Change("Account", ACCOUNT, fields={"Name": NAME}, whole=True, commit_ms=NOW)], None, NOW)
    (claimed,) = await store.claim("Account", "upsert", most=300, now_ms=NOW, linger_ms=0)
    await store.finish([Dead(claimed.entry.entry_id, claimed.entry.key, "1003", "no", "look")], NOW)
    child = Change("Contact", OTHER, fields={"LastName": "Other"}, whole=True, refs={"account": ACCOUNT}, commit_ms=NOW)
    await store.take([child], None, NOW)


def test_whoever_waits_for_it_asks_salesforce_anew(tmp_path: Path) -> None:
    config = prepared(tmp_path, waiting)
    assert here_and_now("forget", ACCOUNT, "--config", str(config)).code == 0
    assert found(tmp_path, [NAME]) == set()

    async def gone_there(store: Store) -> None:
        (entry,) = await store.claim_reads("Account", most=9, now_ms=LATER, linger_ms=0)
        assert entry.record_id == ACCOUNT
        await store.settle_reads({entry.entry_id: ReadResult(gone=True)}, LATER)
        (claimed,) = await store.claim("Contact", "upsert", most=300, now_ms=LATER, linger_ms=0)
        assert claimed.record.record_id == OTHER

    prepared(tmp_path, gone_there)


def test_scores_that_come_in_after_it_leave_no_trace(tmp_path: Path) -> None:
    config = prepared(tmp_path, known)
    assert here_and_now("forget", CONTACT, "--config", str(config)).code == 0

    async def late(store: Store) -> None:
        await store.remember_scores([ScoreRow(("Contact", CONTACT), {"mkto_si__Last_Interesting_Moment_Desc__c": MOMENT})])
        await store.bury_score(("Contact", CONTACT), code="X", cause=MOMENT, cure="", attempts=1, now_ms=NOW)
        assert not await store.dead_letters()

    prepared(tmp_path, late)
    assert found(tmp_path) == set()


def test_a_file_that_could_not_be_written_anew_is_said_and_made_up_for(tmp_path: Path) -> None:
    config = prepared(tmp_path, known)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM record").fetchone()
        said = here_and_now("forget", CONTACT, "--config", str(config))
    assert said.code == 1
    assert "free pages of it may still hold values: a reader holds the log" in " ".join(said.err.split())
    again = here_and_now("forget", CONTACT, "--config", str(config))
    assert again.code == 0, again
    assert found(tmp_path) == set()


def test_what_is_no_id_is_a_usage_error(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    said = here_and_now("forget", "ada", "--config", str(config))
    assert said.code == 2
    assert "expected a Salesforce id of 15 or 18" in said.err


async def test_beside_a_running_daemon_and_back_again_without_a_duplicate(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        person = here.lead_of(made.contact)["id"]
        here.org.delete("Contact", made.contact)
        await here.until_quiet()
        said = await ask(here, "forget", made.contact)
        assert said.code == 0, said
        for _ in range(2):
            await here.until_proven()
            assert found(tmp_path, ["lee@example.com"]) == set()
            back = await here.record(("Contact", made.contact))  # as long as Salesforce tells of its deletion
            assert back is None or (back.state == "deleted" and back.account is None and back.marketo_id is None)
        here.org.undelete("Contact", made.contact)
        here.org.update("Contact", made.contact, {"Title": "Back again"})
        await here.until_quiet()
        assert (here.lead_of(made.contact)["id"], here.lead_of(made.contact)["title"]) == (person, "Back again")
