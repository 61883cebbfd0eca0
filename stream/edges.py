"""The two services as the daemon and the commands reach them: built from the settings, nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from store.model import OBJECTS, ObjectName
from stream import filters
from stream.budgets.budget import CENTRAL, DailyBudget
from stream.budgets.call_memory import CallMemory
from stream.catalog import Catalog
from stream.clock import Clock
from stream.config.model import Settings
from stream.marketo.client import MarketoClient, Timeouts
from stream.marketo.limits import Gate
from stream.plan import Rules
from stream.salesforce.rest import TOTAL_SECONDS, SalesforceClient
from stream.salesforce.sign_in import TOTAL_SECONDS as SIGN_IN_SECONDS
from stream.salesforce.sign_in import SignIn
from stream.server_clock import ServerClock


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the two services may take to answer, in seconds; the defaults follow from the services' own time limits."""

    marketo: Timeouts = field(default_factory=Timeouts)
    salesforce_seconds: float = TOTAL_SECONDS
    sign_in_seconds: float = SIGN_IN_SECONDS
    liveness_seconds: float = 130.0
    margin_seconds: float = 5.0


PATIENCE = Patience()


@dataclass(slots=True)
class Edges:
    """The two services, as the commands and the daemon reach them."""

    sign_in: SignIn
    salesforce: SalesforceClient
    marketo: MarketoClient
    catalog: Catalog
    salesforce_budget: DailyBudget
    marketo_budget: DailyBudget
    filters: Mapping[ObjectName, filters.RecordFilter]
    gate: Gate


def edges(
    settings: Settings,
    session: aiohttp.ClientSession,
    clock: Clock,
    patience: Patience = PATIENCE,
    memory: CallMemory | None = None,
    *,
    concurrency: int | None = None,
) -> Edges:
    """Build the edges. Raises ConfigError where a setting cannot be used; nothing is sent.

    With a `memory`, calls count together with those of other processes on the store; `concurrency`: instead of the setting.
    """
    by_object = {obj: filters.parse(settings.filters.of(obj), f"filters.{obj}") for obj in OBJECTS}
    salesforce_budget = DailyBudget("Salesforce calls", settings.reconcile.daily_calls, clock.now, ledger=memory)
    marketo_limit = settings.marketo.daily_calls - settings.marketo.reserve_calls
    marketo_budget = DailyBudget("Marketo calls", marketo_limit, clock.now, CENTRAL, ledger=memory)
    server_clock = ServerClock(clock)
    sign_in = SignIn(
        login_url=settings.salesforce.login_url,
        flow=settings.salesforce.flow,
        client_id=settings.salesforce.client_id,
        session=session,
        clock=clock,
        client_secret=settings.salesforce.reveal("client_secret"),
        private_key=settings.salesforce.reveal("private_key"),
        username=settings.salesforce.username,
        password=settings.salesforce.reveal("password"),
        refresh_token=settings.salesforce.reveal("refresh_token"),
        timeout_seconds=patience.sign_in_seconds,
        server_clock=server_clock,
    )
    salesforce = SalesforceClient(
        sign_in,
        session,
        api_version=settings.salesforce.api_version,
        client_name=settings.salesforce.client_name,
        budget=salesforce_budget,
        clock=clock,
        total_seconds=patience.salesforce_seconds,
        server_clock=server_clock,
        reserve_calls=settings.reconcile.reserve_calls,
    )
    at_once = concurrency or settings.marketo.concurrency
    gate = Gate(
        clock,
        calls_per_20s=settings.marketo.calls_per_20s,
        concurrency=at_once,
        batch_size=settings.deliver.batch_size,
        memory=memory,
    )
    marketo = MarketoClient(
        settings.marketo.base_url,
        settings.marketo.client_id,
        settings.marketo.client_secret.get_secret_value(),
        session=session,
        gate=gate,
        budget=marketo_budget,
        clock=clock,
        timeouts=patience.marketo,
    )
    catalog = Catalog(settings, salesforce, marketo, by_object)
    return Edges(sign_in, salesforce, marketo, catalog, salesforce_budget, marketo_budget, by_object, gate)


def calls_path(settings: Settings) -> Path:
    """Where the processes on this store count their calls together."""
    return settings.store.path.with_name(settings.store.path.name + ".calls")


def rules(settings: Settings, by_object: Mapping[ObjectName, filters.RecordFilter]) -> Rules:
    """The settings that decide what is sent."""
    objects: tuple[ObjectName, ...] = ("User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole")
    return Rules(
        deletes={obj: settings.deliver.deletes.of(obj) for obj in objects},
        empty_role=settings.deliver.empty_role,
        deleted_field=settings.deliver.deleted_field,
        sales_person_filter=by_object["User"],
        merge_people=settings.deliver.merge_people,
    )
