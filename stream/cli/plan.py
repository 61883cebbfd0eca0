"""`plan`: what would be sent, and nothing is."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import click

from store.beside import Beside
from store.model import OBJECTS
from stream.cli.options import DEGRADED, config_option, console, json_option, table, tell
from stream.cli.steps import steps
from stream.cli.stream_json import JsonStream
from stream.clock import SystemClock
from stream.comparing.asking import Asking, asking
from stream.comparing.foreseen import Foreseen, Nothing
from stream.comparing.preview import ACTIONS, Action, Planned, Preview
from stream.comparing.preview_sources import FirstLoad, Outbox, cost
from stream.config import load
from stream.config.model import Settings
from stream.errors import StreamError
from stream.logs.output import configure

LIMIT = 20
QUIET = frozenset({"nothing", "share"})

EPILOG = f"""Each payload is shown as what it would change in Marketo: the field, what is there now, and what would be. {LIMIT}
are printed, unless you say otherwise; with --json, all. Values are personal data, and are shown on stdout only. Both services are
only read; the calls count in the day's budgets, and how many it will take is said before.

\b
create    Marketo does not have it
update    Marketo has it
adopt     a person whom Marketo knows by email gets this record's id
conflict  several people match: merge them in Marketo first
delete    Salesforce has deleted it, and by the settings Marketo does
share     another record sends the fields of their Marketo person
nothing   Marketo has all of it already, or nothing of it belongs there: no call
refused   Marketo would not take a value of it: a dead letter
blocked   it waits for a dead letter, or for what is refused here
later     it has to be read, or looked for, once more

\b
Exit codes:
  0  told
  1  a service, or the day's budget, did not allow to go through everything
  2  the configuration, the store or an argument cannot be used

\b
Examples:
  msi-stream plan
  msi-stream plan --first-load --limit 0
  msi-stream plan --json | jq '.payloads[] | select(.action == "adopt")'
