"""The store's value types: plain data, in and out.

A *record* is one Salesforce record as far as it is known here; an *entry* is the one open piece of work for a record.
A *change* is what capture, polling or a read brings; changes merge into the record's entry (`store/merge.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from store.digests import Known
from store.values import value

ObjectName = Literal["User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"]
OBJECTS: tuple[ObjectName, ...] = ("User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole")
PEOPLE: tuple[ObjectName, ...] = ("Contact", "Lead")
MERGEABLE: tuple[ObjectName, ...] = ("Account", "Contact", "Lead")

Ref = Literal["owner", "account", "opportunity", "contact"]
REFS: tuple[Ref, ...] = ("owner", "account", "opportunity", "contact")
REF_OBJECT: Mapping[Ref, ObjectName] = {"owner": "User", "account": "Account", "opportunity": "Opportunity", "contact": "Contact"}

Kind = Literal["upsert", "delete"]
EntryState = Literal["open", "in_flight", "dead"]

RecordState = Literal["seen", "synced", "excluded", "deleted", "dropped", "converted"]
"""seen: known, not in Marketo yet · synced: Marketo accepted it · excluded: outside of its filter, a user that is no sales person
(yet), a contact role without its opportunity or contact in Marketo ·
deleted: gone from Salesforce · dropped: given up by the operator · converted: a lead that lives on as a contact."""

SATISFIED: frozenset[RecordState] = frozenset({"synced", "deleted", "dropped"})
"""Parents in these states hold nobody back (a deleted or dropped one is left out of its children)."""


Side = Literal["in", "out", "same", "perhaps"]
"""What a change tells of its record's filter: it passes, it does not, nothing of what the filter looks at has changed, or that
cannot be told from it (`store/sides.py`)."""

Fields = dict[str, Any]
"""Salesforce field name → JSON value; None means that the field was cleared."""

Key = tuple[ObjectName, str]
"""(object, 18-character record id)."""


@value
class Change:
    """One change of one record.

    `whole`: `fields` hold every non-empty field, what is absent is empty. `read`: why the record has to be read from Salesforce
    before it can go out, "" where it need not be. `refs` holds the parents the change tells of (None: it has none).
    `commit_ms`, `transaction`, `sequence` identify an event; `read_s` is the SystemModstamp, in seconds, of what was read.
    `loaded`: brought by a load, so that live changes go first. `source` says where it comes from (CREATE, GAP_UPDATE, poll, …),
    for the record's story.
    """

    object: ObjectName
    record_id: str
    kind: Kind = "upsert"
    side: Side = "perhaps"
    fields: Fields = field(default_factory=dict)
    whole: bool = False
    read: str = ""
    refs: Mapping[Ref, str | None] = field(default_factory=dict)
    created: str | None = None
    commit_ms: int = 0
    transaction: str = ""
    sequence: int = 0
    read_s: int | None = None
    relevant: bool = True
    loaded: bool = False
    source: str = field(default="", compare=False)

    @property
    def key(self) -> Key:
        """(object, record id)."""
        return self.object, self.record_id


How = Literal["streamed", "read", "polled", "waived"]
"""How an interval came to be complete; waived: the settings ask for nothing from it."""


@dataclass(frozen=True, slots=True)
class Covered:
    """An interval of an object's history, in seconds of Salesforce's clock: every change committed in it was taken.

    `cuts`: how often the object had been cut open when the reading began; where it was again since, this proves nothing.
    """

    object: ObjectName
    from_s: float
    to_s: float
    how: How
    cuts: int | None = None


@dataclass(frozen=True, slots=True)
class Hole:
    """An interval of an object's history that is to be read again, or for the first time; `why` is told to people."""

    object: ObjectName
    from_s: float
    to_s: float
    why: str
    cuts: int = 0


@dataclass(frozen=True, slots=True)
class Stream:
    """Up to where a channel was read without a break, in seconds of Salesforce's clock: from where, for each object on it."""

    channel: str
    since_s: Mapping[ObjectName, float]
    until_s: float


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event, or a row without an id, that could not be understood: kept whole, as a dead letter.

    `source` is the channel it came on, or what was read.
    """

    source: str
    replay_id: int | None
    raw: str
    cause: str
    code: Literal["UNREADABLE_EVENT", "UNREADABLE_ROW"] = "UNREADABLE_EVENT"


@dataclass(slots=True)
class Record:
    """One Salesforce record as known here. `filled`: the Marketo fields this daemon has filled (and so may clear).

    `joined`: the Marketo person with which this one's was made one by a merge there; while it stands behind that person, the two
    stay together whatever their emails. `merged_into`: the record of the same object as which this one lives on after a merge in
    Salesforce.

    `known`: what Marketo has of each Salesforce field, or will have once the record's entry is done. Whoever makes that untrue
    (another Marketo person, a key that is another now) forgets it. `story` is the number of the last line told of it
    (`store/history.py`).
    """

    object: ObjectName
    record_id: str
    state: RecordState = "seen"
    marketo_id: str | None = None
    owner: str | None = None
    account: str | None = None
    opportunity: str | None = None
    contact: str | None = None
    created: str | None = None
    filled: frozenset[str] = frozenset()
    sent_key: str | None = None
    merged_into: str | None = None
    joined: str | None = None
    read_s: int | None = None
    known: Known = field(default_factory=dict)
    commit_ms: int = 0
    transaction: str = ""
    sequence: int = 0
    story: int = field(default=0, compare=False)

    @property
    def key(self) -> Key:
        """(object, record id)."""
        return self.object, self.record_id

    @property
    def in_marketo(self) -> bool:
        """Whether Marketo has accepted this record and still counts it as living."""
        return self.state == "synced"

    @property
    def holds_up(self) -> bool:
        """Whether its children wait for it: a user is sent once it owns something, all else that is outside goes without."""
        return self.state not in SATISFIED and (self.state != "excluded" or self.object == "User")

    def ref(self, name: Ref) -> str | None:
        """The parent under this name, if it has one."""
        value: str | None = getattr(self, name)
        return value


PERHAPS_THERE = "?"
"""No field's name: nobody knows whether Marketo has the record."""


