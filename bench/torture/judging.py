"""What the notes of one run say. Pure: times in seconds of one clock, events by the id of their record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

CONNECT, DISCONNECT = "/meta/connect", "/meta/disconnect"


@dataclass(frozen=True, slots=True)
class Request:
    """A Bayeux message, or any other request by its path, as it arrived; `session` is its client id."""

    at: float
    what: str
    session: str = ""


@dataclass(frozen=True, slots=True)
class Notes:
    """One run: `published` and `received` are times and events. `harmed` is when the harm was done.

    `poll_harmed`: it was done to a poll, so that the next one of the same session tells that this was noticed. Elsewhere such a
    poll is only what finds out.
    """

    harmed: float
    published: Sequence[tuple[float, str]]
    received: Sequence[tuple[float, str]]
    requests: Sequence[Request] = field(repr=False)
    poll_harmed: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """Events lost and doubled; seconds from the harm to noticing and to recovering, None where it did not come to that."""

    lost: int
    doubled: int
    notice_seconds: float | None
    recover_seconds: float | None


def judge(notes: Notes) -> Judged:
    """Lost: published, and never received. Doubled: received again.

    Noticed: at the first request after the harm that is not the old poll, nor a farewell. Recovered: when the first event
    that was published after the harm is received.
    """
    counts = Counter(event for _, event in notes.received)
    known = {event for _, event in notes.published}
    if unknown := counts.keys() - known:
        raise ValueError(f"received, and never published: {sorted(unknown)[:3]}")
    later = {event for at, event in notes.published if at > notes.harmed}
    return Judged(
        lost=len(known - counts.keys()),
        doubled=counts.total() - len(counts),
        notice_seconds=_first_after(notes.harmed, (each.at for each in notes.requests if not _is_of_old(each, notes))),
        recover_seconds=_first_after(notes.harmed, (at for at, event in notes.received if event in later)),
    )


def _is_of_old(request: Request, notes: Notes) -> bool:
    """Whether this is a poll of a session that was there when the harm was done, or ends one."""
    if request.what == DISCONNECT:
        return True
    if notes.poll_harmed or request.what != CONNECT:
        return False
    return any(each.session == request.session for each in notes.requests if each.at <= notes.harmed)


def _first_after(harmed: float, times: Iterable[float]) -> float | None:
    first = min((at for at in times if at > harmed), default=None)
    return None if first is None else first - harmed
