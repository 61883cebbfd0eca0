"""What two sides make of one record: agreed, different, missing, where it should not be. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from store.model import PEOPLE, Change, Key, Record
from store.repair import Repair
from stream.comparing.same import differing
from stream.delivery.batch import COMPANY_FIELDS
from stream.mapping import ObjectMapping
from stream.plan import Plan, Refuse, Reread, Rules, Upsert

Kind = Literal["differs", "missing", "unexpected", "several", "refused", "unseen"]
"""differs: Marketo holds other values · missing: Marketo does not have it · unexpected: deleted in Salesforce or outside of its
filter, and there · several: more than one with its id · refused: Marketo would not take a value of it ·
unseen: Salesforce does not show it."""

CAUSES: Mapping[Kind, str] = {
    "differs": "Marketo holds something else",
    "missing": "Marketo does not have it",
    "unexpected": "it is deleted in Salesforce, and still in Marketo",
    "several": "several in Marketo have its id",
    "refused": "Marketo would not take it",
    "unseen": "Marketo has it, and Salesforce does not show it: deleted for good, or hidden from the integration user",
}


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One Marketo field: what Salesforce says should be there, and what is. Personal data: for the terminal only."""

    field: str
    source: str
    salesforce: Any
    marketo: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """One record on which both sides do not agree."""

    key: Key
    marketo_id: str | None
    kind: Kind
    cause: str
    fields: Sequence[FieldDifference] = ()


@dataclass(slots=True)
class Tally:
    """How an object's records stand. `nothing`: nothing of it belongs in Marketo, or it is on neither side."""

    agree: int = 0
    differs: int = 0
    missing: int = 0
    unexpected: int = 0
    several: int = 0
    refused: int = 0
    under_way: int = 0
    dead: int = 0
    unseen: int = 0
    nothing: int = 0

    @property
    def compared(self) -> int:
        """Records that were judged."""
        return self.agree + self.found

    @property
    def found(self) -> int:
        """Records on which both sides do not agree."""
        return self.differs + self.missing + self.unexpected + self.several + self.refused + self.unseen

    def count(self, look: Look, difference: Difference | None) -> None:
        """One record was judged."""
        match difference.kind if difference is not None else None:
            case "differs":
                self.differs += 1
            case "missing":
                self.missing += 1
            case "unexpected":
                self.unexpected += 1
            case "several":
                self.several += 1
            case "refused":
                self.refused += 1
            case "unseen":
                self.unseen += 1
            case None if not look.unseen and (look.plan is None or isinstance(look.plan, Upsert)):
                self.agree += 1
            case None if isinstance(look.plan, Reread):
                self.under_way += 1
            case None:
                self.nothing += 1


@dataclass(slots=True)
class Look:
    """One record under the glass: as the store knows it, as Salesforce has it, and what is planned for it.

    `change` and `plan` are None where Salesforce has deleted it, or does not show it (`unseen`); of what has left its filter
    only `plan` is. `carried`: another record goes
    before it, or has its person.
    """

    known: Record
    record: Record
    change: Change | None
    stamp_s: int
    plan: Plan | None = None
    carried: bool = False
    unseen: bool = False

    @property
    def outside(self) -> bool:
        """Whether it lives, and has left its filter."""
        return self.change is not None and self.change.side == "out"


def judge(look: Look, rows: Sequence[Mapping[str, Any]], mapping: ObjectMapping, rules: Rules) -> Difference | None:
    """How what Marketo holds differs from what it should; None where it does not, or where nothing is to be there."""
    key, marketo_id = look.known.key, look.known.marketo_id
    if look.unseen:
        return Difference(key, marketo_id, "unseen", CAUSES["unseen"]) if rows and not look.carried else None
    if look.plan is None:
        return _judge_gone(look, rows, rules)
    if isinstance(look.plan, Refuse):
        return Difference(key, marketo_id, "refused", f"{CAUSES['refused']} ({look.plan.code}): {look.plan.cause}")
    if not isinstance(look.plan, Upsert):
        return None
    if not rows:
        return Difference(key, marketo_id, "missing", CAUSES["missing"])
    if look.carried:
        return None
    if len(rows) > 1:
        ids = ", ".join(str(row.get("id") or row.get("marketoGUID")) for row in rows[:10])
        return Difference(key, marketo_id, "several", f"{CAUSES['several']}: {ids}")
    fields = _fields(look.plan, look, rows[0], mapping)
    return Difference(key, marketo_id, "differs", CAUSES["differs"], fields) if fields else None


def _judge_gone(look: Look, rows: Sequence[Mapping[str, Any]], rules: Rules) -> Difference | None:
    """Salesforce has deleted it: by the settings Marketo has too, or has marked it, unless another record has its person."""
    key, mark = look.known.key, rules.deleted_field
    own = [
        row for row in rows if str(row.get("externalPersonId") or look.known.record_id).lower() == look.known.record_id.lower()
    ]
    if not own or look.carried or key[0] == "User":
        return None
    found = str(own[0]["id"]) if key[0] in PEOPLE else None
    if rules.deletes[key[0]] == "delete":
        cause = "it is outside of its filter, and still in Marketo" if look.outside else CAUSES["unexpected"]
        return Difference(key, found, "unexpected", cause)
    if key[0] in PEOPLE and mark and own[0].get(mark) is not True:
        if look.outside:
            fields = [FieldDifference(mark, "", salesforce=True, marketo=own[0].get(mark))]
            return Difference(key, found, "unexpected", "it is outside of its filter, and not marked so", fields)
        fields = [FieldDifference(mark, "IsDeleted", salesforce=True, marketo=own[0].get(mark))]
        return Difference(key, found, "unexpected", "it is deleted in Salesforce, and not marked so", fields)
    return None


def _fields(planned: Upsert, look: Look, row: Mapping[str, Any], mapping: ObjectMapping) -> list[FieldDifference]:
    """The fields that differ; what Marketo refuses to take of a lead's company is no difference."""
    spared = COMPANY_FIELDS - look.record.filled if look.known.object == "Lead" else frozenset[str]()
    wanted = {name: value for name, value in planned.fields.items() if name not in spared}
    sources = {target.name: source for source, target in mapping.targets.items()}
    found = [
        FieldDifference(name, sources.get(name, ""), salesforce=should, marketo=holds)
        for name, (should, holds) in sorted(differing(wanted, row, mapping).items())
    ]
    if look.known.marketo_id and "id" in row and str(row["id"]) != look.known.marketo_id:
        found.append(FieldDifference("id", "", salesforce=look.known.marketo_id, marketo=str(row["id"])))
    return found


def repair_of(differences: Sequence[Difference]) -> Repair:
    """What is to be queued; several people with one id are for the operator to merge in Marketo.

    What Marketo would refuse, and what Salesforce does not show, become dead letters that say so.
    """
    moved = {each.key for each in differences if any(one.field == "id" for one in each.fields)}
    return Repair(
        again=[each.key for each in differences if each.kind in {"differs", "refused", "unseen"} and each.key not in moved],
        anew=[each.key for each in differences if each.kind == "missing" or each.key in moved],
        unexpected={each.key: each.marketo_id for each in differences if each.kind == "unexpected"},
    )
