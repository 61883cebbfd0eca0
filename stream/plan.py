"""What is to be sent for a claimed entry. Pure: a claimed entry and the mapping in, a plan out.

claimed ──▶ Upsert   fields with every key the record has     ──▶ deliver resolves people and sends
        ├─▶ Remove   the key by which Marketo forgets it
        ├─▶ Merge    its person becomes that of the record it was merged into
        ├─▶ Done     nothing to send, and why
        ├─▶ Reread   not enough is known
        └─▶ Refuse   a value Marketo would not take           ──▶ dead letter
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from store.model import PEOPLE, Claimed, Key, ObjectName, Record, RecordState, Ref
from store.values import value
from stream.filters import RecordFilter
from stream.ids import id_of
from stream.mapping import EXTERNAL_ID, LENGTHS, REF_FIELD, REFS_OF, ObjectMapping, Target, ValueRefusedError, convert

OnDelete = Literal["delete", "keep"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decide what is sent."""

    deletes: Mapping[ObjectName, OnDelete]
    empty_role: str = "Unspecified"
    deleted_field: str = ""
    sales_person_filter: RecordFilter = field(default_factory=RecordFilter)
    merge_people: bool = True


@value
class Upsert:
    """Fields for Marketo. `filled` and `emptied` are what the daemon answers for once it is accepted.

    `key` is the role's compound key as text (others: ""); `stale_key` the role's key as sent before, where it is another now.
    """

    fields: Mapping[str, Any]
    filled: frozenset[str] = frozenset()
    emptied: frozenset[str] = frozenset()
    key: str = ""
    stale_key: str = ""
    shortened: tuple[str, ...] = ()
    if_empty: frozenset[str] = frozenset()
    """Those of the fields that are sent only where Marketo has nothing in them."""


@value
class Remove:
    """Marketo is to forget this record; `key` is its delete key, `state` what becomes of it."""

    key: Mapping[str, Any]
    state: RecordState = "deleted"


@value
class Merge:
    """The record was merged into this one of the same object, and the Marketo people are merged too."""

    winner: Key


@value
class Done:
    """Nothing is to be sent; `state` is what becomes of the record."""

    state: RecordState
    why: str
    keep_marketo_id: bool = True


@value
class Converted:
    """The lead lives on as this contact."""

    contact_id: str


@value
class Reread:
    """What is known does not suffice: read the record from Salesforce. `counted`: once, and then it is refused."""

    why: str
    counted: bool = False


@value
class Refuse:
    """Marketo would not take it."""

    code: str
    cause: str
    cure: str


Plan = Upsert | Remove | Merge | Done | Converted | Reread | Refuse


def plan(claimed: Claimed, mapping: ObjectMapping, rules: Rules) -> Plan:
    """What this entry asks for."""
    if claimed.entry.pending.kind == "delete":
        removal = _removal(claimed, rules)
        return _left(removal) if claimed.entry.pending.left else removal
    try:
        return _special(claimed, rules) or _upsert(claimed, mapping, rules)
    except ValueRefusedError as error:
        return Refuse("VALUE", str(error), "correct the value in Salesforce (the change comes by itself), or leave the field out")


def _special(claimed: Claimed, rules: Rules) -> Plan | None:
    """Users that are no sales persons, converted leads, records of which too little is known."""
    record, pending = claimed.record, claimed.entry.pending
    if not record.in_marketo and not pending.whole:
        return Reread("first time in Marketo")
    if record.object == "User" and not record.in_marketo and not claimed.referenced and not sales_person(claimed, rules):
        return Done("excluded", "no sales person: inactive or outside the filter, and owner of nothing that is synced")
    if record.object == "Lead" and pending.fields.get("IsConverted") is True:
        contact = pending.fields.get("ConvertedContactId")
        if contact:
            return Converted(_contact_id(contact))
        if pending.whole:  # to read it again would say the same
            return Done("converted", "converted, and its contact is gone or not to be seen")
        return Reread("converted, and the contact is not known")
    return None


def _contact_id(value: Any) -> str:
    try:
        return id_of("Contact", value)
    except ValueError as error:
        raise ValueRefusedError(f"ConvertedContactId: {error}") from error


def sales_person(claimed: Claimed, rules: Rules) -> bool:
    """Whether a user is one by itself: active, and admitted by the filter."""
    fields = claimed.entry.pending.fields
    return fields.get("IsActive") is True and rules.sales_person_filter.admits(fields)


