"""The scenario, step by step: what happens in Salesforce or Marketo, or to the daemon, so that it makes each of its calls.

Every step can be taken again and again in the same world: it works on records of its own, or on those of the cast.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields

from sandbox.oracle_rules import Rules
from store.model import OBJECTS, Hole
from stream.edges import Patience
from stream.marketo.client import Timeouts
from stream.reconcile import swept_note
from tests.flow.scenes import Deal, contact_of, lead_of, opportunity_of, user
from tests.flow.world import World

DELETED = ("Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole")
RULES = Rules(deletes=dict.fromkeys(DELETED, "delete"))
PATIENCE = Patience(
    Timeouts(*[1.0] * len(fields(Timeouts))),
    salesforce_seconds=1.0,
    sign_in_seconds=1.0,
    liveness_seconds=120.0,
    margin_seconds=120.0,
)


@dataclass(slots=True)
class Cast:
    """Who plays: the world, and records that are in Marketo already."""

    here: World
    number: int = 0
    stage: list[Deal] = field(default_factory=list)

    @property
    def deal(self) -> Deal:
        """The business that steps change."""
        return self.stage[-1]

    def name(self) -> str:
        """A name that nobody had."""
        self.number += 1
        return f"N{self.number}"

    def business(self) -> Deal:
        """A whole new business."""
        org, name = self.here.org, self.name()
        with org.transaction():
            owner = user(self.here, name)
            account = org.create("Account", {"Name": name, "OwnerId": owner})
            contact = org.create("Contact", contact_of(account, f"{name}c", OwnerId=owner))
            lead = org.create("Lead", lead_of(f"{name}l", OwnerId=owner))
            opportunity = org.create("Opportunity", opportunity_of(account, OwnerId=owner))
            role = org.create("OpportunityContactRole", {"OpportunityId": opportunity, "ContactId": contact, "Role": "Buyer"})
        made = Deal(owner, account, contact, lead, opportunity, role)
        self.stage.append(made)
        return made

    async def quiet(self, rules: Rules = RULES, seconds: float = 60.0) -> None:
        """Wait until both systems agree, the outbox is empty but for dead letters, and nothing is left that has to be read."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while trouble := await self.trouble(rules):
            await self.here.until(lambda: True)
            if loop.time() > deadline:
                raise AssertionError(f"not so after {seconds} s: {trouble} {self.here.report(rules).problems[:10]}")
            await asyncio.sleep(0.03)  # noqa: TID251 - polling the store

    async def trouble(self, rules: Rules = RULES) -> str:
        """What the daemon has still to do, or what the oracle finds wrong; nothing, where all is well."""
        return await self._busy() or " ".join(map(str, self.here.report(rules).problems[:1]))

    async def _busy(self) -> str:
        """What the daemon has still to do, in words."""
        here = self.here
        assert here.store is not None
        if here.running.capture.state != "connected" or not await here.is_idle():
            return f"work waits: {await here.store.backlog()}, the stream is {here.running.capture.state}"
        if error := here.running.reconcile.error or here.running.load.error:
            return f"a query is to be made again: {error}"
        holes = [hole for obj in OBJECTS for hole in await here.store.holes(obj)]
        return f"holes: {holes}" if holes else ""

    def fresh_change(self) -> None:
        """What must pass once a fault has ended: somebody new, and edits that reach every object."""
        org, name, made = self.here.org, self.name(), self.stage[0]
        org.create("Contact", contact_of(made.account, f"{name}f"))
        org.update("User", made.owner, {"Title": name})
        org.update("Account", made.account, {"Industry": name})
        org.update("Lead", made.lead, {"Title": name})
        org.update("Opportunity", made.opportunity, {"NextStep": name})


Step = Callable[[Cast], Awaitable[None]]
STEPS: dict[str, Step] = {}


def step(name: str) -> Callable[[Step], Step]:
    """Name a step."""

    def named(function: Step) -> Step:
        STEPS[name] = function
        return function

    return named


@step("the daemon starts again")
async def _restart(cast: Cast) -> None:
    await cast.here.stop()
    await cast.here.start(PATIENCE)


@step("fields may have changed")
async def _fields(cast: Cast) -> None:
    org, daemon = cast.here.org, cast.here.running
    daemon.edges.catalog.forget_all_salesforce()
    daemon.scores._types_at = -math.inf
    daemon.quota_watch._ask_at.clear()
    with org.as_gaps():
        _edit_all(cast)
    org.update("OpportunityContactRole", cast.deal.role, {"IsPrimary": cast.number % 2 == 0})
    daemon.deliver._stale_mappings = True


