"""Stored replay ids in the operator's hands: shown beside a running daemon, set only while none runs."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from store import view
from store.errors import StoreBusy
from store.model import Replay
from store.store import Store
from stream.config.model import Settings
from stream.config.values import Channel
from stream.errors import ConfigError
from stream.operating.dead import moment
from stream.source import ALL_RETAINED, NEW_EVENTS


def meaning(replay_id: int) -> str:
    """With what a start at this position begins."""
    if replay_id == ALL_RETAINED:
        return "everything that Salesforce retains"
    if replay_id == NEW_EVENTS:
        return "new events only; what was not heard until then is read by queries"
    return f"the events after {replay_id}"


async def stored(settings: Settings) -> list[dict[str, Any]]:
    """The stored positions as `replay show` prints them. A channel never read begins with everything retained."""
    found = {each.channel: each for each in await view.replays(settings.store.path)}
    return [_row(channel, found.get(channel)) for channel in sorted({settings.salesforce.channel, *found})]


def _row(channel: str, held: Replay | None) -> dict[str, Any]:
    return {
        "channel": channel,
        "replay_id": held.replay_id if held else None,
        "begins_with": meaning(held.replay_id if held else ALL_RETAINED),
        "newest_commit": moment(held.commit_ms / 1000) if held and held.commit_ms else None,
        "stored": moment(held.stored_ms / 1000) if held else None,
    }


async def put(settings: Settings, channel: str, replay_id: int, now_ms: int) -> None:
    """Set where the next start begins. Raises ConfigError for what is no position, StoreBusy while a daemon runs."""
    try:
        TypeAdapter(Channel).validate_python(channel)
    except ValidationError as error:
        expected = error.errors()[0]["ctx"]["error"]
        raise ConfigError(f"CHANNEL: found {channel[:80]!r}, expected {expected}") from error
    if replay_id not in {ALL_RETAINED, NEW_EVENTS} and replay_id < 1:
        raise ConfigError(f"ID: found {replay_id}, expected -2, -1 or a replay id, which is above 0")
    try:
        store = await Store.open(settings.store.path, create=False)
    except StoreBusy as error:
        raise StoreBusy(error.message, hint="stop it first: it would write its own position over this one") from error
    try:
        await store.set_replay(Replay(channel, replay_id, 0, now_ms))
    finally:
        await store.close()
