"""Values on their way: ids, compounds, events, and what becomes of a value in the other system's field."""

from __future__ import annotations

import math
import string
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from store.model import OBJECTS, Change, ObjectName
from stream.changes import changes_of
from stream.compound import PARTS, flatten
from stream.ids import widen
from stream.mapping import SourceFields, Target, ValueRefusedError, convert, source_fields
from stream.model import CHANGE_TYPES, DecodeError, decode
from stream.score_diff import ScoreField, current, difference, typed

LETTERS = string.ascii_letters + string.digits
IDS = st.text(LETTERS, min_size=15, max_size=15)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=40)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4))
SOURCE = SourceFields({obj: source_fields(obj, {"Name": "n", "LastName": "l", "Description": "d"}) for obj in OBJECTS})


# ── ids


def checksum(record_id: str) -> str:
    """Salesforce's own words: five bits, the last character's first, as a number from 0 to 31."""
    groups = (record_id[:5], record_id[5:10], record_id[10:15])
    bits = ("".join("1" if character in string.ascii_uppercase else "0" for character in reversed(group)) for group in groups)
    return "".join((string.ascii_uppercase + "012345")[int(group, 2)] for group in bits)


@given(IDS)
def test_an_id_is_widened_by_its_capitals(record_id: str) -> None:
    assert widen(record_id) == record_id + checksum(record_id)


@given(IDS)
def test_a_wide_id_stays_as_it_is(record_id: str) -> None:
    assert widen(widen(record_id)) == widen(record_id)


@given(IDS, IDS)
def test_wide_ids_differ_even_where_case_is_ignored(one: str, other: str) -> None:
    assume(one != other)
    assert widen(one).lower() != widen(other).lower()


@given(IDS, st.integers(0, 14))
def test_a_letter_in_the_wrong_case_is_noticed(record_id: str, place: int) -> None:
    swapped = record_id[:place] + record_id[place].swapcase() + record_id[place + 1 :]
    assume(swapped != record_id)
    with pytest.raises(ValueError, match="mistyped"):
        widen(swapped + widen(record_id)[15:])


@given(st.text(max_size=20))
def test_what_is_no_id_is_refused_in_words(text: str) -> None:
    assume(not (len(text) in {15, 18} and text.isascii() and text.isalnum()))
    with pytest.raises(ValueError, match="expected a Salesforce id"):
        widen(text)


# ── compounds


@given(st.sampled_from(sorted(PARTS)), st.sampled_from(["Contact", "Lead", "User"]), st.data())
def test_a_compound_is_flattened_part_by_part(compound: str, obj: str, data: st.DataObject) -> None:
    parts = data.draw(st.dictionaries(st.sampled_from(sorted(PARTS[compound])), SCALARS))
    assert dict(flatten({compound: parts}, obj)) == {PARTS[compound][part]: value for part, value in parts.items()}


@given(st.dictionaries(st.text(max_size=12).filter(lambda name: name not in PARTS), JSON, max_size=5), st.sampled_from(OBJECTS))
def test_everything_else_stays_as_it_is(payload: dict[str, Any], obj: str) -> None:
    assert dict(flatten(payload, obj)) == payload


# ── events

HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "entityName": st.sampled_from(OBJECTS) | JSON,
        "recordIds": st.lists(IDS, min_size=1, max_size=3) | JSON,
        "changeType": st.sampled_from(sorted(CHANGE_TYPES)) | JSON,
        "changeOrigin": JSON,
        "transactionKey": JSON,
        "sequenceNumber": NUMBERS | JSON,
        "commitTimestamp": NUMBERS | JSON,
        "changedFields": JSON,
    },
)
BODIES = st.dictionaries(
    st.sampled_from(["Name", "Description", "OwnerId", "AccountId", "MailingAddress", "CreatedDate", "IsConverted", "X__c"]),
    IDS | st.dictionaries(st.sampled_from(["diff", "LastName", "Street"]), JSON) | JSON,
)
EVENTS = (
    st.builds(
        lambda header, body, replay: {"payload": {"ChangeEventHeader": header, **body}, "event": {"replayId": replay}},
        HEADERS | JSON,
        BODIES,
        JSON,
    )
    | st.dictionaries(st.sampled_from(["payload", "event", "schema"]), JSON)
    | st.fixed_dictionaries({"payload": st.builds(lambda header: {"ChangeEventHeader": header}, HEADERS)})
)


def decoded(data: dict[str, Any]) -> list[Change]:
    event = decode(data)
    obj = next((each for each in OBJECTS if each == event.entity), None)
    return changes_of(event, obj, SOURCE) if obj is not None and not event.is_sweeping else []


@settings(max_examples=400)
@given(EVENTS)
def test_an_event_is_understood_or_refused_and_nothing_else(data: dict[str, Any]) -> None:
    """Whatever comes in: the daemon does not fall, and what it takes the database can hold."""
    try:
        changes = decoded(data)
    except DecodeError:
        return
    for change in changes:
        assert widen(change.record_id) == change.record_id
        assert abs(change.commit_ms) < 2**63
        assert abs(change.sequence) < 2**63
        orjson.dumps(change.fields)
        assert change.kind == "delete" or change.read or change.whole or decode(data).change_type == "UPDATE"


