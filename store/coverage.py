"""Which of each object's history is proven complete, as intervals in seconds of Salesforce's clock.

    0 ────────────────┬── streamed ──┐      ┌── streamed ──▶ now
          read        │              │ hole │
    └─────────────────┘              └──────┘

Whoever takes changes covers the interval they were committed in; whoever learns that some were missed cuts it open again. What is
covered by nothing is a hole: it is read again, and so closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson

from store.model import Covered, Hole, ObjectName, Stream
from store.rows import list_json
from store.writer import Transaction

NEVER_READ = "never read"  # why there is a hole that nobody cut
APART_S = 0.001  # intervals that lie closer together than this touch
PIECES_MOST = 50  # of one object; of those before them only that they are complete is remembered
STREAMED: Final = "streamed"
WAIVED: Final = "waived"
SEVERAL: Final = "in several ways"

Interval = tuple[float, float, str]


def joined(intervals: Iterable[Interval], new: Interval) -> list[Interval]:
    """The intervals with a new one; neighbours of one kind become one.

    What is covered already keeps how it came to be, but the stream takes the place of reads: a sweep always reads a little
    farther than the stream has come, and would leave a piece of its own there each time, for months.
    """
    from_s, to_s, how = new
    pieces = sorted(intervals)
    if how == STREAMED:
        read = [piece for piece in pieces if piece[2] != WAIVED]
        pieces = sorted([*(piece for piece in pieces if piece[2] == WAIVED), *cut_open(read, from_s, to_s)])
    for start, end, _ in list(pieces):
        if start > from_s and from_s < to_s:
            pieces.append((from_s, min(start, to_s), how))
        from_s = max(from_s, end)
    if from_s < to_s:
        pieces.append((from_s, to_s, how))
    return _bounded(_neighbours(piece for piece in pieces if piece[1] > piece[0]))


def _neighbours(pieces: Iterable[Interval]) -> list[Interval]:
    result: list[Interval] = []
    for piece in sorted(pieces):
        if result and result[-1][2] == piece[2] and piece[0] - result[-1][1] <= APART_S:
            result[-1] = (result[-1][0], max(result[-1][1], piece[1]), piece[2])
        else:
            result.append(piece)
    return result


def _bounded(pieces: list[Interval]) -> list[Interval]:
    """Old pieces told as one where they touch: each outage leaves one behind, and all are written whenever the stream goes on."""
    old, new = pieces[:-PIECES_MOST], pieces[-PIECES_MOST:]
    return _neighbours((start, end, how if how == WAIVED else SEVERAL) for start, end, how in old) + new


def cut_open(intervals: Iterable[Interval], from_s: float, to_s: float) -> list[Interval]:
    """The intervals without what lies in this one."""
    if to_s <= from_s:
        return sorted(intervals)
    left = [(start, min(end, from_s), how) for start, end, how in intervals if start < from_s]
    right = [(max(start, to_s), end, how) for start, end, how in intervals if end > to_s]
    return sorted(piece for piece in left + right if piece[1] > piece[0])


def gaps(intervals: Iterable[Interval], until_s: float) -> list[tuple[float, float]]:
    """What is covered by nothing from the beginning until then."""
    found: list[tuple[float, float]] = []
    covered_s = 0.0
    for start, end, _ in sorted(intervals):
        if start - covered_s > APART_S and covered_s < until_s:
            found.append((covered_s, min(start, until_s)))
        covered_s = max(covered_s, end)
    if until_s - covered_s > APART_S:
        found.append((covered_s, until_s))
    return found


async def intervals(tx: Transaction, obj: ObjectName) -> list[Interval]:
    """The covered intervals of an object, oldest first."""
    return [(row["from_s"], row["to_s"], row["how"]) for row in await tx.rows("coverage", obj)]


async def cover(tx: Transaction, covered: Sequence[Covered]) -> None:
    """These intervals are complete."""
    for each in covered:
        if each.cuts is not None and each.cuts != await cuts_of(tx, each.object):
            continue
        held = await intervals(tx, each.object)
        grown = joined(held, (each.from_s, each.to_s, each.how))
        if grown != held:
            await _write(tx, each.object, grown)


async def cut(tx: Transaction, holes: Sequence[Hole]) -> None:
    """These intervals are not complete after all; why is kept for people. One of no length only says why a hole will be there."""
    for hole in holes:
        cuts, _, until_s = await cut_told(tx, hole.object)
        if hole.to_s > hole.from_s:
            cuts, until_s = cuts + 1, max(until_s, hole.to_s)
            held = await intervals(tx, hole.object)
            await _write(tx, hole.object, cut_open(held, hole.from_s, hole.to_s))
        await tx.run("put_note", cut_note(hole.object), orjson.dumps([cuts, hole.why, until_s]).decode())


async def _write(tx: Transaction, obj: ObjectName, pieces: Sequence[Interval]) -> None:
    await tx.run("delete_coverage", obj)
    await tx.run_many("put_coverage", [(obj, *piece) for piece in pieces])


async def holes(tx: Transaction, obj: ObjectName, until_s: float | None = None) -> list[Hole]:
    """What is to be read of an object, oldest first: what lies before its last interval, or before `until_s`."""
    held = await intervals(tx, obj)
    end_s = max((end for _, end, _ in held), default=0.0) if until_s is None else until_s
    found = gaps(held, end_s)
    if not found:
        return []
    cuts, why, _ = await cut_told(tx, obj)
    return [Hole(obj, start, end, why, cuts) for start, end in found]


async def cuts_of(tx: Transaction, obj: ObjectName) -> int:
    """How often an object was cut open so far."""
    return (await cut_told(tx, obj))[0]


async def cut_told(tx: Transaction, obj: ObjectName) -> tuple[int, str, float]:
    """How often an object was cut open so far, why the last time, and up to where at most (0 where an older version noted it)."""
    held = await tx.value("get_note", cut_note(obj))
    cuts, why, *until = orjson.loads(held) if held is not None else (0, NEVER_READ)
    return cuts, why, until[0] if until else 0.0


def load_note(obj: ObjectName) -> str:
    """The note that tells how far an object's load is; whoever loads writes it."""
    return f"load:{obj}"