@dataclass(slots=True)
class Pending:
    """What an entry would send: the merge of all changes since the last acknowledgement."""

    kind: Kind = "upsert"
    fields: Fields = field(default_factory=dict)
    whole: bool = False
    read: str = ""
    first_commit_ms: int = 0
    """The oldest event's commit in this merge, for freshness; 0 where none came by event."""
    doubt: frozenset[str] = frozenset()
    """Fields that were sent with a value, and nobody knows whether Marketo took it: emptied, they are cleared there.
    PERHAPS_THERE stands for them where none was sent with a value, or a delete was."""
    left: bool = False
    """A delete of what lives in Salesforce, and has left its filter."""


@dataclass(slots=True)
class Entry:
    """One outbox entry. `later` is what arrived while it was in flight; `rank` is 1 for what a load brought.

    Times are milliseconds since the epoch.
    """

    entry_id: int
    object: ObjectName
    record_id: str
    pending: Pending
    state: EntryState = "open"
    waits: int = 0
    attempts: int = 0
    tries: int = 0
    due_ms: int = 0
    queued_ms: int = 0
    rank: int = 0
    later: Pending | None = None
    later_first_ms: int = 0
    code: str = ""
    cause: str = ""
    cure: str = ""

    @property
    def key(self) -> Key:
        """(object, record id)."""
        return self.object, self.record_id


@value
class Claimed:
    """An entry taken out for sending, with its record and the records of its parents, all as of one transaction."""

    entry: Entry
    record: Record
    parents: Mapping[Ref, Record]
    referenced: bool = False
    """Whether another record names this one as its parent."""


@value
class Ack:
    """Marketo accepted the entry (or there was nothing to send); what is to be remembered of it.

    `removed`: Marketo has deleted the record, and its opportunity roles with it. The last four are for the record's story: what
    was done (created, updated, deleted, merged, shared, nothing), which fields were sent, why, with how many others in one call.
    """

    entry_id: int
    key: Key
    state: RecordState = "synced"
    marketo_id: str | None = None
    filled: frozenset[str] = frozenset()
    emptied: frozenset[str] = frozenset()
    sent_key: str | None = None
    forget_marketo_id: bool = False
    removed: bool = False
    did: Literal["created", "updated", "deleted", "merged", "shared", "nothing"] = field(default="nothing", compare=False)
    sent: str = field(default="", compare=False)
    why: str = field(default="", compare=False)
    together: int = field(default=0, compare=False)


@value
class Retry:
    """The entry goes back into the outbox. `counted`: a refusal of the record itself, which counts as an attempt.

    `tried` is False where the whole flow was stopped: the entry then counts as never sent.
    """

    entry_id: int
    key: Key
    due_ms: int
    counted: bool = False
    tried: bool = True
    code: str = ""
    cause: str = ""
    forget_marketo_id: bool = False
    read: str = ""
    sync_owner: bool = False
    together: int = field(default=0, compare=False)


@value
class Dead:
    """The entry becomes a dead letter, with its code, cause in plain words, and cure."""

    entry_id: int
    key: Key
    code: str
    cause: str
    cure: str
    together: int = field(default=0, compare=False)


Outcome = Ack | Retry | Dead

PERSON_GONE = "1004"
"""Code of a retry whose Marketo person is not there: merged or deleted, which the activity feed tells."""

UNSURE = frozenset({"unreachable", "604"})
"""Codes of a retry after which nobody knows whether Marketo did what was sent."""


WAITS_FOR_ROOM = "NEW_PEOPLE"
"""Code of a retry that waits for another day, because enough people were created today."""

WAITS_TO_LEAVE = "LEAVING"
"""Code of an entry of a record that left its filter together with too many others: it waits for a person (`store/leaving.py`)."""


@value
class HandOver:
    """A Marketo person goes from one record to another (a converted lead's to its contact, a deleted one's to who shared it).

    `filled` are the Marketo fields filled for the old record: the new one answers for them. The new one is read and sent whole.
    `merged`: the person that the old one had, where it was merged into this one.
    """

    giver: Key
    taker: Key
    marketo_id: str | None
    filled: frozenset[str]
    why: str
    merged: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter as the operator sees it. `since` is seconds since the epoch."""

    entry: int
    object: str
    id: str
    code: str
    cause: str
    cure: str
    attempts: int
    since: float
    flow: Literal["deliver", "scores", "capture"]
    holds: int
    """How many entries wait for this one."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The stored position on one channel. `commit_ms` is the newest commit taken, `stored_ms` when it was stored."""

    channel: str
    replay_id: int
    commit_ms: int
    stored_ms: int
