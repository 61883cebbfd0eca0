"""The sweep over everybody's scores: page after page, and what differs kept back until it fills a call.

    page (300 people) ──differences──▶ kept back, by object ──200, or the end, or a quarter of an hour──▶ written
                                            └── the stored cursor stays before the first page of which something is kept back

So a sweep takes a call for each 300 people and one for each 200 differences, however thinly those are spread. After a restart it
goes on at the stored cursor: a page may be read twice, and none is left out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from store.model import Key, ObjectName
from store.scores import ScoreRow
from store.store import Store
from stream.clock import Clock

READ_MOST, WRITE_MOST = 300, 200
PAGE_SECONDS_MOST = 2.0  # from page to page: a tenth of Marketo's calls in 20 seconds
COUNTED_FROM = 0.1  # of a sweep's time; until then it goes at the slowest pace, which is fast enough for millions of people
KEPT_SECONDS_MOST = 900.0  # a difference is kept back no longer, however large the org


@dataclass(slots=True)
class Write:
    """One record's differences, the whole of what will have been written then, and the Marketo person whose scores these are."""

    row: ScoreRow
    values: dict[str, Any]
    after: dict[str, Any]
    marketo_id: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A difference that is not written yet, the cursor before its page, and when it was found (monotonic seconds)."""

    write: Write
    before: str
    found_at: float

    @property
    def object(self) -> ObjectName:
        """Contact or Lead."""
        return self.write.row.key[0]


@dataclass(slots=True)
class Sweep:
    """One sweep after the other; `interval_seconds` lies between their beginnings.

    `find` reads people in Marketo and tells how they differ; `put` writes differences to Salesforce.
    """

    store: Store
    clock: Clock
    interval_seconds: float
    find: Callable[[Sequence[str]], Awaitable[Sequence[Write]]]
    put: Callable[[Sequence[Write]], Awaitable[None]]
    swept_until: float | None = None
    _kept: list[Kept] = field(default_factory=list)
    _at: str | None = None
    _ended: bool = False
    _began_at: float = 0.0
    _people: int | None = None

    def __post_init__(self) -> None:
        """This run's part of a sweep begins."""
        self._began_at = self.clock.monotonic()

    async def step(self) -> float:
        """Read one page, or write what is enough for a call; returns the seconds until the next step.

        Raises what `find` and `put` raise; what is kept back stays so, and is not read again for that.
        """
        held = await self.store.note("sweep") or {"after": "", "began": self.clock.now()}
        if held["began"] > self.clock.now():
            return float(held["began"]) - self.clock.now()
        if not self._ended and len(self._kept) < WRITE_MOST:
            await self._read(held["after"])
        await self._write()
        if self._ended and not self._kept:
            return await self._end(held)
        await self.store.put_note("sweep", {**held, "after": min((each.before for each in self._kept), default=self._at or "")})
        return await self._pace()

    async def _pace(self) -> float:
        """Seconds to the next page. Counting people reads something of each of them: it is left until a sweep takes long."""
        share = self.interval_seconds * COUNTED_FROM
        if self._people is None and self.clock.monotonic() - self._began_at < share:
            return min(PAGE_SECONDS_MOST, share)
        if self._people is None:
            self._people = await self.store.count_people()
        return min(PAGE_SECONDS_MOST, (self.interval_seconds - share) / (self._people / READ_MOST + 1))

    async def _read(self, stored: str) -> None:
        before = self._at if self._at is not None else stored
        ids = await self.store.ids_after(before, READ_MOST)
        writes = await self.find(ids)
        found_at = self.clock.monotonic()
        self._kept += [Kept(write, before, found_at) for write in writes]
        self._at, self._ended = ids[-1] if ids else before, len(ids) < READ_MOST

    async def _write(self) -> None:
        """Write each object's differences that fill a call; at the end, or when one has waited long enough, all."""
        overdue = self.clock.monotonic() - KEPT_SECONDS_MOST
        everything = self._ended or any(each.found_at <= overdue for each in self._kept)
        for obj in dict.fromkeys(each.object for each in self._kept):
            while (chunk := [each for each in self._kept if each.object == obj][:WRITE_MOST]) and (
                everything or len(chunk) == WRITE_MOST
            ):
                await self.put(await self._still(chunk))
                written = {id(each) for each in chunk}
                self._kept = [each for each in self._kept if id(each) not in written]

    async def _still(self, chunk: Sequence[Kept]) -> list[Write]:
        """Those to whom nothing was written since they were read: what came later is newer."""
        rows: Mapping[Key, ScoreRow] = await self.store.last_written([each.write.row.key for each in chunk])
        return [each.write for each in chunk if rows.get(each.write.row.key, ScoreRow(each.write.row.key)) == each.write.row]

    async def _end(self, held: Mapping[str, Any]) -> float:
        self._at, self._ended, self._people = None, False, None
        self.swept_until = held["began"]
        await self.store.put_note("swept_until", held["began"])
        due = float(held["began"]) + self.interval_seconds
        left = max(due - self.clock.now(), min(self.interval_seconds, 1.0))
        self._began_at = self.clock.monotonic() + left
        await self.store.put_note("sweep", {"after": "", "began": self.clock.now() + left})
        return left
