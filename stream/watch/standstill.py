"""What the daemon does while its store cannot be written: says so, waits longer and longer, and goes on when it can be again.

Nothing is acknowledged meanwhile: capture holds one batch, the stream as many events as it may, and Salesforce all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from store.errors import StoreBlocked
from store.store import Store
from stream.clock import Clock
from stream.operating.dead import moment
from stream.retry import Backoff

log = structlog.get_logger(__name__)

ATTEMPT_SECONDS = 60.0  # the longest that an attempt to commit takes to fail


@dataclass(slots=True)
class Standstill:
    """The store's `Waiting`. One standstill lasts from the first failed commit to the next one that succeeds."""

    store: Store
    clock: Clock
    backoff: Backoff
    _began: float | None = None
    _since: str = ""
    _next: float = 0.0

    async def wait(self, error: StoreBlocked, failures: int) -> None:
        """Say it, then wait."""
        now = self.clock.monotonic()
        if self._began is None:
            self._began, self._since = now, moment(self.clock.now())
        self.store.say(f"nothing can be stored since {self._since}: {error}")
        wait_seconds = self.backoff.wait_seconds(failures)
        self._next = now + wait_seconds
        log.error("store_blocked", cause=error.message, cure=error.hint, retry_seconds=round(wait_seconds, 1))
        await self.clock.sleep(wait_seconds)

    def goes_on(self) -> bool:
        """Whether it stands still, and the attempts to end that follow each other in time."""
        return self._began is not None and self.clock.monotonic() <= self._next + ATTEMPT_SECONDS

    def over(self) -> None:
        """It can be written again, and nothing is missing."""
        began, self._began = self._began, None
        self.store.say("")
        if began is not None:
            log.info("store_resumed", lasted_seconds=round(self.clock.monotonic() - began, 1))

    def log_grew(self, log_bytes: int) -> None:
        """A reader that does not end keeps the write-ahead log from being emptied."""
        hint = "end the program that has the store open for reading so long (fuser tells)"
        log.warning("store_log_grows", log_bytes=log_bytes, cure=hint)
