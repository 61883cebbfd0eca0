"""What would be sent: the daemon's own plan and its own search for people, and each payload beside what Marketo holds now.

    claimed ──plan──▶ people ──resolver──▶ create · adopt · update · share · conflict ─┐
                      others ──────────────────────────────────────────────────────────┼─▶ differences to what is there
                      deletes ─────────────────────────────────────────────────────────┘

Nothing is sent and nothing is written. Whoever calls goes through the objects parents first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from store.model import PEOPLE, Claimed, Key, ObjectName, Record
from stream.comparing.asking import Asking
from stream.comparing.difference import FieldDifference
from stream.comparing.foreseen import NEW_PERSON, Foreseen, WideSearch
from stream.comparing.held import Held, Place, Row
from stream.comparing.same import differing
from stream.config.model import Settings
from stream.delivery import people
from stream.delivery.batch import Item
from stream.delivery.lookups import SalesforcePeople
from stream.delivery.meetings import order_of
from stream.delivery.people import Resolution, Resolver
from stream.delivery.people_calls import take_over
from stream.edges import rules
from stream.mapping import EXTERNAL_ID, ObjectMapping
from stream.plan import Converted, Done, Merge, Plan, Refuse, Remove, Rules, Upsert, plan, sales_person

Action = Literal["create", "update", "adopt", "conflict", "delete", "share", "nothing", "refused", "blocked", "later"]
"""adopt: found by email · conflict: several people match · share: another record sends the fields of their person ·
nothing: Marketo has all of it · refused: Marketo would not take it · blocked: it waits for a dead letter · later: it has to be
read once more."""
ACTIONS: tuple[Action, ...] = (
    "create",
    "update",
    "adopt",
    "conflict",
    "delete",
    "share",
    "nothing",
    "refused",
    "blocked",
    "later",
)


@dataclass(frozen=True, slots=True)
class Planned:
    """One payload. In `fields`, `marketo` is what is there now, `salesforce` what would be: for the terminal only."""

    key: Key
    action: Action
    marketo_id: str | None = None
    cause: str = ""
    fields: Sequence[FieldDifference] = ()


@dataclass(slots=True)
class Preview:
    """One plan. `totals` are complete as far as it has gone."""

    settings: Settings
    asking: Asking
    foreseen: Foreseen
    totals: dict[ObjectName, Counter[Action]] = field(default_factory=dict)
    _rules: Rules = field(init=False)
    _search: WideSearch = field(init=False)
    _resolver: Resolver = field(init=False)
    _held: Held = field(init=False)

    def __post_init__(self) -> None:
        """Take the rules by which the daemon sends, and its search."""
        edge = self.asking.edge
        self._rules = rules(self.settings, edge.filters)
        self._search, self._held = WideSearch(self.asking), Held(self.asking, self._rules.deleted_field)
        share = self.settings.deliver.shared_email == "share"
        self._resolver = Resolver(
            self._search, self.foreseen, SalesforcePeople(edge.salesforce), share=share, merge=self.settings.deliver.merge_people
        )

    def count(self, obj: ObjectName, planned: Planned) -> Planned:
        """Add one to the totals."""
        self.totals.setdefault(obj, Counter())[planned.action] += 1
        return planned

    def is_sales_person(self, claimed: Claimed) -> bool:
        """Whether a user is one by itself, also where it owns nothing."""
        return sales_person(claimed, self._rules)

    async def page(self, obj: ObjectName, claimed: Sequence[Claimed], mapping: ObjectMapping) -> list[Planned]:
        """What would become of these, at most 300 of one object; raises what the services answer with."""
        found: list[Planned] = []
        items: list[Item] = []
        for each in claimed:
            planned = plan(each, mapping, self._rules)
            if (waits := self._blocked(each)) is not None:
                found.append(waits)
            elif isinstance(planned, Upsert | Remove):
                items.append(Item(each, planned, dict(planned.fields if isinstance(planned, Upsert) else planned.key)))
            else:
                found.append(self._without_call(each, planned))
        upserts = [item for item in items if isinstance(item.plan, Upsert)]
        removals = [item for item in items if isinstance(item.plan, Remove)]
        found += await (self._people(obj, upserts, mapping) if obj in PEOPLE else self._others(obj, upserts, mapping))
        found += await self._removals(obj, removals, mapping)
        return [self.count(obj, each) for each in found]

    def _blocked(self, claimed: Claimed) -> Planned | None:
        """What waits for a record that will not go."""
        if claimed.entry.pending.kind == "delete":
            return None
        for parent in claimed.parents.values():
            if parent.holds_up:
                self.foreseen.stuck.add(claimed.record.key)
                return Planned(claimed.record.key, "blocked", claimed.record.marketo_id, f"it waits for {' '.join(parent.key)}")
        return None

    def _without_call(self, claimed: Claimed, planned: Plan) -> Planned:
        key, marketo_id = claimed.record.key, claimed.record.marketo_id
        if isinstance(planned, Refuse):
            self.foreseen.stuck.add(key)
            return Planned(key, "refused", marketo_id, f"{planned.code}: {planned.cause}")
        if isinstance(planned, Converted):
            return Planned(key, "nothing", marketo_id, f"it lives on as Contact {planned.contact_id}")
        if isinstance(planned, Merge):
            return Planned(key, "share", marketo_id, f"its Marketo person becomes that of {' '.join(planned.winner)}")
        if isinstance(planned, Done):
            return Planned(key, "nothing", marketo_id, planned.why)
        return Planned(key, "later", marketo_id, getattr(planned, "why", ""))

    # ── people

    async def _people(self, obj: ObjectName, items: list[Item], mapping: ObjectMapping) -> list[Planned]:
        """Where the resolver would lead them, and what their person holds now."""
        if not items:
            return []
        self._search.fields, self._search.rows = self._held.fields(obj, mapping), {}
        items.sort(key=lambda item: order_of(item.claimed.record))
        resolution = await self.asking.patiently(lambda: self._resolver.resolve(items))
        for item, filled in resolution.takeovers:
            take_over(item, filled, lambda claimed: plan(claimed, mapping, self._rules))
        await self._see(resolution.update)
        found = [self._updated(item, resolution, mapping) for item in resolution.update]
        found += [self._created(item, mapping, alone=False) for item in resolution.create]
        found += [self._created(item, mapping, alone=True) for item in resolution.duplicate]
        for item, marketo_id, carrier in resolution.carried:
            self.foreseen.will_go(item.claimed.record, marketo_id)
            found.append(_planned(item, "share", marketo_id, f"{' '.join(carrier)} sends the fields of their Marketo person"))
        found += [_planned(item, "share", None, why) for item, why in resolution.deferred]
        found += [_planned(item, "later", None, why) for item, why in resolution.waiting]
        found += [_planned(item, "later", None, "it shares its Marketo person no longer") for item in resolution.parted]
        for item, met in resolution.meetings:
            self.foreseen.will_go(item.claimed.record, met.winner)
            why = f"leads {', '.join(met.losers)} are merged into it first: their records have one email now"
            found.append(_planned(item, "share", met.winner, why))
        for item, refuse in resolution.refused:
            self.foreseen.stuck.add(item.claimed.record.key)
            found.append(_planned(item, "conflict", None, f"{refuse.code}: {refuse.cause}"))
        return found

    async def _see(self, items: Sequence[Item]) -> None:
        """Ask for people of whom only the id was known."""
        unseen = [str(item.body["id"]) for item in items if str(item.body["id"]) not in self._search.rows]
        if unseen:
            await self.asking.patiently(lambda: self._search.find("leads", "id", unseen, ("id",)))

    def _updated(self, item: Item, resolution: Resolution, mapping: ObjectMapping) -> Planned:
        marketo_id = str(item.body["id"])
        self.foreseen.will_go(item.claimed.record, marketo_id)
        action: Action = "adopt" if item.entry_id in resolution.adopted else "update"
        row = self._search.rows.get(marketo_id)
        if row is None:
            return _planned(item, "later", marketo_id, "its Marketo person is not there any more: it is looked for again")
        return _planned(item, action, marketo_id, "", _changes(item.body, row, mapping))

    def _created(self, item: Item, mapping: ObjectMapping, *, alone: bool) -> Planned:
        """Somebody new, unless one who is new too, and goes first, has the same email."""
        self.foreseen.will_go(item.claimed.record, NEW_PERSON)
        email = people.email_of(item)
        if email and not alone and self._resolver.share:
            if hash(email) in self.foreseen.emails:
                return _planned(item, "share", None, "somebody who is created before it has the same email")
            self.foreseen.emails.add(hash(email))
        return _planned(item, "create", None, "", _changes(item.body, {}, mapping))

    # ── the others

    async def _others(self, obj: ObjectName, items: Sequence[Item], mapping: ObjectMapping) -> list[Planned]:
        rows = await self._held.rows(obj, [_place(item) for item in items], mapping) if items else {}
        return [self._keyed(item, rows.get(item.claimed.record.record_id, []), mapping) for item in items]

    def _keyed(self, item: Item, rows: Sequence[Row], mapping: ObjectMapping) -> Planned:
        record = item.claimed.record
        self.foreseen.will_go(record, None)
        marketo_id = str(rows[0].get("id") or rows[0].get("marketoGUID") or "") or None if rows else None
        body = {name: None if _is_new(name, value) else value for name, value in item.body.items()}
        cause = "its contact's Marketo person is new, too" if body != item.body else ""
        return _planned(item, "update" if rows else "create", marketo_id, cause, _changes(body, rows[0] if rows else {}, mapping))

    async def _removals(self, obj: ObjectName, items: Sequence[Item], mapping: ObjectMapping) -> list[Planned]:
        shared = await self.foreseen.sharers([record.marketo_id for item in items if (record := item.claimed.record).marketo_id])
        alone = [item for item in items if not await self._carried_on(item, shared)]
        found = [_planned(item, "nothing", None, "another record carries it on") for item in items if item not in alone]
        carriers = await self._carriers(alone) if obj in PEOPLE else {}
        rows = await self._held.rows(obj, [_gone(item) for item in alone], mapping) if alone else {}
        for item in alone:
            marketo_id = item.claimed.record.marketo_id
            if carrier := carriers.get(marketo_id or ""):
                found.append(_planned(item, "nothing", marketo_id, f"{' '.join(carrier)} carries its Marketo person on"))
            elif rows.get(item.claimed.record.record_id):
                found.append(_planned(item, "delete", marketo_id, ""))
            else:
                found.append(_planned(item, "nothing", marketo_id, "Marketo does not have it"))
        return found

    async def _carriers(self, items: Sequence[Item]) -> dict[str, Key]:
        """Who else's id the people of gone records carry in Marketo by now."""
        ids = [record.marketo_id for item in items if (record := item.claimed.record).marketo_id]
        own = [item.claimed.record.record_id for item in items]
        return await self.asking.patiently(lambda: self._resolver.carriers_of(ids, own)) if ids else {}

    async def _carried_on(self, item: Item, shared: Mapping[str, Sequence[Record]]) -> bool:
        """Whether another living record stands behind the same person or role."""
        record = item.claimed.record
        if record.object in PEOPLE:
            return any(other.key != record.key for other in shared.get(record.marketo_id or "", []))
        return bool(record.sent_key and await self.foreseen.sharing_role(record.sent_key, record.record_id))


