"""Marketo's limits are kept before they are hit, and so are our own budgets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sandbox.salesforce.seed import seed_org
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
