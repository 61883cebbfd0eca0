"""What nobody can read, on its whole way: the stream goes on, each is kept as it came, and no record is lost for it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.faults import Fault
from sandbox.oracle_rules import Rules
from store.model import DeadLetter
from stream.json_text import whole_text
from stream.operating.dead import Selection, shown
from tests.cli.shell import ask
from tests.flow.scenes import company, lead_of
from tests.flow.world import World, world
from tests.property.depth import examples
from tests.property.mangled import mangled

CHANGE = {
    "entityName": "Lead",
    "changeType": "UPDATE",
    "recordIds": ["00Q5g0000000009"],
    "transactionKey": "t",
    "sequenceNumber": 1,
}
CHANGE["commitTimestamp"] = 1_790_000_000_000


def told(payload: str, event: str = '{"replayId":HERE}') -> str:
    """The data of a message, as it stands on the wire."""
    return f'{{"schema":"s","payload":{payload},"event":{event}}}'


def header(**more: Any) -> str:
    """A payload with this header and no body."""
    return json.dumps({"ChangeEventHeader": {**CHANGE, **more}})


KEPT: dict[str, str] = {
    "nothing": "null",
    "a text": '"text"',
    "a number": "7",
    "a list": "[[]]",
    "no payload": '{"schema":"s"}',
    "a payload that is none": told("[1]"),
    "a header that is none": told('{"ChangeEventHeader":null}'),
    "a change nobody knows": told(header(changeType="EXPLODE", recordIds=[])),
    "no ids": told(header(recordIds=[])),
    "ids of another object": told(header(recordIds=["0035g0000000009"])),
    "ids that are none": told(header(recordIds=["00Q*00", "lee@example.com", "\0"])),
    "a time there is not": told(header(recordIds=["x"], commitTimestamp=1e300)),
    "keys twice": told('{"ChangeEventHeader":{"entityName":"Lead"},"ChangeEventHeader":{"entityName":7}}'),
    "numbers that are none": told('{"ChangeEventHeader":{"commitTimestamp":NaN},"Amount":1e400}'),
    "half a character": told('{"ChangeEventHeader":"\\ud83d"}'),
    "a NUL": told('{"ChangeEventHeader":"\\u0000"}'),
    "deeper than is written": told("[" * 400 + "]" * 400),
    "deeper than is read": told("[" * 2000 + "]" * 2000),
    "a place before all": told("1", '{"replayId":-1}'),
    "a place beyond all": told("2", '{"replayId":18446744073709551615}'),
    "a place that is no number": told("3", '{"replayId":"7"}'),
    "a very long text": told(f'"{"x" * 300_000}"'),
}


def publish(here: World, data: str) -> None:
    """Put these very characters on the bus, as the data of one message."""
    replay_id = here.org.log.next_replay_id()
    here.org.log.append("Lead", data.replace("HERE", str(replay_id)).encode(), replay_id)


async def held(here: World) -> list[Any]:
    """What the dead letters hold, as `dead show` tells it."""
    found, _ = await shown(here.folder / "store.db", Selection())
    return [letter["content"]["raw"] for letter in found]


async def test_each_is_kept_as_it_came_and_the_stream_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        for number, data in enumerate(KEPT.values()):
            publish(here, data)
            here.org.update("Account", account, {"Phone": str(number)})
        await here.until_quiet()
        assert len(await here.until_dead(len(KEPT))) == len(KEPT)
        await check_kept(here)
        lost = here.events("stream_lost")
        assert not lost, "a message that cannot be read ended the session"
        await here.restart()
        here.org.update("Account", account, {"Phone": "after"})
        await here.until_quiet()
        assert len(await here.dead()) == len(KEPT), "the position is behind them"
        assert here.instance.companies[account]["mainPhone"] == "after"


async def check_kept(here: World) -> None:
    """Every letter says what it is, and holds what came; nobody's data are in the log."""
    letters = await here.dead()
    assert {letter.code for letter in letters} == {"UNREADABLE_EVENT"}
    assert all(letter.cause and letter.cure and "bug" not in letter.cause for letter in letters)
    assert not [line for line in here.logs if "lee@" in str(line)]
    raws = await held(here)
    for name, data in KEPT.items():
        ours = [data.replace("HERE", str(event)) for event in here.org.log._positions]
        if name in {"deeper than is read", "deeper than is written"}:
            depth = 2000 if name == "deeper than is read" else 400
            assert any(isinstance(raw, str) and "[" * depth + "]" * depth in raw for raw in raws), name
        elif name not in {"numbers that are none", "half a character", "keys twice"}:
            assert any(raw in [json.loads(one) for one in ours] for raw in raws), name
    texts = json.dumps(raws)
    assert all(part in texts for part in ('"NaN"', '"1e400"', '"?"'))


