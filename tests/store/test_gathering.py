"""What becomes ready while a call that was not full is under way goes together after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from store.model import Ack, Claimed, ObjectName
from stream.deliver import GATHER_SECONDS, Deliver
from stream.delivery.settle import Settled
from stream.marketo.pace import Pace
from tests.edge.conftest import FakeClock
from tests.edge.streaming_steps import ticks
from tests.store.outbox_steps import NOON, Outbox, event, sf_id

FULL = 4


@dataclass
class Calls:
    """Marketo, and what leads to it: each call is answered when it is let go."""

    outbox: Outbox
    holds: Any = field(default_factory=lambda: SimpleNamespace(held=lambda _: False, asked=False))
    made: list[list[str]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def deliver(
        self,
        obj: ObjectName,  # noqa: ARG002 - the loop's
        claimed: Sequence[Claimed],
        mapping: object,  # noqa: ARG002 - the loop's
        answered: Callable[[], None],
    ) -> Settled:
        """One call."""
        self.made.append([each.entry.record_id for each in claimed])
        self.came.set()
        await self.answers.acquire()
        answered()
        acks = [Ack(each.entry.entry_id, each.entry.key, marketo_id="1", did="created") for each in claimed]
        await self.outbox.store.finish(acks, self.outbox.now_ms)
        return Settled()

    async def until(self, count: int) -> None:
        """Wait until so many calls were made."""
        async with asyncio.timeout(10):
            while len(self.made) < count:
                self.came.clear()
                await self.came.wait()


@dataclass
class Standing(FakeClock):
    """Stands at the outbox's time."""

    outbox: Outbox

    def __post_init__(self) -> None:
        super().__init__()

    def now(self) -> float:
        """The outbox's."""
        return self.outbox.now_ms / 1000


async def _mappings() -> dict[Any, Any]:
    return {"Lead": None}


async def changed(outbox: Outbox, numbers: Sequence[int]) -> list[str]:
    """So many leads were created, and the loop had every chance to see it."""
    ids = [sf_id("Lead", number) for number in numbers]
    for record_id in ids:
        await outbox.take(event("Lead", record_id, {"LastName": "A"}, whole=True, commit_ms=NOON))
    await outbox.store.due_kinds(outbox.now_ms)
    await ticks(50)
    return ids


async def test_changes_during_a_call_go_together_after_it(outbox: Outbox) -> None:
    calls, clock = Calls(outbox), Standing(outbox)
    loop = Deliver(outbox.store, calls, clock, Pace.full(FULL, 5), 0.0, 100, _mappings, clock.now)  # type: ignore[arg-type]
    running = asyncio.create_task(loop.run())
    (first,) = await changed(outbox, [1])
    await calls.until(1)
    others = await changed(outbox, [2, 3, 4])
    assert calls.made == [[first]]
    calls.answers.release()
    await calls.until(2)
    assert calls.made == [[first], others]
    clock.advance(GATHER_SECONDS)
    (last,) = await changed(outbox, [5])
    await calls.until(3)
    assert calls.made[2:] == [[last]], "a call that takes long holds up nobody"
    for _ in range(2):
        calls.answers.release()
    loop.drain()
    async with asyncio.timeout(10):
        await running


async def test_full_calls_go_side_by_side(outbox: Outbox) -> None:
    calls, clock = Calls(outbox), Standing(outbox)
    await changed(outbox, range(1, 3 * FULL + 1))
    loop = Deliver(outbox.store, calls, clock, Pace.full(FULL, 5), 0.0, 100, _mappings, clock.now)  # type: ignore[arg-type]
    running = asyncio.create_task(loop.run())
    await calls.until(3)
    assert [len(call) for call in calls.made] == [FULL] * 3
    for _ in range(3):
        calls.answers.release()
    loop.drain()
    async with asyncio.timeout(10):
        await running
