"""The rows of the matrix: each call that the daemon makes, the step that provokes it, and what kills a record there.

A call that the fault-free scenario makes and that has no row here fails `test_rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.faults.ways import CODES, MARKETO, MARKETO_TOKEN, SALESFORCE, SALESFORCE_TOKEN, SALESFORCE_WRITES, STREAM, Way, refusal

Stage = Literal["pages", "bulk"]

KILLED = frozenset(
    {
        *("605", "609", "610", "612", "613"),  # the call
        *("701", "704", "712", "714"),
        *("1001", "1002", "1003", "1006", "1007", "1008", "1009", "1010", "1076", "1077", "1078", "1079", "1080"),
    }
)
"""Codes by which Marketo says that a record, or the call that holds it, will never be accepted as it is."""
TRIED = frozenset(("611", "699", "702", "718", "799", "1004", "1005", "1011", "1013", "1017", "1021", "1022", "1999", "unknown"))
"""Codes that say the same when they come again and again."""
OF_RECORDS = frozenset(code for code in CODES if len(code) == 4) - {"1011", "1018", "1021", "1026"} | {"701", "704", "718", "799"}
"""Codes that may stand beside a single record; those of the call's form, and of the whole instance, do not."""


@dataclass(frozen=True, slots=True)
class Row:
    """One call.

    `judges`: a refusal of the call may be its record's own fault; `lasts`: it is made again until it succeeds; `records` is what
    Marketo calls the objects in it, where a single one can be refused.
    """

    call: str
    step: str
    judges: bool = False
    records: str = ""
    lasts: bool = True
    stage: Stage = "pages"

    @property
    def service(self) -> Literal["marketo", "salesforce"]:
        """Who is called."""
        return "marketo" if self.call.startswith("marketo") else "salesforce"

    @property
    def family(self) -> str:
        """Which table tells how it can fail."""
        if "/meta/" in self.call:
            return "streaming"
        if self.call.endswith(" token") or self.call.startswith("salesforce update"):
            return " ".join(self.call.split()[:2])
        return self.service

    @property
    def ways(self) -> Sequence[Way]:
        """How it can fail without harm to any record.

        Marketo's true answer to a merge is a success without a result: nothing tells it from one that was never done.
        """
        ways = [way for way in FAMILIES[self.family] if not (self.call.endswith("/merge") and way.claims_success)]
        blaming = (KILLED | TRIED) - self.blameless
        return [way for way in ways if way.code not in blaming and way.status != 413] if self.judges else ways

    @property
    def verdicts(self) -> Sequence[Way]:
        """Codes that blame the records of this call, as long as they come."""
        blaming = (KILLED | TRIED) - self.lies - self.blameless
        return [refusal(code) for code in CODES if code in blaming] if self.judges else ()

    @property
    def refusals(self) -> Sequence[Way]:
        """Codes that blame, or put off, one record of this call."""
        if not self.records:
            return ()
        return [refusal(code) for code in CODES if code in OF_RECORDS and code not in self.lies]

    @property
    def blameless(self) -> frozenset[str]:
        """Codes that blame no record at this call: the search takes another way at once, or native CRM sync is on."""
        another_way = frozenset(("1011",)) if self.call.endswith("by externalPersonId") else frozenset()
        return another_way | (frozenset(("610",)) if self.call.endswith("opportunities/roles") else frozenset())

    @property
    def lies(self) -> frozenset[str]:
        """Codes that would tell the daemon that there is nothing to delete or to merge, or nobody to find."""
        if " delete " in self.call or self.call.endswith("/merge"):
            return frozenset(("702", "1004", "1013"))
        return frozenset(("702",)) if " find " in self.call else frozenset()

    @property
    def kind(self) -> str:
        """What it has in common with other calls, of which one at least meets every way."""
        if self.family == "streaming":
            return self.call.removesuffix(" (first)")
        if "jobs/" in self.call:
            return "salesforce jobs"
        return " ".join(self.call.split("/")[0].replace("queryAll", "query").split()[:2])

    @property
    def group(self) -> tuple[str, ...]:
        """Rows of one group are spoiled together, each at its own call."""
        return self.stage, self.step, "" if self.lasts else self.call


FAMILIES = {
    "marketo": MARKETO,
    "marketo token": MARKETO_TOKEN,
    "salesforce": SALESFORCE,
    "salesforce token": SALESFORCE_TOKEN,
    "salesforce update": SALESFORCE_WRITES,
    "streaming": STREAM,
}
TOKENS, FIELDS, SESSION = "both tokens are revoked", "fields may have changed", "the session at Salesforce is lost"
START, NEW, DELETE = "the daemon starts again", "new people, and one is edited", "everything is deleted"
GAPS, SCORES, AGAIN = "changes come as gaps", "scores rise", "everything is read again"
SWEEP, MERGE = "an hour has passed", "records are merged in Salesforce"
EMAIL = "an email becomes another's"
STREAMED = ("User", "Account", "Contact", "Lead", "Opportunity")
REREAD = ("Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole")
DESCRIBED = ("salespersons", "companies", "leads", "opportunities", "opportunities/roles")

