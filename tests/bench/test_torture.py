"""The torture: what its notes say, that each client takes part, and that the daemon's capture comes through."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bench.measure import Figure, Size, Target
from bench.torture import figures
from bench.torture.figures import LIMIT_SECONDS, rows_of
from bench.torture.judging import Judged, Notes, Request, judge
from bench.torture.running import CLIENTS, missing, run

PUBLISHED = [(1.0, "a"), (2.0, "b"), (3.0, "c"), (4.0, "d")]
HARMED = 2.5


def notes(received: Sequence[tuple[float, str]], *requests: Request, poll_harmed: bool = False) -> Notes:
    before = Request(2.0, "/meta/connect", "old")
    return Notes(HARMED, PUBLISHED, received, [before, *requests], poll_harmed)


def test_nothing_lost_is_nothing_lost() -> None:
    received = [(1.1, "a"), (2.1, "b"), (4.5, "c"), (4.6, "d")]
    judged = judge(notes(received, Request(3.5, "/meta/handshake")))
    assert judged == Judged(lost=0, doubled=0, notice_seconds=1.0, recover_seconds=2.0)


def test_what_was_never_received_is_lost_and_what_came_again_is_doubled() -> None:
    judged = judge(notes([(1.1, "a"), (1.2, "a"), (1.3, "a"), (4.5, "d")]))
    assert (judged.lost, judged.doubled) == (2, 2)
    assert judged.recover_seconds == 2.0


def test_an_event_from_before_the_harm_is_no_recovery() -> None:
    assert judge(notes([(1.1, "a"), (4.5, "b")])).recover_seconds is None


def test_an_event_that_nobody_published_is_an_error_of_the_measurement() -> None:
    with pytest.raises(ValueError, match="never published"):
        judge(notes([(1.1, "z")]))


@pytest.mark.parametrize(
    ("request_after", "poll_harmed", "noticed"),
    [
        (Request(3.0, "/meta/connect", "old"), False, None),  # finds out that its session is gone, and knows it afterwards
        (Request(3.0, "/meta/connect", "old"), True, 0.5),  # the poll before it went wrong, and it tries again
        (Request(3.0, "/meta/connect", "new"), False, 0.5),
        (Request(3.0, "/meta/disconnect", "old"), True, None),  # says farewell, and has not begun anything new
        (Request(3.0, "/meta/handshake"), False, 0.5),
        (Request(3.0, "/services/oauth2/token"), False, 0.5),
        (Request(2.4, "/meta/handshake"), False, None),
    ],
)
def test_a_request_that_is_not_the_old_poll_is_noticing(request_after: Request, poll_harmed: bool, noticed: float | None) -> None:
    assert judge(notes([], request_after, poll_harmed=poll_harmed)).notice_seconds == noticed


def test_who_does_not_recover_stands_in_the_table_with_the_limit() -> None:
    well, never = Judged(0, 0, 0.2, 0.3), Judged(5, 1, 0.1, None)
    wrong, notice, recover = rows_of("hung_poll", {"daemon": [well], "other": [never]})
    assert (wrong.ours, wrong.verdict) == (0.0, "reached")
    assert wrong.notes == ["other turn by turn: 5 lost and 1 doubled"]
    assert (notice.ratio, notice.verdict) == (2.0, "missed")
    assert recover.told(recover.others["other"]) == f"not within {LIMIT_SECONDS:g}"
    assert recover.verdict == "reached"


def test_a_difference_too_small_to_be_told_is_no_miss() -> None:
    target = Target(1.0, least=False, enough=0.1)
    assert Figure("f", "s", "it", target, {"ours": [0.09], "it": [0.01]}).verdict == "reached"
    assert Figure("f", "s", "it", target, {"ours": [0.2], "it": [0.1]}).verdict == "missed"
    assert str(target) == "≤ 1 of it or ≤ 0.1"


@pytest.mark.timeout(300)
async def test_the_daemon_loses_nothing_and_doubles_nothing() -> None:
    rows = {row.name: row for row in await figures.figures(Size("tiny"))}
    wrong = [row.ours for name, row in rows.items() if name.endswith("lost or doubled")]
    assert wrong == [0.0, 0.0]
    assert 0 < rows["torture, lost answer, seconds to recover"].ours < LIMIT_SECONDS


@pytest.mark.timeout(300)
@pytest.mark.parametrize("client", [client for client in CLIENTS if client != "daemon"])
async def test_each_other_client_takes_part(client: str) -> None:
    if client in {"cometd", "jsforce"} and (reason := missing()):
        pytest.skip(reason)
    judged = await run(client, "duplicates", LIMIT_SECONDS)
    assert (judged.lost, judged.doubled) == (0, 10)  # what is published again reaches whoever does not look at its id
