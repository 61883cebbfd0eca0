"""How the daemon stands: the store's facts and the daemon's last heartbeat, judged. Works whether it runs or not.

stopped   no daemon holds the store, or the one that does has fallen silent
failing   the main flow stands still: nothing comes from Salesforce, or nothing goes to Marketo
degraded  it flows, and something needs a look
ok        nothing needs anybody
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from store.database import held, look
from store.errors import StoreError
from store.view import Blocked, View, view
from stream.budgets.budget import CENTRAL, day_in
from stream.budgets.quota import Standing
from stream.config.model import Settings
from stream.holds import LEAVING_CURE, cure_of
from stream.loss import hours_to_loss
from stream.operating import coverage_told
from stream.operating.dead import moment

State = Literal["ok", "degraded", "failing", "stopped"]

STALE_SECONDS = 30.0
LOSS_HOURS = 24.0
BLOCKED_SHOWN = 50
PASSING_CODES = frozenset({"606", "615"})  # Marketo's short-term limits: seconds, and others' calls count in them too
HELD_WORDS = {"deliver": "nothing goes to Marketo", "scores": "no scores go to Salesforce"}
SERVICES = ("marketo", "salesforce", "score_writes")


@dataclass(frozen=True, slots=True)
class Status:
    """The contract's `status`, ready to be printed."""

    state: State
    reasons: Sequence[str]
    facts: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """As `status --json` prints it."""
        return {"state": self.state, "reasons": list(self.reasons), **self.facts}


async def status(settings: Settings, now: float, *, people: bool = True) -> Status:
    """How it stands now; `people`: counted, too. Raises StoreError where [store] path cannot be a store of ours."""
    path = settings.store.path
    if not path.exists() and path.parent.is_dir():
        reason = f"there is no store at {path}: the daemon has never run with this configuration"
        return Status("stopped", [reason], _facts(EMPTY, settings, now, running=False))
    channel, now_ms = settings.salesforce.channel, int(now * 1000)
    found = await view(path, blocked_most=BLOCKED_SHOWN, channel=channel, now_ms=now_ms, people=people)
    said = held(path)
    stopped = [] if said else _why_stopped(found, path, now, running=said is not None)
    speaking = not stopped and not said  # else the last heartbeat is an old one
    facts = _facts(found, settings, now, running=speaking)
    failing = ([said] if said else []) + _near_loss(facts) + _poisoned(found.holds.poisoned)
    failing += _failing(found) if speaking else []
    degraded = _degraded(found, facts, running=speaking)
    degraded += coverage_told.reasons(found.coverage, settings, now) if speaking else []
    state: State = "stopped" if stopped else "failing" if failing else "degraded" if degraded else "ok"
    return Status(state, [*stopped, *failing, *degraded], facts)


EMPTY = View(
    backlog={}, oldest_ms=None, blocked=[], blocked_entries=0, dead=0, replays=[], people=0, heartbeat=None, swept_until=None
)


def _why_stopped(found: View, path: Path, now: float, *, running: bool) -> list[str]:
    beat = found.heartbeat
    silent = now - beat["at"] if beat is not None else None
    if not running:
        if beat is None:
            return ["the daemon is stopped"]
        way = "was stopped" if beat["stopped"] else "ended without stopping in good order"
        return [f"the daemon is stopped: it {way} {_span(silent or 0.0)} ago"]
    if silent is None or silent > STALE_SECONDS or (beat is not None and beat["stopped"]):
        since = f"for {_span(silent)}" if silent is not None else "so far"
        return [f"a daemon holds the store and has said nothing {since}: it is just starting, or it hangs", *_unwritable(path)]
    return []


def _unwritable(path: Path) -> list[str]:
    """Why the store cannot be written, as far as it can be seen from here."""
    try:
        look(path)
    except StoreError as error:
        return [str(error)]
    return []


def _near_loss(facts: Mapping[str, Any]) -> list[str]:
    hours = facts["hours_to_loss"]
    if hours is None or hours >= LOSS_HOURS:
        return []
    if hours == 0:
        return ["Salesforce has begun to forget changes that were not read: what is lost is read again, which takes calls"]
    return [f"in {hours:g} hours Salesforce begins to forget changes that were not read"]


def _poisoned(note: Mapping[str, Any] | None) -> list[str]:
    """Delivery stopped itself, and waits for a person."""
    if note is None:
        return []
    refused = f"{note['refused']:,} of the last {_count(note['judged'], 'record')} were refused, most of them with {note['code']}"
    way = f"{cure_of(note)}, or `msi-stream resume deliver` to go on as it is"
    return [f"nothing goes to Marketo since {moment(note['since'])}: {refused} ({note['cause']}). What to do: {way}"]


