"""Where changes come from: the narrow protocol that capture consumes, so that another transport can take CometD's place.

    async with source.subscribe(replay_from=committed) as subscription:
        while True:
            messages = await subscription.receive(500)      # store them, then commit the last replay id

Leaving either call: ReplayRefused, AuthRefused, DailyLimit, SalesforceError (another refusal), Unreachable (the stream is lost).
After any of them the context is left, and a new attempt is made from the committed replay id, after a backoff.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeGuard

NEW_EVENTS = -1
ALL_RETAINED = -2
MOST_REPLAY_ID = 2**63 - 1  # the database keeps whole numbers up to it


def is_replay_id(value: Any) -> TypeGuard[int]:
    """Whether this is a place in a stream that can be kept, and not one of the two that mean something else."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_REPLAY_ID


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a channel: `data` whole (schema, payload, event), or whatever came in its place.

    Several messages may share one replay id; None where there is none that can be gone on from.
    """

    channel: str
    replay_id: int | None
    data: Any = field(repr=False)


class Subscription(Protocol):
    """A live stream of messages, oldest first."""

    async def receive(self, most: int) -> list[Message]:
        """Wait for at least one message and return up to `most`; safe to cancel.

        Raises when the stream is lost, and only after the messages that had arrived were handed out.
        """
        ...

    @property
    def heard_at(self) -> float:
        """When Salesforce last answered a handshake or a connect, in seconds of the monotonic clock."""
        ...

    @property
    def pending(self) -> int:
        """How many messages have arrived and were not yet received."""
        ...


class ChangeSource(Protocol):
    """Makes one attempt to subscribe at a time."""

    def subscribe(self, replay_from: int) -> AbstractAsyncContextManager[Subscription]:
        """Subscribe after this replay id; -1 is new events only, -2 everything retained. One attempt, no retries."""
        ...
