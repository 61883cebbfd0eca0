"""Whether a running daemon has taken up what a command wrote into the store: waited for a moment, and told honestly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

from store import view
from store.beside import Beside
from store.database import is_held
from store.holds import holds
from store.model import OBJECTS, DeadLetter, Key
from stream.clock import Clock

TAKEN_UP_SECONDS = 15.0  # a daemon looks every second
LOOK_SECONDS = 0.2

TakenUp = Literal["yes", "not yet", "no daemon", "held"]


async def taken_up(path: Path, clock: Clock, seen: Callable[[], Awaitable[bool]], seconds: float | None = None) -> TakenUp:
    """Wait, not for long, until it is seen that the daemon has taken something up."""
    deadline = clock.monotonic() + (TAKEN_UP_SECONDS if seconds is None else seconds)
    while is_held(path):
        if await seen():
            return "yes"
        if clock.monotonic() > deadline:
            return "not yet"
        await clock.sleep(LOOK_SECONDS)
    return "no daemon"


async def letters_taken_up(path: Path, letters: Sequence[DeadLetter], clock: Clock) -> TakenUp:
    """Whether the daemon works on what was put back: each is under way, delivered, refused anew, or waits for another record.

    Where delivery is held ("held"), it is not waited for.
    """
    wanted = {(letter.object, letter.id) for letter in letters if letter.flow == "deliver"}
    keys: list[Key] = [(obj, record_id) for obj in OBJECTS for name, record_id in wanted if name == obj]
    if not is_held(path):
        return "no daemon"
    async with view.reading(path) as tx:
        held = await holds(tx)
    if keys and ("deliver" in held.paused or held.poisoned is not None):
        return "held"

    async def seen() -> bool:
        entries = (await Beside(path).facts(keys)).entries
        return all(key not in entries or _moves(entries[key].state, entries[key].waits, entries[key].tries) for key in keys)

    return await taken_up(path, clock, seen)


def _moves(state: str, waits: int, tries: int) -> bool:
    return state != "open" or waits > 0 or tries > 0
