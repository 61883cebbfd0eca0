"""Is everything set up on both sides? Each check says what was found and, where it fails, the cure. Nothing is written.

configuration ─ store ─┬─ Salesforce: sign-in ─ objects ─ MSI fields ─ limits
                       └─ Marketo: sign-in ─ objects ─ MSI fields ─ quota
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp

from store.database import is_held, look
from store.errors import StoreError
from store.model import OBJECTS, PEOPLE, ObjectName
from stream import doctor_marketo, doctor_salesforce
from stream.clock import Clock
from stream.config import Loaded
from stream.config.model import Settings
from stream.daemon import Edges, edges
from stream.dispatch import MARKETO_OBJECT
from stream.errors import AuthRefused, MarketoError, StreamError
from stream.findings import Finding, failure, ok, warning
from stream.mapping import wanted
from stream.marketo.answers import Describe

SIGN_IN_CURE = "compare the address and the credentials in [{section}] with what the service shows, and look at network and proxy"
UNCHECKED_CURE = "mend the sign-in first, then run doctor again"


@dataclass(slots=True)
class Doctor:
    """The checks of both services; a failing one does not keep the others from being made."""

    settings: Settings
    edge: Edges
    _described: dict[str, Describe] = field(default_factory=dict)

    async def salesforce(self) -> list[Finding]:
        """Everything about Salesforce."""
        check, url = "salesforce sign-in", self.settings.salesforce.login_url
        try:
            token = await self.edge.sign_in.token()
        except StreamError as error:
            cure = error.hint or SIGN_IN_CURE.format(section="salesforce")
            return [failure(check, f"{url}: {error.message}", cure), _unchecked("salesforce")]
        found = [ok(check, f"flow {self.settings.salesforce.flow}, org {token.instance_url}")]
        found.append(doctor_salesforce.channel_finding(self.settings.salesforce.channel, self.settings.salesforce.objects))
        for obj in OBJECTS:
            found += await self._salesforce_object(obj)
        return found + await self._salesforce_limits()

    async def _salesforce_object(self, obj: ObjectName) -> list[Finding]:
        try:
            describe = await self.edge.salesforce.describe(obj)
        except StreamError as error:
            cure = error.hint or f"give the integration user read access to {obj}"
            return [failure(f"salesforce {obj}", error.message, cure)]
        found = [doctor_salesforce.object_finding(obj, describe, self.edge.catalog.fields().of(obj))]
        if obj in PEOPLE:
            found.append(doctor_salesforce.msi_finding(obj, describe, self.settings.scores.field_prefix))
        return found

    async def _salesforce_limits(self) -> list[Finding]:
        try:
            limits = await self.edge.salesforce.limits()
        except StreamError as error:
            return [warning("salesforce limits", error.message, error.hint or "give the integration user View Setup")]
        return doctor_salesforce.limit_findings(limits, self.settings.reconcile.daily_calls)

    async def marketo(self) -> list[Finding]:
        """Everything about Marketo."""
        check, url = "marketo sign-in", self.settings.marketo.base_url
        try:
            activities = await self._activities()
        except StreamError as error:
            cure = error.hint or SIGN_IN_CURE.format(section="marketo")
            return [failure(check, f"{url}: {error.message}", cure), _unchecked("marketo")]
        found = [ok(check, url), activities]
        found += [await self._marketo_object(obj) for obj in OBJECTS]
        if people := self._described.get("leads"):
            found += doctor_marketo.person_findings(people, self.settings.scores.relative_score_field)
        return [*found, await self._marketo_quota()]

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

    async def _marketo_object(self, obj: ObjectName) -> Finding:
        name = MARKETO_OBJECT[obj]
        try:
            if name not in self._described:
                self._described[name] = await self.edge.marketo.describe(name)
        except MarketoError as error:
            return doctor_marketo.refused_finding(obj, error)
        except StreamError as error:
            return failure(doctor_marketo.NAMES[obj], error.message, error.hint or "try again")
        lead_company = self.settings.deliver.lead_company == "when_no_account"
        mapped = wanted(obj, self.settings.fields.of(obj), lead_company=lead_company)
        return doctor_marketo.object_finding(obj, self._described[name], mapped)

    async def _marketo_quota(self) -> Finding:
        limits = self.settings.marketo
        try:
            used = await self.edge.marketo.usage_today()
        except StreamError as error:
            return warning("marketo daily calls", error.message, error.hint or "give the API user's role access to usage")
        return doctor_marketo.quota_finding(used, limits.daily_calls, limits.reserve_calls)


def store_finding(settings: Settings) -> Finding:
    """Whether the daemon could use [store] path; no file is made to find out."""
    path = settings.store.path
    try:
        look(path)
    except StoreError as error:
        return failure("store", error.message, error.hint)
    if is_held(path):
        return ok("store", f"{path}, a daemon runs on it")
    return ok("store", str(path) if path.exists() else f"{path} will be made")


def _unchecked(service: str) -> Finding:
    return failure(f"{service} objects, fields and limits", "not checked: there is no sign-in", UNCHECKED_CURE)


async def examine(loaded: Loaded, clock: Clock) -> list[Finding]:
    """All findings for this configuration. Raises ConfigError where it cannot be used at all."""
    found = [ok("configuration", f"{loaded.path} is complete")]
    found += [warning("configuration", each, "see docs/configuration.md") for each in loaded.warnings]
    found.append(store_finding(loaded.settings))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=True) as session:
        doctor = Doctor(loaded.settings, edges(loaded.settings, session, clock))
        for findings in await asyncio.gather(doctor.salesforce(), doctor.marketo()):
            found += findings
    return found


def as_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """As `doctor --json` prints them."""
    return [asdict(finding) for finding in findings]
