"""Random orgs with random histories through the whole daemon, in virtual time: whatever goes wrong, the end is the same.

    history ──▶ calm run ─────────────────────────────▶ the oracle finds nothing, nothing is left, nobody is dead
        └─────▶ killed, cut off, slow, in small batches ──▶ likewise, and Marketo has the same of every living record

Marketo is the strict simulated one: it refuses more than 300 records, fields it does not know, bad types and doubles in a batch,
and notes whoever comes before a parent.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.depth import examples
from tests.property.histories import TOLD, Step, histories
from tests.property.simulated import CALM, Run, Schedule, World

WORLDS = st.builds(
    World,
    fate=st.sampled_from(["delete", "keep"]),
    merge_people=st.booleans(),
    shared_email=st.sampled_from(["share", "share", "duplicate"]),
    polled_roles=st.booleans(),
)
SCHEDULES = st.builds(
    Schedule,
    seed=st.integers(0, 10**6),
    faulty=st.sampled_from([0.0, 0.05, 0.25]),
    breaks=st.sampled_from([0.0, 0.1]),
    doubles=st.sampled_from([0.0, 0.5, 1.0]),
    kills=st.integers(0, 3),
    outages=st.integers(0, 2),
    slow_seconds=st.sampled_from([0.01, 0.3, 3.0]),
    starts_at=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    batch_size=st.sampled_from([1, 3, 300]),
    concurrency=st.sampled_from([1, 5]),
    linger_seconds=st.sampled_from([0.0, 1.0, 10.0]),
    first_load=st.booleans(),
    expires=st.booleans(),
)
OUR_FAULT = frozenset({"609", "610", "612", "701", "1001", "1002", "1003", "1005", "1006", "1007", "1011", "1036"})
SEEN_BY_STREAM = ("told",) * 5 + ("gap",)


def check(run: Run) -> None:
    """All is there, nothing is left to be done, nobody was given up, and nothing was sent that Marketo could not take."""
    assert run.problems == []
    assert run.letters == []
    assert not OUR_FAULT & run.codes.keys(), run.codes


@pytest.mark.timeout(600)
@examples(8, 1500)
@given(histories(told=SEEN_BY_STREAM), WORLDS, SCHEDULES)
def test_the_end_is_the_same_whatever_goes_wrong(history: list[Step], world: World, schedule: Schedule) -> None:
    calm, troubled = Run(world, history, CALM).play(), Run(world, history, schedule).play()
    check(calm)
    check(troubled)
    assert troubled.state == calm.state


@pytest.mark.timeout(600)
@examples(3, 500)
@given(histories(told=TOLD), WORLDS, SCHEDULES)
def test_what_the_stream_does_not_tell_is_found_all_the_same(history: list[Step], world: World, schedule: Schedule) -> None:
    """Events are lost, and objects told of as a whole: the sweep and the re-reads bring both sides together."""
    world = World(world.fate, world.merge_people, world.shared_email, world.polled_roles, sweeps=True)
    check(Run(world, history, schedule).play())


FOUND = {
    "who waits for another again and again leaves it a place": (
        World(),
        [Step("new_lead", 1, 1, 1), Step("convert", 0, 0, 1, wait_s=0.0)],
        Schedule(7, concurrency=1, slow_seconds=3.0, starts_at=1.0, linger_seconds=0.0),
    ),
    "a lead that shared its person is converted into a contact with another email": (
        World(),
        [
            Step("new_contact", 5, 1, 0),
            Step("new_contact", 10, 10, 3, wait_s=20.0),
            Step("new_lead", 2, 1, 9),
            Step("new_contact", 6, 11, 5, "gap"),
            Step("convert", 2, 2, 5),
        ],
        CALM,
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_before_stays_mended(name: str) -> None:
    world, history, schedule = FOUND[name]
    run = Run(world, history, schedule).play()
    assert run.passed_over == 0
    check(run)
