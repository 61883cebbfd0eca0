"""Marketo's limits are kept before they are hit, and so are our own budgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.salesforce.seed import seed_org
from store.store import Store
from tests.flow.scenes import company, deal, lead_of
from tests.flow.world import World, world


def largest_batch(here: World) -> int:
    """The most records in one accepted request."""
    per_request: dict[int, int] = {}
    for write in here.instance.journal:
        per_request[write.request] = per_request.get(write.request, 0) + 1
    return max(per_request.values())


async def test_never_more_calls_than_configured(tmp_path: Path) -> None:
    async with world(tmp_path, speed=20.0, marketo__calls_per_20s=12, marketo__concurrency=3) as here:
        here.marketo.limits.calls_per_20s, here.marketo.limits.concurrency = 12, 3
        seed_org(here.org, scale=0.1, publish=True)
        here.touch_built_in_users()
        await here.start()
        await here.until_quiet(seconds=60)
        limits = here.marketo.limits
        assert limits.calls > 24
        assert limits.highest_calls_in_20s <= 12
        assert limits.highest_concurrency <= 3
        assert not await here.dead()


async def test_as_many_requests_as_configured_are_under_way_at_once(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__batch_size=10, marketo__concurrency=4) as here:
        here.marketo.latency_seconds = 2.0
        here.touch_built_in_users()
        for number in range(100):
            here.org.create("Lead", lead_of(f"L{number}"))
        await here.start()
        await here.until_quiet()
        assert here.marketo.limits.highest_concurrency == 4
        assert not here.instance.violations


def _beyond(here: World, calls: int) -> bool:
    return here.marketo.limits.calls > calls


async def test_calls_before_a_restart_count_in_the_20_seconds_after_it(tmp_path: Path) -> None:
    async with world(tmp_path, speed=3.0, marketo__calls_per_20s=15) as here:  # faster, a hiccup is more than the limit's margin
        account, _ = company(here)
        await here.start()
        for number in range(3):
            await here.until(partial(_beyond, here, 8 * (number + 1)))
            await here.restart()
            here.org.update("Account", account, {"Phone": f"{number}"})
        await here.until_quiet(seconds=60)
        assert here.marketo.limits.highest_calls_in_20s <= 15


async def test_the_daily_budget_ends_and_is_said(tmp_path: Path) -> None:
    async with world(tmp_path, marketo__daily_calls=60, marketo__reserve_calls=20) as here:
        account, _ = company(here)
        await here.start()
        await here.until(lambda: here.events("deliver_paused") or here.events("scores_failed"))
        here.org.update("Account", account, {"Phone": "2"})
        await here.until(lambda: here.events("deliver_paused"))
        assert here.events("deliver_paused")[0]["code"] == "budget"
        assert here.marketo.limits.calls <= 40
        await here.restart()
        here.org.update("Account", account, {"Phone": "3"})
        await here.until(lambda: here.events("deliver_not_ready") or len(here.events("deliver_paused")) > 1)
        assert here.marketo.limits.calls <= 40
        assert not await here.dead()


async def test_the_daily_quota_of_marketo_itself_pauses_and_the_reset_ends_it(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        here.marketo.limits.spend(60_000)
        here.org.update("Account", account, {"Phone": "2"})
        await here.until(lambda: here.events("deliver_paused"))
        assert here.events("deliver_paused")[0]["code"] == "607"
        here.marketo.limits.users_today.clear()
        await here.until_quiet(seconds=60)
        assert not await here.dead()


async def test_a_batch_holds_no_more_than_is_set(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__batch_size=7) as here:
        here.touch_built_in_users()
        for number in range(50):
            here.org.create("Lead", lead_of(f"L{number}"))
            here.org.create("Account", {"Name": f"A{number}"})
        await here.start()
        await here.until_quiet()
        assert largest_batch(here) == 7


async def test_a_batch_is_never_larger_than_a_megabyte(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.marketo.keep_exchanges = True
        here.touch_built_in_users()
        for number in range(70):
            here.org.create("Lead", lead_of(f"L{number}", Description="ä" * 29_000))
        await here.start()
        await here.until_quiet(seconds=60)
        assert {exchange.status for exchange in here.marketo.exchanges} == {200}
        sizes = [len(exchange.body) for exchange in here.marketo.exchanges if exchange.path == "/rest/v1/leads.json"]
        assert 500_000 < max(sizes) <= 1_048_576


async def test_full_batches_are_sent_without_lingering(tmp_path: Path) -> None:
    batch_size = 300
    async with world(tmp_path, deliver__linger_seconds=3600.0) as here:
        here.touch_built_in_users()
        with here.org.losing_events():
            account = here.org.create("Account", {"Name": "A"})
        await here.start()
        for number in range(batch_size):
            here.org.create("User", {"Username": f"u{number}@x.org", "Email": f"u{number}@x.org", "LastName": f"U{number}"})
        await here.until(lambda: len(here.instance.sales_persons) >= batch_size)
        assert account not in here.instance.companies


async def test_salesforces_daily_calls_end_and_streaming_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        here.org.api_calls.limit = here.org.api_calls.used
        here.org.update("Account", made.account, {"Phone": "straight"})
        await here.until(lambda: here.instance.companies[made.account]["mainPhone"] == "straight")
        with here.org.as_gaps():
            here.org.update("Contact", made.contact, {"Title": "gap"})
        await here.until(lambda: here.events("read_failed"))
        here.org.api_calls.limit = 100_000
        await here.until_quiet(seconds=60)
        assert not await here.dead()


class SlowStore:
    """Writes down what became of a batch only when it may; counts what had been sent each time."""

    def __init__(self, here: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here, self.may = here, asyncio.Event()
        self.sent_before: list[int] = []
        self._finish = Store.finish

        def finish(store: Store, *given: Any, **more: Any) -> Any:
            return self.finish(store, *given, **more)

        monkeypatch.setattr(Store, "finish", finish)

    @property
    def sent(self) -> int:
        """How many companies Marketo was sent by now."""
        return sum(write.object == "company" for write in self.here.instance.journal)

    async def finish(self, store: Store, *given: Any, **more: Any) -> Any:
        """In place of `Store.finish`."""
        await self.may.wait()
        self.sent_before.append(self.sent)
        return await self._finish(store, *given, **more)


@asynccontextmanager
async def thirty_accounts(folder: Path) -> AsyncIterator[tuple[World, Callable[[], None]]]:
    """They are in Marketo already, with their owner, ten go in a call, and one call at a time; and what edits all of them."""
    async with world(folder, deliver__batch_size=10, marketo__concurrency=1, deliver__linger_seconds=0.0) as here:
        here.touch_built_in_users()
        made = [here.org.create("Account", {"Name": f"A{number}", "Phone": "1"}) for number in range(30)]
        await here.start()
        await here.until_quiet()

        def edit() -> None:
            for each in made:
                here.org.update("Account", each, {"Phone": "2"})

        yield here, edit


async def test_the_next_batch_goes_while_what_became_of_the_last_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with thirty_accounts(tmp_path) as (here, edit):
        disk = SlowStore(here, monkeypatch)
        before = disk.sent
        edit()
        await here.until(lambda: disk.sent == before + 30)
        assert here.marketo.limits.highest_concurrency == 1
        assert not disk.sent_before, "something was written down already"
        disk.may.set()
        await here.until_quiet()
        assert not await here.dead()


async def test_nothing_more_goes_before_it_is_written_down_that_a_record_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a field that Marketo has no longer: who is sent before that is known is refused as well."""
    async with thirty_accounts(tmp_path) as (here, edit):
        disk = SlowStore(here, monkeypatch)
        before = disk.sent
        refused = here.instance.refuse(
            "company", lambda fields: fields.get("mainPhone") == "2", "1006", "Field not found", times=10
        )
        edit()
        await here.until(lambda: refused.hits == 10)
        await here.clock.sleep(0.3)  # time enough for who would go too early
        disk.may.set()
        await here.until(lambda: disk.sent == before + 20)
        assert disk.sent_before[0] == before
        assert len(await here.dead()) == 10
