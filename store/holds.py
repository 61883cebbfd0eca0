"""What makes a flow stand still until a person ends it: a pause that the operator asked for, or so much refused that it stopped.

Both are notes in the store, so that they outlive the daemon and any process can write or end them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from store import leaving
from store.model import ObjectName
from store.writer import Transaction

Flow = Literal["deliver", "scores"]
FLOWS: tuple[Flow, ...] = ("deliver", "scores")
Held = Literal["deliver", "scores", "leaving"]
LEAVING: Held = "leaving"
"""Records that left their filter, too many in a day: no flow, and yet they go on only when a person says so."""
POISONED = "poisoned"
"""The note of a delivery that stopped itself: refused, judged, code, cause, since (seconds since the epoch)."""


@dataclass(frozen=True, slots=True)
class Holds:
    """The flows that the operator paused, each with the moment (seconds since the epoch), and why delivery stopped itself.

    `leaving`: how many of each object left their filter and wait for a person; an object stands here with none left, too.
    """

    paused: Mapping[Flow, float] = field(default_factory=dict)
    poisoned: Mapping[str, Any] | None = None
    leaving: Mapping[ObjectName, int] = field(default_factory=dict)


async def holds(tx: Transaction) -> Holds:
    """What stands still."""
    noted = {flow: value for flow in FLOWS if (value := await _note(tx, pause_note(flow))) is not None}
    since = {flow: float(value["since"]) for flow, value in noted.items()}
    return Holds(since, await _note(tx, POISONED), await leaving.held(tx))


def pause_note(flow: Flow) -> str:
    """The note of a flow that the operator paused."""
    return f"paused:{flow}"


async def pause(tx: Transaction, flows: Sequence[Flow], now: float) -> Holds:
    """Let these flows stand still; one that does so already keeps its moment."""
    paused = (await holds(tx)).paused
    for flow in flows:
        if flow not in paused:
            await tx.run("put_note", pause_note(flow), orjson.dumps({"since": now}).decode())
    return await holds(tx)


async def resume(tx: Transaction, flows: Sequence[Held], now_ms: int) -> Holds:
    """Let these flows go on, whatever held them; returns what did."""
    held = await holds(tx)
    for flow in (each for each in FLOWS if each in flows):
        await tx.run("delete_note", pause_note(flow))
    if LEAVING in flows:
        await leaving.let_go(tx, now_ms)
    if "deliver" in flows:
        await tx.run("delete_note", POISONED)
    return held


async def _note(tx: Transaction, name: str) -> Any:
    value = await tx.value("get_note", name)
    return orjson.loads(value) if value is not None else None