def _planned(item: Item, action: Action, marketo_id: str | None, cause: str, fields: Sequence[FieldDifference] = ()) -> Planned:
    return Planned(item.claimed.record.key, action, marketo_id, cause, fields)


def _changes(body: Mapping[str, Any], row: Mapping[str, Any], mapping: ObjectMapping) -> list[FieldDifference]:
    """What the payload would change of what is there."""
    sources = {target.name: source for source, target in mapping.targets.items()}
    wanted = {name: value for name, value in body.items() if name != "id"}
    return [
        FieldDifference(name, sources.get(name, ""), salesforce=should, marketo=holds)
        for name, (should, holds) in sorted(differing(wanted, row, mapping).items())
    ]


def _is_new(name: str, value: Any) -> bool:
    return name == "leadId" and str(value) == NEW_PERSON


def _place(item: Item) -> Place:
    """Where what is there now is found; nothing is there of a role whose person is new."""
    key = item.plan.key if isinstance(item.plan, Upsert) else ""
    return Place(item.claimed.record.record_id, key="" if _is_new("leadId", item.body.get("leadId")) else key)


def _gone(item: Item) -> Place:
    record: Record = item.claimed.record
    own = EXTERNAL_ID.get(record.object)
    key = record.sent_key or "" if own is None else ""
    return Place(record.record_id, record.marketo_id, key, carried=record.object in PEOPLE and bool(record.marketo_id))
