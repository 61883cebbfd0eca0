"""The activity feed, deleted leads, scores that change by themselves, and the limits everyone shares."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sandbox.marketo.activities import CHANGE_SCORE, DELETE, INTERESTING_MOMENT, MERGE, NEW_LEAD
from tests.sandbox.marketo_world import World, code, running

SINCE = "2026-11-23T00:00:00Z"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running() as one:
        yield one


async def token(world: World, since: str = SINCE) -> str:
    return str((await world.get("activities/pagingtoken", sinceDatetime=since))["nextPageToken"])


async def test_pages_come_short_or_empty_with_more_to_follow(world: World) -> None:
    world.instance.quirks.activities_scanned = 4
    ids = [world.instance.create_lead(email=f"{number}@example.com") for number in range(10)]
    world.instance.scores.change_score(ids[0], 7)
    place, pages = await token(world), []
    more = True
    while more:
        page = await world.get("activities", activityTypeIds=str(CHANGE_SCORE), nextPageToken=place)
        place, more = page["nextPageToken"], page["moreResult"]
        pages.append([one["leadId"] for one in page["result"]])
    assert pages == [[], [], [ids[0]]]
    assert (await world.get("activities", activityTypeIds=str(NEW_LEAD), nextPageToken=place))["result"] == []


async def test_a_late_activity_is_only_seen_by_looking_back(world: World) -> None:
    lead_id = world.instance.create_lead(email="a@example.com")
    world.instance.scores.change_score(lead_id, 5, late_seconds=60)
    kind = str(CHANGE_SCORE)
    first = await world.get("activities", activityTypeIds=kind, nextPageToken=await token(world))
    world.clock.at += 61
    after = await world.get("activities", activityTypeIds=kind, nextPageToken=first["nextPageToken"])
    again = await world.get("activities", activityTypeIds=kind, nextPageToken=await token(world))
    assert [len(page["result"]) for page in (first, after, again)] == [0, 0, 1]


async def test_merges_and_deletes_are_told(world: World) -> None:
    winner, loser, other = (world.instance.create_lead(email=f"{number}@example.com") for number in range(3))
    world.instance.merge_leads(winner, loser)
    world.instance.delete_lead(other)
    page = await world.get("activities", activityTypeIds=f"{MERGE},{DELETE}", nextPageToken=await token(world))
    merged, deleted = page["result"]
    assert (merged["leadId"], merged["activityTypeId"]) == (winner, MERGE)
    assert {"name": "Merge IDs", "value": str(loser)} in merged["attributes"]
    gone = await world.get("activities/deletedleads", nextPageToken=await token(world))
    assert [one["leadId"] for one in gone["result"]] == [deleted["leadId"]] == [other]
    world.clock.at += 15 * 86400
    await world.sign_in()
    assert (await world.get("activities/deletedleads", nextPageToken=await token(world)))["result"] == []


async def test_what_the_feed_refuses(world: World) -> None:
    place = await token(world)
    assert code(await world.get("activities", nextPageToken=place)) == "1002"
    assert code(await world.get("activities", activityTypeIds="1")) == "1002"
    assert code(await world.get("activities", activityTypeIds=",".join(["1"] * 11), nextPageToken=place)) == "1003"
    assert code(await world.get("activities", activityTypeIds="999", nextPageToken=place)) == "1003"
    assert code(await world.get("activities", activityTypeIds="1", nextPageToken="x")) == "1003"


async def test_the_nightly_run_leaves_no_trace_and_is_the_same_for_a_seed(world: World) -> None:
    ids = [world.instance.create_lead(email=f"{number}@example.com") for number in range(50)]
    before, length = [dict(world.instance.leads[one]) for one in ids], len(world.instance.activities)
    changed = world.instance.scores.recalculate(0.5, seed=1)
    assert 10 < len(changed) < 40
    assert len(world.instance.activities) == length
    after = [world.instance.leads[one] for one in ids]
    assert [one["updatedAt"] for one in before] == [one["updatedAt"] for one in after]
    assert {one["id"] for one, old in zip(after, before, strict=True) if one != old} == set(changed)
    async with running() as other:
        for number in range(50):
            other.instance.create_lead(email=f"{number}@example.com")
        assert other.instance.scores.recalculate(0.5, seed=1) == changed


async def test_moments_and_scores_leave_their_activity(world: World) -> None:
    lead_id = world.instance.create_lead(email="a@example.com")
    world.instance.scores.interesting_moment(lead_id, "Email", "Clicked", "Newsletter")
    world.instance.scores.change_score(lead_id, 40)
    page = await world.get("activities", activityTypeIds=f"{INTERESTING_MOMENT},{CHANGE_SCORE}", nextPageToken=await token(world))
    assert [one["activityTypeId"] for one in page["result"]] == [INTERESTING_MOMENT, CHANGE_SCORE]
    lead = world.instance.leads[lead_id]
    assert (lead["msiLastInterestingMomentType"], lead["priority"]) == ("Email", 40)


async def test_606_in_a_sliding_window_of_20_seconds(world: World) -> None:
    for _ in range(100):
        assert (await world.get("activities/types"))["success"]
    world.clock.at += 19
    assert code(await world.get("activities/types")) == "606"
    world.clock.at += 2
    assert (await world.get("activities/types"))["success"]
    assert world.marketo.limits.highest_calls_in_20s == 101


async def test_607_until_midnight_in_chicago(world: World) -> None:
    world.marketo.limits.daily_calls = 100
    world.marketo.limits.spend(99)
    assert (await world.get("stats/usage"))["result"][0]["total"] == 100
    assert code(await world.get("activities/types")) == "607"
    world.clock.at += world.marketo.limits.seconds_to_reset() - 1
    await world.sign_in()
    assert code(await world.get("activities/types")) == "607"
    world.clock.at += 2
    assert (await world.get("activities/types"))["success"]
    assert world.marketo.limits.today == "2026-11-24"


async def test_615_with_ten_calls_at_once(world: World) -> None:
    world.marketo.latency_seconds = lambda path: 1.0 if "types" in path else 0.0
    world.gate.expected = 10
    waiting = [asyncio.create_task(world.get("activities/types")) for _ in range(10)]
    await world.gate.full.wait()
    assert code(await world.get("stats/usage")) == "615"
    world.gate.opened.set()
    answers = await asyncio.gather(*waiting)
    assert all(answer["success"] for answer in answers)
    assert world.marketo.limits.highest_concurrency == 11
    assert world.marketo.limits.in_flight == 0
