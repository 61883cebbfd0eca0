"""SIGHUP: what the running daemon takes over from its configuration file, and what it leaves for the next start.

    file ──load──▶ settings ──▶ keys that may change while it runs: into the loops, at once
                          └──▶ others: named, and as they were

A file that cannot be used changes nothing.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog

from stream.config import RELOADED, Loaded
from stream.config.keys import Key, KeyPath, keys
from stream.config.model import Log, Section, Settings
from stream.daemon import Daemon
from stream.errors import ConfigError

log = structlog.get_logger(__name__)

S = TypeVar("S", bound=Section)


def merged(old: S, new: S, path: KeyPath = ()) -> S:
    """The old settings with what may change from the new ones."""
    changes: dict[str, Any] = {}
    for name in type(old).model_fields:
        mine, theirs = getattr(old, name), getattr(new, name)
        if isinstance(mine, Section):
            changes[name] = merged(mine, theirs, (*path, name))
        elif (*path, name) in RELOADED:
            changes[name] = theirs
    return old.model_copy(update=changes)


def differing(old: Settings, new: Settings) -> list[Key]:
    """The keys whose values differ, in the order of the file."""
    return [key for key in keys().values() if _value(old, key) != _value(new, key)]


def _value(settings: Settings, key: Key) -> Any:
    found: Any = settings
    for name in key.path:
        found = getattr(found, name)
    return found


async def reload(daemon: Daemon, read: Callable[[], Loaded], set_logs: Callable[[Log], None]) -> None:
    """Take over what may change. Raises what the store raises, and nothing for a file that cannot be used."""
    try:
        loaded = read()
    except ConfigError as error:
        hint = error.hint or "the daemon goes on as it was; mend the file, and reload again"
        log.error("reload_refused", cause=error.message.replace("\n  ", "; "), cure=hint)
        return
    old, new = daemon.settings, loaded.settings
    taken = _remembered(daemon, merged(old, new))
    changed = {key.name: _value(new, key) for key in differing(old, taken)}
    left = [key.name for key in differing(taken, new)]
    daemon.settings = taken
    set_logs(taken.log)
    _into_loops(daemon, taken)
    await daemon.release_people()
    for warning in loaded.warnings:
        log.warning("config_warning", cause=warning)
    if left:
        log.warning("restart_needed", keys=left, cure="these stay as they were until the daemon is started again")
    log.info("config_reloaded", changed=changed)


def _remembered(daemon: Daemon, settings: Settings) -> Settings:
    """No more calls in 20 seconds than are remembered across a kill: for more, the next start makes room."""
    if settings.marketo.calls_per_20s <= daemon.memory.slots:
        return settings
    as_it_was = settings.marketo.model_copy(update={"calls_per_20s": daemon.settings.marketo.calls_per_20s})
    return settings.model_copy(update={"marketo": as_it_was})


def _into_loops(daemon: Daemon, settings: Settings) -> None:
    marketo, deliver, scores, reconcile = settings.marketo, settings.deliver, settings.scores, settings.reconcile
    daemon.edges.gate.keep_within(marketo.calls_per_20s, marketo.concurrency, deliver.batch_size)
    daemon.edges.marketo_budget.limit = marketo.daily_calls - marketo.reserve_calls
    daemon.edges.salesforce_budget.limit = reconcile.daily_calls
    daemon.edges.salesforce.reserve_calls = reconcile.reserve_calls
    daemon.score_writes.limit = scores.daily_writes
    calls = daemon.dispatch.people_calls
    daemon.dispatch.max_attempts = calls.max_attempts = daemon.scores.max_attempts = deliver.max_attempts
    calls.new_people.limit = deliver.max_new_people_a_day
    daemon.deliver.leave_most = deliver.max_leaving_a_day
    daemon.holds.poison.share = deliver.poison_share
    daemon.dispatch.waits.settle_seconds = daemon.clock_watch.settle_seconds = deliver.settle_seconds
    daemon.scores.go_by(scores.interval_seconds, scores.sweep_interval_seconds)
    daemon.reconcile.go_by(reconcile.poll_interval_seconds, reconcile.interval_seconds)
    daemon.quota_watch.lengthen_waits()
    daemon.load.bulk_above = reconcile.bulk_above
    daemon.watch_by_settings()
    daemon.store.wake()


@asynccontextmanager
async def on_hangup(daemon: Daemon, read: Callable[[], Loaded], set_logs: Callable[[Log], None]) -> AsyncIterator[None]:
    """Reload whenever SIGHUP comes, one after the other."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)

    async def reloads() -> None:
        while True:
            await asked.wait()
            asked.clear()
            with daemon.supervision.reloading():
                await reload(daemon, read, set_logs)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(reloads(), name="reload")
        try:
            yield
        finally:
            task.cancel()