def _removal(claimed: Claimed, rules: Rules) -> Plan:
    record = claimed.record
    if record.object == "User":
        return Done("synced" if record.in_marketo else "deleted", "sales persons are never deleted")
    if record.merged_into and record.object in PEOPLE and rules.merge_people:
        return Merge((record.object, record.merged_into))
    if rules.deletes[record.object] == "keep":
        return _kept(record, rules)
    if record.object in PEOPLE and (record.marketo_id or claimed.entry.pending.doubt):
        return Remove({"id": int(record.marketo_id)} if record.marketo_id else {"externalPersonId": record.record_id})
    if record.object == "OpportunityContactRole":
        return Remove(role_key(record.sent_key)) if record.sent_key else Done("deleted", "never was in Marketo")
    if record.object in PEOPLE or (record.state not in {"synced", "deleted"} and not claimed.entry.pending.doubt):
        return Done("deleted", "never was in Marketo")
    return Remove({EXTERNAL_ID[record.object]: record.record_id})


def _left(removal: Plan) -> Plan:
    """The same for a record that lives, and has left its filter."""
    if isinstance(removal, Remove):
        return replace(removal, state="excluded")
    return replace(removal, state="excluded") if isinstance(removal, Done) and removal.state == "deleted" else removal


def _kept(record: Record, rules: Rules) -> Plan:
    if record.object in PEOPLE and rules.deleted_field and record.marketo_id:
        return Upsert({rules.deleted_field: True})
    return Done("deleted", "kept in Marketo, as the settings ask")


def role_key(text: str) -> dict[str, Any]:
    """The compound key of an opportunity role, from its stored text."""
    opportunity, lead, role = orjson.loads(text)
    return {"externalOpportunityId": opportunity, "leadId": lead, "role": role}


@dataclass(slots=True)
class _Draft:
    """A record's fields for Marketo while they are put together."""

    mapping: ObjectMapping
    record: Record
    fields: dict[str, Any] = field(default_factory=dict)
    filled: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)
    shortened: list[str] = field(default_factory=list)

    def fill(self, target: Target, value: Any) -> None:
        """Send a value."""
        if target.takes_text and type(value) is str and len(value) <= target.length:
            self.fields[target.name] = value
            self.filled.add(target.name)
            return
        sent = convert(value, target)
        if target.policy == "true_only" and sent is not True:
            return
        if sent is None:  # a conversion made nothing of it
            if target.name in self.record.filled:
                self.clear(target)
            return
        if _is_cut(value, sent, target):
            self.shortened.append(target.name)
        self.fields[target.name] = sent
        self.filled.add(target.name)

    def clear(self, target: Target | str, *, doubted: bool = False) -> None:
        """Send a null: Salesforce cleared what Marketo holds from us. Nothing is cleared before it was ever sent.

        `doubted`: it was sent, and nobody knows whether Marketo took it.
        """
        name = target if isinstance(target, str) else target.name
        cleared = isinstance(target, str) or target.policy == "always"
        if (self.record.in_marketo or name in self.record.filled or doubted) and cleared:
            self.fields[name] = None
            self.emptied.add(name)


def _is_cut(value: Any, sent: Any, target: Target) -> bool:
    """Whether a text lost its end on the way."""
    texts = isinstance(sent, str) and isinstance(value, str) and target.data_type not in {"date", "datetime"}
    limits = {target.length, target.rule.length if target.rule else 0}
    return texts and len(sent) < len(value) and (target.rule is None or len(sent) in limits)


def _upsert(claimed: Claimed, mapping: ObjectMapping, rules: Rules) -> Plan:
    draft = _Draft(mapping, claimed.record)
    _fill_mapped(draft, claimed)
    if claimed.record.object == "OpportunityContactRole":
        return _role(draft, claimed, rules)
    if rules.deleted_field and claimed.record.object in PEOPLE and claimed.record.state == "seen" and claimed.record.marketo_id:
        draft.fields[rules.deleted_field] = False  # it was marked as gone, and is back
    own = EXTERNAL_ID[claimed.record.object]
    draft.fields[own] = claimed.record.record_id
    for ref in REFS_OF[claimed.record.object]:
        _relate(draft, claimed, ref)
    return Upsert(
        fields=draft.fields,
        filled=frozenset(draft.filled),
        emptied=frozenset(draft.emptied - draft.filled),
        shortened=tuple(draft.shortened),
        if_empty=mapping.if_empty.intersection(draft.fields),
    )


