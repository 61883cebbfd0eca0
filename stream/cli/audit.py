"""`audit`: do both sides agree?"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from store import repair
from store.beside import Beside
from store.database import is_held
from store.store import Store
from stream.cli.options import DEGRADED, config_option, console, json_option, table, tell
from stream.cli.steps import steps
from stream.cli.stream_json import JsonStream
from stream.clock import SystemClock
from stream.comparing.asking import Asking, asking
from stream.comparing.audit import Audit, Chosen
from stream.comparing.difference import Difference, Tally, repair_of
from stream.config import load
from stream.config.model import Settings
from stream.errors import StreamError
from stream.logs.output import configure

SAMPLE = 300
REPAIR_MOST = 500
COLUMNS = (
    *("compared", "agree", "differs", "missing", "unexpected", "several", "refused", "unseen"),
    *("under_way", "dead", "nothing"),
)

EPILOG = f"""Records the store knows are read on both sides and compared as the daemon would send them: {SAMPLE} at random,
unless you say otherwise. Salesforce takes a call for 1,500 records, Marketo one for 300; they count in the day's budgets, and
what it will take is said before. A record for which something is open is under way and not judged. Values are personal data,
and are shown on stdout only.

\b
differs     Marketo holds other values
missing     Marketo does not have it
unexpected  deleted in Salesforce, and in Marketo against the settings
several     more than one in Marketo with its id: merge them there
refused     Marketo would not take a value of it
unseen      Marketo has it, and Salesforce does not show it: deleted for good, or hidden from the integration user
nothing     nothing of it belongs in Marketo

\b
Exit codes:
  0  all that was compared agrees
  1  there are differences; or a service, or the day's budget, did not allow to compare everything
  2  the configuration, the store or an argument cannot be used

\b
Examples:
  msi-stream audit
  msi-stream audit --all --repair
  msi-stream audit --sample 3000 --json | jq .share
