"""`plan` as an operator runs it: before the first start, beside a running daemon, and where something is in the way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from store.model import Change
from store.store import Store
from stream.ids import widen
from tests.cli.shell import ask, config_file, here_and_now
from tests.flow.scenes import company, contact_of, lead_of
from tests.flow.world import World, world

QUIET: dict[str, Any] = {"scores__interval_seconds": 3600.0, "scores__sweep_interval_seconds": 3600.0}
KEYS = {"payloads", "totals", "total", "first_load", "calls", "error"}
ACTIONS = {"create", "update", "adopt", "conflict", "delete", "share", "nothing", "refused", "blocked", "later"}


async def with_work(here: World) -> tuple[str, str]:
    """A daemon that brought an account and its contact to Marketo, was stopped, and has an edit of both to send."""
    account, contact = company(here)
    await here.start()
    await here.until_quiet(seconds=20)
    await here.stop()
    store = await Store.open(here.folder / "store.db")
    edits = [
        Change("Account", account, fields={"Phone": "2"}),
        Change("Contact", contact, fields={"LastName": "Ng", "Title": "Chief"}),
    ]
    await store.take(edits, None, 1000)
    await store.close()
    return account, contact


async def test_each_payload_is_shown_as_what_it_changes_and_nothing_is_sent(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **QUIET) as here:
        account, contact = await with_work(here)
        journal, before = len(here.instance.journal), (tmp_path / "store.db").read_bytes()
        said = await ask(here, "plan")
        assert said.code == 0, said.err
        assert "Planning 2 records: up to" in said.err
        assert f"update Account {account}" in said.out
        assert "    mainPhone (Phone): 1 → 2" in said.out
        person = here.lead_of(contact)["id"]
        assert f"update Contact {contact} (Marketo id {person})\n    lastName (LastName): Lee → Ng\n" in said.out
        assert "    title (Title): nothing → Chief" in said.out
        assert "Chief" not in said.err
        told = (await ask(here, "plan", "--json")).json()
        assert told.keys() >= KEYS
        assert set(told["total"]) == ACTIONS
        assert (told["total"]["update"], told["totals"]["Contact"]["update"], told["first_load"]) == (2, 1, False)
        fields = next(each["fields"] for each in told["payloads"] if each["id"] == contact)
        assert {"field": "title", "source": "Title", "now": None, "new": "Chief"} in fields
        assert len(here.instance.journal) == journal
        assert (tmp_path / "store.db").read_bytes() == before


async def test_the_totals_are_whole_however_few_payloads_are_printed(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **QUIET) as here:
        for number in range(7):
            here.org.create("Lead", lead_of(f"L{number}"))
        said = await ask(here, "plan", "--first-load", "--limit", "2")
        assert said.code == 0, said.err
        assert len([line for line in said.out.splitlines() if line.startswith("create ")]) == 2
        assert "more (--limit N, or --json for all)" in said.out
        lead = next(line for line in said.out.splitlines() if line.startswith("Lead "))
        assert lead.split()[1] == "7"
        none = await ask(here, "plan", "--first-load", "--limit", "0")
        assert "create Lead" not in none.out
        assert len((await ask(here, "plan", "--first-load", "--json")).json()["payloads"]) >= 7


async def test_a_first_load_needs_no_store_and_leaves_none(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **QUIET, deliver__max_new_people_a_day=3) as here:
        account = here.org.create("Account", {"Name": "Acme"})
        for number in range(4):
            here.org.create("Contact", contact_of(account, f"C{number}"))
        said = await ask(here, "plan", "--first-load")
        assert said.code == 0, said.err
        assert "4 new people: at 3 a day (deliver.max_new_people_a_day) they take 2 days." in said.out
        assert not here.instance.journal
        assert names(tmp_path) == ["config.toml"]


def names(folder: Path) -> list[str]:
    """What lies there."""
    return [path.name for path in folder.iterdir()]


async def test_beside_a_running_daemon_its_calls_count_with_the_daemons(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **QUIET) as here:
        company(here)
        await here.start()
        await here.until_quiet(seconds=20)
        said = await ask(here, "plan")
        assert (said.code, said.out) == (0, "Nothing is open: nothing would be sent.\n")
        budget = here.running.edges.marketo_budget
        before = budget.count()
        made = (await ask(here, "plan", "--first-load", "--json")).json()["calls"]["marketo"]
        assert made > 0
        assert budget.count() == before + made


async def test_a_budget_that_does_not_allow_it_is_said_before_anything_is_asked_of_marketo(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **QUIET, marketo__daily_calls=12, marketo__reserve_calls=10) as here:
        company(here)
        said = await ask(here, "plan", "--first-load")
        assert said.code == 1
        assert "to Marketo, and of today's 2 there are 2 left, half of them the daemon's" in said.err
        assert here.marketo.limits.calls == 0


async def test_marketo_away_is_said_with_how_far_it_came(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **QUIET) as here:
        await with_work(here)
        here.overrides["marketo.base_url"] = "http://127.0.0.1:9"
        said = await ask(here, "plan")
        assert said.code == 1
        assert "127.0.0.1:9 (Connection refused)" in said.err
        assert "0 of 2 records were looked at" in said.err
        assert "Traceback" not in said.err
        assert "127.0.0.1:9" in (await ask(here, "plan", "--json")).json()["error"]


def test_salesforce_away_is_1(tmp_path: Path) -> None:
    async def reading() -> None:
        store = await Store.open(tmp_path / "store.db")
        await store.take([Change("Account", widen("0015g00000000A1"), read="gap")], None, 1000)
        await store.close()

    asyncio.run(reading())
    for words in (["plan"], ["plan", "--first-load"]):
        said = here_and_now(*words, "--config", str(config_file(tmp_path)))
        assert said.code == 1
        assert "127.0.0.1:9 (Connection refused)" in said.err


def test_without_a_store_it_is_2_and_says_who_makes_it(tmp_path: Path) -> None:
    said = here_and_now("plan", "--config", str(config_file(tmp_path)))
    assert said.code == 2
    assert "there is no store" in said.message
    assert names(tmp_path) == ["config.toml"]


@pytest.mark.parametrize("words", [["--limit", "-1"], ["--limit", "few"], ["0035g00000AbCdE"]], ids=" ".join)
def test_wrong_usage_is_2(tmp_path: Path, words: list[str]) -> None:
    said = here_and_now("plan", *words, "--config", str(config_file(tmp_path)))
    assert said.code == 2
    assert said.out == ""
