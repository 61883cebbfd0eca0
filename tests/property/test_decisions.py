"""What is decided about claimed entries: plans, rounds that share nobody, batches that Marketo takes."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from store.model import OBJECTS, PEOPLE, REFS, SATISFIED, Claimed, Entry, ObjectName, Pending, Record, RecordState
from stream.delivery.batch import Item, cut
from stream.delivery.exclusion import rounds
from stream.mapping import BUILT_IN, EXTERNAL_ID, READ_ONLY, REFS_OF, TRUE_ONLY, ObjectMapping, Target, bind, ref_object, wanted
from stream.marketo.answers import FieldDescribe
from stream.marketo.client import MOST_BODY_BYTES, body_bytes
from stream.plan import Done, Refuse, Remove, Reread, Rules, Upsert, plan
from tests.store.outbox_steps import sf_id

# ── plans

KINDS = {
    "unsubscribed": "boolean",
    "doNotCall": "boolean",
    "isPrimary": "boolean",
    "isClosed": "boolean",
    "isWon": "boolean",
    "amount": "currency",
    "numberOfEmployees": "integer",
    "closeDate": "date",
    "externalCreatedDate": "datetime",
}


def described(obj: ObjectName) -> dict[str, FieldDescribe]:
    """A describe that knows all fields of the mapping, the keys and the MSI fields, in whatever spelling."""
    names = {*BUILT_IN[obj].values(), *EXTERNAL_ID.values(), *READ_ONLY, "leadId", "role", "id"}
    return {name: FieldDescribe(name, KINDS.get(name, "string"), 255, name != "id") for name in names}


MAPPINGS = {obj: bind(obj, wanted(obj, {}), described(obj)) for obj in OBJECTS}


def values_of(target: Target) -> st.SearchStrategy[Any]:
    """Values as Salesforce has them for this field, empty and odd ones among them."""
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "boolean": st.booleans(),
        "currency": st.floats(-1e6, 1e6),
        "integer": st.integers(0, 10**6),
        "date": st.dates().map(str),
        "datetime": st.datetimes().map(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000").rjust(28, "0")),
    }
    return st.none() | kinds.get(target.data_type, st.text(min_size=1, max_size=300))


@st.composite
def claims(draw: st.DrawFn) -> Claimed:
    """A claimed entry in any state that the outbox could hand out."""
    obj = draw(st.sampled_from(OBJECTS))
    record_id = sf_id(obj, 1)
    targets = MAPPINGS[obj].targets
    sources = draw(st.sets(st.sampled_from(sorted(targets))))
    fields = {source: draw(values_of(targets[source])) for source in sources}
    if obj == "User":
        fields |= {"UserType": draw(st.sampled_from(["Standard", "Guest"])), "IsActive": draw(st.booleans())}
    if obj == "OpportunityContactRole":
        fields |= draw(st.fixed_dictionaries({}, optional={"Role": st.none() | st.text(max_size=60)}))
    state: RecordState = draw(st.sampled_from(["seen", "synced", "excluded", "deleted", "dropped"]))
    record = Record(
        obj,
        record_id,
        state=state,
        marketo_id="77" if obj in PEOPLE and state == "synced" else None,
        filled=frozenset(draw(st.sets(st.sampled_from(sorted(target.name for target in targets.values()))))),
    )
    parents = {}
    for ref in REFS_OF[obj]:
        if draw(st.booleans()):
            parent = ref_object(ref)
            setattr(record, ref, sf_id(parent, 2))
            parents[ref] = Record(
                parent,
                sf_id(parent, 2),
                state=draw(st.sampled_from(sorted(SATISFIED))),
                marketo_id="88" if parent == "Contact" else None,
            )
    if obj == "OpportunityContactRole" and state == "synced":
        record.sent_key = orjson.dumps([sf_id("Opportunity", 3), 99, "Buyer"]).decode()
    pending = Pending(draw(st.sampled_from(["upsert", "upsert", "upsert", "delete"])), fields, whole=draw(st.booleans()))
    entry = Entry(1, obj, record_id, pending, attempts=draw(st.integers(0, 2)))
    return Claimed(entry, record, parents, referenced=draw(st.booleans()))


RULES = Rules(deletes=dict.fromkeys(OBJECTS, "delete"))


@settings(max_examples=400)
@given(claims())
def test_a_plan_sends_all_keys_and_clears_nothing_of_its_own_accord(claimed: Claimed) -> None:
    record, pending, obj = claimed.record, claimed.entry.pending, claimed.record.object
    planned = plan(claimed, MAPPINGS[obj], RULES)
    if not isinstance(planned, Upsert):
        assert isinstance(planned, Remove | Done | Reread | Refuse)
        return
    assert pending.kind == "upsert"
    orjson.dumps(planned.fields)
    if obj == "OpportunityContactRole":
        assert {"externalOpportunityId", "leadId", "role"} <= planned.fields.keys()
        assert planned.fields["leadId"] == 88
        assert 0 < len(planned.fields["role"]) <= 50
    else:
        assert planned.fields[EXTERNAL_ID[obj]] == record.record_id
    for ref in REFS:
        parent = claimed.parents.get(ref)
        if parent is not None and parent.state == "synced" and ref in {"owner", "account"}:
            assert planned.fields[EXTERNAL_ID[parent.object]] == parent.record_id
    assert not planned.fields.keys() & READ_ONLY
    assert all(planned.fields[name] is True for name in TRUE_ONLY & planned.fields.keys())
    said = {target.name for source, target in MAPPINGS[obj].targets.items() if pending.fields.get(source, "") is None}
    for name in [name for name, value in planned.fields.items() if value is None]:
        assert name in record.filled or (record.in_marketo and name in said), f"{name} is cleared, and nobody said so"
        assert name in planned.emptied
    assert not planned.filled & planned.emptied
    assert planned.filled <= planned.fields.keys()


@given(claims())
def test_a_first_read_clears_nothing(claimed: Claimed) -> None:
    record, pending = claimed.record, claimed.entry.pending
    record.filled, pending.whole = frozenset(), True
    if not record.in_marketo:
        planned = plan(claimed, MAPPINGS[record.object], RULES)
        assert not isinstance(planned, Upsert) or None not in planned.fields.values()


@given(claims())
def test_nothing_goes_out_in_part_before_it_is_in_marketo(claimed: Claimed) -> None:
    if claimed.entry.pending.kind == "upsert" and not claimed.record.in_marketo and not claimed.entry.pending.whole:
        assert isinstance(plan(claimed, MAPPINGS[claimed.record.object], RULES), Reread)


@given(
    st.sampled_from(OBJECTS), st.dictionaries(st.sampled_from(["X__c", "Y__c"]), st.sampled_from(sorted(READ_ONLY)), min_size=1)
)
def test_marketos_own_fields_are_never_mapped_however_they_are_spelled(obj: ObjectName, own: dict[str, str]) -> None:
    for spelled in (own, {source: name.upper() for source, name in own.items()}):
        mapping: ObjectMapping = bind(obj, wanted(obj, spelled), described(obj))
        assert not {target.name for target in mapping.targets.values()} & READ_ONLY


# ── rounds

KEYED = st.lists(st.sets(st.sampled_from("abcdef"), max_size=3), max_size=20)


@given(KEYED)
def test_no_two_of_a_round_share_a_key_and_their_order_is_kept(keys: list[set[str]]) -> None:
    found = rounds(range(len(keys)), lambda item: keys[item])
    assert sorted(item for members in found for item in members) == list(range(len(keys)))
    place = {item: number for number, members in enumerate(found) for item in members}
    for later in range(len(keys)):
        for earlier in range(later):
            if keys[earlier] & keys[later]:
                assert place[earlier] < place[later]


@given(KEYED)
def test_rounds_are_as_few_as_the_order_allows(keys: list[set[str]]) -> None:
    longest: list[int] = []
    for number, mine in enumerate(keys):
        longest.append(1 + max((longest[earlier] for earlier in range(number) if keys[earlier] & mine), default=0))
    assert len(rounds(range(len(keys)), lambda item: keys[item])) == max(longest, default=0)


# ── batches


@given(st.lists(st.integers(0, 700_000) | st.integers(0, 3000), max_size=40), st.integers(1, 10))
def test_batches_keep_marketos_limits_and_lose_nobody(sizes: list[int], most: int) -> None:
    items = []
    for number, size in enumerate(sizes):
        claimed = Claimed(Entry(number, "Account", sf_id("Account", number), Pending()), Record("Account", "x"), {})
        items.append(Item(claimed, Upsert({}), {"externalCompanyId": "x", "note": "n" * size}))
    parts = list(cut(items, most))
    assert [item for part in parts for item in part] == items
    for part in parts:
        assert 0 < len(part) <= most
        assert len(part) == 1 or body_bytes([item.body for item in part]) <= MOST_BODY_BYTES
    for part, after in itertools.pairwise(parts):
        fits = body_bytes([item.body for item in [*part, after[0]]]) <= MOST_BODY_BYTES
        assert len(part) == most or not fits, "cut before it was full"
