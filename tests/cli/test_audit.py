"""`audit` as an operator runs it: beside a running daemon, within its budgets, and where something is in the way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from store.model import Ack, Change
from store.store import Store
from stream.ids import widen
from tests.cli.shell import ask, config_file, here_and_now
from tests.flow.scenes import company
from tests.flow.world import World, world

QUIET: dict[str, Any] = {"scores__interval_seconds": 3600.0, "scores__sweep_interval_seconds": 3600.0}
KEYS = {"differences", "share", "compared", "agree", "under_way", "objects", "repaired", "calls", "known", "chosen", "error"}


async def running(here: World) -> tuple[str, str]:
    """A daemon that has brought an account and its contact to Marketo."""
    account, contact = company(here)
    await here.start()
    await here.until_quiet(seconds=20)
    return account, contact


async def test_agreement_is_0_and_says_beforehand_what_it_takes(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **QUIET) as here:
        await running(here)
        said = await ask(here, "audit")
        assert said.code == 0, said.err
        assert "Comparing 4 of 4 records: some 6 calls to Salesforce" in said.err
        assert "100.00 % of the records compared agree." in said.out
        told = (await ask(here, "audit", "--all", "--json")).json()
        assert told.keys() >= KEYS
        assert (told["share"], told["compared"], told["differences"], told["error"]) == (1.0, 4, [], "")
        assert told["objects"]["Contact"]["agree"] == 1


async def test_each_difference_is_shown_on_stdout_only_and_repair_heals(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **QUIET) as here:
        account, contact = await running(here)
        here.instance.change_lead(here.lead_of(contact)["id"], lastName="Planted")
        here.instance.companies.remove(account)
        said = await ask(here, "audit", "--all")
        assert said.code == 1
        assert f"Contact {contact}  lastName (LastName): Lee in Salesforce, Planted in Marketo" in said.out
        assert f"Account {account}  Marketo does not have it" in said.out
        assert "50.00 % of the records compared agree." in said.out
        assert "Planted" not in said.err
        assert "Lee" not in said.err
        mended = await ask(here, "audit", "--all", "--repair", "--json")
        assert mended.code == 1
        told = mended.json()
        assert {(each["object"], each["id"], each["kind"]) for each in told["differences"]} == {
            ("Contact", contact, "differs"),
            ("Account", account, "missing"),
        }
        (field,) = next(each["fields"] for each in told["differences"] if each["kind"] == "differs")
        assert field == {"field": "lastName", "source": "LastName", "salesforce": "Lee", "marketo": "Planted"}
        assert told["repaired"] == 2
        await here.until_quiet(seconds=25)
        assert (await ask(here, "audit", "--all")).code == 0
        story = (await ask(here, "why", contact, "--json")).json()["history"]
        assert any(line["cause"] == "audit: Marketo holds something else" for line in story)


async def test_its_calls_count_with_the_daemons(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **QUIET) as here:
        await running(here)
        budgets = here.running.edges.marketo_budget, here.running.edges.salesforce_budget
        before = [budget.count() for budget in budgets]
        made = (await ask(here, "audit", "--json")).json()["calls"]
        assert made["marketo"] > 0
        after = [budget.count() for budget in budgets]
        assert after[0] == before[0] + made["marketo"]
        assert after[1] >= before[1] + made["salesforce"]


async def test_a_budget_that_does_not_allow_it_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **QUIET, marketo__daily_calls=60, marketo__reserve_calls=20) as here:
        await running(here)
        here.running.edges.marketo_budget.take(here.running.edges.marketo_budget.left() - 2)
        calls = here.marketo.limits.calls
        said = await ask(here, "audit", "--all")
        assert said.code == 1
        assert "calls to Marketo, and of today's 40 there are 2 left, half of them the daemon's" in said.err
        assert said.out == ""
        assert here.marketo.limits.calls == calls


async def test_marketo_away_is_said_with_how_far_it_came(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, **QUIET) as here:
        await running(here)
        await here.stop()
        here.overrides["marketo.base_url"] = "http://127.0.0.1:9"
        said = await ask(here, "audit")
        assert said.code == 1
        assert "127.0.0.1:9 (Connection refused)" in said.err
        assert "0 of 4 records were compared" in said.err
        assert "Traceback" not in said.err
        assert "Nothing could be compared." in said.out
        told = (await ask(here, "audit", "--json")).json()
        assert (told["share"], told["compared"]) == (None, 0)
        assert "127.0.0.1:9" in told["error"]


async def with_one_company(path: Path) -> None:
    """A store that knows one account."""
    store = await Store.open(path)
    await store.take([Change("Account", widen("0015g00000000A1"), fields={"Name": "Acme"}, whole=True)], None, 1000)
    for claimed in await store.claim("Account", "upsert", most=1, now_ms=2000, linger_ms=0):
        await store.finish([Ack(claimed.entry.entry_id, claimed.entry.key)], 2000)
    await store.close()


def test_salesforce_away_is_1(tmp_path: Path) -> None:
    asyncio.run(with_one_company(tmp_path / "store.db"))
    said = here_and_now("audit", "--config", str(config_file(tmp_path)))
    assert said.code == 1
    assert "127.0.0.1:9 (Connection refused)" in said.err


def test_a_store_that_knows_nothing_has_nothing_to_compare(tmp_path: Path) -> None:
    async def empty() -> None:
        await (await Store.open(tmp_path / "store.db")).close()

    asyncio.run(empty())
    said = here_and_now("audit", "--config", str(config_file(tmp_path)))
    assert said.code == 0
    assert "Nothing could be compared." in said.out
    assert here_and_now("audit", "--json", "--config", str(tmp_path / "config.toml")).json()["share"] is None


def test_without_a_store_it_is_2_and_says_who_makes_it(tmp_path: Path) -> None:
    said = here_and_now("audit", "--config", str(config_file(tmp_path)))
    assert said.code == 2
    assert "there is no store" in said.message
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(
    "words", [["--all", "--sample", "3"], ["--sample", "0"], ["--sample", "many"], ["0035g00000AbCdE"]], ids=" ".join
)
def test_wrong_usage_is_2(tmp_path: Path, words: list[str]) -> None:
    said = here_and_now("audit", *words, "--config", str(config_file(tmp_path)))
    assert said.code == 2
    assert said.out == ""
