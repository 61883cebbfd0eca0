"""Merges in Salesforce: a record that is gone lives on as another, and so does what Marketo has of it.

deletes ──whether merged?──▶ relations follow the winner (store) ──▶ an account's company goes once its children have moved
        (one query for many)                                     └──▶ people, where the setting merges them too:
                              winner without a person ▶ it takes the loser's · both are one ▶ nothing · else ▶ merged in Marketo

Nothing in Salesforce's events says that a DELETE is a merge. The keys of everybody concerned are held meanwhile. Killed at any
point, it is done again: a loser that is not in Marketo any more has been merged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from store.model import MERGEABLE, PERSON_GONE, Ack, Change, Claimed, Dead, HandOver, Key, ObjectName, Record, RecordState, Retry
from store.store import Store
from stream.delivery.batch import Batch, Item, Verdict
from stream.delivery.exclusion import Exclusion
from stream.delivery.meetings import order_of
from stream.delivery.people import LookupFailed
from stream.delivery.people_calls import PeopleCalls
from stream.delivery.settle import FOUND_OUT_SECONDS, Settled, Waits, settle
from stream.errors import StreamError
from stream.marketo.answers import RecordResult
from stream.marketo.client import MOST_MERGED, MarketoClient
from stream.marketo.outcomes import judge_error
from stream.plan import Remove

log = structlog.get_logger(__name__)

DEFER_MS = 1000

Write = Callable[[Settled], Awaitable[None]]


class Masters(Protocol):
    """What is asked of Salesforce. Its errors come as LookupFailed."""

    async def merged_into(self, obj: ObjectName, ids: Sequence[str]) -> dict[str, str]:
        """Deleted record → the one into which it was merged in the end."""
        ...


@dataclass(frozen=True, slots=True)
class Loser:
    """A claimed entry whose record lives on as another, and what is known of it now."""

    claimed: Claimed
    record: Record

    @property
    def is_lost(self) -> bool:
        """Whether its person was perhaps created, and nobody knows which it is."""
        return bool(self.claimed.entry.pending.doubt) and self.record.marketo_id is None

    @property
    def item(self) -> Item:
        """As a part of a merge call."""
        return Item(self.claimed, Remove({}), {"id": int(self.record.marketo_id or 0)})


@dataclass(frozen=True, slots=True)
class Winner:
    """Who stays, its Marketo person, and the record that sends that person's fields: another one, where they share it."""

    record: Record
    marketo_id: str
    carrier: Key


