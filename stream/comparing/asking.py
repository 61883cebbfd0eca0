"""Both services as the commands ask them: beside the daemon, within its budgets, one call at a time, and with some patience."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from store import view
from stream import connecting
from stream.budgets.budget import DailyBudget
from stream.budgets.call_memory import CallMemory
from stream.clock import Clock, MachineClock
from stream.config.model import Settings
from stream.edges import Edges, calls_path, edges
from stream.errors import BudgetSpent, DailyLimit, MarketoError, StreamError
from stream.marketo.codes import rule_of
from stream.retry import Backoff

T = TypeVar("T")

TRIES_MOST = 3  # of one question: there is no outbox that would ask again later


@dataclass(frozen=True, slots=True)
class Calls:
    """How many calls to each service."""

    salesforce: int
    marketo: int


@dataclass(slots=True)
class Asking:
    """What a command asks with. `made()` tells what it has cost so far."""

    edge: Edges
    clock: Clock
    backoff: Backoff

    def left(self) -> Calls:
        """What may still be asked today, by all processes on this store together."""
        return Calls(self.edge.salesforce_budget.left(), self.edge.marketo_budget.left())

    def made(self) -> Calls:
        """What this command has asked."""
        return Calls(self.edge.salesforce_budget.own, self.edge.marketo_budget.own)

    def check(self, wanted: Calls) -> None:
        """Raise BudgetSpent, before anything is asked, where it would take more than half of what is left today.

        The other half is the daemon's: a look at both sides must not keep changes from being delivered.
        """
        left = self.left()
        for name, needed, free, budget in (
            ("Salesforce", wanted.salesforce, left.salesforce, self.edge.salesforce_budget),
            ("Marketo", wanted.marketo, left.marketo, self.edge.marketo_budget),
        ):
            if needed > free // 2:
                raise BudgetSpent(
                    f"this takes some {needed:,} calls to {name}, and of today's {budget.limit:,} there are {free:,} left, "
                    "half of them the daemon's",
                    resets_in_seconds=budget.resets_in_seconds(),
                    hint="ask for less, wait for the reset, or raise the limit in the configuration; nothing was asked",
                )

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer; what passes by itself is asked again a few times. Raises what does not pass."""
        attempt = 1
        while True:
            try:
                return await ask()
            except StreamError as error:
                if attempt >= TRIES_MOST or not _passes(error):
                    raise
                await self.clock.sleep(self.backoff.wait_seconds(attempt))
            attempt += 1


def _passes(error: StreamError) -> bool:
    """Whether asking again soon can help."""
    if isinstance(error, MarketoError):
        return rule_of(error.code).together == "retry"
    return error.heals_itself and not isinstance(error, BudgetSpent | DailyLimit)


@asynccontextmanager
async def asking(settings: Settings, clock: MachineClock) -> AsyncIterator[Asking]:
    """Both services. Raises ConfigError where a setting cannot be used; nothing is sent by this alone."""
    memory = CallMemory.beside(calls_path(settings), lambda: clock.uptime()[1])
    async with connecting.session() as session:
        edge = edges(settings, session, clock, memory=memory, concurrency=1)
        if settings.store.path.exists():
            await _restore(settings, {"salesforce": edge.salesforce_budget, "marketo": edge.marketo_budget})
        try:
            yield Asking(edge, clock, Backoff(1.0, 30.0))
        finally:
            if memory is not None:
                memory.close()


async def _restore(settings: Settings, budgets: dict[str, DailyBudget]) -> None:
    """What the daemon wrote down of today's calls counts, also where the shared file was lost."""
    held = await view.budgets(settings.store.path)
    for name, budget in budgets.items():
        if name in held:
            budget.restore(held[name]["day"], held[name]["used"])
