"""One Bayeux session of a subscriber: its subscriptions with their cursors, and its one long poll."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.salesforce.journal import EventLog

ALL_CHANGES = "/data/ChangeEvents"


@dataclass(slots=True)
class Subscription:
    """A channel, the position in the log that is to be delivered next, and which objects come to this user on it."""

    channel: str
    position: int
    brings: Callable[[str], bool]


@dataclass(slots=True)
class Session:
    """A client id and what belongs to it; `last_reply` is loop time, `polls` counts the connects that wait right now."""

    client_id: str
    browser: str
    token: str
    last_reply: float
    connected_once: bool = False
    muted: bool = False
    polls: int = 0
    delivered: int = 0
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    superseded: asyncio.Event = field(default_factory=asyncio.Event)

    def has_waiting(self, log: EventLog) -> bool:
        """Whether any subscription has something to deliver."""
        return any(self._skip_foreign(subscription, log) for subscription in self.subscriptions.values())

    def _skip_foreign(self, subscription: Subscription, log: EventLog) -> bool:
        subscription.position = max(subscription.position, log.start)
        while (event := log.at(subscription.position)) is not None:
            if subscription.brings(event.entity):
                return True
            subscription.position += 1
        return False

    def take(self, log: EventLog, most: int) -> list[bytes]:
        """Take up to `most` messages off the log; they count as delivered whether or not the answer arrives."""
        messages: list[bytes] = []
        for subscription in self.subscriptions.values():
            tail = f',"channel":"{subscription.channel}"}}'.encode()
            while len(messages) < most and self._skip_foreign(subscription, log):
                event = log.at(subscription.position)
                if event is not None:
                    messages.append(b'{"data":' + event.data + tail)
                subscription.position += 1
        self.delivered += len(messages)
        return messages