@dataclass(slots=True)
class Merges:
    """What becomes of records that were merged."""

    store: Store
    salesforce: Masters
    marketo: MarketoClient
    people_calls: PeopleCalls
    exclusion: Exclusion
    waits: Waits
    now_ms: Callable[[], int]

    async def follow(self, claimed: Sequence[Claimed], settled: Settled) -> list[Claimed]:
        """Find out which of the deletes are merges, and let relations follow; returns those that can be acted upon now."""
        asked = await self._worth_asking(claimed)
        if not asked:
            return list(claimed)
        obj = asked[0].record.object
        try:
            winners = await self.salesforce.merged_into(obj, [each.record.record_id for each in asked])
        except LookupFailed as error:
            log.warning("lookup_failed", cause=str(error), records=len(asked))
            for each in asked:
                self._back(each, settled, DEFER_MS * 10, cause=error.message)
            return [each for each in claimed if each not in asked]
        if not winners:
            return list(claimed)
        moved = await self.store.follow_merges(obj, winners, self.now_ms())
        log.info("records_merged", object=obj, records=len(winners), relations_moved=moved)
        ready: list[Claimed] = []
        for each in claimed:
            each.record.merged_into = winners.get(each.record.record_id, each.record.merged_into)
            if obj == "Account" and each.record.record_id in winners:
                self._back(each, settled)  # it is worked out anew what it waits for
            else:
                ready.append(each)
        return ready

    async def _worth_asking(self, claimed: Sequence[Claimed]) -> list[Claimed]:
        """Deletes of what may have been merged, and is in Marketo or somebody's parent."""
        deletes = [
            each
            for each in claimed
            if each.entry.pending.kind == "delete"
            and not each.entry.pending.left
            and each.record.object in MERGEABLE
            and not each.record.merged_into
        ]
        parents = await self.store.parents_among([each.record.record_id for each in deletes]) if deletes else set()
        return [
            each
            for each in deletes
            if each.record.in_marketo or each.record.marketo_id or each.entry.pending.doubt or each.record.record_id in parents
        ]

    async def run(self, winner: Key, losers: Sequence[Claimed], settled: Settled, write: Write) -> list[Claimed]:
        """Make the losers' people the winner's; returns those whose winner is gone itself: for them it was a deletion."""
        keys = {f"ext:{winner[1]}", *(f"ext:{each.record.record_id}" for each in losers)}
        keys |= {f"id:{each.record.marketo_id}" for each in losers if each.record.marketo_id}
        async with self.exclusion.hold(keys) as held:
            known = await self.store.records([winner, *(each.record.key for each in losers)])
            kept = known.get(winner)
            if kept is not None and kept.state in {"deleted", "dropped"} and kept.merged_into is None:
                return list(losers)
            part = Settled()
            try:
                await self._sort(winner, kept, [Loser(each, known[each.record.key]) for each in losers], held, part)
            except LookupFailed as error:
                part = Settled()
                for each in losers:
                    self._back(each, part, DEFER_MS * 10, cause=error.message)
            except StreamError as error:
                judgement, part = judge_error(error, batch=1, operation="upsert", attempt=1, max_attempts=2), Settled()
                verdicts = [Verdict(Loser(each, each.record).item, None, judgement) for each in losers]
                settle(verdicts, part, self.waits, self.now_ms())
            settled.take(part)
            await write(settled)
        return []

    async def _sort(self, winner: Key, kept: Record | None, losers: Sequence[Loser], held: set[str], settled: Settled) -> None:
        """What is to be done for each loser. Raises what Marketo or the network answer with; nothing has been changed then."""
        await self.find(losers)
        carriers = await self._carriers(winner, losers)
        rest: list[Loser] = []
        for loser in losers:
            heir = await self.people_calls.heir(loser.record) or carriers.get(loser.record.marketo_id or "")
            key = f"id:{loser.record.marketo_id}"
            if loser.record.object == winner[0] and loser.record.merged_into != winner[1]:
                self._back(loser.claimed, settled)  # the winner has been merged itself
            elif loser.record.marketo_id is None:
                self._done(loser, winner, settled, "never was in Marketo")
            elif heir is not None and await self._goes_too(heir.taker):
                self._back(loser.claimed, settled, DEFER_MS, cause="another record of its Marketo person is being deleted first")
            elif heir is not None:
                settled.handovers.append(heir)
                self._done(loser, winner, settled, "another record carries its Marketo person on")
            elif key in held or self.exclusion.extend(held, key):
                rest.append(loser)
            else:
                self._back(loser.claimed, settled, DEFER_MS, cause="another change of its Marketo person is under way")
        if not rest:
            return
        if kept is None or kept.marketo_id is None:
            await self._hand_over(winner, rest, settled)
        elif f"id:{kept.marketo_id}" in held or self.exclusion.extend(held, f"id:{kept.marketo_id}"):
            await self._merge(kept, kept.marketo_id, rest, settled)
        else:
            for loser in rest:
                self._back(loser.claimed, settled, DEFER_MS, cause="another change of the winner's Marketo person is under way")

    async def _goes_too(self, heir: Key) -> bool:
        """Whether an heir is about to be deleted itself: the person would go with it, and is the winner's. Of two that were both
        merged neither waits for the other.
        """
        if not await self.store.going([heir]):
            return False
        record = (await self.store.records([heir])).get(heir)
        return record is not None and not record.merged_into

    async def find(self, losers: Sequence[Loser]) -> None:
        """Who was perhaps created is known by its Salesforce id only."""
        lost = [loser.record for loser in losers if loser.is_lost]
        rows = await self.people_calls.resolver.by_external_ids([record.record_id for record in lost])
        found = {str(row["externalPersonId"]): str(row["id"]) for row in rows if row.get("externalPersonId") and "id" in row}
        for record in lost:
            record.marketo_id = found.get(record.record_id)

    async def _carriers(self, winner: Key, losers: Sequence[Loser]) -> dict[str, HandOver]:
        """Losers' people whom another living record carries in Marketo: a daemon that was killed may have given them away."""
        records = {loser.record.marketo_id: loser.record for loser in losers if loser.record.marketo_id is not None}
        own = {winner[1], *(record.record_id for record in records.values())}
        found = await self.people_calls.resolver.carriers_of(records.keys(), own)
        why = "carries the Marketo person from now on"
        return {
            marketo_id: HandOver(records[marketo_id].key, carrier, marketo_id, records[marketo_id].filled, why)
            for marketo_id, carrier in found.items()
        }

    async def _hand_over(self, winner: Key, losers: Sequence[Loser], settled: Settled) -> None:
        """The winner has no person: it takes the first loser's, unless one may just be created for it, or is there already."""
        doubted = bool(await self.store.in_doubt([winner]))
        if doubted or await self.people_calls.resolver.by_external_ids([winner[1]]):
            if not doubted:
                settled.follow_ups.append(Change(*winner, read="others were merged into it"))
            for loser in losers:
                self._back(loser.claimed, settled, DEFER_MS, cause="what it was merged into is just being found in Marketo")
            return
        first, *others = sorted(losers, key=lambda loser: order_of(loser.record))
        settled.handovers.append(self._heritage(first, winner, first.record.marketo_id))
        self._done(first, winner, settled, "its Marketo person is the winner's now")
        for loser in others:
            self._back(loser.claimed, settled, DEFER_MS, cause="another record that was merged into the same one goes first")

    async def _merge(self, kept: Record, winner_id: str, losers: Sequence[Loser], settled: Settled) -> None:
        """Merge in Marketo, as far as both are there."""
        there = await self._there([winner_id, *(str(loser.record.marketo_id) for loser in losers)])
        if winner_id not in there:
            await self._without_winner(winner_id, losers, settled)
            return
        sharers = (await self.store.sharers([winner_id])).get(winner_id, [])
        winner = Winner(kept, winner_id, min(sharers, key=order_of, default=kept).key)
        for loser in losers:
            if loser.record.marketo_id not in there:
                self._inherited(loser, winner, settled, "its Marketo person has been merged, or deleted, there")
        present = {loser.claimed.entry.entry_id: loser for loser in losers if loser.record.marketo_id in there}
        await self.store.intend_merge(winner_id, [str(loser.record.marketo_id) for loser in present.values()])
        batch = Batch(
            self._call(winner_id),
            "upsert",
            self.people_calls.max_attempts,
            others_pass=self.people_calls.proof,
            poison=self.people_calls.poison,
            most_records=lambda: MOST_MERGED,
        )
        for verdict in await batch.send([loser.item for loser in present.values()]):
            self._settle(verdict, present[verdict.item.entry_id], winner, settled)

    async def _there(self, marketo_ids: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(marketo_ids), 300):
            rows = await self.marketo.find("leads", "id", marketo_ids[start : start + 300], ["id"])
            found |= {str(row["id"]) for row in rows if "id" in row}
        return found

    def _call(self, winner_id: str) -> Callable[[Sequence[Mapping[str, Any]]], Awaitable[list[RecordResult]]]:
        async def call(records: Sequence[Mapping[str, Any]]) -> list[RecordResult]:
            await self.marketo.merge(winner_id, [str(record["id"]) for record in records])
            return [RecordResult("updated") for _ in records]

        return call

    async def _without_winner(self, winner_id: str, losers: Sequence[Loser], settled: Settled) -> None:
        """The winner's person is not there: the activity feed is asked why; without an answer it is forgotten."""
        if all(loser.claimed.entry.code == PERSON_GONE for loser in losers):
            await self.store.forget_people([winner_id], self.now_ms())
        else:
            settled.suspects = True
        for loser in losers:
            wait_ms = 0 if loser.claimed.entry.code == PERSON_GONE else int(FOUND_OUT_SECONDS * 1000)
            why = "the Marketo person of the record it was merged into is not there"
            self._back(loser.claimed, settled, wait_ms, code=PERSON_GONE, cause=why)

    def _settle(self, verdict: Verdict, loser: Loser, winner: Winner, settled: Settled) -> None:
        outcome = verdict.outcome
        if verdict.result is not None:
            settled.accepted += 1
            self._inherited(loser, winner, settled, f"into Marketo person {winner.marketo_id}", together=verdict.together)
            log.info("people_merged", object=winner.record.object, id=winner.record.record_id, loser=loser.record.record_id)
        elif outcome is not None and outcome.code == PERSON_GONE:
            self._back(loser.claimed, settled, DEFER_MS, cause="one of the two people has just gone from Marketo")
        elif outcome is not None and outcome.action in {"dead", "park"}:
            both = f"{_named(loser.record)} into {_named(winner.record)}"
            entry, cause = loser.claimed.entry, f"{outcome.cause}: {both}"
            settled.add(Dead(entry.entry_id, entry.key, outcome.code, cause, outcome.cure, together=verdict.together))
        else:
            settle([verdict], settled, self.waits, self.now_ms())

    def _inherited(self, loser: Loser, winner: Winner, settled: Settled, why: str, *, together: int = 0) -> None:
        """The loser's person is the winner's; whoever sends that one's fields answers for what was filled, and is sent whole."""
        heritage = self._heritage(loser, winner.carrier, winner.marketo_id)
        settled.handovers.append(replace(heritage, merged=loser.record.marketo_id))
        self._done(loser, winner.record.key, settled, why, did="merged", together=together)

    @staticmethod
    def _heritage(loser: Loser, winner: Key, marketo_id: str | None) -> HandOver:
        filled = loser.record.filled | loser.claimed.record.filled
        return HandOver(loser.record.key, winner, marketo_id, filled, "another record was merged into it")

    @staticmethod
    def _done(loser: Loser, winner: Key, settled: Settled, why: str, *, did: Any = "nothing", together: int = 0) -> None:
        entry = loser.claimed.entry
        state: RecordState = "converted" if loser.record.object != winner[0] else "deleted"
        told = f"it lives on as {winner[0]} {winner[1]}: {why}"
        settled.successors.append((loser.record.key, winner))
        settled.add(
            Ack(
                entry.entry_id,
                entry.key,
                state=state,
                forget_marketo_id=True,
                did=did,
                why=told,
                together=together,
            )
        )

    def _back(self, claimed: Claimed, settled: Settled, wait_ms: int = 0, *, code: str = "", cause: str = "") -> None:
        entry = claimed.entry
        settled.add(Retry(entry.entry_id, entry.key, self.now_ms() + wait_ms, tried=False, code=code, cause=cause))


def _named(record: Record) -> str:
    return f"lead {record.marketo_id} of {record.object} {record.record_id}"