ROWS = (
    Row("marketo token", TOKENS),
    *(Row(f"marketo describe {obj}", FIELDS) for obj in DESCRIBED),
    Row("marketo activities/types", FIELDS),
    Row("marketo GET stats/usage", FIELDS, lasts=False),
    Row("marketo activities/pagingtoken", SCORES),
    Row("marketo activities", SCORES),
    Row("marketo find leads by id", SCORES),
    Row("marketo find leads by externalPersonId", NEW, judges=True),
    Row("marketo find leads by email", NEW, judges=True),
    Row("marketo sync salespersons", NEW, judges=True, records="salesperson"),
    Row("marketo sync companies", NEW, judges=True, records="company"),
    Row("marketo sync leads createOnly by email", NEW, judges=True, records="lead"),
    Row("marketo sync leads createOrUpdate by externalPersonId", NEW, judges=True, records="lead"),
    Row("marketo sync leads updateOnly by id", NEW, judges=True, records="lead"),
    Row("marketo sync opportunities", NEW, judges=True, records="opportunity"),
    Row("marketo sync opportunities/roles", NEW, judges=True, records="role"),
    Row("marketo delete opportunities/roles", DELETE, judges=True, records="role"),
    Row("marketo delete opportunities", DELETE, judges=True, records="opportunity"),
    Row("marketo delete leads", DELETE, judges=True, records="lead"),
    Row("marketo delete companies", DELETE, judges=True, records="company"),
    Row("marketo POST leads/…/merge", MERGE, judges=True),
    Row("salesforce token", TOKENS),
    Row("salesforce /meta/handshake", SESSION),
    Row("salesforce /meta/connect (first)", SESSION),
    Row("salesforce /meta/subscribe", SESSION),
    Row("salesforce /meta/connect", SESSION),
    Row("salesforce /meta/disconnect", START, lasts=False),
    *(Row(f"salesforce describe {obj}", FIELDS) for obj in ("User", *REREAD)),
    Row("salesforce GET limits", FIELDS, lasts=False),
    *(Row(f"salesforce read {obj}", GAPS) for obj in (*STREAMED, "OpportunityContactRole")),
    Row("salesforce queryAll Lead by Id", GAPS),
    Row("salesforce queryAll Contact by Id", MERGE),
    Row("salesforce queryAll Account by Id", MERGE),
    Row("salesforce query User by SystemModstamp", SWEEP),
    *(Row(f"salesforce queryAll {obj} by SystemModstamp", SWEEP) for obj in REREAD),
    *(Row(f"salesforce read {obj} (who lives)", NEW) for obj in ("Contact", "Lead")),
    *(Row(f"salesforce read {obj} (whose email)", EMAIL) for obj in ("Contact", "Lead")),
    Row("salesforce query Lead by IsConverted", NEW),
    *(Row(f"salesforce update {obj}", SCORES) for obj in ("Contact", "Lead")),
    *(Row(f"salesforce count {obj}", AGAIN) for obj in ("User", *REREAD)),
    Row("salesforce query User", AGAIN),
    *(Row(f"salesforce queryAll {obj}", AGAIN) for obj in REREAD),
    Row("salesforce POST jobs/query", AGAIN, stage="bulk"),
    Row("salesforce GET jobs/query/…", AGAIN, stage="bulk"),
    Row("salesforce GET jobs/query/…/results", AGAIN, stage="bulk"),
    Row("salesforce DELETE jobs/query/…", AGAIN, lasts=False, stage="bulk"),
)
BY_CALL = {row.call: row for row in ROWS}


Chosen = dict[Row, list[Way]]


def groups() -> dict[str, list[Row]]:
    """The groups, by the name of their step and of their first call."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in ROWS:
        found.setdefault(row.group, []).append(row)
    return {f"{rows[0].step}: {rows[0].call}": rows for rows in found.values()}


def whole(table: Callable[[Row], Sequence[Way]]) -> Chosen:
    """Every way at every call."""
    return {row: list(table(row)) for row in ROWS}


def covering(table: Callable[[Row], Sequence[Way]]) -> Chosen:
    """Every way at some call of each kind, evenly, and every sort of way at every call, save that a service goes away."""
    chosen: Chosen = {row: [] for row in ROWS}
    for kind in dict.fromkeys(row.kind for row in ROWS):
        members = [row for row in ROWS if row.kind == kind and row.lasts]
        for way in {way.name: way for row in members for way in table(row)}.values():
            takers = [row for row in members if any(each.name == way.name for each in table(row))]
            chosen[min(takers, key=lambda row: len(chosen[row]))].append(way)
    for place, row in enumerate(ROWS):
        for sort in dict.fromkeys(way.sort for way in table(row)):
            some = [way for way in table(row) if way.sort == sort]
            if all(way.sort != sort for way in chosen[row]) and not some[0].down:
                chosen[row].append(some[place % len(some)])
    return chosen