@given(st.sampled_from(sorted(CHANGE_TYPES - {"GAP_OVERFLOW"})), st.sampled_from(OBJECTS), st.lists(IDS, min_size=1), BODIES)
def test_each_record_of_an_event_gets_the_same_change(
    change_type: str, obj: ObjectName, ids: list[str], body: dict[str, Any]
) -> None:
    header = {"entityName": obj, "recordIds": ids, "changeType": change_type, "commitTimestamp": 1, "transactionKey": "t"}
    try:
        changes = decoded({"payload": {"ChangeEventHeader": header, **body}})
    except DecodeError:
        return
    assert [change.record_id for change in changes] == [widen(record_id) for record_id in ids]
    assert len({(change.kind, change.read, change.whole, repr(change.fields)) for change in changes}) == 1


# ── values for Marketo

TYPES = [
    "string",
    "text",
    "email",
    "phone",
    "url",
    "boolean",
    "integer",
    "score",
    "float",
    "currency",
    "percent",
    "date",
    "datetime",
]
TARGETS = st.builds(Target, st.just("field"), st.sampled_from(TYPES), st.integers(1, 300))
DATES = st.dates().map(str) | st.datetimes().map(lambda moment: moment.isoformat() + "Z") | st.from_regex(r"\A\d{4}-\d\d-\d\d\Z")
MOMENTS = st.from_regex(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:?\d\d)\Z")
RAW = JSON | DATES | MOMENTS | st.integers() | st.sampled_from(["true", "FALSE", "1e400", "nan", "inf", "12.5", " 3 "])


@settings(max_examples=400)
@given(RAW, TARGETS)
def test_a_value_comes_out_in_the_fields_own_type_or_is_refused(value: Any, target: Target) -> None:
    try:
        sent = convert(value, target)
    except ValueRefusedError:
        return
    orjson.dumps(sent)
    if value is None:
        assert sent is None
    elif target.data_type == "boolean":
        assert isinstance(sent, bool)
    elif target.data_type in {"integer", "score"}:
        assert type(sent) is int
    elif target.data_type in {"float", "currency", "percent"}:
        assert isinstance(sent, float)
        assert math.isfinite(sent)
    elif target.data_type == "date":
        assert len(sent) == len("2026-01-31")
    elif target.data_type == "datetime":
        assert len(sent) == len("2026-01-31T12:00:00+00:00")
        assert sent.endswith("+00:00")
    else:
        assert isinstance(sent, str)
        assert len(sent) <= target.length


# ── scores for Salesforce

SCORE_FIELDS = st.builds(
    ScoreField,
    st.just("marketo"),
    st.just("salesforce__c"),
    st.sampled_from(["string", "textarea", "double", "int", "date", "datetime"]),
    st.integers(0, 60),
    st.integers(0, 4),
)
SURROGATES = st.text(st.characters() | st.characters(categories=["Cs"]) | st.sampled_from("\r\n \t"), max_size=80)
SCORES = SCALARS | SURROGATES | DATES | MOMENTS | st.sampled_from(["NaN", "Infinity", "12.50", "9" * 30, 0.5, 2.5, -0.0])


@settings(max_examples=400)
@given(SCORES, SCORE_FIELDS)
def test_what_salesforce_keeps_is_kept_as_it_is(value: Any, score: ScoreField) -> None:
    once = typed(value, score)
    assert typed(once, score) == once
    orjson.dumps(once)


@given(SURROGATES | st.text(st.sampled_from("🙂a \n"), max_size=100), SCORE_FIELDS)
def test_a_text_is_never_longer_than_salesforce_counts(value: str, score: ScoreField) -> None:
    text = typed(value, ScoreField("m", "s", "textarea", score.length, 0))
    if text is not None and score.length:
        assert len(text.encode("utf-16-le")) // 2 <= score.length


@given(st.dictionaries(st.sampled_from(["m1", "m2", "m3"]), SCORES))
def test_no_change_is_no_write(lead: dict[str, Any]) -> None:
    fields = [
        ScoreField(f"m{number}", f"s{number}__c", kind, 20, 0) for number, kind in enumerate(["double", "datetime", "string"])
    ]
    now = current(lead, fields)
    assert difference(now, now) == {}
    assert difference(now, orjson.loads(orjson.dumps(now))) == {}
    assert None not in difference(now, None).values()


@given(JSON | SCORES, SCORE_FIELDS, st.booleans())
def test_whatever_marketo_says_a_score_is_kept_or_written_as_its_type(value: Any, score: ScoreField, told: bool) -> None:
    """Nothing that Marketo answers brings the loop down, or empties a field that it did not empty."""
    written = {score.salesforce: "before"}
    news = difference(current({score.marketo: value} if told else {}, [score]), written)
    assert told or not news
    for each in news.values():
        orjson.dumps(each)
        if each is None:
            assert value is None or not str(value).strip()
        elif score.type in {"double", "int"}:
            assert isinstance(each, float)
        else:
            assert isinstance(each, str)


@given(st.dictionaries(st.sampled_from("abc"), SCALARS), st.dictionaries(st.sampled_from("abc"), SCALARS))
def test_writing_the_difference_makes_it_none(now: dict[str, Any], before: dict[str, Any]) -> None:
    now = {name: now.get(name) for name in "abc"}
    assert difference(now, {**before, **difference(now, before)}) == {}
