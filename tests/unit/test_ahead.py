"""Pages read one ahead: in their order, one ahead and no more, and an error only where its page would have been."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from stream.ahead import one_ahead


class Wire:
    """Pages 1, 2, …; `asked` are those that were asked for."""

    def __init__(self, count: int, *, broken: int | None = None) -> None:
        self.asked: list[int] = []
        self.closed = False
        self._count, self._broken = count, broken

    async def pages(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(1, self._count + 1):
                self.asked.append(number)
                await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop, no time
                if number == self._broken:
                    raise OSError("broken")
                yield number
            self.asked.append(0)  # after the last one
        finally:
            self.closed = True


async def settled() -> None:
    """Whatever can go on without us has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)  # noqa: TID251 - as above


async def test_pages_come_in_order_and_one_is_read_while_another_is_taken() -> None:
    wire = Wire(4)
    async with aclosing(one_ahead(wire.pages(), lambda _: False)) as pages:
        taken = []
        async for page in pages:
            await settled()
            assert wire.asked == [*range(1, page + 1), page + 1 if page < 4 else 0]
            taken.append(page)
    assert taken == [1, 2, 3, 4]


async def test_after_the_last_nothing_is_asked_for_until_it_was_taken() -> None:
    wire = Wire(2)
    async with aclosing(one_ahead(wire.pages(), lambda page: page == 2)) as pages:
        async for _ in pages:
            await settled()
            assert wire.asked == [1, 2]
    assert wire.asked == [1, 2, 0]


async def test_an_error_waits_until_what_came_before_it_was_taken() -> None:
    wire = Wire(4, broken=3)
    async with aclosing(one_ahead(wire.pages(), lambda _: False)) as pages:
        for number in (1, 2):
            assert await anext(pages) == number
            await settled()
        with pytest.raises(OSError, match="broken"):
            await anext(pages)
    assert wire.closed


async def test_whoever_stops_taking_ends_the_reading() -> None:
    wire = Wire(4)
    async with aclosing(one_ahead(wire.pages(), lambda _: False)) as pages:
        assert await anext(pages) == 1
    assert wire.closed
    assert wire.asked in ([1], [1, 2])