@step("the session at Salesforce is lost")
async def _session(cast: Cast) -> None:
    cast.here.salesforce.bayeux.drop_sessions()


@step("both tokens are revoked")
async def _tokens(cast: Cast) -> None:
    cast.here.salesforce.sign_in.revoke_tokens()
    cast.here.marketo.identity.revoke_token()
    cast.here.org.update("Contact", cast.deal.contact, {"Title": cast.name()})


@step("new people, and one is edited")
async def _new(cast: Cast) -> None:
    org, name = cast.here.org, cast.name()
    org.update("Contact", cast.stage[0].contact, {"Title": name})
    cast.business()
    org.create("Lead", lead_of(name, Email=None))
    _adopt(cast)


def _adopt(cast: Cast) -> None:
    """Leads with the email of somebody in Marketo: the person of a contact, and of a lead, that nobody here has heard of."""
    org, name = cast.here.org, cast.name()
    with org.losing_events():
        contact, lead = (org.create("Contact", contact_of(cast.deal.account, name)), org.create("Lead", lead_of(f"{name}g")))
    for email, record_id in ((name, contact), (f"{name}g", lead)):
        cast.here.instance.create_lead(email=f"{email.lower()}@example.com", externalPersonId=record_id)
        org.create("Lead", lead_of(email))


@step("a lead is converted")
async def _convert(cast: Cast) -> None:
    lead = cast.here.org.create("Lead", lead_of(cast.name(), OwnerId=cast.deal.owner))
    cast.here.org.convert_lead(lead, account_id=cast.deal.account)


@step("everything is deleted")
async def _delete(cast: Cast) -> None:
    made = cast.business()
    await cast.quiet()
    delete_all(cast, made)


def delete_all(cast: Cast, made: Deal) -> None:
    """The newest business is deleted, but for its owner."""
    assert cast.stage.pop() is made
    for obj, record_id in (
        ("OpportunityContactRole", made.role),
        ("Opportunity", made.opportunity),
        ("Lead", made.lead),
        ("Contact", made.contact),
        ("Account", made.account),
    ):
        cast.here.org.delete(obj, record_id)


@step("changes come as gaps")
async def _gaps(cast: Cast) -> None:
    org, name = cast.here.org, cast.name()
    lead = org.create("Lead", lead_of(name))
    await cast.quiet()
    with org.as_gaps():
        org.update("Lead", lead, {"Title": "gone"})
        _edit_all(cast)
    with org.losing_events():
        org.delete("Lead", lead)
    org.update("OpportunityContactRole", cast.deal.role, {"Role": name})


def _edit_all(cast: Cast) -> None:
    org, name, made = cast.here.org, cast.name(), cast.deal
    org.update("User", made.owner, {"Title": name})
    org.update("Account", made.account, {"Industry": name})
    org.update("Contact", made.contact, {"Title": name})
    org.update("Lead", made.lead, {"Title": name})
    org.update("Opportunity", made.opportunity, {"NextStep": name})


@step("scores rise")
async def _scores(cast: Cast) -> None:
    cast.number += 1
    for record_id in (cast.deal.contact, cast.deal.lead):
        cast.here.instance.scores.change_score(cast.here.lead_of(record_id)["id"], cast.number)


@step("an hour has passed")
async def _sweep(cast: Cast) -> None:
    assert cast.here.store is not None
    now = cast.here.salesforce.org.now()
    for obj in OBJECTS:
        await cast.here.store.put_note(swept_note(obj), now - 7200)
    cast.here.org.update("OpportunityContactRole", cast.deal.role, {"Role": cast.name()})


@step("everything is read again")
async def _reread(cast: Cast) -> None:
    assert cast.here.store is not None
    now = cast.here.salesforce.org.now()
    await cast.here.store.cut([Hole(obj, 0.0, now, "asked for by the operator") for obj in OBJECTS])


@step("records are merged in Salesforce")
async def _merge(cast: Cast) -> None:
    org = cast.here.org
    accounts = [org.create("Account", {"Name": cast.name()}) for _ in range(2)]
    contacts = [org.create("Contact", contact_of(account, cast.name())) for account in accounts]
    await cast.quiet()
    org.merge("Contact", *contacts)
    org.merge("Account", *accounts)


@step("an email becomes another's")
async def _one_email(cast: Cast) -> None:
    org, name = cast.here.org, cast.name()
    org.create("Contact", contact_of(cast.deal.account, name))
    lead = org.create("Lead", lead_of(f"{name}g"))
    await cast.quiet()
    org.update("Lead", lead, {"Email": f"{name.lower()}@example.com"})