async def test_they_are_shown_and_given_up_at_a_shell(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        await here.start()
        for data in KEPT.values():
            publish(here, data)
        letters = await here.until_dead(len(KEPT))
        status = await ask(here, "status", "--json")
        assert (status.code, status.json()["dead"]) == (1, len(KEPT))
        assert (await ask(here, "replay", "show", "--json")).code == 0
        said = await ask(here, "dead", "show", *(str(letter.entry) for letter in letters))
        assert (said.code, len(said.json())) == (0, len(KEPT))
        assert (await ask(here, "dead", "drop", "--object", "event")).code == 0
        assert (await ask(here, "dead", "list")).code == 0


async def test_the_record_of_an_event_that_nobody_can_read_is_read(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.start()
        await here.until_quiet()
        odds: list[dict[str, Any]] = [{"changeType": "GAP_NEW"}, {"commitTimestamp": "now"}, {"changedFields": [7]}]
        for title, odd in enumerate(odds):
            with here.org.losing_events():
                here.org.update("Lead", lead, {"Title": f"T{title}"})
            publish(here, told(header(recordIds=[lead], **odd)))
            await here.until_quiet()
            assert here.lead_of(lead)["title"] == f"T{title}"
        assert len(await here.dead()) == 3


GARBAGE = {
    "another object's id": "0015g00000000AAAAA",
    "a name": "Ann Lee",
    "a number": 7,
    "nothing": None,
    "an object": {"Id": "0035g00000000AAAAA"},
    "a contact there is not": "0035g0000009999AAA",
}
LETTERS = {"another object's id", "a name"}
"""Of these the event is believed, so they are dead letters; the others ask for the record to be read, or lead nowhere."""


@pytest.mark.parametrize("field", ["ConvertedContactId", "ConvertedAccountId"])
@pytest.mark.parametrize("what", GARBAGE)
async def test_a_conversion_into_garbage_is_kept_or_read_and_a_right_one_follows(tmp_path: Path, field: str, what: str) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.start()
        await here.until_quiet()
        place = here.org.log.next_replay_id()
        head = {**CHANGE, "recordIds": [lead], "commitTimestamp": int(here.clock.now() * 1000)}
        names = ["IsConverted", field] if field == "ConvertedContactId" else [field]
        body = {"IsConverted": True} if field == "ConvertedContactId" else {}
        payload = {"ChangeEventHeader": {**head, "changedFields": names}, **body, field: GARBAGE[what]}
        here.org.log.append("Lead", told(json.dumps(payload), f'{{"replayId":{place}}}').encode(), place)
        here.org.update("Account", account, {"Phone": "the daemon goes on"})
        await here.until(lambda: here.instance.companies[account].get("mainPhone") == "the daemon goes on")
        if field == "ConvertedContactId" and what in LETTERS:
            (letter,) = await here.until_dead()
            assert (letter.id, letter.code, field in letter.cause) == (lead, "VALUE", True)
        made = here.org.convert_lead(lead, account_id=account)
        await here.until(lambda: bool(here.instance.leads_of(made.contact_id)))
        await here.until_quiet()
        assert not here.instance.leads_of(lead)
        letters = [letter for letter in await here.dead() if not letter.id.startswith(str(GARBAGE[what]))]
        assert not letters, "a contact that there is not may have been asked for meanwhile, and nothing else"


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"commitTimestamp": None}, id="it does not say when it was"),
        pytest.param({"transactionKey": None}, id="nor in which transaction"),
        pytest.param({"sequenceNumber": None}, id="nor where in it"),
    ],
)
@pytest.mark.parametrize("change_type", ["UPDATE", "CREATE", "DELETE"])
async def test_an_event_without_a_place_turns_nothing_back(tmp_path: Path, odd: dict[str, Any], change_type: str) -> None:
    async with world(tmp_path, deliver__deletes__Lead="delete") as here:
        company(here)
        lead = here.org.create("Lead", lead_of("Ito", Title="old"))
        await here.start()
        await here.until_quiet(DELETING)
        here.org.update("Lead", lead, {"Title": "new"})
        body = {"Title": "old", "OwnerId": here.org.person_id, "Company": "Bolt", "Name": {"LastName": "Old"}}
        payload = {"ChangeEventHeader": {**CHANGE, "recordIds": [lead], "changeType": change_type, **odd}, **body}
        publish(here, told(json.dumps(payload)))
        await here.until_quiet(DELETING)
        assert (here.lead_of(lead)["title"], here.lead_of(lead)["lastName"]) == ("new", "Ito")
        assert not await here.dead()


DELETING = Rules(deletes={"Lead": "delete", "Opportunity": "delete", "OpportunityContactRole": "delete"})


