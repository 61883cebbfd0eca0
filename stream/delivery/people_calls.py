"""One round of leads and contacts: resolved, then updated by id, created, or acknowledged as carried by another record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from store.model import UNSURE, WAITS_FOR_ROOM, Ack, Claimed, Dead, HandOver, Key, Record, RecordState, Retry
from store.store import Store
from stream.delivery import people
from stream.delivery.batch import Batch, Call, Item, Proof, Verdict, judged
from stream.delivery.exclusion import Exclusion
from stream.delivery.joining import Joining
from stream.delivery.meetings import order_of
from stream.delivery.new_people import NewPeople, next_day
from stream.delivery.people import LookupFailed, Resolution, Resolver
from stream.delivery.poison import Poison
from stream.delivery.settle import Settled, back
from stream.delivery.spared import held_by, spare
from stream.errors import StreamError
from stream.marketo.answers import RecordResult
from stream.marketo.client import MarketoClient
from stream.marketo.outcomes import judge_error
from stream.marketo.pace import Pace
from stream.operating.dead import moment
from stream.plan import Plan, Upsert

log = structlog.get_logger(__name__)

DEFER_MS = 1000

Replan = Callable[[Claimed], Plan]


@dataclass(slots=True)
class PeopleCalls:
    """How people are sent. `searchable`: what the lead describe names as lookup fields."""

    store: Store
    marketo: MarketoClient
    resolver: Resolver
    exclusion: Exclusion
    max_attempts: int
    pace: Pace
    partition: str
    proof: Proof
    poison: Poison
    new_people: NewPeople
    joining: Joining
    external_id_lookup: bool = False

    async def send(
        self, items: Sequence[Item], held: set[str], settled: Settled, replan: Replan, *, now_ms: int
    ) -> list[Verdict]:
        """Send one round whose keys are held; what needs no call is settled at once, the verdicts on the rest are returned."""
        await self._refresh(items)
        items = self._with_room(self._whole(items, settled, now_ms), settled, now_ms)
        try:
            resolution = await self.resolver.resolve(items)
            there = await held_by(self.marketo, "Lead", resolution.update)
        except LookupFailed as error:
            log.warning("lookup_failed", cause=str(error), records=len(items))
            for item in items:
                settled.add(back(item, now_ms + DEFER_MS * 10, cause=error.message))
            return []
        except StreamError as error:
            return await self._unresolved(items, error, held, settled, replan, now_ms=now_ms)
        settled.follow_ups += resolution.follow_ups
        self._without_calls(resolution, settled, now_ms)
        await self._carried(resolution, held, settled, now_ms)
        for item, meeting in resolution.meetings:
            await self.joining.merge(item, meeting, held, settled, now_ms)
        for item, filled in resolution.takeovers:
            take_over(item, filled, replan)
        for item in resolution.update:
            spare(item, there.get(item.entry_id, {}))
            self.new_people.settle(item.claimed.record.record_id, created=True)
        updates = self._free(resolution, held, settled, now_ms)
        verdicts = await self._batch(self._update(), creates=False).send(updates) if updates else []
        resolution.create = await self._without_origin(resolution, held, settled, now_ms)
        return verdicts + await self._create(resolution, settled, now_ms)

    async def _refresh(self, items: Sequence[Item]) -> None:
        """A person may have been found or handed over while this round waited for its turn."""
        known = await self.store.marketo_ids([item.claimed.record.key for item in items])
        for item in items:
            item.claimed.record.marketo_id = known[item.claimed.record.key]

    @staticmethod
    def _whole(items: Sequence[Item], settled: Settled, now_ms: int) -> list[Item]:
        """Without those that lost their person meanwhile and know only what changed: nobody is created from a part."""
        kept: list[Item] = []
        for item in items:
            entry = item.claimed.entry
            if item.claimed.record.marketo_id or entry.pending.whole or entry.pending.kind == "delete":
                kept.append(item)
            else:
                settled.add(Retry(entry.entry_id, entry.key, now_ms, read="its Marketo person is another now"))
        return kept

    def _with_room(self, items: Sequence[Item], settled: Settled, now_ms: int) -> list[Item]:
        """Without those who were looked for before, and for whom there is still no room today."""
        kept: list[Item] = []
        for item in items:
            waits = item.claimed.entry.code == WAITS_FOR_ROOM and item.claimed.record.marketo_id is None
            if waits and not self.new_people.left(now_ms / 1000):
                self._wait_for_room(item, settled, now_ms)
            else:
                kept.append(item)
        return kept

    def _wait_for_room(self, item: Item, settled: Settled, now_ms: int) -> None:
        limit, due = self.new_people.limit, next_day(now_ms / 1000)
        cause = f"Marketo takes {limit} new people a day (deliver.max_new_people_a_day), and more wait for the next"
        settled.add(back(item, int(due * 1000), code=WAITS_FOR_ROOM, cause=cause))
        settled.waiting = True
        if self.new_people.say(now_ms / 1000):
            log.warning(
                "new_people_wait", limit=limit, until=moment(due), cure="is a filter wrong? else it goes on by itself tomorrow"
            )

    async def _unresolved(
        self, items: Sequence[Item], error: StreamError, held: set[str], settled: Settled, replan: Replan, *, now_ms: int
    ) -> list[Verdict]:
        """Marketo refused the question: where one record's value is to blame, the others are asked for without it."""
        if self.poison.stopped:
            return [Verdict(item, None, None) for item in items]
        attempt = max(item.claimed.entry.attempts for item in items) + 1
        judgement = judge_error(error, batch=1, operation="upsert", attempt=attempt, max_attempts=self.max_attempts)
        if judgement.counted and len(items) > 1:
            middle = len(items) // 2
            first = await self.send(items[:middle], held, settled, replan, now_ms=now_ms)
            return first + await self.send(items[middle:], held, settled, replan, now_ms=now_ms)
        return [judged(self.poison, Verdict(item, None, judgement)) for item in items]

    def _without_calls(self, resolution: Resolution, settled: Settled, now_ms: int) -> None:
        for item, why in resolution.deferred:
            settled.add(back(item, now_ms + DEFER_MS, cause=why))
        for item, why in resolution.waiting:
            settled.add(back(item, now_ms + DEFER_MS * 10, cause=why))
        for item, refuse in resolution.refused:
            if self.poison.stopped:
                settled.add(back(item, now_ms))
                continue
            self.poison.note(refuse.code)
            settled.add(Dead(item.entry_id, item.claimed.entry.key, refuse.code, refuse.cause, refuse.cure))
        for item in resolution.parted:
            why = "no longer shares a Marketo person"
            settled.add(Retry(item.entry_id, item.claimed.entry.key, now_ms, read=why, forget_marketo_id=True))
            log.info("person_parted", object=item.claimed.record.object, id=item.claimed.record.record_id)
        settled.left += resolution.left

    async def _carried(self, resolution: Resolution, held: set[str], settled: Settled, now_ms: int) -> None:
        """Records whose fields another one sends are done, unless that one is about to go, or gone."""
        living = await self.store.sharers([marketo_id for _, marketo_id, _ in resolution.carried]) if resolution.carried else {}
        for item, marketo_id, carrier in resolution.carried:
            key = f"id:{marketo_id}"
            free = key in held or self.exclusion.extend(held, key)
            if not free or all(other.key != carrier for other in living.get(marketo_id, [])):
                settled.add(back(item, now_ms + DEFER_MS, cause="who carries the same Marketo person is under way"))
                continue
            if item.claimed.entry.pending.doubt and isinstance(item.plan, Upsert):
                filled = item.plan.filled | item.plan.emptied
                why = "another record of its Marketo person perhaps filled fields that it lacks"
                settled.handovers.append(HandOver(item.claimed.record.key, carrier, marketo_id, filled, why))
            why = f"{carrier[0]} {carrier[1]} sends the fields of their Marketo person"
            settled.add(Ack(item.entry_id, item.claimed.entry.key, marketo_id=marketo_id, did="shared", why=why))
            log.info("person_shared", object=item.claimed.record.object, id=item.claimed.record.record_id, marketo_id=marketo_id)

    def _free(self, resolution: Resolution, held: set[str], settled: Settled, now_ms: int) -> list[Item]:
        """The updates whose Marketo person no other batch is at work on."""
        free: list[Item] = []
        for item in resolution.update:
            key = f"id:{item.body['id']}"
            if key in held or self.exclusion.extend(held, key):
                free.append(item)
            else:
                settled.add(back(item, now_ms + DEFER_MS, cause="another change of the same Marketo person is under way"))
        return free

    async def theirs(self, items: Sequence[Item], settled: Settled, now_ms: int) -> tuple[list[Item], list[Verdict]]:
        """Without gone people whose person another living record carries in Marketo: that one has it now, and it stays.

        A daemon that was killed may have given it away and not have noted so. Verdicts on those of whom nothing could be learnt.
        """
        gone = {item.entry_id for item in items if item.claimed.entry.pending.kind == "delete" and item.claimed.record.marketo_id}
        leaving = [item for item in items if item.entry_id in gone]
        others = [item for item in items if item.entry_id not in gone]
        ids = {item.claimed.record.marketo_id or "" for item in leaving}
        try:
            carriers = await self.resolver.carriers_of(ids, {item.claimed.record.record_id for item in leaving})
        except LookupFailed as error:
            for item in leaving:
                settled.add(back(item, now_ms + DEFER_MS * 10, cause=error.message))
            return others, []
        except StreamError as error:
            attempt = max(item.claimed.entry.attempts for item in leaving) + 1
            judgement = judge_error(error, batch=1, operation="delete", attempt=attempt, max_attempts=self.max_attempts)
            return others, [Verdict(item, None, judgement) for item in leaving]
        for item in leaving:
            record = item.claimed.record
            carrier = carriers.get(record.marketo_id or "")
            if carrier is None:
                others.append(item)
            else:
                why = "carries the Marketo person from now on"
                settled.handovers.append(HandOver(record.key, carrier, record.marketo_id, record.filled, why))
                settled.add(carried_on(item))
        return others, []

    async def heir(self, record: Record) -> HandOver | None:
        """The Marketo person of a record that is gone goes to the first other record that shares it; None where none does.

        Who is about to go as well comes last.
        """
        if record.marketo_id is None:
            return None
        sharers = (await self.store.sharers([record.marketo_id])).get(record.marketo_id, [])
        others = sorted((other for other in sharers if other.key != record.key), key=order_of)
        going = await self.store.going([other.key for other in others]) if len(others) > 1 else set()
        others.sort(key=lambda other: other.key in going)
        why = "carries the Marketo person it shared from now on"
        return HandOver(record.key, others[0].key, record.marketo_id, record.filled, why) if others else None

    async def delete(self, keys: Sequence[Mapping[str, Any]]) -> list[RecordResult]:
        """Delete people by their Marketo ids. Where only a Salesforce id is named, that is looked up."""
        asked = [str(key["externalPersonId"]) for key in keys if "id" not in key]
        rows = await self.resolver.by_external_ids(asked)
        known = {str(row["externalPersonId"]).lower(): row["id"] for row in rows if row.get("externalPersonId") and "id" in row}
        ids = [key["id"] if "id" in key else known.get(str(key["externalPersonId"]).lower()) for key in keys]
        sent = [{"id": marketo_id} for marketo_id in ids if marketo_id is not None]
        results = iter(await self.marketo.delete("leads", sent) if sent else [])
        return [RecordResult("deleted") if marketo_id is None else next(results) for marketo_id in ids]

    async def _without_origin(self, resolution: Resolution, held: set[str], settled: Settled, now_ms: int) -> list[Item]:
        """Who may be created: not a contact whose lead, which it was converted from, may just be creating its person."""
        leads: dict[int, Key] = {entry_id: ("Lead", lead) for entry_id, lead in resolution.origins.items()}
        free = {key for key in leads.values() if f"ext:{key[1]}" in held or self.exclusion.extend(held, f"ext:{key[1]}")}
        known = await self.store.records(list(leads.values())) if leads else {}
        busy = await self.store.at_work(list(leads.values())) if leads else set()
        kept: list[Item] = []
        for item in resolution.create:
            lead = leads.get(item.entry_id)
            record = known.get(lead) if lead else None
            if lead and (lead not in free or (record is not None and (record.marketo_id or lead in busy))):
                settled.add(back(item, now_ms + DEFER_MS, cause="the lead it was converted from is under way"))
            else:
                kept.append(item)
        return kept

    async def _create(self, resolution: Resolution, settled: Settled, now_ms: int) -> list[Verdict]:
        """Create as many as may be today; where some are refused, others take their room."""
        verdicts: list[Verdict] = []
        create, duplicate = resolution.create, resolution.duplicate
        while room := self.new_people.take((item.claimed.record.record_id for item in (*create, *duplicate)), now_ms / 1000):
            for name, value in self.new_people.news().items():
                await self.store.put_note(name, value)
            sent = [[item for item in items if item.claimed.record.record_id in room] for items in (create, duplicate)]
            verdicts += await self._create_some(*sent)
            create, duplicate = (
                [item for item in items if item.claimed.record.record_id not in room] for items in (create, duplicate)
            )
        for item in (*create, *duplicate):
            self._wait_for_room(item, settled, now_ms)
        return verdicts

    async def release(self, settled: Settled, now_ms: int) -> None:
        """Whoever waits for another day and has room today after all waits no longer; `settled` is in the store."""
        self.new_people.someone_waits |= settled.waiting
        left = self.new_people.left(now_ms / 1000)
        if self.new_people.someone_waits and left and await self.store.release_people(now_ms, left) < left:
            self.new_people.someone_waits = False

    async def _create_some(self, create: Sequence[Item], duplicate: Sequence[Item]) -> list[Verdict]:
        """Create them all, in as many calls as it takes."""
        verdicts = await self._create_all(create, duplicate)
        for verdict in verdicts:
            self._count(verdict)
        return verdicts

    def _count(self, verdict: Verdict) -> None:
        """Only who was created stays counted; of whom nobody knows, that is found out later."""
        if verdict.outcome is None or verdict.outcome.code not in UNSURE:
            created = verdict.result is not None and verdict.result.status == "created"
            self.new_people.settle(verdict.item.claimed.record.record_id, created=created)

    async def _create_all(self, create: Sequence[Item], duplicate: Sequence[Item]) -> list[Verdict]:
        by_email = [item for item in create if people.email_of(item)]
        without = [item for item in create if not people.email_of(item)]
        verdicts: list[Verdict] = []
        if by_email:
            verdicts += await self._batch(self._new("createOnly", "email"), creates=True).send(by_email)
        if duplicate:
            verdicts += await self._batch(self._new("createDuplicate", "email"), creates=True).send(duplicate)
        if without and self.external_id_lookup:
            keyed = self._batch(self._new("createOrUpdate", "externalPersonId"), creates=True)
            keyed.reshape = lambda: self._new("createDuplicate", "email")
            verdicts += await keyed.send(without)
        elif without:
            verdicts += await self._batch(self._new("createDuplicate", "email"), creates=True).send(without)
        return verdicts

    def _batch(self, call: Call, *, creates: bool) -> Batch:
        return Batch(
            call,
            "upsert",
            self.max_attempts,
            others_pass=self.proof,
            poison=self.poison,
            creates=creates,
            most_records=lambda: self.pace.batch_size.value,
        )

    def _update(self) -> Call:
        async def call(records: Sequence[Mapping[str, Any]]) -> list[RecordResult]:
            return await self.marketo.sync("leads", records, action="updateOnly", lookup_field="id")

        return call

    def _new(self, action: Any, lookup_field: str) -> Call:
        async def call(records: Sequence[Mapping[str, Any]]) -> list[RecordResult]:
            return await self.marketo.sync(
                "leads", records, action=action, lookup_field=lookup_field, partition=self.partition or None
            )

        return call


def carried_on(item: Item) -> Ack:
    """Gone, and its Marketo person stays."""
    why = "another record carries its Marketo person on"
    state: RecordState = "excluded" if item.claimed.entry.pending.left else "deleted"
    return Ack(item.entry_id, item.claimed.entry.key, state=state, forget_marketo_id=True, why=why)


def take_over(item: Item, filled: frozenset[str], replan: Replan) -> None:
    """The item carries a person that another record has filled: it answers for those fields too, and empties what it lacks."""
    item.claimed.record.filled |= filled
    again = replan(item.claimed)
    if isinstance(again, Upsert):
        item.plan, item.body = again, {**again.fields, "id": item.body["id"]}
