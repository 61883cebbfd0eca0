"""`dead`: listed, shown, tried again and given up, beside a running daemon and without one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sandbox.oracle_rules import Rules
from store.model import Change, Dead, ObjectName, Unreadable
from store.store import Store
from stream.clock import SystemClock
from stream.ids import widen
from stream.operating import dead as letters_of
from stream.operating import flows
from stream.operating import taken_up as taking
from stream.operating.dead import Selection
from tests.cli.shell import ask, config_file, here_and_now
from tests.flow.scenes import company
from tests.flow.world import World, world

LEADS = ("00Q5g0000000001EAA", "00Q5g0000000002EAA", "00Q5g0000000003EAA")
ACCOUNT, LIVE = widen("0015g00000000A1"), widen("0015g00000000A2")
EVENT = Unreadable("/data/ChangeEvents", 7, '{"schema": "odd"}', "no header")


async def store_with_letters(path: Path) -> None:
    """Three leads and an account that were refused, an event that nobody could read, and a live entry."""
    store = await Store.open(path)
    changes = [Change("Lead", lead, fields={"LastName": f"Secretive {lead[:15]}"}, whole=True) for lead in LEADS]
    changes.append(Change("Account", ACCOUNT, fields={"Name": "Acme"}, whole=True))
    await store.take(changes, None, 1000, unreadable=[EVENT])
    refused: tuple[tuple[ObjectName, str], ...] = (("Lead", "1006"), ("Account", "1003"))
    for obj, code in refused:
        claimed = await store.claim(obj, "upsert", most=300, now_ms=2000, linger_ms=0)
        await store.finish([Dead(each.entry.entry_id, each.entry.key, code, "its cause", "its cure") for each in claimed], 3000)
    await store.take([Change("Account", LIVE, fields={"Name": "Live"}, whole=True)], None, 4000)
    await store.close()


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """A configuration whose store holds five dead letters."""
    asyncio.run(store_with_letters(tmp_path / "store.db"))
    return config_file(tmp_path)


def listed(config: Path, *words: str) -> Any:
    """What `dead list --json` prints."""
    return here_and_now("dead", "list", "--json", *words, "--config", str(config)).json()


def backlog(config: Path) -> Any:
    """What is to be delivered."""
    return here_and_now("status", "--json", "--config", str(config)).json()["backlog"]


def test_the_list_has_the_contracts_keys_and_exit_code(letters: Path) -> None:
    said = here_and_now("dead", "list", "--json", "--config", str(letters))
    assert said.code == 1
    first = next(each for each in said.json() if each["object"] == "Lead")
    assert first.keys() >= {"entry", "object", "id", "code", "cause", "cure", "attempts", "since"}
    assert (first["id"], first["code"], first["attempts"]) == (LEADS[0], "1006", 1)
    assert first["since"] == "1970-01-01T00:00:03Z"
    table = here_and_now("dead", "list", "--config", str(letters))
    assert table.code == 1
    assert all(word in table.out for word in (*LEADS, "1006", "its cause", "its cure", "UNREADABLE_EVENT"))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--object", "lead"], 3),
        (["--code", "1003"], 1),
        (["--object", "Lead", "--code", "1003"], 0),
        (["--object", "event"], 1),
        ([], 5),
    ],
)
def test_the_list_can_be_narrowed(letters: Path, words: list[str], found: int) -> None:
    said = here_and_now("dead", "list", "--json", *words, "--config", str(letters))
    assert len(said.json()) == found
    assert said.code == (1 if found else 0)


def test_none_is_said_and_well(tmp_path: Path) -> None:
    async def empty() -> None:
        await (await Store.open(tmp_path / "store.db")).close()

    asyncio.run(empty())
    config = str(config_file(tmp_path))
    assert here_and_now("dead", "list", "--config", config).out == "No dead letters.\n"
    said = here_and_now("dead", "list", "--json", "--config", config)
    assert (said.code, said.json()) == (0, [])


def test_personal_data_is_shown_only_where_it_was_asked_for(letters: Path) -> None:
    entry = next(each["entry"] for each in listed(letters) if each["id"] == LEADS[0])
    said = here_and_now("dead", "show", str(entry), "--config", str(letters))
    assert said.code == 0
    assert said.json()[0]["content"]["fields"]["LastName"].startswith("Secretive")
    for words in (["dead", "list"], ["status"], ["dead", "retry", "--all"], ["dead", "drop", "--all"]):
        found = here_and_now(*words, "--config", str(letters))
        assert "Secretive" not in found.out + found.err


def test_an_unreadable_event_is_shown_as_it_came_and_stays_when_tried_again(letters: Path) -> None:
    (event,) = listed(letters, "--object", "event")
    said = here_and_now("dead", "show", str(event["entry"]), "--config", str(letters))
    assert said.json()[0]["content"] == {"raw": {"schema": "odd"}}
    tried = here_and_now("dead", "retry", "--all", "--config", str(letters))
    assert tried.code == 1
    assert "4 dead letters put back" in tried.out
    assert "nobody could read" in tried.message
    assert [each["object"] for each in listed(letters)] == ["event"]
    assert here_and_now("dead", "drop", str(event["entry"]), "--config", str(letters)).code == 0
    assert listed(letters) == []


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ([LEADS[0]], 1),
        ([LEADS[0][:15], LEADS[1]], 2),
        (["--code", "1006"], 3),
        (["--object", "Lead"], 3),
        (["--object", "Lead", LEADS[2], ACCOUNT], 1),
    ],
)
@pytest.mark.parametrize("act", ["retry", "drop"])
def test_those_chosen_and_no_others(letters: Path, act: str, words: list[str], count: int) -> None:
    said = here_and_now("dead", act, *words, "--config", str(letters))
    assert (said.code, said.err) == (0, "")
    assert f"{count} dead letter" in said.out
    assert len(listed(letters)) == 5 - count
    assert sum(backlog(letters).values()) == 1 + (count if act == "retry" else 0)


@pytest.mark.parametrize("act", ["retry", "drop", "show"])
def test_a_name_of_no_dead_letter_is_said_and_the_others_are_done(letters: Path, act: str) -> None:
    live = max(each["entry"] for each in listed(letters)) + 1
    said = here_and_now("dead", act, str(live), LEADS[0], LIVE, "--config", str(letters))
    assert said.code == 1
    assert f"{live} is no dead letter" in said.err
    assert f"{LIVE} is no dead letter" in said.err
    assert len(listed(letters)) == (5 if act == "show" else 4)
    assert backlog(letters)["Account"] == 1


def test_a_filter_that_meets_none_does_nothing(letters: Path) -> None:
    said = here_and_now("dead", "drop", "--code", "9999", "--config", str(letters))
    assert (said.code, said.out) == (0, "0 dead letters given up.\n")
    assert len(listed(letters)) == 5


async def refused_company(here: World) -> tuple[str, str]:
    """A running daemon whose one account Marketo refuses; its contact waits."""
    account, contact = company(here)
    here.instance.refuse("company", account, "1006", "Field 'company' not found", times=None)
    await here.start()
    await here.until_dead()
    here.instance.refusals.clear()
    return account, contact


async def test_a_running_daemon_takes_up_what_was_put_back(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        account, _ = await refused_company(here)
        said = await ask(here, "dead", "retry", account[:15])
        assert said.code == 0
        assert "1 dead letter put back" in said.out
        await here.until_quiet(seconds=12)
        assert (await ask(here, "dead", "list")).code == 0


async def test_what_waited_for_a_letter_given_up_goes_on_without_it(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        account, contact = await refused_company(here)
        assert "1 dead letter given up" in (await ask(here, "dead", "drop", account)).out
        await here.until(lambda: here.instance.leads_of(contact), 12, Rules(excused=(account, contact)))
        assert not here.lead_of(contact).get("externalCompanyId")


async def test_a_running_daemon_takes_up_a_score_that_was_put_back(tmp_path: Path) -> None:
    slow = {"scores__interval_seconds": 3600.0, "scores__sweep_interval_seconds": 3600.0}
    async with world(tmp_path, speed=1.0, deliver__max_attempts=1) as here:
        _, contact = company(here)
        here.org.row_faults.add(contact, "FIELD_CUSTOM_VALIDATION_EXCEPTION", times=None)
        await here.start()
        await here.until(lambda: here.instance.leads_of(contact))
        here.instance.scores.change_score(here.lead_of(contact)["id"], 5)
        (letter,) = await here.until_dead()
        assert letter.flow == "scores"
        await here.stop()
        here.overrides.update({name.replace("__", "."): value for name, value in slow.items()})
        here.org.row_faults.clear()
        await here.start()
        await here.until(lambda: here.events("heartbeat"))
        assert "1 dead letter put back" in (await ask(here, "dead", "retry", "--object", "Contact")).out
        await here.until_quiet(seconds=12)
        assert not await here.dead()


async def test_a_running_daemon_that_takes_letters_up_is_told_from_one_that_hangs_or_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    await store_with_letters(path)
    (letter,) = [each for each in await letters_of.listed(path, Selection()) if each.object == "Account"]
    assert await taking.letters_taken_up(path, [letter], SystemClock()) == "no daemon"
    store = await Store.open(path)  # holds the lock, and takes up what this test lets it
    try:
        await letters_of.retry(path, Selection.of([str(letter.entry)]), 5000)
        monkeypatch.setattr(taking, "TAKEN_UP_SECONDS", 0.3)
        monkeypatch.setattr(flows, "TAKEN_UP_SECONDS", 0.1)
        assert await taking.letters_taken_up(path, [letter], SystemClock()) == "not yet"
        await flows.pause(path, ["deliver"], SystemClock())
        assert await taking.letters_taken_up(path, [letter], SystemClock()) == "held"
        await flows.resume(path, ["deliver"], SystemClock())
        monkeypatch.setattr(taking, "TAKEN_UP_SECONDS", 30.0)
        waiting = asyncio.create_task(taking.letters_taken_up(path, [letter], SystemClock()))
        await store.claim("Account", "upsert", most=300, now_ms=6000, linger_ms=0)
        assert await waiting == "yes"
    finally:
        await store.close()


def test_without_a_daemon_it_is_said_when_they_are_tried(letters: Path) -> None:
    said = here_and_now("dead", "retry", "--code", "1006", "--config", str(letters))
    assert (said.code, said.err) == (0, "")
    assert "No daemon runs: the next start tries them." in said.out
    said = here_and_now("dead", "drop", "--code", "1003", "--config", str(letters))
    assert "goes on with the next start" in said.out
    assert "No daemon" not in here_and_now("dead", "retry", "--code", "1006", "--config", str(letters)).out