"""


class _Planning(Protocol):
    """Where payloads come from. `seen`: how many records have been looked at."""

    @property
    def seen(self) -> int:
        """How many records have been looked at."""
        ...

    def planned(self) -> AsyncIterator[Planned]:
        """The payloads."""
        ...


@click.command(epilog=EPILOG)
@click.option("--first-load", is_flag=True, help="For everything in Salesforce, as before anything was ever sent.")
@click.option("--limit", type=click.IntRange(min=0), default=LIMIT, show_default=True, metavar="N", help="Payloads printed.")
@config_option
@json_option
@click.pass_context
def plan(ctx: click.Context, limit: int, config: Path | None, *, first_load: bool, as_json: bool) -> None:
    """Show what would be sent now, to the last field; send nothing, and change nothing."""
    settings = load(config, os.environ).settings
    configure("error", "console", to=sys.stderr)
    ctx.exit(asyncio.run(_plan(settings, limit, first_load=first_load, as_json=as_json)))


@dataclass(slots=True)
class _Report:
    """What is said of it, as it is found and at the end. `error`: why not everything was gone through."""

    preview: Preview
    limit: int
    as_json: bool
    first_load: bool
    shown: int = 0
    payloads: int = 0
    error: str = ""
    out: JsonStream = field(default_factory=lambda: JsonStream("payloads"))

    def show(self, planned: Planned) -> None:
        """One payload."""
        if self.as_json:
            self.out.item(_row(planned))
        elif planned.action not in QUIET:
            self.payloads += 1
            if self.shown < self.limit:
                self.shown += 1
                _print(planned)

    def end(self) -> None:
        """The totals."""
        totals = self.preview.totals
        every = sum(totals.values(), Counter[Action]())
        if self.as_json:
            made = self.preview.asking.made()
            calls = {"salesforce": made.salesforce, "marketo": made.marketo}
            told = {
                "totals": {obj: {action: totals[obj][action] for action in ACTIONS} for obj in OBJECTS if obj in totals},
                "total": {action: every[action] for action in ACTIONS},
                "first_load": self.first_load,
                "calls": calls,
                "error": self.error,
            }
            self.out.end(told)
            return
        if self.payloads > self.shown:
            click.echo(f"… and {self.payloads - self.shown:,} more (--limit N, or --json for all)")
        if self.payloads:
            click.echo()
        some = [action for action in ACTIONS if every[action]]
        rows = table("object", *some)
        for obj in OBJECTS:
            if obj in totals:
                rows.add_row(obj, *(f"{totals[obj][action]:,}" for action in some))
        console().print(rows) if totals else click.echo("Nothing is open: nothing would be sent.")
        self._tell_new_people(totals)

    def _tell_new_people(self, totals: Mapping[Any, Counter[Action]]) -> None:
        most = self.preview.settings.deliver.max_new_people_a_day
        new = sum(totals[obj]["create"] for obj in ("Contact", "Lead") if obj in totals)
        if new > most:
            click.echo(
                f"\n{new:,} new people: at {most:,} a day (deliver.max_new_people_a_day) they take {-(-new // most):,} days."
            )


async def _plan(settings: Settings, limit: int, *, first_load: bool, as_json: bool) -> int:
    clock, beside = SystemClock(), Beside(settings.store.path)
    async with asking(settings, clock) as ask:
        foreseen = Foreseen(Nothing(), everything=True) if first_load else Foreseen(beside)
        preview = Preview(settings, ask, foreseen)
        source: _Planning
        counts: Mapping[Any, int]
        if first_load:
            load_all = FirstLoad(preview, ask, objects=[obj for obj in OBJECTS if settings.salesforce.objects.of(obj) != "off"])
            source, counts = load_all, await load_all.counts()
        else:
            source, counts = Outbox(preview, ask, beside=beside), await beside.backlog()
        total = sum(counts.values())
        _tell_cost(total, counts, ask, first_load=first_load)
        report = _Report(preview, limit, as_json, first_load)
        try:
            with steps("records looked at", total, clock) as progress:
                async for planned in source.planned():
                    report.show(planned)
                    progress.at(source.seen)
        except StreamError as error:
            report.error = error.message
            tell(f"{error.message}; {source.seen:,} of {total:,} records were looked at", error.hint)
        report.end()
    return DEGRADED if report.error else 0


def _tell_cost(total: int, counts: Mapping[Any, int], ask: Asking, *, first_load: bool) -> None:
    """Say what it will take, before much is asked. Raises BudgetSpent where the day's budgets do not allow it."""
    wanted, left = cost(counts, first_load=first_load), ask.left()
    click.echo(
        f"Planning {total:,} records: up to {wanted.salesforce:,} calls to Salesforce ({left.salesforce:,} left today) "
        f"and {wanted.marketo:,} to Marketo ({left.marketo:,} left today).",
        err=True,
    )
    ask.check(wanted)


def _print(planned: Planned) -> None:
    person = f" (Marketo id {planned.marketo_id})" if planned.marketo_id else ""
    cause = f": {planned.cause}" if planned.cause else ""
    click.echo(f"{planned.action} {' '.join(planned.key)}{person}{cause}")
    for each in planned.fields:
        source = f" ({each.source})" if each.source else ""
        click.echo(f"    {each.field}{source}: {_value(each.marketo)} → {_value(each.salesforce)}")
    if planned.action in {"update", "adopt"} and not planned.fields:
        click.echo("    Marketo holds these values already")


def _row(planned: Planned) -> dict[str, Any]:
    return {
        "action": planned.action,
        "object": planned.key[0],
        "id": planned.key[1],
        "marketo_id": planned.marketo_id,
        "cause": planned.cause,
        "fields": [
            {"field": each.field, "source": each.source, "now": each.marketo, "new": each.salesforce} for each in planned.fields
        ],
    }


def _value(value: Any) -> str:
    return "nothing" if value is None or value == "" else str(value)