"""


@click.command(epilog=EPILOG)
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help=f"So many records, chosen at random. Default: {SAMPLE}.")
@click.option("--all", "everything", is_flag=True, help="Every record that the store knows.")
@click.option("--repair", "mend", is_flag=True, help="Queue what differs: the daemon reads and sends it whole.")
@config_option
@json_option
@click.pass_context
def audit(ctx: click.Context, sample: int | None, config: Path | None, *, everything: bool, mend: bool, as_json: bool) -> None:
    """Compare Salesforce and Marketo, and show each difference."""
    if everything and sample is not None:
        raise click.UsageError("--all compares every record: leave out --sample, or leave out --all")
    settings = load(config, os.environ).settings
    configure("error", "console", to=sys.stderr)
    asked = None if everything else sample or SAMPLE
    ctx.exit(asyncio.run(_audit(settings, asked, mend=mend, as_json=as_json)))


@dataclass(slots=True)
class _Report:
    """What is said of it, as it is found and at the end. `error`: why not everything was compared."""

    audit: Audit
    chosen: Chosen
    as_json: bool
    found: list[Difference] = field(default_factory=list)
    repaired: int = 0
    differences: int = 0
    error: str = ""
    out: JsonStream = field(default_factory=lambda: JsonStream("differences"))

    def show(self, difference: Difference) -> None:
        """One difference, at once."""
        self.differences += 1
        if self.as_json:
            self.out.item(_row(difference))
            return
        name = " ".join(difference.key)
        if not difference.fields:
            click.echo(f"{name}  {difference.cause}")
        for each in difference.fields:
            source = f" ({each.source})" if each.source else ""
            click.echo(
                f"{name}  {each.field}{source}: {_value(each.salesforce)} in Salesforce, {_value(each.marketo)} in Marketo"
            )

    def end(self) -> None:
        """How many agree."""
        if self.as_json:
            self.out.end(self._summary())
            return
        if self.differences:
            click.echo()
        told = [column for column in COLUMNS if any(getattr(tally, column) for tally in self.audit.tallies.values())]
        rows = table("object", *(column.replace("_", " ") for column in told), "share")
        for obj, tally in self.audit.tallies.items():
            rows.add_row(obj, *(f"{getattr(tally, column):,}" for column in told), _percent(_share([tally])))
        console().print(rows)
        share = _share(list(self.audit.tallies.values()))
        click.echo(f"\n{_percent(share)} of the records compared agree." if share is not None else "\nNothing could be compared.")

    def _summary(self) -> Mapping[str, Any]:
        tallies, made = self.audit.tallies, self.audit.asking.made()
        every = list(tallies.values())
        return {
            "share": _share(every),
            "compared": sum(tally.compared for tally in every),
            "agree": sum(tally.agree for tally in every),
            "under_way": sum(tally.under_way for tally in every),
            "looked_at": self.audit.looked_at,
            "chosen": self.chosen.total,
            "known": self.chosen.known,
            "objects": {obj: {column: getattr(tally, column) for column in COLUMNS} for obj, tally in tallies.items()},
            "repaired": self.repaired,
            "calls": {"salesforce": made.salesforce, "marketo": made.marketo},
            "error": self.error,
        }


async def _audit(settings: Settings, sample: int | None, *, mend: bool, as_json: bool) -> int:
    clock, beside = SystemClock(), Beside(settings.store.path)
    async with asking(settings, clock) as ask:
        audit = Audit(settings, ask, beside)
        chosen = await audit.choose(sample)
        _tell_cost(chosen, ask)
        report = _Report(audit, chosen, as_json)
        try:
            with steps("records compared", chosen.total, clock) as progress:
                audit.tell = progress.at
                async for difference in audit.differences(chosen):
                    report.show(difference)
                    if mend:
                        report.found.append(difference)
                        await _mend(settings, report, clock, least=REPAIR_MOST)
            await _mend(settings, report, clock, least=1)
        except StreamError as error:
            report.error = error.message
            tell(f"{error.message}; {audit.looked_at:,} of {chosen.total:,} records were compared", error.hint)
        report.end()
    if mend:
        when = "the daemon takes" if is_held(settings.store.path) else "no daemon runs, and the next start takes"
        click.echo(f"{report.repaired:,} queued: {when} them up.", err=True)
    return DEGRADED if report.differences or report.error else 0


def _tell_cost(chosen: Chosen, ask: Asking) -> None:
    """Say what it will take, before anything is asked. Raises BudgetSpent where the day's budgets do not allow it."""
    cost, left = chosen.cost(), ask.left()
    click.echo(
        f"Comparing {chosen.total:,} of {chosen.known:,} records: some {cost.salesforce:,} calls to Salesforce "
        f"({left.salesforce:,} left today) and {cost.marketo:,} to Marketo ({left.marketo:,} left today).",
        err=True,
    )
    ask.check(cost)


async def _mend(settings: Settings, report: _Report, clock: SystemClock, *, least: int) -> None:
    """Queue what was found so far, where it is enough."""
    if len(report.found) < least:
        return
    wanted, report.found = repair_of(report.found), []
    store = await Store.open(settings.store.path, create=False, exclusive=False)
    try:
        report.repaired += await store.submit(lambda tx: repair.queue(tx, wanted, int(clock.now() * 1000)))
    finally:
        await store.close()


def _row(difference: Difference) -> dict[str, Any]:
    return {
        "object": difference.key[0],
        "id": difference.key[1],
        "marketo_id": difference.marketo_id,
        "kind": difference.kind,
        "cause": difference.cause,
        "fields": [
            {"field": each.field, "source": each.source, "salesforce": each.salesforce, "marketo": each.marketo}
            for each in difference.fields
        ],
    }


def _value(value: Any) -> str:
    return "nothing" if value is None or value == "" else str(value)


def _share(tallies: list[Tally]) -> float | None:
    compared = sum(tally.compared for tally in tallies)
    return sum(tally.agree for tally in tallies) / compared if compared else None


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"
