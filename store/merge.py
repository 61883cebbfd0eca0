"""How changes merge into entries: data in, data out; no clock, no database.

change ──▶ verdict: apply · drop (old or double) · read (cannot tell which is newer)
              │
              ▼
pending ⊕ pending ──▶ pending      latest wins field by field; a delete supersedes; a whole record replaces
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from store.digests import UNKNOWN, Known, difference, differing, digests
from store.model import REFS, Change, Pending, Record

Verdict = Literal["apply", "drop", "read"]
WHILE_READ = "changed while it was read"
GONE: Known = digests({"IsDeleted": True})  # all that is known of a record that a row said is deleted


def verdict(record: Record, change: Change) -> Verdict:
    """Whether a change is news for what is known of its record.

    A read or polled row is old where all its fields are known already. An event is old when it was committed before the
    SystemModstamp of what was read, or came before in its transaction. SystemModstamp has whole seconds: where an event and a row
    are of the same second, nobody can tell which is newer, and the record is read again. So it is where changes come out of
    order (an event older than one already taken, a delete older than what was read alive, a row that was queried before the last
    event), so that none of them can ever turn a field back.
    """
    if change.read_s is not None:
        if _known_content(record, change):
            return "drop"
        return "read" if record.commit_ms and change.read_s <= record.commit_ms // 1000 else "apply"
    if change.transaction and change.transaction == record.transaction and change.sequence <= record.sequence:
        return "drop"
    if not change.commit_ms:
        return "apply"
    if record.read_s is not None and change.commit_ms // 1000 <= record.read_s:
        return "drop" if change.commit_ms // 1000 < record.read_s and change.kind != "delete" else "read"
    return "read" if change.commit_ms < record.commit_ms else "apply"


def _known_content(record: Record, change: Change) -> bool:
    """A polled row that says what was read before; a delete is known where the record is gone already."""
    if change.kind == "delete":
        return record.state == "deleted" or (record.known == GONE and change.read_s == record.read_s)
    older = record.read_s is not None and change.read_s is not None and change.read_s < record.read_s
    same_side = change.side != "out" or record.object == "User"
    return older or (
        same_side and bool(record.known) and record.state != "deleted" and not difference(change.fields, record.known)
    )


def reduced(record: Record, change: Change) -> Change:
    """The change without what Marketo has of it already, or will have: a record in Marketo is sent what differs and no more.

    What a row lacks and Marketo was sent is cleared.
    """
    if change.kind == "delete" or not record.in_marketo or not record.known:
        return change
    if change.whole and change.read_s is None:
        return change  # created twice: sent whole, nothing is read out of what is not there
    news = difference(change.fields, record.known) if change.whole else differing(change.fields, record.known)
    return replace(change, fields=news, whole=False, relevant=change.relevant and bool(news or not change.fields))


def note(record: Record, change: Change) -> None:
    """Remember in the record what the change tells of it: parents, creation, position. Changes `record` in place."""
    for ref in REFS:
        if ref in change.refs:
            setattr(record, ref, change.refs[ref])
    if change.created:
        record.created = change.created
    if change.commit_ms >= record.commit_ms and change.transaction:
        record.commit_ms, record.transaction, record.sequence = change.commit_ms, change.transaction, change.sequence
    if change.kind == "delete":
        record.known = {}
        if change.read_s is not None:
            record.read_s, record.known = change.read_s, dict(GONE)
        return
    if record.state in {"deleted", "dropped"}:
        record.state, record.known = "seen", {}  # it lives: its children wait for it again, and a delete is news again
    record.merged_into = None
    if change.read_s is not None:
        record.read_s = change.read_s


def learn(record: Record, change: Change) -> None:
    """Remember in the record what the change, which is taken as it is, says of its fields. Changes `record` in place.

    Where nothing is known, only a whole record tells: a few fields alone would pass for all that Marketo was sent, and what the
    next read lacks would not be cleared.
    """
    if change.kind == "delete":
        return
    if change.whole:
        record.known = digests(change.fields)
        return
    if not record.known:
        return
    for name, value in change.fields.items():
        record.known.pop(name, None)
        if value is not None:
            record.known |= digests({name: value})


def doubt_fields(record: Record, fields: Pending) -> None:
    """Which value counts of these fields is not known any more. Changes `record` in place."""
    if record.known:
        record.known |= dict.fromkeys(fields.fields, UNKNOWN)


def pending_of(change: Change, judged: Verdict) -> Pending:
    """The change as work to be done; where nobody can tell what is newer, the work is to read the record."""
    read = change.read
    fields = change.fields
    if judged == "read":
        read = read or "events out of order"
        fields = {}
    kind = "upsert" if judged == "read" else change.kind
    whole = change.whole and judged != "read"
    return Pending(kind=kind, fields=dict(fields), whole=whole, read=read, first_commit_ms=change.commit_ms)


def merge(older: Pending, newer: Pending) -> Pending:
    """Both as one. The oldest commit is kept, for freshness.

    A delete supersedes everything. After a delete only the whole record will do: what is not whole asks for a read. A whole
    record replaces what was pending, except that a field an event said was cleared stays said so.
    """
    first = min((ms for ms in (older.first_commit_ms, newer.first_commit_ms) if ms), default=0)
    doubt = older.doubt | newer.doubt
    if newer.kind == "delete":
        return Pending(kind="delete", first_commit_ms=first, doubt=doubt, left=newer.left)
    if older.kind == "delete":
        since = "changed after it left its filter" if older.left else "changed after it was deleted"
        read = newer.read or ("" if newer.whole else since)
        return replace(newer, read=read, first_commit_ms=first, doubt=doubt)
    if newer.whole and not newer.read:
        cleared = {name: None for name, value in older.fields.items() if value is None}
        return Pending(fields={**cleared, **newer.fields}, whole=True, first_commit_ms=first, doubt=doubt)
    return Pending(
        fields={**older.fields, **newer.fields},
        whole=older.whole,
        read=newer.read or older.read,
        first_commit_ms=first,
        doubt=doubt,
    )


def settle_read(asked: Pending, snapshot: Pending, later: Pending | None, later_first_ms: int, read_s: int) -> Pending:
    """What is pending once a read came back: the snapshot, and on top what arrived meanwhile.

    An event that arrived while the read was under way may be older than what was read: where its commit does not lie after
    the SystemModstamp read, nobody can tell, and the record is read again.
    """
    settled = merge(replace(asked, read=""), snapshot)
    if later is None:
        return settled
    if perhaps_older(later, later_first_ms, read_s):
        again = replace(later, fields={}, read=later.read or WHILE_READ)
        return merge(settled, again)
    return merge(settled, later)


def perhaps_older(later: Pending, later_first_ms: int, read_s: int) -> bool:
    """Whether what arrived during a read may have been committed before what was read."""
    return later.kind != "delete" and later_first_ms // 1000 <= read_s
