"""A daemon that kills itself at a chosen moment of a chosen commit, and notes which pieces of work write at all.

    submit ──▶ ·before· BEGIN ─ the work, and others ─ ·between· COMMIT ·after· ─ the caller is told ─ and has gone on ·told·

A piece of work is named by the method of the store, or the function, that submits it. Which one will write is found by doing it
once and undoing it: each may run twice.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import store.store
from store.writer import Writer
from stream.clock import SystemClock
from tests.crash.slow import read_slowly

Moment = Literal["before", "between", "after", "told"]
MOMENTS: tuple[Moment, ...] = ("before", "between", "after", "told")
TURNS = 8  # of the loop, until a caller that was told has gone on


@dataclass(frozen=True, slots=True)
class Target:
    """When to die: at this moment of the first piece of work of this name that writes, and after which `when` finds a row.

    An empty name is anybody's; `skip` of them pass.
    """

    work: str
    moment: Moment
    when: str = "SELECT 1"
    skip: int = 0


def name_of(work: Any) -> str:
    """Who submitted this piece of work."""
    if isinstance(work, partial):
        return str(work.func.__name__).lstrip("_")
    parts = work.__qualname__.split(".")
    return str(parts[1] if parts[0] == "Store" else parts[0]).lstrip("_")


@dataclass(slots=True)
class Deadly(Writer):
    """Takes the place of `Writer`. `target`: when to die; `notes`: the file that takes the names of all that wrote."""

    target: ClassVar[Target | None] = None
    notes: ClassVar[Path | None] = None
    aimed: bool = False
    passed: int = 0

    async def _transaction(self, jobs: list[Any]) -> None:
        if await self._rehearse(jobs):
            self.aimed = True
            self._die_at("before")
        await self.connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            await self._work(job)
        self._die_at("between")
        await self.connection.commit()
        self._die_at("after")

    async def _rehearse(self, jobs: list[Any]) -> bool:
        """Do all of it, look what it does, and undo it; True where it is the target."""
        found = False
        await self.connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            before = self.connection.total_changes
            await self._work(job)
            if self.connection.total_changes > before:
                self._note(name_of(job.work))
                found = found or await self._is_target(name_of(job.work))
        await self.connection.rollback()
        return found

    async def _is_target(self, name: str) -> bool:
        target = self.target
        if target is None or target.work not in {"", name} or not list(await self.connection.execute_fetchall(target.when)):
            return False
        self.passed += 1
        return self.passed > target.skip

    def _note(self, name: str) -> None:
        if self.notes is not None:
            with self.notes.open("a") as file:
                file.write(f"{name}\n")

    def _die_at(self, moment: Moment) -> None:
        if self.aimed and self.target is not None and self.target.moment == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    async def _commit(self, jobs: list[Any]) -> None:
        await Writer._commit(self, jobs)
        for _ in range(TURNS if self.aimed else 0):
            await asyncio.sleep(0)  # noqa: TID251 - the callers' turns
        self._die_at("told")


def arm(
    *, target: dict[str, Any] | None = None, notes: str | None = None, jump_seconds: float = 0.0, slowly: str | None = None
) -> None:
    """Make this process deadly before it opens a store.

    `jump_seconds`: the machine's clock is set by so much. `slowly`: the store that this process reads slowly.
    """
    if slowly is not None:
        read_slowly(slowly)
    Deadly.target = Target(**target) if target is not None else None
    Deadly.notes = Path(notes) if notes is not None else None
    vars(store.store)["Writer"] = Deadly
    if jump_seconds:
        _set_clock(jump_seconds)


def _set_clock(jump_seconds: float) -> None:
    now = SystemClock.now

    def later(self: SystemClock) -> float:
        return now(self) + jump_seconds

    SystemClock.now = later  # type: ignore[method-assign] # somebody has set the machine's clock
