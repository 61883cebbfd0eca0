"""Marketo is given less at a time while it is too much for it, in virtual time: all is delivered, and speed comes back."""

from __future__ import annotations

from typing import Any

from stream.marketo.pace import PROBE_SECONDS_MOST, Pace
from stream.operating.status import status
from tests.property.test_thrift import Day, lived

PATIENT: dict[str, dict[str, Any]] = {"deliver": {"max_new_people_a_day": 100_000}, "scores": {"interval_seconds": 60.0}}

MANY_CALLS = {**PATIENT, "deliver": {**PATIENT["deliver"], "batch_size": 20}}


def pace(stage: Day) -> Pace:
    """The running daemon's."""
    assert stage.daemon is not None
    return stage.daemon.edges.gate.pace


async def told(stage: Day) -> Any:
    """What `status` says of it."""
    assert stage.daemon is not None
    await stage.daemon.heartbeat.beat()
    return (await status(stage.daemon.settings, stage.daemon.clock.now())).facts["pace"]


async def make_people(stage: Day, count: int) -> None:
    """So many new contacts at once; returns when all are delivered."""
    stage.people += [stage.new_person(len(stage.people) + number) for number in range(count)]
    await delivered(stage)


async def delivered(stage: Day) -> None:
    """Let time pass until there is nothing to do, and both sides agree."""
    await stage.until(stage.clock.monotonic() + 10)
    while not await stage._is_idle():
        await stage.until(stage.clock.monotonic() + 10)
    await stage.until_equal()


async def until_full(stage: Day, seconds: float) -> None:
    """The trouble is over: all goes again within so long."""
    ends = stage.clock.monotonic() + seconds
    while not pace(stage).is_full:
        assert stage.clock.monotonic() < ends, pace(stage)
        await stage.until(stage.clock.monotonic() + 10)


def test_where_marketo_takes_fewer_records_in_time_it_is_given_fewer_and_all_again_later() -> None:
    async def play(stage: Day) -> None:
        stage.instance.quirks.batch_most = 100
        await make_people(stage, 1500)
        refused = stage.wires.codes["604"]
        assert 1 <= refused <= 25, "of some fifty calls; five are under way at once"
        assert (await told(stage))["batch_size"]["now"] <= 100
        assert (await told(stage))["concurrency"] == {"now": 5, "set": 5}
        assert [line["cause"] for line in stage.said("delivery_slows")][:1] == ["the call took Marketo too long"]
        assert not stage.said("delivery_speeds_up")
        stage.instance.quirks.batch_most = 300
        await until_full(stage, 2 * PROBE_SECONDS_MOST)
        assert stage.said("delivery_speeds_up")[0]["batch_size"] == 300
        refused = stage.wires.codes["604"]
        await make_people(stage, 600)
        assert stage.wires.codes["604"] == refused

    lived(12, play, **PATIENT)


def test_where_others_leave_little_room_fewer_calls_go_at_once_and_few_are_refused() -> None:
    async def play(stage: Day) -> None:
        stage.marketo.limits.concurrency, stage.marketo.latency_seconds = 2, 5.0
        await make_people(stage, 1500)
        assert 1 <= stage.wires.codes["615"] <= 15, "of some hundred calls"
        assert (await told(stage))["concurrency"]["now"] <= 3
        assert (await told(stage))["batch_size"] == {"now": 20, "set": 20}
        stage.marketo.limits.concurrency = 10
        await until_full(stage, 2 * PROBE_SECONDS_MOST)
        assert stage.said("delivery_speeds_up")

    lived(12, play, **MANY_CALLS)


def test_where_each_call_slows_the_others_fewer_go_at_once_and_all_is_delivered() -> None:
    async def play(stage: Day) -> None:
        await make_people(stage, 1000)
        assert not stage.said("delivery_slows")
        stage.marketo.latency_seconds, stage.instance.quirks.crowded_seconds = 1.0, 8.0
        for number, person in enumerate(stage.people):
            stage.org.update("Contact", person, {"Title": f"T{number}"})
        await delivered(stage)
        assert [line["cause"] for line in stage.said("delivery_slows")][:1] == [
            "Marketo's answers take much longer than they did"
        ]
        stage.instance.quirks.crowded_seconds = 0.0
        await until_full(stage, 2 * PROBE_SECONDS_MOST)
        assert not stage.wires.codes.keys() & {"604", "606", "615"}

    lived(12, play, **MANY_CALLS)
