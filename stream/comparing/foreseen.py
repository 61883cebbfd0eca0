"""What will be so once what goes before has gone: for a plan that sends nothing, and yet knows who stands behind whom by then.

It answers the resolver's questions in the store's place: what the store knows, and on top what the plan has found so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from store.model import REF_OBJECT, REFS, Key, ObjectName, Record, Ref
from stream.comparing.asking import Asking

NEW_PERSON = "0"
"""In place of the Marketo id of somebody who is still to be created."""
PARENTS: frozenset[ObjectName] = frozenset(REF_OBJECT.values())


class Base(Protocol):
    """What the store knows."""

    async def records(self, keys: Sequence[Key]) -> dict[Key, Record]:
        """Known records."""
        ...

    async def sharers(self, marketo_ids: Sequence[str]) -> dict[str, list[Record]]:
        """Living people behind Marketo ids."""
        ...

    async def kept_people(self, marketo_ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Marketo fields of people who were kept, by Marketo ids, that gone records filled."""
        ...

    async def sharing_role(self, sent_key: str, record_id: str) -> int:
        """How many other contact roles stand behind the same Marketo role."""
        ...


class Nothing:
    """No store at all, as before the first start."""

    async def records(self, keys: Sequence[Key]) -> dict[Key, Record]:  # noqa: ARG002 - whoever is asked for
        """Nobody is known."""
        return {}

    async def sharers(self, marketo_ids: Sequence[str]) -> dict[str, list[Record]]:  # noqa: ARG002 - likewise
        """Nobody shares anybody."""
        return {}

    async def kept_people(self, marketo_ids: Sequence[str]) -> dict[str, frozenset[str]]:  # noqa: ARG002 - likewise
        """Nobody was kept."""
        return {}

    async def sharing_role(self, sent_key: str, record_id: str) -> int:  # noqa: ARG002 - likewise
        """None."""
        return 0


@dataclass(slots=True)
class Foreseen:
    """`everything`: all of Salesforce goes, so every parent will be there; else only those that are, or are planned.

    `stuck` will not go: dead letters, and what waits for them. `outside` are parents that are outside of their filter: who names
    one goes without. `persons`: contact id → its Marketo person, as far as there is
    one. `emails` are those (as hashes) of people who will be created.
    """

    base: Base
    everything: bool = False
    going: set[Key] = field(default_factory=set)
    stuck: set[Key] = field(default_factory=set)
    outside: set[Key] = field(default_factory=set)
    persons: dict[str, str] = field(default_factory=dict)
    emails: set[int] = field(default_factory=set)
    _behind: dict[str, list[Record]] = field(default_factory=dict)

    def keep_out(self, key: Key) -> None:
        """The record will be outside of its filter."""
        if key[0] in PARENTS:
            self.outside.add(key)

    def will_go(self, record: Record, marketo_id: str | None) -> None:
        """The record will be in Marketo, as this person if it is one and there is one already."""
        if record.object in PARENTS:
            self.going.add(record.key) if not self.everything else None
        if marketo_id is None or marketo_id == NEW_PERSON:
            return
        if record.object == "Contact":
            self.persons[record.record_id] = marketo_id
        light = Record(record.object, record.record_id, state="synced", marketo_id=marketo_id, created=record.created)
        self._behind.setdefault(marketo_id, []).append(light)

    async def parents(self, records: Sequence[Record]) -> dict[Key, Record]:
        """The parents of these records as they will be by then; those that will not be there are as they are now."""
        named: set[Key] = {(REF_OBJECT[ref], parent) for record in records for ref in REFS if (parent := record.ref(ref))}
        known = await self.base.records(list(named)) if named else {}
        return {key: self._by_then(known.get(key) or Record(*key)) for key in named}

    def _by_then(self, record: Record) -> Record:
        if record.key in self.outside:
            return replace(record, state="excluded")
        if not record.holds_up and record.key not in self.going:
            return record
        if record.key not in self.going and not (self.everything and record.key not in self.stuck):
            return record
        person = self.persons.get(record.record_id) or record.marketo_id or NEW_PERSON
        return replace(record, state="synced", marketo_id=person if record.object == "Contact" else record.marketo_id)

    @staticmethod
    def by_ref(record: Record, parents: Mapping[Key, Record]) -> dict[Ref, Record]:
        """The record's parents by relation."""
        return {
            ref: parents[key] for ref in REFS if (parent := record.ref(ref)) and (key := (REF_OBJECT[ref], parent)) in parents
        }

    # ── what the resolver asks

    async def records(self, keys: Sequence[Key]) -> dict[Key, Record]:
        """Known records."""
        return await self.base.records(keys)

    async def sharers(self, marketo_ids: Sequence[str]) -> dict[str, list[Record]]:
        """Living people behind Marketo ids, now and by then."""
        found = {marketo_id: list(people) for marketo_id, people in (await self.base.sharers(marketo_ids)).items()}
        for marketo_id in marketo_ids:
            known = {record.key for record in found.get(marketo_id, [])}
            found.setdefault(marketo_id, []).extend(each for each in self._behind.get(marketo_id, []) if each.key not in known)
        return {marketo_id: people for marketo_id, people in found.items() if people}

    async def shared(self, persons: Sequence[tuple[str, Key]]) -> dict[str, list[Record]]:
        """The same, for those of the Marketo ids behind which others stand than the record named with each."""
        found = await self.sharers([marketo_id for marketo_id, _ in persons])
        others = {marketo_id for marketo_id, key in persons for record in found.get(marketo_id, []) if record.key != key}
        return {marketo_id: people for marketo_id, people in found.items() if marketo_id in others}

    async def kept_people(self, marketo_ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Marketo fields of people who were kept, by Marketo ids, that gone records filled."""
        return await self.base.kept_people(marketo_ids)

    async def perhaps_created(self, keys: Sequence[Key]) -> set[Key]:  # noqa: ARG002 - the resolver's signature
        """Nobody waits for anybody in a plan."""
        return set()

    async def sharing_role(self, sent_key: str, record_id: str) -> int:
        """How many other contact roles stand behind the same Marketo role."""
        return await self.base.sharing_role(sent_key, record_id)


@dataclass(slots=True)
class WideSearch:
    """Finds leads, and asks for all their mapped fields at once: what they hold now then needs no call of its own."""

    asking: Asking
    fields: Sequence[str] = ()
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def find(
        self, obj: Literal["leads"], filter_type: str, values: Sequence[str], fields: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Leads by the values of one field."""
        wide = sorted({*fields, *self.fields})
        found = await self.asking.edge.marketo.find(obj, filter_type, values, wide)
        self.rows.update({str(row["id"]): row for row in found if "id" in row})
        return found
