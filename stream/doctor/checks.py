"""All of doctor's checks, in their order. Each fails on its own and takes a bounded time; nothing is written.

configuration ─ store, disk, daemon ─┬─ Salesforce: sign-in ─ setup ─ objects ─ MSI fields ─ limits ─ clock ─┬─ both: fields
                                     └─ Marketo: sign-in ─ objects ─ MSI fields ─ quota ─ clock ─────────────┴─ sales persons
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from store.model import OBJECTS, PEOPLE, ObjectName
from stream import connecting
from stream.clock import Clock
from stream.config import Loaded
from stream.config.model import Settings
from stream.delivery.dispatch import MARKETO_OBJECT
from stream.doctor import fields, machine, permissions, sales_people, selection
from stream.doctor import marketo as marketo_says
from stream.doctor import salesforce as salesforce_says
from stream.doctor.findings import Finding, failure, ok, warning
from stream.edges import Edges, Patience, edges
from stream.errors import AuthRefused, MarketoError, SalesforceError, StreamError
from stream.ids import widen
from stream.mapping import wanted
from stream.marketo.answers import Describe
from stream.marketo.client import MOST_RECORDS, Timeouts
from stream.salesforce import setup
from stream.salesforce.rest_answers import ObjectDescribe
from stream.salesforce.soql import select

ANSWER_SECONDS = 20.0
PATIENCE = Patience(marketo=Timeouts(query=ANSWER_SECONDS, other=ANSWER_SECONDS, connect=10.0), salesforce_seconds=ANSWER_SECONDS)
USERS_MOST = 3000
SIGN_IN_CURE = "compare the address and the credentials in [{section}] with what the service shows, and look at network and proxy"
UNCHECKED_CURE = "mend the sign-in first, then run doctor again"
NO_API = frozenset({"API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED", "FUNCTIONALITY_NOT_ENABLED"})


@dataclass(slots=True)
class Doctor:
    """The checks of both services; a failing one does not keep the others from being made."""

    settings: Settings
    edge: Edges
    _salesforce: dict[ObjectName, ObjectDescribe] = field(default_factory=dict)
    _marketo: dict[str, Describe] = field(default_factory=dict)

    # ── Salesforce

    async def salesforce(self) -> list[Finding]:
        """Everything about Salesforce."""
        check, url = "salesforce sign-in", self.settings.salesforce.login_url
        try:
            token = await self.edge.sign_in.token()
            user = await setup.user_id(self.edge.salesforce)
        except StreamError as error:
            cure = error.hint or SIGN_IN_CURE.format(section="salesforce")
            if isinstance(error, SalesforceError) and error.code in NO_API:
                cure = f"give the integration user API Enabled {permissions.SET}"
            return [failure(check, f"{url}: {error.message}", cure), _unchecked("salesforce"), *self._salesforce_clock()]
        found = [ok(check, f"flow {self.settings.salesforce.flow}, org {token.instance_url}")]
        parts = [self._setup(user), *map(self._salesforce_object, OBJECTS), self._salesforce_limits()]
        for part in await asyncio.gather(*parts):
            found += part
        return [*found, *self._salesforce_clock()]

    async def _setup(self, user: str) -> list[Finding]:
        """What the org's setup says, as far as this user may look at it."""
        modes, channel = self.settings.salesforce.objects, self.settings.salesforce.channel
        try:
            held = await setup.permissions(self.edge.salesforce)
        except StreamError as error:
            return [warning("salesforce permissions", error.message, error.hint or "run doctor again")]
        converted = permissions.converted_finding(held, modes)
        found = [permissions.setup_finding(held), *([converted] if converted else [])]
        if not held.get("ViewSetup"):
            return [*found, ok(selection.CHANNEL, selection.told(channel, modes))]
        try:
            org = await setup.selection(self.edge.salesforce)
            found += selection.selection_findings(channel, modes, org)
            seen = await setup.seen_whole(self.edge.salesforce, user)
        except StreamError as error:
            return [*found, warning("salesforce setup", error.message, error.hint or "run doctor again")]
        return [*found, permissions.view_all_finding(held, seen, modes)]

    async def _salesforce_object(self, obj: ObjectName) -> list[Finding]:
        try:
            describe = await self.edge.salesforce.describe(obj)
        except StreamError as error:
            cure = error.hint or f"give the integration user read access to {obj}"
            return [failure(f"salesforce {obj}", error.message, cure)]
        self._salesforce[obj] = describe
        deciding = self.edge.filters[obj].names
        found = [salesforce_says.object_finding(obj, describe, self.edge.catalog.fields().of(obj), deciding)]
        if obj in PEOPLE:
            found.append(salesforce_says.msi_finding(obj, describe, self.settings.scores.field_prefix))
        return found

    async def _salesforce_limits(self) -> list[Finding]:
        try:
            limits = await self.edge.salesforce.limits()
        except StreamError as error:
            return [warning("salesforce limits", error.message, error.hint or "give the integration user View Setup")]
        return salesforce_says.limit_findings(limits, self.settings.reconcile.daily_calls, self.settings.scores.daily_writes)

    def _salesforce_clock(self) -> list[Finding]:
        ahead = self.edge.salesforce.server_clock.ahead_seconds()
        return [machine.clock_finding("salesforce", ahead)] if ahead is not None else []

    # ── Marketo

    async def marketo(self) -> list[Finding]:
        """Everything about Marketo."""
        check, url = "marketo sign-in", self.settings.marketo.base_url
        try:
            activities = await self._activities()
        except StreamError as error:
            cure = error.hint or SIGN_IN_CURE.format(section="marketo")
            return [failure(check, f"{url}: {error.message}", cure), _unchecked("marketo"), *self._marketo_clock()]
        found = [ok(check, url), activities]
        groups = [[obj for obj in OBJECTS if MARKETO_OBJECT[obj] == name] for name in dict.fromkeys(MARKETO_OBJECT.values())]
        for findings in await asyncio.gather(*map(self._marketo_objects, groups)):
            found += findings
        if people := self._marketo.get("leads"):
            found += marketo_says.person_findings(people, self.settings.scores.relative_score_field)
        for finding in await asyncio.gather(self._partition(), self._marketo_quota()):
            found += finding
        return [*found, *self._marketo_clock()]

    async def _activities(self) -> Finding:
        """Whether the activity feed may be read; raises where it was the sign-in that failed."""
        check = "marketo activities"
        try:
            kinds = await self.edge.marketo.activity_types()
        except MarketoError as error:
            if isinstance(error, AuthRefused) or error.code in {"600", "601", "602"}:
                raise
            return failure(check, error.message, error.hint or "give the API user's role Read-Only Activity")
        return ok(check, f"{len(kinds)} types can be read")

    async def _marketo_objects(self, objects: Sequence[ObjectName]) -> list[Finding]:
        """One Marketo object, which contacts and leads share."""
        name = MARKETO_OBJECT[objects[0]]
        try:
            self._marketo[name] = await self.edge.marketo.describe(name)
        except MarketoError as error:
            return [marketo_says.refused_finding(obj, error) for obj in objects]
        except StreamError as error:
            return [failure(marketo_says.NAMES[obj], error.message, error.hint or "try again") for obj in objects]
        return [marketo_says.object_finding(obj, self._marketo[name], self._wanted(obj)) for obj in objects]

    def _wanted(self, obj: ObjectName) -> dict[str, str]:
        lead_company = self.settings.deliver.lead_company == "when_no_account"
        return wanted(obj, self.settings.fields.of(obj), lead_company=lead_company)

    async def _partition(self) -> list[Finding]:
        name = self.settings.deliver.partition
        if not name:
            return []
        try:
            return [marketo_says.partition_finding(name, await self.edge.marketo.partitions())]
        except StreamError as error:
            return [warning("marketo partition", error.message, error.hint or "give the API user's role Read-Only Person")]

    async def _marketo_quota(self) -> list[Finding]:
        limits = self.settings.marketo
        try:
            used = await self.edge.marketo.usage_today()
        except StreamError as error:
            return [warning("marketo daily calls", error.message, error.hint or "give the API user's role access to usage")]
        return [marketo_says.quota_finding(used, limits.daily_calls, limits.reserve_calls)]

    def _marketo_clock(self) -> list[Finding]:
        ahead = self.edge.marketo.server_clock.ahead_seconds()
        return [machine.clock_finding("marketo", ahead)] if ahead is not None else []

    # ── both together

    async def both(self) -> list[Finding]:
        """What can be said once both sides were asked."""
        found = []
        for obj in OBJECTS:
            describe, held = self._salesforce.get(obj), self._marketo.get(MARKETO_OBJECT[obj])
            if describe is None or held is None:
                continue
            found.append(fields.field_finding(obj, self._wanted(obj), describe, held, self.settings.fields.rules_of(obj)))
            if obj == "OpportunityContactRole" and (short := fields.role_finding(describe.fields.get("Role"), held)):
                found.append(short)
        return found + await self._sales_people()

    async def _sales_people(self) -> list[Finding]:
        user = self._salesforce.get("User")
        if user is None or "Email" not in user.fields or "salespersons" not in self._marketo:
            return []
        try:
            users, all_asked = await self._users(user)
            held = {}
            for start in range(0, len(users), MOST_RECORDS):
                ids = list(users)[start : start + MOST_RECORDS]
                names = ["externalSalesPersonId", "email"]
                for row in await self.edge.marketo.find("salespersons", names[0], ids, names):
                    held[str(row.get(names[0]))] = str(row.get("email") or "")
        except StreamError as error:
            return [warning(sales_people.CHECK, f"not compared: {error.message}", error.hint or "run doctor again")]
        return [sales_people.sales_people_finding(users, held, all_asked=all_asked)]

    async def _users(self, user: ObjectDescribe) -> tuple[dict[str, str], bool]:
        """The email of each active user whom the filter admits, and whether these are all."""
        admitted = self.edge.filters["User"]
        names = sorted({"Id", "Email", *(admitted.names & user.fields.keys())})
        active = "IsActive = true" if "IsActive" in user.fields else ""
        found: dict[str, str] = {}
        async for page in self.edge.salesforce.query(select(names, "User", active, "Id")):
            found |= {widen(str(row["Id"])): str(row.get("Email") or "") for row in page if admitted.admits(row)}
            if len(found) >= USERS_MOST:
                return dict(list(found.items())[:USERS_MOST]), False
        return found, True


def _unchecked(service: str) -> Finding:
    return failure(f"{service} objects, fields and limits", "not checked: there is no sign-in", UNCHECKED_CURE)


async def examine(loaded: Loaded, clock: Clock) -> list[Finding]:
    """All findings for this configuration. Raises ConfigError where it cannot be used at all."""
    found = [ok("configuration", f"{loaded.path} is complete")]
    found += [warning("configuration", each, "see docs/configuration.md") for each in loaded.warnings]
    found += await machine.store_findings(loaded.settings.store.path, clock.now())
    async with connecting.session() as session:
        doctor = Doctor(loaded.settings, edges(loaded.settings, session, clock, PATIENCE))
        for findings in await asyncio.gather(doctor.salesforce(), doctor.marketo()):
            found += findings
        found += await doctor.both()
    return found


def as_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """As `doctor --json` prints them."""
    return [asdict(finding) for finding in findings]
