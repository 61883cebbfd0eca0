"""A mapping gone wrong: delivery stops and asks for help, a person ends that, and nothing is lost; outages blame nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.oracle_rules import Rules
from store.holds import POISONED
from store.model import DeadLetter
from stream.operating.dead import Selection
from stream.operating.dead import retry as retry_dead
from stream.operating.flows import resume
from tests.flow.scenes import company, deal, lead_of
from tests.flow.test_codes import refusal
from tests.flow.world import World, world

LEADS = 300
IN_A_ROW = 101  # how many refusals in a row are one too many, with the default share


def crowd(here: World, count: int = LEADS) -> list[str]:
    """Many leads at once, so that they fill a batch."""
    here.touch_built_in_users()
    return [str(here.org.create("Lead", lead_of(f"L{number}"))) for number in range(count)]


def writes(here: World) -> int:
    """How many calls tried to write leads."""
    asked = [exchange for exchange in here.marketo.exchanges if exchange.path == "/rest/v1/leads.json"]
    return sum("_method" not in exchange.query and exchange.method == "POST" for exchange in asked)


async def note(here: World) -> Any:
    """What the store says of the stop."""
    assert here.store is not None
    return await here.store.note(POISONED)


async def until_stopped(here: World, times: int = 1) -> list[DeadLetter]:
    """Wait until delivery has stopped itself so often and everything in flight has come back."""
    await here.until(lambda: len(here.events("deliver_poisoned")) == times, 60)
    await here.until(lambda: not here.running.deliver.busy)
    return await here.dead()


async def retry(here: World) -> None:
    """`dead retry --all`, as another process does it."""
    await retry_dead(here.folder / "store.db", Selection(), int(here.clock.now() * 1000))


@pytest.mark.parametrize("code", ["1006", "1003", "1999"])
async def test_a_batch_refused_as_a_whole_is_divided_only_until_it_is_clear_that_all_are(tmp_path: Path, code: str) -> None:
    async with world(tmp_path) as here:
        here.marketo.keep_exchanges = True
        crowd(here)
        everything = here.instance.refuse_batch_containing("lead", bool, code)
        await here.start()
        letters = await until_stopped(here)
        assert len(letters) <= IN_A_ROW
        assert {letter.code for letter in letters} <= {code}
        assert writes(here) < 2 * IN_A_ROW + 30
        assert (await note(here))["code"] == code
        assert (await here.store.backlog())["Lead"] == LEADS - len(letters)  # type: ignore[union-attr] # it is open
        said = here.events("deliver_poisoned")[0]
        assert said["log_level"] == "error"
        assert code in said["cure"]
        hits = everything.hits
        account = here.org.create("Account", {"Name": "Buffered"})
        await here.until(lambda: here.running.capture.events > LEADS + 2)
        await here.restart()
        await here.until(lambda: len(here.events("deliver_poisoned")) == 2)
        await here.clock.sleep(30)
        assert everything.hits == hits
        assert account not in here.instance.companies
        here.instance.refusals.clear()
        await (retry(here) if letters else resume(here.folder / "store.db", ["deliver"], here.clock))
        await here.until_quiet(seconds=60)
        assert len(here.instance.leads) == LEADS
        assert await note(here) is None
        assert not await here.dead()


async def test_records_refused_one_by_one_stop_it_before_they_are_all_dead_letters(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__batch_size=60) as here:
        crowd(here)
        here.instance.refuse("lead", bool, "1003", times=None)
        await here.start()
        letters = await until_stopped(here)
        assert len(letters) == IN_A_ROW
        await retry(here)
        await until_stopped(here, times=2)
        assert len(await here.dead()) == IN_A_ROW
        here.instance.refusals.clear()
        await retry(here)
        await here.until_quiet(seconds=60)
        assert len(here.instance.leads) == LEADS


async def test_values_that_the_mapping_refuses_stop_it_too(tmp_path: Path) -> None:
    async with world(tmp_path, fields__Lead={"LastName": {"to": "dateOfBirth", "convert": "date"}}) as here:
        here.touch_built_in_users()
        for number in range(150):
            here.org.create("Lead", {"LastName": f"No number {number}", "Company": "C"})
        await here.start()
        letters = await until_stopped(here)
        assert {letter.code for letter in letters} == {"VALUE"}
        assert len(letters) == IN_A_ROW


async def test_a_few_bad_ones_among_good_ones_are_dead_letters_and_no_more(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        leads = crowd(here, 60)
        bad = leads[:40]
        here.instance.refuse("lead", lambda record: record.get("externalPersonId") in bad, "1003", times=None)
        await here.start()
        assert len(await here.until_dead(40)) == 40
        await here.until_quiet(Rules(excused=tuple(bad)))
        assert not here.events("deliver_poisoned")


async def test_a_system_error_for_every_lead_is_marketos_own_and_costs_few_calls(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        here.marketo.keep_exchanges = True
        crowd(here)
        everything = here.instance.refuse_batch_containing("lead", bool, "611")
        await here.start()
        await here.until(lambda: here.events("deliver_paused"), 60)
        assert everything.hits < 50
        assert here.events("deliver_paused")[0]["code"] == "611"
        here.instance.refusals.clear()
        await here.until_quiet(seconds=60)
        assert not here.events("dead_letter")
        assert not here.events("deliver_poisoned")


async def test_emails_of_sales_persons_that_marketo_will_not_change_are_no_poison(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        users = [
            here.org.create("User", {"Username": f"u{n}@x.org", "Email": f"u{n}@x.org", "LastName": f"U{n}"}) for n in range(120)
        ]
        await here.start()
        await here.until_quiet(seconds=40)
        here.instance.refuse("salesperson", lambda record: "email" in record, "1003", times=None)
        for user in users:
            here.org.update("User", user, {"Email": f"new-{user}@x.org"})
        await here.until(lambda: len(here.events("sales_person_email_differs")) == 120, 60)
        assert not here.events("deliver_poisoned")
        assert not await here.dead()


async def test_a_call_that_marketo_calls_malformed_parks_no_more_than_that(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        crowd(here)
        answer = Fault("respond", path=r"^/rest/v1/leads\.json$", method="POST", times=None, body=refusal("609"))
        here.marketo.faults.add(answer)
        await here.start()
        assert len(await until_stopped(here)) == IN_A_ROW
        here.marketo.faults.clear()
        await retry(here)
        await here.until_quiet(seconds=60)
        company(here)
        await here.until_quiet()


async def test_what_died_of_a_missing_field_goes_out_in_order_once_that_is_mended_and_asked_for_by_code(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        here.instance.refuse("company", bool, "1006", times=None)
        other = here.org.create("Lead", lead_of("Other"))
        here.instance.refuse("lead", lambda fields: fields.get("externalPersonId") == other, "1003", times=None)
        await here.start()
        assert {letter.code for letter in await here.until_dead(2)} == {"1006", "1003"}
        assert not here.instance.leads_of(made.contact), "it waits for its account"
        assert not here.instance.opportunities
        here.instance.refusals.clear()
        done = await retry_dead(here.folder / "store.db", Selection(code="1006"), int(here.clock.now() * 1000))
        assert [letter.object for letter in done.letters] == ["Account"]
        await here.until_quiet(Rules(excused=(other,)))  # the oracle tells of any child that came before its parent
        assert here.lead_of(made.contact)["externalCompanyId"] == made.account
        assert [letter.id for letter in await here.dead()] == [other]
