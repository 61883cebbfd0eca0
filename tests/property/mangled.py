"""Change events as Salesforce sends them, and what can be done to them: values swapped, keys lost, ids that are none, deep nests.

The real ones come from the simulated Salesforce, so that a mutation begins at the true structure and not at noise.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import count
from typing import Any

from hypothesis import strategies as st

from sandbox.salesforce.caller import Caller
from sandbox.salesforce.org import Org
from stream.ids import widen

Json = Any
Path = tuple[str | int, ...]

NOON_S = 1_790_000_000.0
GOOD_LEAD = widen("00Q5g00000GOOD1")
LATER_MS = 600_000  # how much later than the real ones the mangled ones are
DEEP, BOTTOMLESS = 300, 1100  # deeper than orjson writes, deeper than it reads


def nest(depth: int) -> Json:
    """Lists in lists."""
    inner: Json = "core"
    for _ in range(depth):
        inner = [inner]
    return inner


@cache
def real_events() -> tuple[Json, ...]:
    """Events of every kind and object, each `data` as it stands in a Bayeux message."""
    ticks = count()
    org = Org(lambda: NOON_S + 2 * next(ticks), entities_allowed=6)
    org.publisher.select(("User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"))
    user = org.create("User", {"Username": "s@example.com", "Email": "s@example.com", "FirstName": "Sal", "LastName": "Ng"})
    account = org.create("Account", {"Name": "Acme", "OwnerId": user, "BillingStreet": "1 Main\nSt", "AnnualRevenue": 1e6})
    person = {"FirstName": "Lee", "Email": "lee@example.com", "OwnerId": user, "Description": "word " * 300}
    contact = org.create("Contact", {**person, "LastName": "Lee", "AccountId": account, "MailingCity": "Bonn"})
    lead = org.create("Lead", {**person, "LastName": "Ito", "Company": "Bolt", "Street": "2 Side"})
    other = org.create("Lead", {"LastName": "Olu", "Company": "Bolt", "OwnerId": user})
    deal = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2027-01-01", "Amount": 10, "AccountId": account}
    opportunity = org.create("Opportunity", {**deal, "OwnerId": user})
    role = org.create("OpportunityContactRole", {"OpportunityId": opportunity, "ContactId": contact, "Role": "Buyer"})
    org.update("User", user, {"Title": "CSO", "IsActive": False})
    org.update("Account", account, {"Phone": "1", "BillingStreet": None})
    org.update("Contact", contact, {"FirstName": "Li", "Description": "word " * 299 + "end", "MailingCity": None, "Email": None})
    org.update_many("Lead", [lead, other], {"City": "Oslo", "HasOptedOutOfEmail": True})
    org.update("Opportunity", opportunity, {"Amount": 11, "StageName": "Closed Won"})
    org.update("OpportunityContactRole", role, {"Role": "Decider"})
    with org.as_gaps():
        org.update("Lead", other, {"City": "Rome"})
    org.convert_lead(lead, contact_id=contact)
    org.delete("OpportunityContactRole", role)
    org.undelete("OpportunityContactRole", role)
    org.update("Contact", contact, {"mkto_si__Priority__c": 5}, by=Caller(org.api_user_id, "msi-stream"))
    org.publisher.wildcard("Account")
    org.publisher.gap("Contact", [], "GAP_OVERFLOW")
    return tuple(org.log.events())


def good_event(number: int, replay_id: int) -> Json:
    """A lead is created: nothing is wrong with it."""
    header = {
        "entityName": "Lead",
        "recordIds": [GOOD_LEAD],
        "changeType": "CREATE",
        "changeOrigin": "",
        "transactionKey": f"good-{number}",
        "sequenceNumber": 1,
        "commitTimestamp": int((NOON_S + 3600 + number) * 1000),
        "changedFields": [],
    }
    body = {"Name": {"LastName": f"Good {number}"}, "OwnerId": widen("0055g0000000001"), "Company": "Well"}
    return {"schema": "s", "payload": {"ChangeEventHeader": header, **body}, "event": {"replayId": replay_id}}


# ── odd values

NUMBERS = [0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 2**70, -(2**63) - 1, 10**400, 0.5, 1e308, -0.0]
NUMBERS += [math.inf, -math.inf, math.nan]
HALVES = ["\ud800", "x\udfff", "\udc00 y"]
TEXTS = [*HALVES, "", " ", "\0", "a\0b", "\u2028", "x" * 20_000, "*", "001*", "003*", "%", "null", "-1", "1e400"]
IDS = [
    "000000000000000AAA",
    "0035g00000A",
    "0035g00000AbCdE",
    "0035g00000AbCdEXXX",
    "00Q5g00000AbCdE",
    "00G5g00000AbCdE",
    "lee@example.com",
    "' OR 1=1 --",
]
SHAPES = [
    None,
    True,
    False,
    [],
    [None],
    [[]],
    {},
    {"": ""},
    {"diff": None},
    {"diff": "@@ -1 +1 @@"},
    {"diff": {"diff": []}},
    {"LastName": {"diff": 1}},
    {"Street": ["x"]},
    nest(20),
]
STRANGE_TYPES = ["", "create", "EXPLODE", "GAP_", "GAP_OVERFLOW", "GAP_UPDATE", "UPDATE ", "DELETE", "UNDELETE", "\0", "U" * 500]
STRANGE_NAMES = ["", ".", "Name.", ".Name", "Name.Nothing", "Nothing.Name", "MailingAddress.Street", "*", "A.B.C"]
FIELDS = [
    "Name",
    "LastName",
    "Description",
    "Email",
    "OwnerId",
    "AccountId",
    "ContactId",
    "MailingAddress",
    "CreatedDate",
    "X__c",
]
FIELDS += ["IsConverted", "ConvertedContactId"]

odd_values = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.sampled_from(IDS),
    st.sampled_from(SHAPES).map(copy.deepcopy),
    st.text(max_size=20) | st.integers() | st.floats(),
)
deep_values = st.sampled_from([DEEP, BOTTOMLESS]).map(nest)


def paths(value: Json, here: Path = ()) -> Iterator[Path]:
    """Where something stands in a value, the value itself left out; not below twenty levels."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner if len(here) < 20 else ():
        yield (*here, key)
        yield from paths(each, (*here, key))


