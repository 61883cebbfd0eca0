"""What Marketo's answers become: Marketo's raw dicts end here. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from stream.errors import Unreachable
from stream.marketo.wire import AnswerRefused, code_and_message

Status = Literal["created", "updated", "deleted", "skipped"]
MISMATCH_CODE = "mismatch"  # ours: the answer's results are not those of the records that were sent
STATUSES: Mapping[str, Status] = {status: status for status in get_args(Status)}


@dataclass(frozen=True, slots=True)
class RecordResult:
    """What became of one record. `code` is empty unless it was skipped; `message` may hold personal data.

    `marketo_id` is the lead's, company's or sales person's id, or the marketoGUID, as text.
    """

    status: Status
    marketo_id: str | None = None
    code: str = ""
    message: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class FieldDescribe:
    """One field as the instance describes it; `length` is None where it has none."""

    name: str
    data_type: str
    length: int | None
    updateable: bool


@dataclass(frozen=True, slots=True)
class Describe:
    """An object as the instance describes it. `searchable` holds the fields that may be a filter type on their own."""

    fields: Mapping[str, FieldDescribe]
    searchable: frozenset[str]


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that happened to a lead. `date` is None where Marketo's text is no date; `attributes` by name, as text."""

    guid: str
    lead_id: str
    type_id: int
    date: datetime | None
    primary: str = field(default="", repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """Activities and the token that the next page is asked with; `more`: there is another page already."""

    activities: list[Activity]
    next_token: str
    more: bool


def align(endpoint: str, rows: Sequence[Mapping[str, Any]], sent: int, *, by_seq: bool) -> list[RecordResult]:
    """The results in the order of the records that were sent; AnswerRefused (code "mismatch") where they cannot be matched."""
    if by_seq and any("seq" in row for row in rows):
        by_number = {row["seq"]: row for row in rows if isinstance(row.get("seq"), int)}
        if len(rows) == sent and set(by_number) == set(range(sent)):
            return [record_result(by_number[number]) for number in range(sent)]
    elif len(rows) == sent:
        return [record_result(row) for row in rows]
    raise AnswerRefused(f"{endpoint}: {len(rows)} results do not match the {sent} records sent", code=MISMATCH_CODE)


def record_result(row: Mapping[str, Any]) -> RecordResult:
    """One result. Without a status we know, it counts as skipped for an unknown reason: nothing is taken for done on a guess."""
    reasons = row.get("reasons") or row.get("reason")
    status = STATUSES.get(str(row.get("status")), "skipped")
    marketo_id = str(row.get("marketoGUID") or row.get("id") or "") or None
    if status != "skipped":
        return RecordResult(status, marketo_id)
    code, message = code_and_message(reasons)
    return RecordResult("skipped", marketo_id, code, message)


def describe_of(endpoint: str, rows: Sequence[Mapping[str, Any]]) -> Describe:
    """The describe of an object; leads (describe2) and the others have the same shape where it matters."""
    if not rows:
        raise Unreachable(f"{endpoint}: the describe is empty")
    fields = [field_describe(each) for each in objects_in(rows[0].get("fields")) if each.get("name")]
    if not fields:  # taken at its word, nothing of the object would be sent any more
        raise Unreachable(f"{endpoint}: the describe names no field")
    return Describe({each.name: each for each in fields}, searchable_of(rows[0].get("searchableFields") or []))


def field_describe(each: Mapping[str, Any]) -> FieldDescribe:
    """One field; it counts as updateable unless the instance says that it is not."""
    length = each.get("length")
    return FieldDescribe(
        name=str(each["name"]),
        data_type=str(each.get("dataType") or "string"),
        length=length if isinstance(length, int) and length > 0 else None,
        updateable=each.get("updateable") is not False,
    )


def searchable_of(entries: Sequence[Any]) -> frozenset[str]:
    """The single fields among the searchable ones; a compound key, a list of several, is no filter type."""
    names = set()
    for entry in entries:
        single = entry[0] if isinstance(entry, list) and len(entry) == 1 else entry
        name = single.get("name") if isinstance(single, dict) else single
        if isinstance(name, str):
            names.add(name)
    return frozenset(names)


def activity_of(row: Mapping[str, Any]) -> Activity | None:
    """One activity, or None where it names no lead or no type: then it tells nothing."""
    lead_id, type_id = row.get("leadId"), row.get("activityTypeId")
    if lead_id is None or not isinstance(type_id, int):
        return None
    guid = row.get("marketoGUID") or row.get("id") or f"{lead_id}:{type_id}:{row.get('activityDate')}"
    return Activity(
        guid=str(guid),
        lead_id=str(lead_id),
        type_id=type_id,
        date=moment(row.get("activityDate")),
        primary=str(row.get("primaryAttributeValue") or ""),
        attributes={str(each.get("name")): str(each.get("value")) for each in objects_in(row.get("attributes"))},
    )


def moment(text: Any) -> datetime | None:
    """A datetime as Marketo writes it (`…Z`, `…+0000`, `…-08:00`; UTC where it names no zone); None for anything else."""
    try:
        parsed = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def usage_of(rows: Sequence[Mapping[str, Any]]) -> int:
    """The calls in a usage answer; none were made yet where it is empty."""
    return sum(total for row in rows if isinstance(total := row.get("total"), int))


def objects_in(value: Any) -> list[dict[str, Any]]:
    """The JSON objects in a list; none where there is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
