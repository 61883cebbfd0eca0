"""The operator holds a flow, or lets it go on: written into the store, and taken up by the running daemon within seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from store import holds, view
from store.holds import Flow, Held, Holds
from store.store import Store
from store.writer import Work
from stream.clock import Clock
from stream.operating.taken_up import TakenUp, taken_up

TAKEN_UP_SECONDS = 15.0  # a daemon looks every second, and tells so with its next heartbeat


@dataclass(frozen=True, slots=True)
class Said:
    """What held the flows before and after the command, and whether a daemon has taken that up."""

    before: Holds
    after: Holds
    taken_up: TakenUp


async def pause(path: Path, flows: Sequence[Flow], clock: Clock) -> Said:
    """Hold these flows. Raises StoreError where there is no store of ours."""
    return await _write(path, lambda tx: holds.pause(tx, flows, clock.now()), clock, lambda held: held.issuperset(flows))


async def resume(path: Path, flows: Sequence[Held], clock: Clock) -> Said:
    """Let these flows go on, whatever held them. Raises StoreError where there is no store of ours."""
    now_ms = int(clock.now() * 1000)
    return await _write(path, lambda tx: holds.resume(tx, flows, now_ms), clock, lambda held: held.isdisjoint(flows))


async def _write(path: Path, work: Work[Holds], clock: Clock, done: Callable[[set[str]], bool]) -> Said:
    store = await Store.open(path, create=False, exclusive=False)
    try:
        before = await store.holds()
        await store.submit(work)
        after = await store.holds()
    finally:
        await store.close()
    return Said(before, after, await _taken_up(path, clock, done))


async def _taken_up(path: Path, clock: Clock, done: Callable[[set[str]], bool]) -> TakenUp:
    """Wait until the daemon's heartbeat says so."""

    async def seen() -> bool:
        beat = await view.heartbeat(path)
        return beat is not None and not beat["stopped"] and done(set(beat.get("held", ())))

    return await taken_up(path, clock, seen, TAKEN_UP_SECONDS)
