"""What each torture cost each client: events lost or doubled, seconds to notice, seconds to recover.

Beside the daemon's capture the best of the others stands in the table, and each of them in a note of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.measure import Figure, Size, Target
from bench.torture.judging import Judged
from bench.torture.running import CLIENTS, TORTURES, missing, run
from bench.torture.service import EVENTS_A_SECOND

LIMIT_SECONDS = 30.0
FINEST_SECONDS = 2 / EVENTS_A_SECOND
"""Nothing can be told apart that is finer than the events come."""

SHORTER: dict[str, tuple[str, ...]] = {"tiny": ("lost_answer", "duplicates"), "quick": ("duplicates",)}
"""What a shorter run has: at the size `quick` those that every client recovers from at once."""

Turns = dict[str, list[Judged]]


async def figures(size: Size) -> list[Figure]:
    """One row or three for each torture: at the size `tiny` of the daemon alone, without Node.js without its clients."""
    rows: list[Figure] = []
    turns = size.given_turns or size.of(tiny=1, quick=1, whole=3)
    for torture in SHORTER.get(size.name, TORTURES):
        judged: Turns = {client: [] for client in clients(size)}
        for turn in range(turns):
            names = list(judged)
            start = turn % len(names)
            for client in names[start:] + names[:start]:
                judged[client].append(await run(client, torture, LIMIT_SECONDS))
        rows += rows_of(torture, judged)
    return rows


def clients(size: Size) -> list[str]:
    """Who takes part."""
    if size.name == "tiny":
        return ["daemon"]
    if reason := missing():
        print(f"cometd and jsforce are not tortured: {reason}")
        return ["daemon", "aiosfstream-ng"]
    return list(CLIENTS)


def rows_of(torture: str, judged: Turns) -> list[Figure]:
    """The figures of one torture. Published again, an event is nothing that is noticed or recovered from."""
    name = f"torture, {torture.replace('_', ' ')}"
    wrong = {client: [float(each.lost + each.doubled) for each in turns] for client, turns in judged.items()}
    rows = [_row(f"{name}, lost or doubled", "events", wrong, Target(absolute=0, least=False))]
    rows[0].notes += [_told(client, turns) for client, turns in judged.items() if any(wrong[client])]
    if torture == "duplicates":
        return rows
    least = Target(1.0, least=False, enough=FINEST_SECONDS) if len(judged) > 1 else Target()
    for what in ("notice", "recover"):
        seconds = {client: [_seconds(each, what) for each in turns] for client, turns in judged.items()}
        rows.append(_row(f"{name}, seconds to {what}", "s", seconds, least))
        rows[-1].given_up = LIMIT_SECONDS
    return rows


def _row(name: str, unit: str, values: dict[str, list[float]], target: Target) -> Figure:
    ours = {"daemon": values["daemon"]}
    others = {client: turns for client, turns in values.items() if client != "daemon"}
    if not others:
        return Figure(name, unit, "–", target, ours)
    best = [min(turn) for turn in zip(*others.values(), strict=True)]
    return Figure(name, unit, "the best of the others", target, {**ours, "best": best}, others=others)


def _seconds(judged: Judged, what: str) -> float:
    seconds = judged.notice_seconds if what == "notice" else judged.recover_seconds
    return LIMIT_SECONDS if seconds is None else min(seconds, LIMIT_SECONDS)


def _told(client: str, turns: Sequence[Judged]) -> str:
    counts = ", ".join(f"{each.lost} lost and {each.doubled} doubled" for each in turns)
    return f"{client} turn by turn: {counts}"