def _failing(found: View) -> list[str]:
    """What makes the main flow stand still."""
    beat = found.heartbeat or {}
    reasons = []
    stream, paused = beat["stream"], beat["paused"]
    if stream["state"] == "lost":
        reasons.append(f"nothing comes from Salesforce: {stream['error']}")
    if beat["errors"]["deliver"]:
        reasons.append(f"nothing goes to Marketo: {beat['errors']['deliver']}")
    elif paused and paused["code"] not in PASSING_CODES:
        reasons.append(f"nothing goes to Marketo: {paused['cause']} ({paused['code']}). {paused['cure']}".rstrip())
    return reasons


def _degraded(found: View, facts: Mapping[str, Any], *, running: bool) -> list[str]:
    """What needs a look. Of a stopped daemon only what the store knows."""
    reasons = []
    if found.dead:
        reasons.append(f"{_count(found.dead, 'dead letter')}: see `msi-stream dead list`")
    for flow, since in found.holds.paused.items():
        reasons.append(f"{HELD_WORDS[flow]}, paused by the operator since {moment(since)}: `msi-stream resume {flow}` ends it")
    new = facts["new_people"]
    if new["waiting"]:
        limit = f"a day takes {new['limit']:,} (deliver.max_new_people_a_day); if a filter is wrong, mend it now"
        reasons.append(f"{new['waiting']:,} of the new people wait until {new['until']}: {limit}")
    for obj, waiting in [each for each in found.holds.leaving.items() if each[1]]:
        limit = f"more than deliver.max_leaving_a_day ({facts['leaving']['limit']:,}) left in a day"
        reasons.append(
            f"{_count(waiting, obj + ' record')} left the filter, and stay in Marketo for now: {limit}. {LEAVING_CURE}"
        )
    if not running:
        return reasons
    beat = found.heartbeat or {}
    if beat["stream"]["state"] == "starting":
        reasons.append("the stream from Salesforce is not connected yet")
    paused = beat["paused"]
    if paused and paused["code"] in PASSING_CODES:
        reasons.append(f"deliveries wait a moment: {paused['cause']} ({paused['code']})")
    words = {
        "reading": "reading records from Salesforce",
        "reconcile": "polling Salesforce",
        "load": "reading what is not proven complete",
        "scores": "bringing scores back",
    }
    reasons += coverage_told.silent(beat.get("silent", {}))
    reasons += [f"{words[name]} does not work: {error}" for name, error in beat["errors"].items() if name in words and error]
    for name, calls in facts["calls"].items():
        reasons += _short(name.replace("_", " "), calls)
    return reasons


def _short(name: str, calls: Mapping[str, Any]) -> list[str]:
    """What is said of a budget that does not last for the day."""
    reasons = []
    if calls["used"] >= calls["budget"] and calls["cut_short"]:
        reasons.append(
            f"{name}: nothing is left for today after {calls['used']:,}: {calls['cut_short']}; it goes on once there is more"
        )
    elif calls["used"] >= calls["budget"]:
        reasons.append(f"{name}: today's budget of {calls['budget']:,} is used up; it goes on at {calls['resets_at']}")
    elif calls["live_runs_out_at"] is not None:
        when = f"at {calls['live_runs_out_at']}, and the day ends at {calls['resets_at']}"
        reasons.append(f"{name}: live changes alone will use up today's budget of {calls['budget']:,} {when}")
    if calls["waits"]:
        left = max(calls["budget"] - calls["used"], 0)
        reasons.append(f"{name}: the {left:,} that are left today are kept for live changes: loads and sweeps wait")
    if calls["stretch"] > 1.0:
        reasons.append(f"{name}: batches wait {calls['stretch']:g} times as long as is set, so that the day's calls last")
    return reasons


