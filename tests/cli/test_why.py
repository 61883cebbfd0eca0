"""`why`: one record's story, as somebody asks who has only its id; beside a running daemon, and of one that is stopped."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from store.intake import ReadResult
from store.model import Ack, Change, Dead, Retry
from store.store import Store
from stream.ids import widen
from tests.cli.shell import Said, ask, config_file, here_and_now
from tests.flow.scenes import company
from tests.flow.world import world

KEYS = {"object", "id", "marketo_id", "state", "waits_for", "history", "stands", "cure"}
OWNER, ACCOUNT, CONTACT = widen("0055g00000000U1"), widen("0015g00000000A1"), widen("0035g00000000C1")
NOW = 1_790_000_000_000


def acme(**also: Any) -> Change:
    """A created account."""
    return Change("Account", ACCOUNT, fields={"Name": "Secretive"}, whole=True, source="CREATE", transaction="txn-1", **also)


async def claim_account(store: Store) -> Any:
    (claimed,) = await store.claim("Account", "upsert", most=300, now_ms=NOW, linger_ms=0)
    return claimed


async def sent(store: Store) -> None:
    """An account that Marketo has."""
    await store.take([acme()], None, NOW)
    entry = (await claim_account(store)).entry
    await store.finish([Ack(entry.entry_id, entry.key, marketo_id="12", did="created", sent="*", together=3)], NOW)


async def dead(store: Store) -> None:
    """An account that Marketo refused."""
    await store.take([acme()], None, NOW)
    entry = (await claim_account(store)).entry
    await store.finish([Dead(entry.entry_id, entry.key, "1006", "a field is not known", "hide the field")], NOW)


async def waiting(store: Store) -> None:
    """A contact that waits for an account that waits for its owner, who cannot be read."""
    contact = Change("Contact", CONTACT, fields={"LastName": "Lee"}, whole=True, refs={"account": ACCOUNT}, source="CREATE")
    await store.take([contact, acme(refs={"owner": OWNER})], None, NOW)
    (entry,) = await store.claim_reads("User", most=9, now_ms=NOW, linger_ms=0)
    await store.settle_reads({entry.entry_id: ReadResult()}, NOW)


async def in_a_circle(store: Store) -> None:
    """Two records of which each waits for the other: no rule makes that, a damaged store may."""
    await waiting(store)

    async def knot(tx: Any) -> None:
        (row,) = await tx.rows("entries_of", "User", OWNER)
        await tx.run("put_wait", row["entry_id"], "Contact", CONTACT)
        await tx.run("set_due", f"[{row['entry_id']}]", NOW)
        await tx.run("count_waits", f"[{row['entry_id']}]")

    await store.submit(knot)


async def sent_back(store: Store) -> None:
    """An account that is to be tried again."""
    await store.take([acme()], None, NOW)
    entry = (await claim_account(store)).entry
    await store.finish([Retry(entry.entry_id, entry.key, NOW, code="611", cause="Marketo failed", counted=True)], NOW)


def asked(folder: Path, made: Callable[[Store], Awaitable[None]], *words: str) -> Said:
    """What `why` says of a store that was made like this."""

    async def make() -> None:
        store = await Store.open(folder / "store.db")
        await made(store)
        await store.close()

    asyncio.run(make())
    return here_and_now("why", *words, "--config", str(config_file(folder)))


def test_the_contracts_keys_and_what_was_sent(tmp_path: Path) -> None:
    said = asked(tmp_path, sent, ACCOUNT, "--json")
    assert said.code == 0
    told = said.json()
    assert told.keys() >= KEYS
    assert (told["object"], told["id"], told["marketo_id"], told["state"]) == ("Account", ACCOUNT, "12", "synced")
    assert told["waits_for"] == []
    arrived, created = told["history"]
    assert (arrived["what"], arrived["source"], arrived["transaction"], arrived["at"]) == (
        "arrived",
        "CREATE",
        "txn-1",
        "2026-09-21T14:13:20Z",
    )
    assert (created["what"], created["marketo_id"], created["batch"], created["fields"]) == ("created", "12", 3, None)


def test_the_story_reads_from_its_beginning_to_what_is_to_be_done(tmp_path: Path) -> None:
    said = asked(tmp_path, dead, ACCOUNT)
    assert said.code == 0
    lines = [line for line in said.out.splitlines() if line.strip()]
    assert lines[0] == f"Account {ACCOUNT}"
    assert "CREATE event arrived: all its fields (transaction txn-1)" in said.out
    assert "refused (1006), a dead letter: a field is not known" in said.out
    assert lines[-2] == "It is a dead letter (1006): a field is not known."
    assert lines[-1] == f"Hide the field. `msi-stream dead retry {ACCOUNT}` tries it again."
    assert "Secretive" not in said.out


def test_fifteen_characters_will_do(tmp_path: Path) -> None:
    assert asked(tmp_path, sent, ACCOUNT[:15], "--json").json()["id"] == ACCOUNT


def test_the_whole_chain_is_told_and_the_far_end_is_what_to_see_to(tmp_path: Path) -> None:
    said = asked(tmp_path, waiting, CONTACT, "--json")
    told = said.json()
    assert told["state"] == "waiting"
    (account,) = told["waits_for"]
    assert (account["object"], account["id"], account["state"]) == ("Account", ACCOUNT, "waiting")
    (owner,) = account["waits_for"]
    assert (owner["object"], owner["id"], owner["state"], owner["code"]) == ("User", OWNER, "dead", "UNREADABLE_RECORD")
    assert owner["waits_for"] == []
    shown = here_and_now("why", CONTACT, "--config", str(tmp_path / "config.toml")).out
    assert f"  Account {ACCOUNT}: it waits for 1 other record itself\n    User {OWNER}: it is a dead letter" in shown


def test_a_circle_ends(tmp_path: Path) -> None:
    told = asked(tmp_path, in_a_circle, CONTACT, "--json").json()
    (account,) = told["waits_for"]
    (owner,) = account["waits_for"]
    (again,) = owner["waits_for"]
    assert (again["id"], again["again"], again["waits_for"]) == (CONTACT, True, [])


def test_a_stopped_daemon_is_said_where_something_is_open(tmp_path: Path) -> None:
    said = asked(tmp_path, sent_back, ACCOUNT)
    assert "Marketo failed (611), and the daemon is stopped." in said.out
    assert said.out.rstrip().endswith("Start the daemon.")


async def test_a_flow_that_stands_still_is_why_and_its_end_is_what_to_do(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet(seconds=20)
        await ask(here, "pause", "deliver")
        here.org.update("Account", account, {"Phone": "7"})
        assert here.store is not None
        while not (await here.store.backlog()).get("Account"):
            await here.until(lambda: True)
        said = await ask(here, "why", account)
        assert "deliveries are paused by the operator." in said.out
        assert said.out.rstrip().endswith("`msi-stream resume deliver` ends that.")
        await ask(here, "resume", "deliver")
        await here.until_quiet(seconds=20)
        assert "nothing is open." in (await ask(here, "why", account)).out


@pytest.mark.parametrize(
    ("record_id", "words"),
    [
        ("0035g00000000X9", "Nothing is known of Contact"),
        ("00T5g00000000X9", "no object that goes to Marketo"),
    ],
)
def test_an_id_nobody_heard_of_is_1(tmp_path: Path, record_id: str, words: str) -> None:
    said = asked(tmp_path, sent, record_id)
    assert said.code == 1
    assert words in said.out
    told = here_and_now("why", record_id, "--json", "--config", str(tmp_path / "config.toml"))
    assert told.code == 1
    assert told.json().keys() >= KEYS
    assert (told.json()["state"], told.json()["history"]) == ("unknown", [])


@pytest.mark.parametrize(
    "record_id", ["0035g00000000C", f"{CONTACT[:15]}{'A' if CONTACT[15] != 'A' else 'B'}{CONTACT[16:]}", "Lee", ""]
)
def test_a_mistyped_id_is_2_and_says_what_is_wrong(tmp_path: Path, record_id: str) -> None:
    said = asked(tmp_path, sent, record_id)
    assert said.code == 2
    assert "15 or 18" in said.err or "mistyped" in said.err
    assert said.out == ""


def test_without_a_store_it_says_that_the_daemon_makes_it(tmp_path: Path) -> None:
    said = here_and_now("why", CONTACT, "--config", str(config_file(tmp_path)))
    assert said.code == 2
    assert "there is no store" in said.message
    assert not (tmp_path / "store.db").exists()


def test_looking_writes_nothing(tmp_path: Path) -> None:
    asked(tmp_path, sent, ACCOUNT)
    with closing(sqlite3.connect(tmp_path / "store.db")) as database:
        before = list(database.iterdump())
    here_and_now("why", ACCOUNT, "--config", str(tmp_path / "config.toml"))
    with closing(sqlite3.connect(tmp_path / "store.db")) as database:
        assert list(database.iterdump()) == before


async def test_beside_a_running_daemon_and_after_it(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        account, contact = company(here)
        here.instance.refuse("company", account, "1006", "Field 'company' not found", times=None)
        await here.start()
        await here.until_dead()
        told = (await ask(here, "why", contact[:15], "--json")).json()
        assert (told["object"], told["state"], told["marketo_id"]) == ("Contact", "waiting", None)
        assert told["waits_for"][0]["id"] == account
        assert told["waits_for"][0]["code"] == "1006"
        assert [line["what"] for line in told["history"]] == ["arrived"]
        assert f"dead retry {account}" in told["cure"]
        here.instance.refusals.clear()
        await ask(here, "dead", "retry", account)
        await here.until_quiet(seconds=12)
        here.org.update("Contact", contact, {"Title": "Chief"})
        await here.until_quiet(seconds=12)
        await here.stop()
        told = (await ask(here, "why", contact, "--json")).json()
        assert told["state"] == "synced"
        assert told["marketo_id"] == str(here.lead_of(contact)["id"])
        assert [line["what"] for line in told["history"]] == ["arrived", "created", "arrived", "updated"]
        assert told["history"][2]["fields"] == ["Title"]
        assert "title" in told["history"][3]["fields"]
        assert told["history"][0]["transaction"]
        company_story = (await ask(here, "why", account, "--json")).json()["history"]
        assert [line["what"] for line in company_story] == ["arrived", "dead", "put_back", "created"]
        shown = (await ask(here, "why", contact)).out
        assert "lee@example.com" not in shown
        assert "Chief" not in shown