def _fill_mapped(draft: _Draft, claimed: Claimed) -> None:
    pending, record = claimed.entry.pending, claimed.record
    told = pending.fields.keys() | pending.doubt if pending.doubt else pending.fields
    for source, target in draft.mapping.targets.items() if pending.whole else draft.mapping.touched(told):
        value = pending.fields.get(source)
        if value is not None:
            if not (source == "Company" and record.account):
                draft.fill(target, value)
        elif source in pending.doubt or source in pending.fields or (pending.whole and target.name in record.filled):
            draft.clear(target, doubted=source in pending.doubt)
    if record.object == "Opportunity" and draft.fields.get("name", "") is None:  # Marketo takes none without a name
        del draft.fields["name"]
        draft.emptied.discard("name")


def _is_outside(parent: Record | None) -> bool:
    return parent is not None and parent.state == "excluded"


def _relate(draft: _Draft, claimed: Claimed, ref: Ref) -> None:
    """The parent's external id, in every upsert where the record has the parent and Marketo has it too.

    Where Salesforce has cleared it (an account taken off, a queue put in the owner's place), or the parent is outside of its
    filter, what was filled is cleared, but for a person's company: null does not clear that, a lead leaves a company only for
    another one.
    """
    name = EXTERNAL_ID["User" if ref == "owner" else "Account"]
    person = claimed.record.object in PEOPLE
    parent = claimed.parents.get(ref)
    if parent is not None and parent.state == "synced":
        draft.fields[name] = parent.record_id
        draft.filled.add(name)
    elif (claimed.record.ref(ref) is None or _is_outside(parent)) and not (ref == "account" and person):
        doubted = REF_FIELD[ref] in claimed.entry.pending.doubt
        if doubted or name in claimed.record.filled:
            draft.clear(name, doubted=doubted)


ROLE_REFS: tuple[Ref, ...] = ("opportunity", "contact")


def _role(draft: _Draft, claimed: Claimed, rules: Rules) -> Plan:
    """A role's key is made of its opportunity, the Marketo id of its contact's person, and the role's name."""
    record, parents = claimed.record, claimed.parents
    opportunity, contact = parents.get("opportunity"), parents.get("contact")
    if outside := [name for name in ROLE_REFS if (one := parents.get(name)) and one.state == "excluded"]:
        return _without(record, outside, rules)
    gone = [
        name
        for name, parent in (("opportunity", opportunity), ("contact", contact))
        if parent is None or parent.state in {"deleted", "dropped"}
    ]
    if (
        gone
        and not claimed.entry.attempts
        and any(parent is not None and parent.state == "deleted" for parent in parents.values())
    ):
        return Reread("its parent is gone, and it most likely too", counted=True)
    if gone or opportunity is None or contact is None:
        return Refuse(
            "PARENT_GONE",
            f"the role's {' and '.join(gone)} is not in Marketo, and a role cannot be without",
            f"see to the {' and '.join(gone)} (a dead letter or a dropped one), then retry this entry",
        )
    if contact.marketo_id is None:
        return Reread("its contact's Marketo person is being looked up again")
    name = _role_name(claimed, rules)
    key = orjson.dumps([opportunity.record_id, int(contact.marketo_id), name]).decode()
    fields = {**role_key(key), **{k: v for k, v in draft.fields.items() if k != "role"}}
    stale = record.sent_key if record.sent_key and record.sent_key != key else ""
    if stale and not claimed.entry.pending.whole:
        return Reread("its key in Marketo is another now: it is made anew there, whole")
    return Upsert(
        fields,
        frozenset(draft.filled),
        frozenset(draft.emptied),
        key=key,
        stale_key=stale,
        if_empty=draft.mapping.if_empty.intersection(fields),
    )


def _without(record: Record, outside: Sequence[str], rules: Rules) -> Plan:
    """A role whose opportunity or contact is outside of its filter is so, too."""
    if record.sent_key and rules.deletes["OpportunityContactRole"] == "delete":
        return Remove(role_key(record.sent_key), "excluded")
    return Done("excluded", f"its {' and '.join(outside)} is outside of the filter")


def _role_name(claimed: Claimed, rules: Rules) -> str:
    """The role's name: from this change, else as it was sent before; a placeholder where Salesforce has none."""
    pending = claimed.entry.pending
    if "Role" in pending.fields or pending.whole or not claimed.record.sent_key:
        name = pending.fields.get("Role") or rules.empty_role
    else:
        name = role_key(claimed.record.sent_key)["role"]
    return str(name)[: LENGTHS["OpportunityContactRole", "role"]]
