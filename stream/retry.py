"""The only backoff: how long to wait before trying again, as numbers; the waiting itself is durable or the caller's."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_random_exponential


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing waits with jitter: between `least_seconds` and `least × 2ⁿ`, never above `most_seconds`."""

    least_seconds: float = 1.0
    most_seconds: float = 300.0

    def wait_seconds(self, attempt: int) -> float:
        """The wait before attempt number `attempt + 1`, in seconds; `attempt` counts from 1."""
        state = RetryCallState(Retrying(), None, (), {})
        state.attempt_number = max(1, min(attempt, 30))
        grown = wait_random_exponential(multiplier=self.least_seconds, max=self.most_seconds)
        return max(self.least_seconds, grown(state))


STEADY_SECONDS = 60.0  # an attempt that lasted so long starts its backoff anew
AT_ONCE_EVERY_SECONDS = 10.0


@dataclass(slots=True)
class Resumption:
    """When a stream that was lost is taken up again: at once where it had stood, unless that was done just before; else later.

    What passes by itself is waited for a quarter as long: of a stream, every second is freshness.
    """

    backoff: Backoff
    failures: int = 0
    last_at_once_s: float = -math.inf

    def wait_seconds(self, *, now_s: float, lasted_seconds: float, stood: bool, passes: bool) -> float:
        """After an attempt that ended now (monotonic): whether it had been subscribed, and whether its error heals itself."""
        if stood and passes and now_s - self.last_at_once_s >= AT_ONCE_EVERY_SECONDS:
            self.failures, self.last_at_once_s = 0, now_s
            return 0.0
        self.failures = 1 if lasted_seconds > STEADY_SECONDS else self.failures + 1
        least_seconds = self.backoff.least_seconds / (4 if passes else 1)
        return replace(self.backoff, least_seconds=least_seconds).wait_seconds(self.failures)
