"""Every event there is, by its name."""

from __future__ import annotations

from collections.abc import Mapping

from stream.logs import daemon_events, delivery_events, flow_events
from stream.logs.registry import Event

GROUPS: Mapping[str, tuple[Event, ...]] = {
    "The daemon": daemon_events.EVENTS,
    "From Salesforce": flow_events.EVENTS,
    "To Marketo, and scores back": delivery_events.EVENTS,
}

REGISTRY: Mapping[str, Event] = {event.name: event for events in GROUPS.values() for event in events}