async def test_an_overflow_that_does_not_say_when_it_was_is_read_again_too(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.start()
        await here.until_quiet()
        for title, when in enumerate([None, 0, 1, 253_402_300_799_000]):
            with here.org.losing_events():
                here.org.update("Lead", lead, {"Title": f"T{title}"})
            publish(here, told(header(changeType="GAP_OVERFLOW", recordIds=["000000000000000AAA"], commitTimestamp=when)))
            await here.until_quiet()
            assert here.lead_of(lead)["title"] == f"T{title}"
        assert (await ask(here, "status", "--json")).json()["coverage"]["Lead"]


# ── rows


def rows(*records: dict[str, Any]) -> dict[str, Any]:
    """A query's one page."""
    return {"totalSize": len(records), "done": True, "records": list(records)}


async def test_a_row_that_cannot_be_understood_is_read_by_its_id(tmp_path: Path) -> None:
    async with world(tmp_path, salesforce__objects__Lead="poll") as here:
        company(here)
        await here.start()
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.until_quiet()
        fault = here.salesforce.faults.add(Fault("respond", path="/query.*FROM\\+Lead", body=rows({"Id": lead, "Title": "odd"})))
        here.org.update("Lead", lead, {"Title": "CEO"})
        await here.until(lambda: fault.hits)
        await here.until_quiet()
        assert here.lead_of(lead)["title"] == "CEO"
        assert here.events("record_unreadable")[0]["id"] == lead
        assert not await here.dead()


async def test_a_row_that_names_no_record_is_kept_whole(tmp_path: Path) -> None:
    async with world(tmp_path, salesforce__objects__Lead="poll") as here:
        company(here)
        await here.start()
        await here.until_quiet()
        odd = {"Id": "nobody", "LastName": "Ito"}
        here.salesforce.faults.add(Fault("respond", path="/query.*FROM\\+Lead", body=rows(odd, odd), times=3))
        [letter] = await here.until_dead()
        assert (letter.object, letter.code) == ("event", "UNREADABLE_ROW")
        assert "Id" in letter.cause
        assert await held(here) == [odd]
        lead = here.org.create("Lead", lead_of("Good"))
        await here.until_quiet()
        assert here.lead_of(lead)["lastName"] == "Good"


async def test_a_record_that_cannot_be_understood_is_a_dead_letter_that_names_it(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        lead, other = here.org.create("Lead", lead_of("Ito")), here.org.create("Lead", lead_of("Olu"))
        await here.start()
        await here.until_quiet()
        stamp = "2026-01-31T12:00:00.000+0000"
        answer = [{"Id": lead, "SystemModstamp": stamp, "Title": {"parts": 1}}]
        fault = Fault("respond", path="/composite/sobjects/Lead", body_matches=lead, body=answer)
        here.salesforce.faults.add(fault)
        with here.org.losing_events():
            here.org.update("Lead", lead, {"Title": "CEO"})
        here.org.publisher.gap("Lead", [lead])
        [letter] = await here.until_dead()
        assert (letter.object, letter.id, letter.code) == ("Lead", lead, "UNREADABLE_RECORD")
        assert "Title has parts" in letter.cause
        here.org.update("Lead", other, {"Title": "CFO"})
        await here.until(lambda: here.lead_of(other).get("title") == "CFO")
        assert "not understood" in (await ask(here, "why", lead)).out
        assert here.store is not None
        await here.store.retry_dead([letter], int(here.clock.now() * 1000))
        here.store.wake()
        await here.until_quiet()
        assert here.lead_of(lead)["title"] == "CEO"


# ── whatever it is


async def _mangled_events_arrive(folder: Path, data: list[Any]) -> None:
    async with world(folder, deliver__poison_share=1.0) as here:
        account, _ = company(here)
        await here.start()
        await here.until(lambda: account in here.instance.companies)
        for each in data:
            publish(here, whole_text(each))
        here.org.update("Account", account, {"Phone": "after"})
        await here.until(lambda: here.instance.companies[account].get("mainPhone") == "after")
        assert not [line for line in here.events("event_unreadable") if "bug" in line["cause"]]
        await check_position(here)
        letters: list[DeadLetter] = await here.dead()
        said = await ask(here, "dead", "show", *(str(letter.entry) for letter in letters)) if letters else None
        assert said is None or (said.code, len(said.json())) == (0, len(letters))


async def check_position(here: World) -> None:
    """The stream is at its end."""
    assert here.store is not None
    replay = await here.store.replay("/data/ChangeEvents")
    assert replay is not None
    assert replay.replay_id == here.org.log.last_replay_id


@examples(2, 100)
@given(st.lists(mangled(), min_size=20, max_size=60))
def test_mangled_events_do_not_keep_a_good_one_from_arriving(data: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_mangled_events_arrive(Path(folder), data))
