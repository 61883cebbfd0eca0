"""Is everything set up on both sides? Each check says what was found and, where it fails, the cure. Nothing is written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal

import aiohttp

from store.database import look
from store.errors import StoreError
from store.model import OBJECTS, ObjectName
from stream.clock import Clock
from stream.config_model import Settings
from stream.daemon import Edges, edges
from stream.errors import StreamError
from stream.mapping import EXTERNAL_ID
from stream.score_diff import MSI_FIELDS, marketo_names, score_fields

Result = Literal["ok", "warning", "failure"]
NATIVE_SYNC_CODES = frozenset({"1018", "610", "404"})
HEADROOM = 0.9


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    check: str
    result: Result
    found: str
    cure: str = ""


@dataclass(slots=True)
class Doctor:
    """The checks, one after the other; a failing one does not keep the others from being made."""

    settings: Settings
    edge: Edges
    findings: list[Finding] = field(default_factory=list)

    def note(self, check: str, result: Result, found: str, cure: str = "") -> None:
        """Add a line."""
        self.findings.append(Finding(check, result, found, cure if result != "ok" else ""))

    async def tried(self, check: str, work: Callable[[], Awaitable[None]], cure: str = "") -> bool:
        """Make a check; what it raises is its failure."""
        try:
            await work()
        except StreamError as error:
            self.note(check, "failure", error.message, error.hint or cure)
            return False
        return True

    async def run(self) -> None:
        """All checks."""
        self._store()
        if await self.tried("salesforce sign-in", self._salesforce_sign_in, "check [salesforce] login_url and credentials"):
            for obj in OBJECTS:
                await self.tried(f"salesforce {obj}", partial(self._salesforce_object, obj), _SEE.format(obj=obj))
            await self.tried("salesforce limits", self._salesforce_limits)
        if await self.tried("marketo sign-in", self._marketo_sign_in, "check [marketo] base_url and credentials"):
            for obj in OBJECTS:
                await self._marketo_object(obj)
            await self.tried("marketo quota", self._marketo_quota)

    def _store(self) -> None:
        try:
            look(self.settings.store.path)
        except StoreError as error:
            self.note("store", "failure", error.message, error.hint)
            return
        self.note("store", "ok", str(self.settings.store.path))

    async def _salesforce_sign_in(self) -> None:
        token = await self.edge.sign_in.token()
        self.note("salesforce sign-in", "ok", token.instance_url)

    async def _salesforce_object(self, obj: ObjectName) -> None:
        describe = await self.edge.catalog.salesforce_describe(obj)
        unseen = sorted(self.edge.catalog.fields().of(obj) - describe.fields.keys())
        if unseen:
            self.note(
                f"salesforce {obj}", "warning", f"not to be seen: {', '.join(unseen)}", "give the integration user read access"
            )
        else:
            self.note(f"salesforce {obj}", "ok", f"{len(describe.fields)} fields")
        if obj in {"Contact", "Lead"}:
            names = {name: name for name in MSI_FIELDS}
            found = score_fields(names, describe.fields, self.settings.scores.field_prefix)
            self.note(
                f"salesforce {obj} MSI fields",
                "ok" if len(found) == len(MSI_FIELDS) else "failure",
                f"{len(found)} of {len(MSI_FIELDS)} with the prefix {self.settings.scores.field_prefix or '(none)'!r}, editable",
                "install the MSI package, set scores.field_prefix, and let the integration user edit the fields",
            )

    async def _salesforce_limits(self) -> None:
        limits = await self.edge.salesforce.limits()
        calls = limits.get("DailyApiRequests")
        if calls is None:
            self.note(
                "salesforce limits", "warning", "the org does not tell its daily calls", "look at Setup, Company Information"
            )
        else:
            tight = calls.remaining < (1 - HEADROOM) * calls.max
            self.note(
                "salesforce limits",
                "warning" if tight else "ok",
                f"{calls.remaining} of {calls.max} calls left today",
                "see who uses them",
            )

    async def _marketo_sign_in(self) -> None:
        await self.edge.marketo.activity_types()
        self.note("marketo sign-in", "ok", self.settings.marketo.base_url)

    async def _marketo_object(self, obj: ObjectName) -> None:
        check = f"marketo {'opportunity roles' if obj == 'OpportunityContactRole' else EXTERNAL_ID[obj][8:-2]} ({obj})"
        try:
            describe = await self.edge.catalog.marketo_describe(obj)
        except StreamError as error:
            if getattr(error, "code", "") in NATIVE_SYNC_CODES:
                self.note(
                    check,
                    "failure",
                    "native CRM sync is on (1018): Marketo takes no records by API",
                    "use an instance without it",
                )
            else:
                self.note(check, "failure", error.message, error.hint or "give the API user's role access to this object")
            return
        key = EXTERNAL_ID.get(obj, "externalOpportunityId")
        known = key in describe.fields
        self.note(
            check,
            "ok" if known else "failure",
            f"{len(describe.fields)} fields, {key} {'there' if known else 'missing'}",
            _NON_NATIVE,
        )
        if obj == "Lead" and known:
            self._lead(describe)

    def _lead(self, describe: Any) -> None:
        names = marketo_names(describe.fields, self.settings.scores.relative_score_field)
        complete = len(names) == len(MSI_FIELDS)
        missing = sorted(set(MSI_FIELDS) - set(names))
        told = f"{len(names)} of {len(MSI_FIELDS)}" + (f", missing: {', '.join(missing)}" if missing else "")
        self.note("marketo MSI fields", "ok" if complete else "failure", told, _NON_NATIVE)
        updateable = describe.fields["externalPersonId"].updateable
        self.note(
            "marketo externalPersonId",
            "ok" if updateable else "warning",
            "may be changed" if updateable else "cannot be changed once set",
            "a converted lead's person then keeps the lead's id: ask Adobe Support",
        )

    async def _marketo_quota(self) -> None:
        used, daily = await self.edge.marketo.usage_today(), self.settings.marketo.daily_calls
        tight = used > HEADROOM * daily
        self.note(
            "marketo quota",
            "warning" if tight else "ok",
            f"{used} of {daily} calls used today",
            "see which integration uses them",
        )


_SEE = "give the integration user access to {obj}"
_NON_NATIVE = "ask the Marketo admin to enable Sales Insight for non-native CRM integrations"


async def examine(settings: Settings, warnings: Sequence[str], clock: Clock) -> list[Finding]:
    """All findings for this configuration. Raises ConfigError where it cannot be used at all."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=True) as session:
        doctor = Doctor(settings, edges(settings, session, clock))
        doctor.note("configuration", "ok", "complete")
        for warning in warnings:
            doctor.note("configuration", "warning", warning, "see docs/configuration.md")
        await doctor.run()
        return doctor.findings


def as_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """As `doctor --json` prints them."""
    return [asdict(finding) for finding in findings]
