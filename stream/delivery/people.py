"""Leads and contacts to Marketo people: found before they are created, shared by rule, never created twice.

    known Marketo id ───────────────────────────────────────────────▶ update by id
    else by externalPersonId ── found ──────────────────────────────▶ update by id
    else (contact) the lead it was converted from ── has a person ──▶ update by id
    else by email ── one, and free ─────────────────────────────────▶ adopt: update by id
                  ├─ one, of another living record ─────────────────▶ share: the first of both carries it
                  └─ several ───────────────────────────────────────▶ dead letter
    else ───────────────────────────────────────────────────────────▶ create
    found, and its email is another living record's person's ───────▶ meet: the two people become one (`meetings.py`)

Source: facts on leads in Adobe's "Leads" and "Sales Insight for Non-Native Salesforce Integrations". Whoever calls holds the
exclusion keys of all items, so that no other request can create or change the same people meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import structlog

from store.model import Change, Key, ObjectName, Record
from stream.delivery.batch import Item
from stream.delivery.meetings import Meeting, meeting, order_of
from stream.errors import MarketoError, StreamError
from stream.ids import widen
from stream.plan import Refuse, Upsert

log = structlog.get_logger(__name__)

FIELDS = ("id", "externalPersonId", "email")
NO_FILTER_CODE = "1011"


class LeadSearch(Protocol):
    """What is asked of Marketo."""

    async def find(
        self, obj: Literal["leads"], filter_type: str, values: Sequence[str], fields: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Leads by the values of one field."""
        ...


