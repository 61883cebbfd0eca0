"""The only backoff: how long to wait before trying again, as numbers; the waiting itself is durable or the caller's."""

from __future__ import annotations

from dataclasses import dataclass

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
