"""Pages read one ahead: while one is being stored, the one after it is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

T = TypeVar("T")


async def one_ahead(pages: AsyncGenerator[T, None], is_last: Callable[[T], bool]) -> AsyncGenerator[T, None]:
    """The pages in their order, never more than one ahead of whoever takes them; close it, and reading ends.

    What a page brings as an error is raised when the pages before it were taken, and after the last page nothing is asked for
    before that one was.
    """

    async def following() -> T | None:
        return await anext(pages, None)

    coming = asyncio.create_task(following())
    try:
        while (page := await coming) is not None:
            if is_last(page):
                yield page
            coming = asyncio.create_task(following())
            if not is_last(page):
                yield page
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await pages.aclose()
