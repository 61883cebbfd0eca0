"""One claimed batch, from its plan to what became of every entry in it.

claimed ──plan──▶ items ──▶ rounds that share no person or role ──▶ send ──▶ verdicts ──settle──▶ store
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from store.holds import POISONED
from store.model import PEOPLE, Ack, Change, Claimed, Dead, HandOver, Key, ObjectName, Record, Retry
from store.store import Store
from stream.clock import Clock
from stream.delivery import people
from stream.delivery.batch import Batch, Item, Proof, Verdict, judged
from stream.delivery.exclusion import Exclusion, rounds
from stream.delivery.meetings import order_of
from stream.delivery.merges import Loser, Merges
from stream.delivery.people_calls import PeopleCalls, Replan, carried_on
from stream.delivery.role_calls import ROLE, RoleCalls
from stream.delivery.settle import Settled, Waits, back, settle
from stream.delivery.spared import asks, held_by, spare
from stream.errors import StreamError
from stream.holds import Holds
from stream.mapping import ObjectMapping
from stream.marketo.client import MarketoClient, MarketoObject
from stream.marketo.outcomes import Operation, judge_error
from stream.marketo.pace import Pace
from stream.plan import Converted, Done, Merge, Plan, Refuse, Remove, Reread, Rules, Upsert, plan

log = structlog.get_logger(__name__)

MARKETO_OBJECT: Mapping[ObjectName, MarketoObject] = {
    "User": "salespersons",
    "Account": "companies",
    "Contact": "leads",
    "Lead": "leads",
    "Opportunity": "opportunities",
    "OpportunityContactRole": "opportunities/roles",
}

ANOTHER_PERSON = "another record was merged into it meanwhile: that one's Marketo person goes on with it"
VALUE_CODE = "VALUE"  # refused by the mapping, for Marketo would

EMAIL_CURE = "let the Marketo admin correct the sales person's email: it must equal the Salesforce user's"


@dataclass(slots=True)
class Dispatch:
    """Sends batches; what it needs of the settings is given once. `suspicion` is set when people are not there any more."""

    store: Store
    marketo: MarketoClient
    people_calls: PeopleCalls
    merges: Merges
    rules: Rules
    waits: Waits
    clock: Clock
    max_attempts: int
    pace: Pace
    proof: Proof
    holds: Holds
    suspicion: asyncio.Event
    exclusion: Exclusion = field(default_factory=Exclusion)

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.clock.now() * 1000)

    async def deliver(
        self, obj: ObjectName, claimed: Sequence[Claimed], mapping: ObjectMapping, answered: Callable[[], None]
    ) -> Settled:
        """Send a claimed batch and write down what became of each entry; returns the sum of it.

        `answered` is called where all is sent, went well, and is still to be written down.
        """
        settled = Settled()
        items: list[Item] = []
        merging: dict[Key, list[Claimed]] = {}
        plans: list[tuple[Claimed, Plan]] = []
        for each in await self.merges.follow(claimed, settled):
            if each.entry.pending.doubt:  # whoever takes the person over answers for it too
                each.record.filled |= mapping.names_of(each.entry.pending.doubt)
            plans.append((each, plan(each, mapping, self.rules)))
        for each, planned in await self._found(plans, settled):
            if isinstance(planned, Merge) and not self.holds.poison.stopped:
                merging.setdefault(planned.winner, []).append(each)
            else:
                await self._sort(each, planned, items, settled)
        for winner, losers in merging.items():
            for each in await self.merges.run(winner, losers, settled, self._write):
                each.record.merged_into = None
                await self._sort(each, plan(each, mapping, self.rules), items, settled)
        if obj in PEOPLE:
            items.sort(key=lambda item: order_of(item.claimed.record))

        await self._in_rounds(obj, items, settled, lambda again: plan(again, mapping, self.rules), answered)
        await self._write(settled)
        if obj in PEOPLE:
            await self.people_calls.release(settled, self.now_ms())
        if settled.suspects:
            self.suspicion.set()
        return settled

    async def _in_rounds(
        self, obj: ObjectName, items: Sequence[Item], settled: Settled, replan: Replan, answered: Callable[[], None]
    ) -> None:
        """Send the items, those that share a person or a role one after the other."""
        keys = {item.entry_id: _keys_of(item) for item in items}
        parts = rounds(items, lambda item: keys[item.entry_id])
        for members in parts:
            async with self.exclusion.hold(key for item in members for key in keys[item.entry_id]) as held:
                await self._round(obj, members, held, settled, replan)
                if members is parts[-1] and settled.is_plain:
                    answered()
                await self._write(settled)

    async def _sort(self, claimed: Claimed, planned: Plan, items: list[Item], settled: Settled) -> None:
        """What is to be sent goes to the items; everything else is settled, or goes back where the flow is poisoned."""
        if self.holds.poison.stopped:
            settled.add(Retry(claimed.entry.entry_id, claimed.entry.key, self.now_ms(), tried=False))
        elif isinstance(planned, Upsert | Remove):
            items.append(_item(claimed, planned))
        elif isinstance(planned, Converted):
            await self._convert(claimed, planned, settled)
        else:
            await self._without_calls(claimed, planned, settled)

    async def _write(self, settled: Settled) -> None:
        """Commit what has become of entries so far: other batches may touch the same people only when the store knows."""
        if not (settled.outcomes or settled.follow_ups or settled.handovers or settled.successors):
            return
        outcomes, follow_ups, handovers = settled.outcomes, settled.follow_ups, settled.handovers
        left, successors = settled.left, settled.successors
        settled.outcomes, settled.follow_ups, settled.handovers, settled.left, settled.successors = [], [], [], [], []
        poisoned = self.holds.news()
        refused = await self.store.finish(
            outcomes,
            self.now_ms(),
            follow_ups=follow_ups,
            handovers=handovers,
            left=left,
            successors=successors,
            notes={**self.people_calls.new_people.news(), **({POISONED: poisoned} if poisoned is not None else {})},
        )
        if poisoned is not None:
            self.holds.noted()
        for each in refused:
            log.warning("conversion_left_two_people", lead=each.giver[1], contact=each.taker[1], marketo_id=each.marketo_id)

    async def _convert(self, claimed: Claimed, planned: Converted, settled: Settled) -> None:
        """The lead's person goes to the contact, unless a batch is creating one for it just now: then after that."""
        entry, record = claimed.entry, claimed.record
        contact = await self.store.lives_on(("Contact", planned.contact_id))
        both = self.rules.merge_people and record.marketo_id is not None and contact.marketo_id not in {None, record.marketo_id}
        if both and not await self.merges.run(contact.key, [claimed], settled, self._write):
            return
        keys = {f"ext:{record.record_id}", f"ext:{contact.record_id}"}
        if record.marketo_id:
            keys.add(f"id:{record.marketo_id}")
        async with self.exclusion.hold(keys):
            known = (await self.store.records([record.key])).get(record.key)
            if known is not None and known.marketo_id not in {None, record.marketo_id}:
                settled.add(Retry(entry.entry_id, entry.key, self.now_ms(), cause=ANOTHER_PERSON, tried=False))
                return
            why = f"converted: it lives on as Contact {contact.record_id}"
            settled.add(Ack(entry.entry_id, entry.key, state="converted", forget_marketo_id=True, why=why))
            handover = HandOver(record.key, contact.key, record.marketo_id, record.filled, "converted from a lead")
            heir = await self.people_calls.heir(record)  # whoever shared the lead's person keeps it: the contact may be another
            settled.handovers.append(heir or handover)
            settled.successors.append((record.key, contact.key))
            settled.follow_ups += [Change(*contact.key, read=handover.why)] if heir is not None else []
            await self._write(settled)
        log.info("lead_converted", lead=entry.record_id, contact=contact.record_id, marketo_id=record.marketo_id)

    async def _found(self, plans: Sequence[tuple[Claimed, Plan]], settled: Settled) -> Sequence[tuple[Claimed, Plan]]:
        """Find who was perhaps created for converted leads: their contacts may be gone, and then nobody else would look for them.

        Without those of whom that cannot be told now.
        """
        leads = [Loser(each, each.record) for each, planned in plans if isinstance(planned, Converted)]
        try:
            await self.merges.find(leads)
        except StreamError as error:
            lost = [lead for lead in leads if lead.is_lost]
            attempt = max(lead.claimed.entry.attempts for lead in lost) + 1
            judgement = judge_error(error, batch=1, operation="upsert", attempt=attempt, max_attempts=self.max_attempts)
            self._settle([Verdict(lead.item, None, judgement) for lead in lost], settled)
            unclear = {lead.claimed.entry.entry_id for lead in lost}
            return [(each, planned) for each, planned in plans if each.entry.entry_id not in unclear]
        return plans

    async def _without_calls(self, claimed: Claimed, planned: Plan, settled: Settled) -> None:
        """Entries whose outcome is clear without Marketo."""
        entry = claimed.entry
        if isinstance(planned, Reread):
            settled.add(Retry(entry.entry_id, entry.key, self.now_ms(), counted=planned.counted, read=planned.why))
        elif isinstance(planned, Refuse):
            if planned.code == VALUE_CODE:
                self.holds.poison.note(planned.code)
            settled.add(Dead(entry.entry_id, entry.key, planned.code, planned.cause, planned.cure))
        elif isinstance(planned, Done):
            passed_on = (
                planned.state in {"deleted", "excluded"}
                and entry.object in PEOPLE
                and await self._pass_on(claimed.record, settled)
            )
            forget = passed_on and planned.state == "excluded"  # should it enter again, it is looked for anew
            filled = claimed.record.filled if entry.pending.doubt else frozenset[str]()  # perhaps; whoever adopts it asks
            ack = Ack(entry.entry_id, entry.key, state=planned.state, why=planned.why, forget_marketo_id=forget, filled=filled)
            settled.add(ack)
            log.debug("nothing_to_send", object=entry.object, id=entry.record_id, why=planned.why)

    async def _pass_on(self, record: Record, settled: Settled) -> bool:
        """Where another living record shares the person of one that is gone, that one carries it now; False where none does."""
        heir = await self.people_calls.heir(record)
        if heir is not None:
            settled.handovers.append(heir)
        return heir is not None

    async def _passed_on(self, item: Item, settled: Settled) -> bool:
        """Whether another record carries on the person of the deleted one that is to be marked: then nothing is marked."""
        passed_on = await self._pass_on(item.claimed.record, settled)
        if passed_on:
            settled.add(carried_on(item))
        return passed_on

    async def _round(self, obj: ObjectName, items: list[Item], held: set[str], settled: Settled, replan: Replan) -> None:
        if settled.pause is not None or self.holds.poison.stopped:
            for item in items:
                settled.add(back(item, self.now_ms()))
            return
        if obj in PEOPLE:
            items, unclear = await self.people_calls.theirs(items, settled, self.now_ms())
            self._settle(unclear, settled)
        removals = [item for item in items if isinstance(item.plan, Remove)]
        upserts = [
            item
            for item in items
            if isinstance(item.plan, Upsert)
            and (item.claimed.entry.pending.kind != "delete" or not await self._passed_on(item, settled))
        ]
        if obj not in PEOPLE:
            upserts = await self._spared(obj, upserts, settled)
        if removals and obj == ROLE:
            self._settle(await self._roles.remove(removals, held, settled), settled)
        elif removals:
            self._settle(await self._remove(obj, removals, settled), settled)
        if upserts and obj in PEOPLE:
            self._settle(await self.people_calls.send(upserts, held, settled, replan, now_ms=self.now_ms()), settled)
        elif upserts and obj == ROLE:
            self._settle(await self._roles.send(upserts, held), settled)
        elif upserts and obj == "User":
            self._settle(await self._sales_persons(upserts), settled)
        elif upserts:
            self._settle(await self._batch(obj, "upsert").send(upserts), settled)

    async def _spared(self, obj: ObjectName, items: list[Item], settled: Settled) -> list[Item]:
        """The items without what Marketo has already and is filled only if empty; who could not be asked of goes back."""
        try:
            there = await held_by(self.marketo, obj, items)
        except StreamError as error:
            asking = [item for item in items if asks(item)]
            attempt = max(item.claimed.entry.attempts for item in asking) + 1
            judgement = judge_error(error, batch=1, operation="upsert", attempt=attempt, max_attempts=self.max_attempts)
            self._settle([judged(self.holds.poison, Verdict(item, None, judgement)) for item in asking], settled)
            return [item for item in items if item not in asking]
        for item in items:
            spare(item, there.get(item.entry_id, {}))
        return items

    def _settle(self, verdicts: Sequence[Verdict], settled: Settled) -> None:
        settle(verdicts, settled, self.waits, self.now_ms())

    @property
    def _roles(self) -> RoleCalls:
        return RoleCalls(self.store, self.exclusion, partial(self._batch, ROLE))

    def _batch(self, obj: ObjectName, operation: Operation) -> Batch:
        target = MARKETO_OBJECT[obj]
        return Batch(
            (lambda records: self.marketo.sync(target, records))
            if operation == "upsert"
            else (lambda keys: self.people_calls.delete(keys) if target == "leads" else self.marketo.delete(target, keys)),
            operation,
            self.max_attempts,
            others_pass=self.proof,
            poison=self.holds.poison,
            most_records=lambda: self.pace.batch_size.value,
        )

    async def _remove(self, obj: ObjectName, items: Sequence[Item], settled: Settled) -> list[Verdict]:
        """Delete, unless other living records stand behind the same person."""
        alone: list[Item] = []
        for item in items:
            if obj in PEOPLE and await self._pass_on(item.claimed.record, settled):
                settled.add(carried_on(item))
            else:
                alone.append(item)
        return await self._batch(obj, "delete").send(alone) if alone else []

    async def _sales_persons(self, items: Sequence[Item]) -> list[Verdict]:
        """Upsert sales persons; where Marketo will not change an email (its describe says so), all else is sent without it.

        The email must equal the Salesforce user's, or the Marketo tab in Salesforce stays empty: so it is tried, and said loudly.
        """
        batch = self._batch("User", "upsert")
        batch.excuses = _may_lack_email
        verdicts = {verdict.item.entry_id: verdict for verdict in await batch.send(items)}
        stuck = [
            verdict.item
            for verdict in verdicts.values()
            if verdict.outcome is not None
            and verdict.outcome.action == "dead"
            and _may_lack_email(verdict.item)
            and verdict.item.body.pop("email", None) is not None
        ]
        for verdict in await self._batch("User", "upsert").send(stuck) if stuck else []:
            verdicts[verdict.item.entry_id] = verdict
            if verdict.result is not None:
                log.error("sales_person_email_differs", id=verdict.item.claimed.record.record_id, cure=EMAIL_CURE)
        return list(verdicts.values())


def _may_lack_email(item: Item) -> bool:
    return item.claimed.record.in_marketo and item.body.get("email") is not None


def _item(claimed: Claimed, planned: Upsert | Remove) -> Item:
    if isinstance(planned, Remove):
        return Item(claimed, planned, dict(planned.key))
    if planned.shortened:
        log.info("value_shortened", object=claimed.entry.object, id=claimed.entry.record_id, fields=list(planned.shortened))
    return Item(claimed, planned, dict(planned.fields))


def _keys_of(item: Item) -> set[str]:
    """What no other batch may touch while this item is under way."""
    record = item.claimed.record
    if record.object in PEOPLE:
        return people.keys_of(item)
    keys = {f"ext:{record.record_id}"}
    if isinstance(item.plan, Upsert):
        keys |= {f"role:{key}" for key in (item.plan.key, item.plan.stale_key) if key}
    elif record.sent_key:
        keys.add(f"role:{record.sent_key}")
    return keys