class Known(Protocol):
    """What is asked of the store."""

    async def records(self, keys: Sequence[Key]) -> dict[Key, Record]:
        """Known records."""
        ...

    async def sharers(self, marketo_ids: Sequence[str]) -> dict[str, list[Record]]:
        """Living people behind Marketo ids."""
        ...

    async def shared(self, persons: Sequence[tuple[str, Key]]) -> dict[str, list[Record]]:
        """The same, for those of the Marketo ids behind which others stand than the record named with each."""
        ...

    async def kept_people(self, marketo_ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Marketo fields of people who were kept, by Marketo ids, that gone records filled."""
        ...

    async def perhaps_created(self, keys: Sequence[Key]) -> set[Key]:
        """Those of the records without a person for whom one was perhaps created, and who are looked for again soon."""
        ...


@dataclass(frozen=True, slots=True)
class Living:
    """What Salesforce says of a person: `converted_to` where a lead has become this contact."""

    key: Key
    created: str | None
    converted_to: str | None = None


class LookupFailed(StreamError):
    """Salesforce could not be asked what must be known before a person is created; Marketo is not to blame."""

    heals_itself = True


class People(Protocol):
    """What is asked of Salesforce. Its errors come as LookupFailed."""

    async def living(self, keys: Sequence[Key]) -> dict[Key, Living]:
        """Those of the people that exist in Salesforce."""
        ...

    async def converted_from(self, contact_ids: Sequence[str]) -> dict[str, str]:
        """Contact id → the lead that was converted into it."""
        ...

    async def emails(self, keys: Collection[Key]) -> dict[Key, str]:
        """The emails of those that exist and have one, as Marketo compares them; of a converted lead none."""
        ...


@dataclass(slots=True)
class Resolution:
    """Where the items of one round go. `carried` are shared people whose fields another record, which is named, sends.

    `takeovers` name the Marketo fields that were filled for other records of an item's person, gone ones too. `parted` share
    theirs no more, since their email is another now; `left` are those whose person went with such an email. `origins` name the
    leads (by the entry's number) that contacts without a person were converted from; `adopted` are those found by email; `gone`
    is whose person it was, where that one is gone. `meetings` are to be merged before their items can be sent; `waiting` until
    Salesforce can be asked whose email is whose, or it is known for whom a person was created.
    """

    update: list[Item] = field(default_factory=list)
    create: list[Item] = field(default_factory=list)
    duplicate: list[Item] = field(default_factory=list)
    carried: list[tuple[Item, str, Key]] = field(default_factory=list)
    deferred: list[tuple[Item, str]] = field(default_factory=list)
    refused: list[tuple[Item, Refuse]] = field(default_factory=list)
    follow_ups: list[Change] = field(default_factory=list)
    takeovers: list[tuple[Item, frozenset[str]]] = field(default_factory=list)
    parted: list[Item] = field(default_factory=list)
    left: list[Key] = field(default_factory=list)
    origins: dict[int, str] = field(default_factory=dict)
    adopted: set[int] = field(default_factory=set)
    gone: dict[int, Key] = field(default_factory=dict)
    meetings: list[tuple[Item, Meeting]] = field(default_factory=list)
    waiting: list[tuple[Item, str]] = field(default_factory=list)


def person_object(record_id: str) -> ObjectName | None:
    """Contact or Lead by the id's prefix."""
    return {"003": "Contact", "00Q": "Lead"}.get(record_id[:3])  # type: ignore[return-value] # the two literals


def email_of(item: Item) -> str:
    """The email an item would send, as Marketo compares it."""
    email = item.plan.fields.get("email") if isinstance(item.plan, Upsert) else None
    return email.strip().lower() if isinstance(email, str) else ""


def keys_of(item: Item) -> set[str]:
    """What no other batch may touch while this item is under way."""
    record = item.claimed.record
    keys = {f"ext:{record.record_id}"}
    if record.marketo_id:
        keys.add(f"id:{record.marketo_id}")
    if email := email_of(item):
        keys.add(f"email:{email}")
    return keys


@dataclass(slots=True)
class Resolver:
    """Finds out, for each item, whether its person exists in Marketo. `merge`: whether people who get one email become one."""

    marketo: LeadSearch
    store: Known
    salesforce: People
    share: bool
    merge: bool

    async def resolve(self, items: Sequence[Item]) -> Resolution:
        """Where each item goes. Raises what Marketo, Salesforce or the network answer with; nothing has been changed then."""
        resolution = Resolution()
        ids = {item.entry_id: item.claimed.record.marketo_id for item in items}
        unknown = [item for item in items if ids[item.entry_id] is None]
        unknown = await self._by_external_id(unknown, ids, resolution)
        unknown = await self._by_conversion(unknown, ids, resolution)
        unknown = await self._by_email(unknown, ids, resolution)
        resolution.create += unknown
        found = [(item, marketo_id) for item in items if (marketo_id := ids[item.entry_id]) is not None]
        await self._share(await self._meet(found, resolution) if self.share else found, resolution)
        await self._answer_for_the_gone(resolution)
        return resolution

    async def _answer_for_the_gone(self, resolution: Resolution) -> None:
        """Who comes to a person that was kept when its record went answers for what that one filled.

        Of a record that went before it was known whether Marketo had created its person, the person alone tells whose it was.
        """
        came = [(item, str(item.body["id"])) for item in resolution.update if item.claimed.record.marketo_id is None]
        kept = await self.store.kept_people([marketo_id for _, marketo_id in came]) if came else {}
        known = await self.store.records(list(resolution.gone.values())) if resolution.gone else {}
        for item, marketo_id in came:
            filled = kept.get(marketo_id, frozenset())
            gone = known.get(resolution.gone[item.entry_id]) if item.entry_id in resolution.gone else None
            if gone is not None and gone.state in {"deleted", "excluded"}:
                filled |= gone.filled
            if filled:
                resolution.takeovers.append((item, filled))

    async def _by_external_id(self, items: list[Item], ids: dict[int, str | None], resolution: Resolution) -> list[Item]:
        wanted = [item.claimed.record.record_id for item in items]
        found = _group(await self.by_external_ids(wanted), "externalPersonId")
        rest: list[Item] = []
        for item in items:
            candidates = found.get(item.claimed.record.record_id.lower(), [])
            if not candidates:
                rest.append(item)
            elif len(candidates) == 1:
                ids[item.entry_id], item.searched = str(candidates[0]["id"]), True
            else:
                resolution.refused.append((item, _several(candidates, "externalPersonId")))
        return rest

    async def by_external_ids(self, wanted: Sequence[str]) -> list[dict[str, Any]]:
        """The people who carry these ids; none where Marketo does not search by them (then emails must do)."""
        try:
            return await self.marketo.find("leads", "externalPersonId", wanted, FIELDS) if wanted else []
        except MarketoError as error:
            if error.code != NO_FILTER_CODE:
                raise
            log.warning("external_id_not_searchable", code=error.code)
            return []

    async def _by_conversion(self, items: list[Item], ids: dict[int, str | None], resolution: Resolution) -> list[Item]:
        """A contact that a lead was converted into takes over the lead's person."""
        contacts = [item.claimed.record.record_id for item in items if item.claimed.record.object == "Contact"]
        leads = await self.salesforce.converted_from(contacts) if contacts else {}
        if not leads:
            return items
        known = await self.store.records([("Lead", lead) for lead in leads.values()])
        by_lead = {key[1]: record.marketo_id for key, record in known.items() if record.marketo_id}
        leads = await self._alone(leads, by_lead)
        asked = [lead for lead in leads.values() if lead not in by_lead]
        for row in await self.by_external_ids(asked):
            by_lead.setdefault(str(row.get("externalPersonId") or ""), str(row["id"]))
        rest: list[Item] = []
        for item in items:
            lead = leads.get(item.claimed.record.record_id, "")
            marketo_id = by_lead.get(lead)
            if marketo_id is None:
                rest.append(item)
                if lead:
                    resolution.origins[item.entry_id] = lead
            else:
                ids[item.entry_id] = marketo_id
        return rest

    async def _alone(self, leads: Mapping[str, str], by_lead: Mapping[str, str]) -> dict[str, str]:
        """Without the leads whose person others share: with those it stays, and who has their email finds it by that."""
        behind = await self.store.sharers(list(by_lead.values())) if by_lead else {}
        return {
            contact: lead
            for contact, lead in leads.items()
            if {record.record_id for record in behind.get(by_lead.get(lead, ""), [])} <= {contact, lead}
        }

    async def _by_email(self, items: list[Item], ids: dict[int, str | None], resolution: Resolution) -> list[Item]:
        emails = [email for item in items if (email := email_of(item))]
        found = _group(await self.marketo.find("leads", "email", emails, FIELDS) if emails else [], "email")
        carriers = await self._carriers(found, {item.claimed.record.record_id for item in items})
        behind = {} if self.share else await self.store.sharers([str(row["id"]) for rows in found.values() for row in rows])
        doubtful = await self.store.perhaps_created([key for key, known in carriers.values() if known]) if carriers else set()
        rest: list[Item] = []
        for item in items:
            candidates = found.get(email_of(item), [])
            taken = [row for row in candidates if str(row.get("externalPersonId") or "") in carriers or str(row["id"]) in behind]
            free = [row for row in candidates if row not in taken]
            if not candidates:
                rest.append(item)
            elif not self.share and not free:
                resolution.duplicate.append(item)
            elif len(candidates) == 1 or (not self.share and len(free) == 1):
                chosen = (free or taken)[0]
                carried = str(chosen.get("externalPersonId") or "")
                if carried in carriers and carriers[carried][0] in doubtful:
                    resolution.waiting.append((item, "whoever its Marketo person was perhaps created for goes first"))
                    continue
                if carried not in carriers and (obj := person_object(carried)) is not None and _is_id(carried):
                    resolution.gone[item.entry_id] = (obj, widen(carried))
                ids[item.entry_id], item.searched = str(chosen["id"]), True
                resolution.adopted.add(item.entry_id)
                self._ask_for_carrier(chosen, carriers, resolution)
            else:
                resolution.refused.append((item, _several(candidates, "email")))
        return rest

    async def _carriers(self, found: Mapping[str, list[dict[str, Any]]], own: Collection[str]) -> dict[str, tuple[Key, bool]]:
        """The living records whose ids the candidates carry, and whether the store knows them."""
        named: dict[str, Key] = {}
        for row in (row for rows in found.values() for row in rows):
            carried = str(row.get("externalPersonId") or "")
            obj = person_object(carried)
            if obj is not None and _is_id(carried) and carried not in own:
                named[carried] = (obj, widen(carried))
        records = await self.store.records(list(named.values())) if named else {}
        sure = {key for key, record in records.items() if record.state == "synced"}
        gone = {key for key, record in records.items() if record.state in {"deleted", "converted", "excluded"}}
        asked = [key for key in named.values() if key not in sure and key not in gone]
        living = await self.salesforce.living(asked) if asked else {}
        alive = sure | {key for key, person in living.items() if person.converted_to is None}
        return {carried: (key, key in records) for carried, key in named.items() if key in alive}

    async def carriers_of(self, marketo_ids: Collection[str], own: Collection[str]) -> dict[str, Key]:
        """The living records, other than one's own, whose ids these people carry in Marketo now."""
        rows = await self.marketo.find("leads", "id", sorted(marketo_ids), FIELDS) if marketo_ids else []
        alive = await self._carriers({"": rows}, own)
        carried = {str(row["id"]): str(row.get("externalPersonId") or "") for row in rows if "id" in row}
        return {marketo_id: alive[external][0] for marketo_id, external in carried.items() if external in alive}

    @staticmethod
    def _ask_for_carrier(row: Mapping[str, Any], carriers: Mapping[str, tuple[Key, bool]], resolution: Resolution) -> None:
        """A living record that carries the person and that nobody here has seen is read, so that both are ordered by rule."""
        key, seen = carriers.get(str(row.get("externalPersonId") or ""), (None, True))
        if key is not None and not seen:
            resolution.follow_ups.append(Change(key[0], key[1], read="shares a Marketo person"))

    async def _meet(self, found: Sequence[tuple[Item, str]], resolution: Resolution) -> Sequence[tuple[Item, str]]:
        """Without those whose email other Marketo people have, and in Salesforce the records behind these: they are one now."""
        asked = {item.entry_id: email_of(item) for item, _ in found if item.entry_id not in resolution.adopted and email_of(item)}
        rows = _group(await self.marketo.find("leads", "email", [*asked.values()], FIELDS), "email") if asked else {}
        others = {
            item.entry_id: met
            for item, own in found
            if (met := [row for row in rows.get(asked.get(item.entry_id, ""), []) if str(row["id"]) != own])
        }
        if not others:
            return found
        concerned = [(item, own) for item, own in found if item.entry_id in others]
        behind = await self.store.sharers(
            [own for _, own in concerned] + [str(row["id"]) for met in others.values() for row in met]
        )
        known = {record.key for records in behind.values() for record in records}
        emails = await self._salesforce_emails([item for item, _ in concerned], known, resolution)
        if emails is None:
            return [(item, own) for item, own in found if item.entry_id not in others]
        there = set(await self._emails_of({own for _, own in concerned}))
        for item, own in concerned:
            rows_met = others[item.entry_id]
            joined = meeting(item.claimed.record, own, [str(row["id"]) for row in rows_met], behind, emails)
            if own not in there:
                continue  # that is found out when it is sent
            if joined is not None and self.merge:
                resolution.meetings.append((item, joined))
            else:
                await self._stay_two(item, own, [row for row in rows_met if joined or str(row["id"]) not in behind], resolution)
        meeting_now = {item.entry_id for item, _ in resolution.meetings}
        return [(item, own) for item, own in found if item.entry_id not in meeting_now]

    async def _stay_two(self, item: Item, own: str, rows: Sequence[dict[str, Any]], resolution: Resolution) -> None:
        """Other people in Marketo have its email, too. A living record nobody here has seen is read, and meets it."""
        key = item.claimed.record.key
        carriers = await self._carriers({"": list(rows)}, {key[1]}) if rows else {}
        for row in rows:
            self._ask_for_carrier(row, carriers, resolution)
            log.warning("people_share_email", object=key[0], id=key[1], marketo_id=own, other=str(row["id"]))

    async def _share(self, found: Sequence[tuple[Item, str]], resolution: Resolution) -> None:
        """Of the living records behind one Marketo person, only the first by rule sends its fields.

        They part when their emails part, unless somebody in Marketo has merged them into one. Where an email was perhaps taken
        before, nobody can tell any more whether they did: the others are looked for anew, and what they filled is answered for.
        Those to whom Salesforce gives the same new email stay together.
        """
        others = await self.store.shared([(marketo_id, item.claimed.record.key) for item, marketo_id in found]) if found else {}
        emails = await self._emails_of({marketo_id for item, marketo_id in found if marketo_id in others and _tells_email(item)})
        found, alike = await self._alike(found, others, emails, resolution) if self.share else (found, {})
        taken: set[str] = set()
        for item, marketo_id in sorted(found, key=lambda each: order_of(each[0].claimed.record)):
            record = item.claimed.record
            rest = [other for other in others.get(marketo_id, []) if other.key != record.key]
            if not rest and marketo_id not in taken and not _tells_email(item):  # as almost always
                self._carry(item, marketo_id, taken, resolution)
                continue
            first = min((order_of(other) for other in rest), default=order_of(record))
            moves = self.share and _tells_email(item) and emails.get(marketo_id, email_of(item)) != email_of(item)
            moved = self.share and _tells_email(item) and bool(record.marketo_id and item.claimed.entry.pending.doubt)  # perhaps
            together = alike.get(item.entry_id, frozenset())
            leaving = [other for other in rest if (moves or moved) and other.joined != marketo_id and other.key not in together]
            staying = [other for other in rest if moved or other not in leaving]
            if marketo_id in taken:
                resolution.deferred.append((item, "another record of the same Marketo person goes first"))
            elif order_of(record) > first and moves and record.joined != marketo_id and not self._goes_with(rest, together):
                resolution.parted.append(item)
            elif order_of(record) > first:
                resolution.carried.append((item, marketo_id, min(rest, key=order_of).key))
            else:
                self._carry(item, marketo_id, taken, resolution)
                resolution.left += [other.key for other in leaving]
                if staying:
                    resolution.takeovers.append((item, frozenset[str]().union(*(other.filled for other in staying))))

    @staticmethod
    def _carry(item: Item, marketo_id: str, taken: set[str], resolution: Resolution) -> None:
        """The item sends the person's fields."""
        taken.add(marketo_id)
        item.body["id"] = int(marketo_id)
        resolution.update.append(item)

    @staticmethod
    def _goes_with(rest: Sequence[Record], together: Collection[Key]) -> bool:
        """Whether who carries the person gets the same email."""
        return min(rest, key=order_of).key in together

    async def _alike(
        self,
        found: Sequence[tuple[Item, str]],
        others: Mapping[str, Sequence[Record]],
        emails: Mapping[str, str],
        resolution: Resolution,
    ) -> tuple[Sequence[tuple[Item, str]], dict[int, frozenset[Key]]]:
        """For each entry that changes a shared person's email, perhaps: who behind it has that email too in Salesforce now.

        Without the entries of which that cannot be found out.
        """
        moving = {
            item.entry_id: (item, others[own])
            for item, own in found
            if any(other.key != item.claimed.record.key for other in others.get(own, ()))
            and _tells_email(item)
            and (emails.get(own, email_of(item)) != email_of(item) or item.claimed.entry.pending.doubt)
        }
        if not moving:
            return found, {}
        keys = {record.key for _, records in moving.values() for record in records}
        told = await self._salesforce_emails([item for item, _ in moving.values()], keys, resolution)
        if told is None:
            return [(item, own) for item, own in found if item.entry_id not in moving], {}
        return found, {
            entry_id: frozenset(record.key for record in records if told.get(record.key) == own)
            for entry_id, (item, records) in moving.items()
            if (own := told.get(item.claimed.record.key))
        }

    async def _salesforce_emails(
        self, items: Sequence[Item], keys: Collection[Key], resolution: Resolution
    ) -> dict[Key, str] | None:
        """The emails of these and of the items' records; where Salesforce cannot be asked, the items wait, and nobody else."""
        try:
            return await self.salesforce.emails({*keys, *(item.claimed.record.key for item in items)})
        except LookupFailed as error:
            log.warning("lookup_failed", cause=error.message, records=len(items))
            resolution.waiting += [(item, error.message) for item in items]
            return None

    async def _emails_of(self, marketo_ids: Collection[str]) -> dict[str, str]:
        """The emails of these people as Marketo has them now."""
        rows = await self.marketo.find("leads", "id", sorted(marketo_ids), FIELDS) if marketo_ids else []
        return {str(row["id"]): str(row.get("email") or "").strip().lower() for row in rows if "id" in row}


def _tells_email(item: Item) -> bool:
    return isinstance(item.plan, Upsert) and "email" in item.plan.fields


def _group(rows: Sequence[dict[str, Any]], name: str) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if "id" in row:
            grouped.setdefault(str(row.get(name) or "").strip().lower(), []).append(row)
    return grouped


def _is_id(text: str) -> bool:
    try:
        widen(text)
    except ValueError:
        return False
    return True


def _several(candidates: Sequence[Mapping[str, Any]], name: str) -> Refuse:
    ids = ", ".join(str(row["id"]) for row in candidates[:10])
    return Refuse(
        "1007",
        f"several people in Marketo have this record's {name}: leads {ids}",
        "merge them in Marketo (or set the right one's externalPersonId), then retry this entry",
    )
