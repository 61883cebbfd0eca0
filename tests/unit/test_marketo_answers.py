"""What Marketo's rows become, members missing or of the wrong kind; and how large a body is before it is sent."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.errors import MarketoError
from stream.marketo.answers import Activity, FieldDescribe, activity_of, align, describe_of, moment, record_result, usage_of
from stream.marketo.client import ENVELOPE_BYTES, MOST_BODY_BYTES, body_bytes, record_bytes
from stream.marketo.wire import dumps

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ODD: st.SearchStrategy[Any] = st.sampled_from(
    (None, True, 0, 1, 2, -1, 1.5, "", "0", "skipped", "created", "1003", [], [{}], [{"code": 7}], [[0]], ["x"], {}, {"code": []})
)
NAMES = ("seq", "status", "id", "marketoGUID", "reasons", "reason", "leadId", "activityTypeId", "attributes", "total")
ROWS = st.dictionaries(st.sampled_from(NAMES), ODD)
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    "text",
    ["2026-11-23T12:00:00Z", "2026-11-23T12:00:00+0000", "2026-11-23T04:00:00-08:00", "2026-11-23T12:00:00"],
)
def test_every_way_marketo_writes_a_moment_is_read(text: str) -> None:
    assert moment(text) == NOON


@pytest.mark.parametrize("text", ["", "soon", None, 7, []])
def test_what_is_no_moment_is_none(text: Any) -> None:
    assert moment(text) is None


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"status": "skipped", "reasons": [{"code": "1003", "message": "bad"}]}, "1003"),
        ({"status": "skipped", "reasons": [{"code": 1006}, {"code": "1003"}]}, "1006"),
        ({"status": "skipped", "reason": {"code": "1007"}}, "1007"),
        ({"status": "skipped"}, "unknown"),
        ({"status": "skipped", "reasons": []}, "unknown"),
        ({"id": 7}, "unknown"),
        ({"status": "frobnicated", "id": 7}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_what_is_not_certainly_done_is_skipped_with_its_reason(row: dict[str, Any], code: str) -> None:
    assert (record_result(row).status, record_result(row).code) == ("skipped", code)


def test_a_record_is_known_by_its_id_or_its_guid() -> None:
    assert record_result({"status": "created", "id": 7}).marketo_id == "7"
    assert record_result({"status": "updated", "marketoGUID": "dff2"}).marketo_id == "dff2"
    assert record_result({"status": "deleted"}).marketo_id is None


def test_without_any_seq_the_order_is_that_of_the_input() -> None:
    rows = [{"status": "created", "id": 1}, {"status": "updated", "id": 2}]
    assert [result.marketo_id for result in align("x", rows, 2, by_seq=True)] == ["1", "2"]


@QUIET
@given(rows=st.lists(ROWS, max_size=4), sent=st.integers(0, 4), by_seq=st.booleans())
def test_any_rows_give_one_result_for_each_record_or_a_refusal(rows: list[dict[str, Any]], sent: int, by_seq: bool) -> None:
    if len(rows) != sent:
        with pytest.raises(MarketoError, match="do not match"):
            align("x", rows, sent, by_seq=by_seq)
        return
    with suppress(MarketoError):
        results = align("x", rows, sent, by_seq=by_seq)
        assert len(results) == sent
        assert all(result.code for result in results if result.status == "skipped")


@QUIET
@given(row=ROWS)
def test_any_row_is_an_activity_or_none_and_any_usage_a_number(row: dict[str, Any]) -> None:
    assert isinstance(activity_of(row), Activity | None)
    assert isinstance(usage_of([row]), int)


def test_an_activity_without_a_guid_is_told_apart_all_the_same() -> None:
    row = {"leadId": 7, "activityTypeId": 22, "activityDate": "2026-11-23T12:00:00Z"}
    by_id, by_itself = activity_of({**row, "id": 1}), activity_of(row)
    assert by_id is not None
    assert by_itself is not None
    assert (by_id.guid, by_itself.guid) == ("1", "7:22:2026-11-23T12:00:00Z")


def test_a_describe_leaves_out_what_has_no_name_and_takes_the_rest_for_writable() -> None:
    fields = [{"dataType": "string"}, "broken", {"name": "rating"}, {"name": "id", "length": 0, "updateable": False}]
    describe = describe_of("x", [{"fields": fields, "searchableFields": ["id", ["rating"], ["a", "b"], {"name": "c"}, [], 7]}])
    assert describe.fields == {
        "rating": FieldDescribe("rating", "string", None, updateable=True),
        "id": FieldDescribe("id", "string", None, updateable=False),
    }
    assert describe.searchable == {"id", "rating", "c"}


@QUIET
@given(records=st.lists(st.dictionaries(st.text(), ODD | st.text(), max_size=4), max_size=10))
def test_a_body_is_never_larger_than_its_size_says(records: list[dict[str, Any]]) -> None:
    words = {"action": "createDuplicate", "lookupField": "x" * 255, "partitionName": "y" * 255}
    assert len(dumps({**words, "input": records})) <= body_bytes(records)
    assert 0 <= body_bytes(records) - ENVELOPE_BYTES - sum(map(record_bytes, records)) <= 2, "the brackets"
    assert MOST_BODY_BYTES < 1024 * 1024


def test_a_character_cut_in_two_does_not_spoil_the_body() -> None:
    record = {"lastName": "Zoë \ud83d", "n": 1}
    assert orjson.loads(dumps(record)) == {"lastName": "Zoë ?", "n": 1}
    assert record_bytes(record) == len(dumps(record)) + 1