def _parent(value: Json, path: Path) -> Json:
    for key in path[:-1]:
        value = value[key]
    return value


Mutation = Callable[[st.DrawFn, Json], None]


def _swap(draw: st.DrawFn, data: Json) -> None:
    if found := list(paths(data)):
        path = draw(st.sampled_from(found))
        _parent(data, path)[path[-1]] = draw(odd_values)


def _drop(draw: st.DrawFn, data: Json) -> None:
    if found := list(paths(data)):
        path = draw(st.sampled_from(found))
        del _parent(data, path)[path[-1]]


def _sink(draw: st.DrawFn, data: Json) -> None:
    """Something far down in the place of a value."""
    if found := list(paths(data)):
        path = draw(st.sampled_from(found))
        _parent(data, path)[path[-1]] = draw(deep_values)


def _move(draw: st.DrawFn, data: Json) -> None:
    """One value in the place of another."""
    if found := list(paths(data)):
        source, target = draw(st.sampled_from(found)), draw(st.sampled_from(found))
        with suppress(RecursionError):  # what was sunk deeper than it can be copied stays where it is
            _parent(data, target)[target[-1]] = copy.deepcopy(_parent(data, source)[source[-1]])


def _header(draw: st.DrawFn, data: Json, name: str, values: st.SearchStrategy[Json]) -> None:
    payload = data.get("payload") if isinstance(data, dict) else None
    header = payload.get("ChangeEventHeader") if isinstance(payload, dict) else None
    if isinstance(header, dict):
        header[name] = draw(values)


def _ids(draw: st.DrawFn, data: Json) -> None:
    ids = st.sampled_from([*IDS, "001*", "", GOOD_LEAD[:15], "0015g00000AbCdE"])
    _header(draw, data, "recordIds", st.lists(ids | odd_values, max_size=4) | ids)


def _type(draw: st.DrawFn, data: Json) -> None:
    _header(draw, data, "changeType", st.sampled_from(STRANGE_TYPES) | odd_values)


def _changed(draw: st.DrawFn, data: Json) -> None:
    _header(draw, data, "changedFields", st.lists(st.sampled_from([*STRANGE_NAMES, *FIELDS]) | odd_values, max_size=4))


def _time(draw: st.DrawFn, data: Json) -> None:
    name = draw(st.sampled_from(["commitTimestamp", "sequenceNumber", "transactionKey", "changeOrigin", "entityName"]))
    _header(draw, data, name, odd_values | deep_values)


def _field(draw: st.DrawFn, data: Json) -> None:
    payload = data.get("payload") if isinstance(data, dict) else None
    if isinstance(payload, dict):
        payload[draw(st.sampled_from(FIELDS))] = draw(odd_values | deep_values)


def _replay(draw: st.DrawFn, data: Json) -> None:
    if isinstance(data, dict):
        data["event"] = draw(st.builds(lambda each: {"replayId": each}, odd_values) | odd_values)


MUTATIONS: list[Mutation] = [_swap, _swap, _drop, _drop, _sink, _move, _ids, _type, _changed, _time, _field, _field, _replay]


@st.composite
def mangled(draw: st.DrawFn) -> Json:
    """The `data` of a message: a real event with up to three things done to it, or something that is no event at all."""
    if draw(st.integers(0, 19)) == 0:
        return draw(odd_values | deep_values)
    data = copy.deepcopy(draw(st.sampled_from(real_events())))
    header = data["payload"]["ChangeEventHeader"]
    header["transactionKey"] = f"mangled-{draw(st.integers(0, 10**9))}"
    header["commitTimestamp"] += LATER_MS
    for mutation in draw(st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=3)):
        mutation(draw, data)
    return data
