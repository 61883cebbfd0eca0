"""Puts the changes of a transaction on the event bus, or loses, gaps, doubles and garbles them where a test asks for it."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import orjson

from sandbox.salesforce.caller import Caller
from sandbox.salesforce.events import Change, ChangeEvent, Style, build_events
from sandbox.salesforce.ids import OVERFLOW_ID, PREFIXES
from sandbox.salesforce.journal import EventLog
from sandbox.salesforce.schema import ObjectType

Mode = Literal["as usual", "lost", "gap"]
OVERFLOW_FROM = 100_000
STANDARD = "ChangeEvents"
FIRST_COMMIT_NUMBER = 10_958_000_000_000_000  # beyond 2^53, as in real orgs


class Publisher:
    """The Change Data Capture of the org: which objects are selected, and how their events look.

    `hidden` fields are those the API user may not see at all; `omitted` ones only events lack (a role's IsPrimary).
    """

    def __init__(
        self,
        log: EventLog,
        types: Mapping[str, ObjectType],
        now: Callable[[], float],
        rng: random.Random,
        entities_allowed: int,
    ) -> None:
        self.selected: tuple[str, ...] = ()
        self.channels: dict[str, dict[str, str]] = {}
        self.entities_allowed = entities_allowed
        self.hidden: set[tuple[str, str]] = set()
        self.silenced: set[str] = set()
        self.omitted: set[tuple[str, str]] = {("OpportunityContactRole", "IsPrimary")}
        self.milliseconds = True
        self.diff_long_text = True
        self.overflow_from = OVERFLOW_FROM
        self._log = log
        self._types = types
        self._now = now
        self._rng = rng
        self._mode: Mode = "as usual"
        self._commit_number = FIRST_COMMIT_NUMBER

    def select(self, objects: Iterable[str]) -> None:
        """Choose the objects whose changes are captured; more than the edition allows (5) is refused."""
        chosen = tuple(objects)
        unknown = [name for name in chosen if name not in self._types or not self._types[name].capturable]
        if unknown:
            raise ValueError(f"Change Data Capture knows no {', '.join(unknown)}")
        self._check_count({*chosen, *(obj for members in self.channels.values() for obj in members)})
        self.selected = chosen

    def add_channel(self, name: str, members: Mapping[str, str]) -> None:
        """Deploy a channel of the org's own (`Name__chn`): its objects, each with its filter ("" for none)."""
        if not name.endswith("__chn"):
            raise ValueError(f"{name}: a custom channel is called Name__chn")
        self._check_count({*self.captured, *members})
        self.channels[name] = dict(members)

    @property
    def captured(self) -> frozenset[str]:
        """The objects selected on any channel."""
        return frozenset(self.selected).union(*self.channels.values())

    def carries(self, channel: str, obj: str) -> bool:
        """Whether events of the object come on the channel (`/data/…`)."""
        name = channel.removeprefix("/data/")
        if name == STANDARD:
            return obj in self.selected
        return obj in self.channels[name] if name in self.channels else name == f"{obj}ChangeEvent"

    def _check_count(self, objects: set[str]) -> None:
        if len(objects) > self.entities_allowed:
            raise ValueError(f"{len(objects)} objects selected, and this edition allows {self.entities_allowed}")

    @contextmanager
    def mode(self, mode: Mode) -> Iterator[None]:
        """Publish what is committed inside in this mode."""
        earlier, self._mode = self._mode, mode
        try:
            yield
        finally:
            self._mode = earlier

    def publish(self, changes: list[Change], by: Caller | None, person_id: str) -> None:
        """Publish one transaction. Objects that are not selected leave holes in the sequence numbers."""
        if not changes or self._mode == "lost":
            return
        origin, user = (by.change_origin, by.user_id) if by else ("", person_id)
        header = self._header(origin, user)
        if len(changes) > self.overflow_from:
            for sequence, obj in enumerate(dict.fromkeys(change.obj for change in changes), start=1):
                self._send_overflow(obj, header, sequence)
            return
        hidden, contacts = frozenset(self.hidden | self.omitted), "Contact" in self.selected
        style = Style(self.milliseconds, self.diff_long_text, hidden, contacts_captured=contacts)
        for sequence, event in enumerate(build_events(changes, self._types, style), start=1):
            self._send(event, header, sequence)

    def _header(self, origin: str, user: str) -> dict[str, Any]:
        self._commit_number += self._rng.randint(1, 900)
        key = uuid.UUID(int=self._rng.getrandbits(128))
        return {
            "commitNumber": self._commit_number,
            "commitUser": user,
            "changeOrigin": origin,
            "transactionKey": f"00{str(key)[2:]}",
            "commitTimestamp": int(self._now() * 1000),
        }

    def _send(self, event: ChangeEvent, header: dict[str, Any], sequence: int) -> None:
        gap = self._mode == "gap"
        whole = header | {
            "entityName": event.obj,
            "recordIds": list(event.ids),
            "changeType": f"GAP_{event.kind}" if gap else event.kind,
            "changedFields": [] if gap else list(event.changed),
            "sequenceNumber": sequence,
            "commitTimestamp": header["commitTimestamp"] + min(sequence - 1, 5),
        }
        body = {} if gap else event.body
        self._put(event.obj, {"ChangeEventHeader": whole, **body})

    def _send_overflow(self, obj: str, header: dict[str, Any], sequence: int) -> None:
        more = {"entityName": obj, "recordIds": [OVERFLOW_ID], "changeType": "GAP_OVERFLOW", "changedFields": []}
        self._put(obj, {"ChangeEventHeader": header | more | {"sequenceNumber": sequence}})

    def _put(self, obj: str, payload: dict[str, Any]) -> int | None:
        if obj not in self.captured or obj in self.silenced:
            return None
        replay_id = self._log.next_replay_id()
        data = {"schema": self.schema_id(obj), "payload": payload, "event": self._event(replay_id)}
        return self._log.append(obj, data, replay_id)

    def _event(self, replay_id: int) -> dict[str, Any]:
        return {"EventUuid": str(uuid.UUID(int=self._rng.getrandbits(128))), "replayId": replay_id}

    def schema_id(self, obj: str) -> str:
        """The id of an object's event schema: it changes when a field is added or hidden."""
        fields = ",".join(f for f in self._types[obj].fields if (obj, f) not in self.hidden)
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{obj}:{fields}").hex[:22]

    # ---- what goes wrong

    def gap(self, obj: str, ids: Iterable[str], change_type: str = "GAP_UPDATE") -> int | None:
        """Publish a GAP event (header only) for these ids; GAP_OVERFLOW takes none."""
        records = [OVERFLOW_ID] if change_type == "GAP_OVERFLOW" else list(ids)
        more = {"entityName": obj, "recordIds": records, "changeType": change_type, "changedFields": [], "sequenceNumber": 1}
        return self._put(obj, {"ChangeEventHeader": self._header("", "") | more})

    def wildcard(self, obj: str, change_type: str = "GAP_UPDATE") -> int | None:
        """Publish an event whose recordIds are `["001*"]`: anything of this object may have changed."""
        return self.gap(obj, [f"{PREFIXES[obj]}*"], change_type)

    def duplicate(self, replay_id: int, *, same_replay_id: bool = False) -> int:
        """Publish a known event once more, under a new replay id or under its old one."""
        event = self._log.find(replay_id)
        data = orjson.loads(event.data)
        again = replay_id if same_replay_id else self._log.next_replay_id()
        data["event"]["replayId"] = again
        return self._log.append(event.entity, data, again)

    def inject(self, data: dict[str, Any], obj: str = "Lead") -> int:
        """Publish `data` word for word (malformed if you like) under a new replay id, which is put into `event` if missing."""
        replay_id = self._log.next_replay_id()
        return self._log.append(obj, {"event": {"replayId": replay_id}, **data}, replay_id)