def _facts(found: View, settings: Settings, now: float, *, running: bool) -> dict[str, Any]:
    beat = found.heartbeat or {}
    lately = beat["freshness"] if running else {"p50": None, "p99": None}
    oldest = max(now - found.oldest_ms / 1000, 0.0) if found.oldest_ms is not None else None
    heard_at = beat.get("stream", {}).get("heard_at")
    return {
        "freshness_seconds": {name: _rounded(value) for name, value in {**lately, "oldest": oldest}.items()},
        "hours_to_loss": hours_to_loss(heard_at, now),
        "backlog": dict(found.backlog),
        "blocked": [_blocked(each) for each in found.blocked],
        "blocked_entries": found.blocked_entries,
        "dead": found.dead,
        "replay_ids": {each.channel: each.replay_id for each in found.replays},
        "coverage": coverage_told.rows(found.coverage, settings),
        "paused": {flow: moment(since) for flow, since in found.holds.paused.items()},
        "poisoned": dict(found.holds.poisoned) if found.holds.poisoned is not None else None,
        "pace": _pace(beat.get("pace"), settings, running=running),
        "calls": _calls(beat.get("calls", {}), settings, now, running=running),
        "new_people": _new_people(found, settings, now),
        "leaving": {"limit": settings.deliver.max_leaving_a_day, "waiting": dict(found.holds.leaving)},
        "people": {
            "synced": found.people,
            "swept_until": moment(found.swept_until) if found.swept_until is not None else None,
        },
    }


def _pace(told: Mapping[str, Any] | None, settings: Settings, *, running: bool) -> dict[str, dict[str, int]]:
    """How much Marketo is given at a time: records in a call, calls at once. A daemon that starts begins with what is set."""
    set_to = {"batch_size": settings.deliver.batch_size, "concurrency": settings.marketo.concurrency}
    return {
        name: dict(told[name]) if told is not None and running else {"now": most, "set": most} for name, most in set_to.items()
    }


def _calls(told: Mapping[str, Any], settings: Settings, now: float, *, running: bool) -> dict[str, dict[str, Any]]:
    """Used, budget and forecast of each service. The forecast is for the end of the quota's day, at the rate of the last hour.

    `runs_out_at` is null where the budget lasts until `resets_at`; `live_runs_out_at` is the same without what can wait.
    """
    budgets = {
        "marketo": settings.marketo.daily_calls - settings.marketo.reserve_calls,
        "salesforce": settings.reconcile.daily_calls,
        "score_writes": settings.scores.daily_writes,
    }
    found = {}
    for name in SERVICES:
        day, seconds_left = day_in(CENTRAL if name == "marketo" else None, now)
        calls = told.get(name, {})
        used = calls["used"] if calls.get("day") == day else 0
        per_hour = calls.get("last_hour", 0) if running else 0
        live_per_hour = min(calls.get("live_last_hour", per_hour), per_hour)
        standing = Standing(calls.get("budget", budgets[name]), used, live_per_hour, per_hour, seconds_left)
        found[name] = {
            "used": used,
            "budget": standing.allowed,
            "cut_short": calls.get("cut_short", "") if running else "",
            "forecast": standing.forecast,
            "runs_out_at": _at(now, standing.runs_out_in_seconds()),
            "live_runs_out_at": _at(now, standing.runs_out_in_seconds(live=True)),
            "resets_at": moment(now + seconds_left),
            "waits": running and calls.get("waits", False),
            "stretch": calls.get("stretch", 1.0) if running else 1.0,
        }
    return found


def _at(now: float, seconds: float | None) -> str | None:
    return moment(now + seconds) if seconds is not None else None


def _new_people(found: View, settings: Settings, now: float) -> dict[str, Any]:
    """How many people were created today, how many may be, and how many wait for which day."""
    note = found.new_people
    return {
        "today": note["used"] if note is not None and note["day"] == day_in(CENTRAL, now)[0] else 0,
        "limit": settings.deliver.max_new_people_a_day,
        "waiting": found.waiting_people,
        "until": moment(found.waiting_until_ms / 1000) if found.waiting_until_ms is not None else None,
    }


def _blocked(each: Blocked) -> dict[str, Any]:
    return {
        "object": each.object,
        "entries": each.entries,
        "waits_for": {"object": each.parent_object, "id": each.parent_id},
        "why": _why_blocked(each),
    }


def _why_blocked(each: Blocked) -> str:
    """How the awaited record stands, in a sentence."""
    match each.state:
        case "dead":
            return f"it is a dead letter ({each.code}): {each.cause}"
        case "in_flight":
            return "it is being read from Salesforce" if each.read else "it is being sent to Marketo"
        case "":
            return "it is not in Marketo yet"
    if each.waits:
        return f"it waits for {_count(each.waits, 'other record')} itself"
    if each.cause:
        return f"it waits to be tried again: {each.cause}"
    return "it waits to be read from Salesforce" if each.read else "it waits to be sent to Marketo"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _span(seconds: float) -> str:
    """A length of time in its largest sensible unit."""
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return _count(int(seconds // size), unit)
    return _count(int(max(seconds, 0.0)), "second")


def _rounded(value: float | None) -> float | None:
    return round(value, 3) if value is not None else None