def cut_note(obj: ObjectName) -> str:
    """The note that says how often an object was cut open, why the last time, and up to where."""
    return f"cut:{obj}"


def stream_note(channel: str) -> str:
    """The note that says up to where a channel was read without a break, and for which objects."""
    return f"stream:{channel}"


async def stream(tx: Transaction, channel: str) -> Stream | None:
    """How a channel stood last."""
    held = await tx.value("get_note", stream_note(channel))
    if held is None:
        return None
    told = orjson.loads(held)
    return Stream(channel, dict.fromkeys(told["objects"], told["until_s"]), told["until_s"])


async def stream_on(tx: Transaction, read: Stream) -> bool:
    """A channel was read without a break: each object's interval is covered, and the next one goes on from its end.

    What was cut open since the last proof stays open to its end: that is read, whatever the stream brings meanwhile. Returns
    whether there is such a hole, whose end is known now.
    """
    left = False
    for obj, since_s in read.since_s.items():
        _, _, cut_until_s = await cut_told(tx, obj)
        left = left or since_s < cut_until_s < read.until_s
        await cover(tx, [Covered(obj, max(since_s, cut_until_s), read.until_s, STREAMED)])
    told = orjson.dumps({"objects": sorted(read.since_s), "until_s": read.until_s}).decode()
    await tx.run("put_note", stream_note(read.channel), told)
    return left


async def mapped(tx: Transaction, targets: Mapping[ObjectName, Mapping[str, str]], until_s: float) -> list[ObjectName]:
    """Note how fields are mapped. Where that is another way than before, nothing is known of those fields, and all is read."""
    changed: list[ObjectName] = []
    for obj, now in targets.items():
        name = f"mapping:{obj}"
        held = await tx.value("get_note", name)
        before = orjson.loads(held) if held is not None else dict(now)
        moved = [source for source in now.keys() | before.keys() if now.get(source) != before.get(source)]
        if held is None or moved:
            await tx.run("put_note", name, orjson.dumps(dict(now)).decode())
        if any(source in now for source in moved):
            changed.append(obj)
            await tx.run("forget_known", obj, list_json(moved))
    for obj in changed:
        asked_from_s = max((end for _, end, how in await intervals(tx, obj) if how == WAIVED), default=0.0)
        await cut(tx, [Hole(obj, asked_from_s, until_s, "fields are mapped otherwise now")])
    return changed


async def _filter_of_old(tx: Transaction, obj: ObjectName, now: str) -> str:
    """The filter of a store that never noted one: it synced all there is, its users by the built-in filter."""
    return "" if obj != "User" and await intervals(tx, obj) else now


async def filtered(tx: Transaction, filters: Mapping[ObjectName, str], until_s: float) -> list[ObjectName]:
    """Note the filters. Where one is another than before, all records are read and judged again; returns of which objects."""
    changed: list[ObjectName] = []
    for obj, now in filters.items():
        name = f"filter:{obj}"
        held = await tx.value("get_note", name)
        before = orjson.loads(held) if held is not None else await _filter_of_old(tx, obj, now)
        if held is None or before != now:
            await tx.run("put_note", name, orjson.dumps(now).decode())
        if before != now:
            changed.append(obj)
    for obj in changed:
        if obj == "User":  # one that was no sales person may be one now, whatever is known of it
            await tx.run("forget_excluded", obj)
        held = await intervals(tx, obj)
        asked_from_s = max((end for _, end, how in held if how == WAIVED), default=0.0)
        known_to_s = max((end for _, end, _ in held), default=0.0)  # Salesforce's clock, and it may be ahead of this one
        await cut(tx, [Hole(obj, asked_from_s, max(until_s, known_to_s), "its filter is another now")])
    return changed
