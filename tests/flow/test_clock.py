"""The machine's clock is set, both ways, during a run and between two: nothing stalls, is lost, or is allowed twice."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.faults import Fault
from sandbox.oracle_rules import Rules
from sandbox.salesforce.seed import seed_org
from store.rows import list_json
from stream.edges import Patience
from stream.marketo.client import Timeouts
from tests.crash.crashing import Restless
from tests.flow.scenes import company, lead_of
from tests.flow.world import World, world

JUMPS = [3600.0, -3600.0, 3 * 86400.0, -3 * 86400.0]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()  # far from the midnights at which budgets are renewed
RULES = Rules(deletes={"Lead": "delete", "Opportunity": "delete", "OpportunityContactRole": "delete"})


def used(here: World) -> dict[str, int]:
    """Calls made today, as the daemon counts them."""
    return {name: budget.used for name, budget in here.running.heartbeat.budgets.items()}


def assert_said_once(here: World, jump: float) -> None:
    """The jump stands in the log once, with its size."""
    (line,) = here.events("clock_jumped")
    assert abs(line["jump_seconds"] - jump) < 2


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_jump_under_load(tmp_path: Path, jump: float) -> None:
    async with world(tmp_path, starts_at=NOON, deliver__deletes__Lead="delete") as here:
        made = seed_org(here.org, scale=0.05, seed=3, publish=True)
        here.touch_built_in_users()
        restless = Restless(here, made, 3)
        busy = here.instance.refuse("company", made.accounts[0], "1014", times=6)
        await here.start()
        await here.until(lambda: busy.hits > 3)
        before = used(here)
        here.machine.ahead_seconds += jump
        for _ in range(40):
            restless.step()
            await here.clock.sleep(0.2)
        await here.until_quiet(RULES)
        assert busy.hits == 6
        assert_said_once(here, jump)
        assert all(used(here)[name] >= calls for name, calls in before.items())
        assert not await here.dead()


async def test_what_is_put_off_by_the_old_time_long_after_the_clock_was_set_back_comes_near(tmp_path: Path) -> None:
    async with world(tmp_path, starts_at=NOON) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        before_ms = int(here.machine.now() * 1000)
        here.machine.ahead_seconds -= 3 * 86400.0
        await here.until(lambda: here.events("clock_jumped"))
        await here.clock.sleep(5.0)
        await here.marketo.stop()
        here.org.update("Account", account, {"Phone": "2"})
        await here.until(lambda: here.running.deliver.pause)
        assert here.store is not None
        # what a call that began before the jump, and lasted until now, writes about its record
        await here.store.submit(lambda tx: tx.run("postpone", list_json(range(1000)), before_ms))
        await here.marketo.start()
        await here.until_quiet()


@pytest.mark.parametrize("reboots", [False, True])
@pytest.mark.parametrize("jump", JUMPS)
async def test_a_jump_between_two_runs(tmp_path: Path, jump: float, reboots: bool) -> None:
    async with world(tmp_path, starts_at=NOON) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        here.marketo.faults.add(Fault("respond", path=r"/companies\.json", method="POST", times=None, status=503, body="down"))
        here.org.update("Account", account, {"Phone": "2"})
        await here.until(lambda: here.events("deliver_paused") or here.running.deliver.pause)
        before = used(here)
        await here.stop()
        here.machine.ahead_seconds += jump
        here.machine.boots += reboots
        here.marketo.faults.clear()
        here.org.update("Account", account, {"Site": "Here"})
        await here.start()
        await here.until_quiet()
        if jump < 0 or not reboots:  # after a reboot, a clock that is ahead looks like time that has passed
            assert all(used(here)[name] >= calls for name, calls in before.items())
            assert len(here.events("clock_jumped")) == 1
        assert not await here.dead()


async def test_a_jump_ahead_does_not_cut_short_the_wait_after_a_lost_create(tmp_path: Path) -> None:
    short = Patience(Timeouts(0.4, 0.4, 0.4, 0.4, 0.4, 0.4))
    async with world(tmp_path, starts_at=NOON, deliver__settle_seconds=30.0) as here:
        here.touch_built_in_users()
        here.instance.quirks.create_latency_seconds = 15.0
        lead = here.org.create("Lead", lead_of("Slow"))
        await here.start(short)
        await here.until(lambda: here.marketo.calls["POST /rest/v1/leads.json"])
        here.instance.quirks.create_latency_seconds = 0.0
        await here.until(lambda: here.running.deliver.pause)
        here.machine.ahead_seconds += 3600
        await here.until(lambda: here.events("clock_jumped"))
        await here.until_quiet()
        assert here.lead_of(lead)
        assert [write.action for write in here.instance.journal if write.object == "lead"] == ["created", "updated"]


@pytest.mark.parametrize("jump", JUMPS)
async def test_scores_and_sign_in_go_by_the_services_own_clocks(tmp_path: Path, jump: float) -> None:
    async with world(tmp_path, starts_at=NOON, scores__sweep_interval_seconds=864_000.0) as here:
        _, contact = company(here)
        await here.start()
        await here.until_quiet()
        await here.until(lambda: here.running.scores.swept_until)
        here.machine.ahead_seconds += jump
        await here.until(lambda: here.events("clock_jumped"))
        feeds = here.marketo.calls["GET /rest/v1/activities.json"]
        await here.until(lambda: here.marketo.calls["GET /rest/v1/activities.json"] > feeds + 1)
        here.instance.scores.change_score(here.lead_of(contact)["id"], 42)
        here.salesforce.sign_in.revoke_tokens()
        await here.until_equal()
        assert here.org.get("Contact", contact)["mkto_si__Priority__c"] == 42
        await here.until(lambda: here.running.capture.state == "connected")
        here.org.update("Contact", contact, {"Title": "Later"})
        await here.until_quiet()
        lag = here.running.deliver.freshness.percentiles(here.machine.monotonic())["p99"]
        assert lag is not None
        assert lag < 300


async def test_the_hours_to_loss_do_not_follow_the_clock(tmp_path: Path) -> None:
    async with world(tmp_path, starts_at=NOON) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        await here.salesforce.stop()
        await here.until(lambda: here.events("stream_lost"))
        for jump in JUMPS:
            here.machine.ahead_seconds += jump
            said = len(here.events("clock_jumped"))
            await here.until(lambda said=said: len(here.events("clock_jumped")) > said)  # type: ignore[misc]
            heard_at = here.running.capture.heard_at
            assert heard_at is not None
            assert 0 <= here.running.clock.now() - heard_at < 3600
        await here.salesforce.start()


async def test_a_stop_in_the_moment_of_a_jump_moves_no_time_twice(tmp_path: Path) -> None:
    async with world(tmp_path, starts_at=NOON) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        for number, jump in enumerate((-3 * 86400.0, 3600.0, -3600.0, 3 * 86400.0) * 3):
            busy = here.instance.refuse("company", account, "1014", times=2)
            here.org.update("Account", account, {"Phone": f"{number}"})
            await here.until(lambda busy=busy: busy.hits)  # type: ignore[misc]
            here.machine.ahead_seconds += jump
            await here.clock.sleep(number * 0.1)
            await here.restart()
            await here.until_quiet(seconds=10)
        assert not here.events("due_times_brought_near")
        assert len(here.events("clock_jumped")) == 12
