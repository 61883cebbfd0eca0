"""Two people get one email: their Marketo people become one, and then their entries go out as of any who share.

intended (store) ──▶ merged in Marketo ──▶ records moved (store) ──▶ the entry goes back, and finds one person

The entry stays in flight meanwhile: after a lost answer or a kill it goes again, and the activity feed tells what became of the
merge. The keys of all the people are held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from store.model import PERSON_GONE, Dead
from store.store import Store
from stream.delivery.batch import Batch, Item, Proof, Verdict
from stream.delivery.exclusion import Exclusion
from stream.delivery.meetings import Meeting
from stream.delivery.poison import Poison
from stream.delivery.settle import Settled, Waits, back, settle
from stream.marketo.answers import RecordResult
from stream.marketo.client import MarketoClient
from stream.plan import Remove

log = structlog.get_logger(__name__)

DEFER_MS = 1000


@dataclass(slots=True)
class Joining:
    """Makes Marketo people one."""

    store: Store
    marketo: MarketoClient
    exclusion: Exclusion
    waits: Waits
    max_attempts: int
    proof: Proof
    poison: Poison

    async def merge(self, item: Item, meeting: Meeting, held: set[str], settled: Settled, now_ms: int) -> None:
        """Merge the people; the item's entry goes back in any case."""
        keys = [f"id:{person}" for person in (meeting.winner, *meeting.losers)]
        if not all(key in held or self.exclusion.extend(held, key) for key in keys):
            settled.add(
                back(item, now_ms + DEFER_MS, cause="another change of the Marketo person with the same email is under way")
            )
            return
        await self.store.intend_meeting(meeting.winner, meeting.losers)
        call = Batch(self._call(meeting), "upsert", self.max_attempts, others_pass=self.proof, poison=self.poison)
        for verdict in await call.send([Item(item.claimed, Remove({}), {"id": int(meeting.losers[0])})]):
            await self._settle(verdict, item, meeting, settled, now_ms)

    def _call(self, meeting: Meeting) -> Any:
        async def call(records: Sequence[Mapping[str, Any]]) -> list[RecordResult]:
            await self.marketo.merge(meeting.winner, meeting.losers)
            return [RecordResult("updated") for _ in records]

        return call

    async def _settle(self, verdict: Verdict, item: Item, meeting: Meeting, settled: Settled, now_ms: int) -> None:
        entry, outcome = item.claimed.entry, verdict.outcome
        if verdict.result is not None:
            await self.store.meet_people(meeting.winner, meeting.losers, now_ms)
            settled.answered = True
            settled.add(back(item, now_ms))
            log.info(
                "people_met", object=entry.object, id=entry.record_id, marketo_id=meeting.winner, merged=list(meeting.losers)
            )
        elif outcome is not None and outcome.code == PERSON_GONE:
            settled.suspects = True
            settled.add(back(item, now_ms + DEFER_MS, cause="one of the two people has just gone from Marketo"))
        elif outcome is not None and outcome.action in {"dead", "park"}:
            named = f"leads {', '.join(meeting.losers)} into lead {meeting.winner}, whose records have one email"
            settled.add(Dead(entry.entry_id, entry.key, outcome.code, f"{outcome.cause}: {named}", outcome.cure))
        else:
            settle([verdict], settled, self.waits, now_ms)
