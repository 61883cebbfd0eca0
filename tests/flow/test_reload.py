"""SIGHUP: what the running daemon takes over, what it leaves for a restart, and what it refuses."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stream.config import RELOADED, load
from stream.config.keys import KeyPath, keys
from stream.daemon import Daemon
from stream.reload import differing, merged, reload
from tests.crash.crashing import Running
from tests.flow.scenes import lead_of
from tests.flow.world import World, world
from tests.logged import captured


@dataclass(frozen=True)
class Effect:
    """A key, another value for it, and where the daemon then goes by it."""

    value: Any
    seen: Callable[[Daemon], Any]


EFFECTS: dict[KeyPath, Effect] = {
    ("marketo", "calls_per_20s"): Effect(7, lambda daemon: daemon.edges.gate._limits.calls_per_window),
    ("marketo", "concurrency"): Effect(
        2, lambda daemon: (daemon.edges.gate._limits.concurrency, daemon.deliver.pace.concurrency.value)
    ),
    ("marketo", "daily_calls"): Effect(9000, lambda daemon: daemon.edges.marketo_budget.limit + 5000),
    ("marketo", "reserve_calls"): Effect(
        10, lambda daemon: daemon.settings.marketo.daily_calls - daemon.edges.marketo_budget.limit
    ),
    ("deliver", "linger_seconds"): Effect(3.5, lambda daemon: (daemon.deliver.linger_seconds, daemon.reading.linger_seconds)),
    ("deliver", "batch_size"): Effect(11, lambda daemon: daemon.deliver.pace.batch_size.value),
    ("deliver", "max_attempts"): Effect(
        3, lambda daemon: (daemon.dispatch.max_attempts, daemon.dispatch.people_calls.max_attempts, daemon.scores.max_attempts)
    ),
    ("deliver", "max_new_people_a_day"): Effect(5, lambda daemon: daemon.dispatch.people_calls.new_people.limit),
    ("deliver", "max_leaving_a_day"): Effect(6, lambda daemon: daemon.deliver.leave_most),
    ("deliver", "poison_share"): Effect(0.5, lambda daemon: daemon.holds.poison.share),
    ("deliver", "settle_seconds"): Effect(
        4.5, lambda daemon: (daemon.dispatch.waits.settle_seconds, daemon.clock_watch.settle_seconds)
    ),
    ("scores", "interval_seconds"): Effect(77.0, lambda daemon: daemon.scores.interval_seconds),
    ("scores", "sweep_interval_seconds"): Effect(78.0, lambda daemon: daemon.scores.sweep_interval_seconds),
    ("scores", "daily_writes"): Effect(79, lambda daemon: daemon.score_writes.limit),
    ("reconcile", "interval_seconds"): Effect(80.0, lambda daemon: daemon.reconcile.sweep_interval_seconds),
    ("reconcile", "poll_interval_seconds"): Effect(81.0, lambda daemon: daemon.reconcile.poll_interval_seconds),
    ("reconcile", "bulk_above"): Effect(82, lambda daemon: daemon.load.bulk_above),
    ("reconcile", "daily_calls"): Effect(83, lambda daemon: daemon.edges.salesforce_budget.limit),
    ("reconcile", "reserve_calls"): Effect(84, lambda daemon: daemon.edges.salesforce.reserve_calls),
}
LOG_KEYS: set[KeyPath] = {("log", "level"), ("log", "format")}


def test_every_key_that_is_called_safe_is_tried_here() -> None:
    assert set(EFFECTS) | LOG_KEYS == RELOADED
    assert set(keys()) >= RELOADED


async def change(here: World, **values: Any) -> list[dict[str, Any]]:
    """Change the configuration file, reload it, and return what was logged."""
    here.overrides.update({name.replace("__", "."): value for name, value in values.items()})
    path = here.write_config()
    with captured() as said:
        await reload(here.running, lambda: load(path, {}), lambda _: None)
    return [dict(line) for line in said]


@pytest.mark.parametrize("path", EFFECTS, ids=".".join)
async def test_each_safe_key_reaches_whoever_goes_by_it(tmp_path: Path, path: KeyPath) -> None:
    async with world(tmp_path, speed=1.0) as here:
        await here.start()
        effect, name = EFFECTS[path], ".".join(path)
        before = effect.seen(here.running)
        assert effect.value not in (before if isinstance(before, tuple) else (before,))
        said = await change(here, **{"__".join(path): effect.value})
        seen = effect.seen(here.running)
        assert set(seen if isinstance(seen, tuple) else (seen,)) == {effect.value}
        assert [line["changed"] for line in said if line["event"] == "config_reloaded"] == [{name: effect.value}]
        assert not [line for line in said if line["event"] == "restart_needed"]
        assert await change(here) == [{"changed": {}, "event": "config_reloaded", "log_level": "info"}]


async def test_what_is_not_safe_stays_and_is_named_each_time(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        await here.start()
        secret = "another-secret-entirely"
        for _ in range(2):
            said = await change(here, marketo__client_secret=secret, deliver__empty_role="None", deliver__batch_size=20)
            [line] = [line for line in said if line["event"] == "restart_needed"]
            assert line["keys"] == ["marketo.client_secret", "deliver.empty_role"]
            assert secret not in repr(said)
        assert here.running.dispatch.rules.empty_role == "Unspecified"
        assert here.running.settings.deliver.empty_role == "Unspecified"
        assert here.running.dispatch.pace.batch_size.value == 20
        here.org.create("Lead", lead_of("Same"))
        here.touch_built_in_users()
        await here.until_equal()


async def test_more_calls_than_are_remembered_across_a_kill_wait_for_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, marketo__calls_per_20s=50) as here:
        await here.start()
        await change(here, marketo__calls_per_20s=100)
        assert here.running.edges.gate._limits.calls_per_window == 100
        said = await change(here, marketo__calls_per_20s=101)
        assert [line["keys"] for line in said if line["event"] == "restart_needed"] == [["marketo.calls_per_20s"]]
        assert here.running.edges.gate._limits.calls_per_window == 100


async def test_a_raised_limit_of_new_people_lets_those_go_who_waited(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_new_people_a_day=1) as here:
        here.touch_built_in_users()
        for number in range(3):
            here.org.create("Lead", lead_of(f"New{number}"))
        await here.start()
        await here.until(lambda: here.events("new_people_wait"))
        assert len(here.instance.leads) == 1
        await change(here, deliver__max_new_people_a_day=10)
        await here.until_equal()


async def test_a_shorter_interval_is_not_waited_out_first(tmp_path: Path) -> None:
    long = 100_000.0
    lead: dict[str, Any] = {"salesforce__objects__Lead": "poll"}
    async with world(tmp_path, reconcile__interval_seconds=long, reconcile__poll_interval_seconds=1.0, **lead) as here:
        here.touch_built_in_users()
        await here.start()
        polled_at = here.running.reconcile.polled_at
        await here.until(lambda: "Lead" in polled_at)
        await change(here, reconcile__poll_interval_seconds=long)
        before = polled_at["Lead"]
        await here.until(lambda: polled_at["Lead"] > before or here.clock.now() - before > 5)
        here.org.create("Lead", lead_of("Polled"))
        await here.until(lambda: here.running.reconcile._next > here.clock.monotonic() + long / 2)  # by the long interval now
        await change(here, reconcile__poll_interval_seconds=1.0)
        await here.until_equal()


def test_merging_takes_every_safe_key_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    base = """
[salesforce]
flow = "client_credentials"
login_url = "https://{name}.my.salesforce.com"
client_id = "{name}"
client_secret = "{name}"
[marketo]
base_url = "https://{name}.example.com"
client_id = "{name}"
client_secret = "{name}"
[fields.Lead]
{name} = "title"
"""
    safe = "".join(
        f"[{section}]\n" + "".join(f"{key} = {effect.value}\n" for (at, key), effect in EFFECTS.items() if at == section)
        for section in ("deliver", "scores", "reconcile")
    )
    path.write_text(base.format(name="old"), encoding="utf-8")
    old = load(path, {}).settings
    path.write_text(base.format(name="new") + safe, encoding="utf-8")
    new = load(path, {}).settings
    taken = merged(old, new)
    assert {key.path for key in differing(old, taken)} == {at for at in EFFECTS if at[0] != "marketo"}
    left = {key.path for key in differing(taken, new)}
    assert left == {
        *(("salesforce", name) for name in ("login_url", "client_id", "client_secret")),
        *(("marketo", name) for name in ("base_url", "client_id", "client_secret")),
        ("fields", "Lead"),
    }


@pytest.mark.timeout(60)
async def test_sighup_reloads_refuses_a_broken_file_whole_and_changes_the_log(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        here.touch_built_in_users()
        config = here.write_config()
        running = await Running.start(config)
        await running.until_logged("daemon_ready")
        good = config.read_text()
        config.write_text(good.replace("batch_size = 300", "batch_size = 301") + "\n[nonsense]\nx = 1\n")
        os.kill(running.pid, signal.SIGHUP)
        await running.until_logged("reload_refused")
        [refused] = [line for line in running.lines if line["event"] == "reload_refused"]
        assert "nonsense" in str(refused["cause"])
        assert "\n" not in str(refused["cause"])
        here.overrides.update({"deliver.batch_size": 100, "log.level": "debug"})
        here.write_config()
        os.kill(running.pid, signal.SIGHUP)
        await running.until_logged("config_reloaded")
        [done] = [line for line in running.lines if line["event"] == "config_reloaded"]
        assert done["changed"] == {"deliver.batch_size": 100, "log.level": "debug"}
        here.org.create("Lead", lead_of("Debug"))
        await running.until_logged("events_taken")
        await here.until_equal()
        assert await running.end(signal.SIGTERM) == 0, running.errors
