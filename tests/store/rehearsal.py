"""A committer whose every transaction fails the first time, after all its works were done: doing them twice changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from store.errors import StoreBlocked
from store.writer import Writer


@dataclass(slots=True)
class Rehearsing(Writer):
    """Takes the place of `Writer` in a store, and tries again without waiting, and without telling anybody."""

    rehearsed: Sequence[tuple[Any, BaseException | None]] | None = None
    rehearsals: int = 0

    async def _stand_still(self, error: StoreBlocked, failures: int, jobs: list[Any]) -> None:
        pass

    async def _transaction(self, jobs: list[Any]) -> None:
        if self.rehearsed is None:
            await self.connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                await self._work(job)
            self.rehearsed = [(job.result, job.error) for job in jobs]
            self.rehearsals += 1
            raise StoreBlocked("the disk is full, the first time")
        await Writer._transaction(self, jobs)
        for job, (result, error) in zip(jobs, self.rehearsed, strict=True):
            assert job.result == result, "the work did something else the second time"
            assert repr(job.error) == repr(error)
        self.rehearsed = None
