"""Small orgs that several flow tests begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.flow.world import World

CLOSE = "2027-01-01"


@dataclass(frozen=True, slots=True)
class Deal:
    """One of each: Salesforce ids."""

    owner: str
    account: str
    contact: str
    lead: str
    opportunity: str
    role: str


def company(here: World) -> tuple[str, str]:
    """An account and a contact in it, and the org's own two users heard of."""
    here.touch_built_in_users()
    account = here.org.create("Account", {"Name": "Acme", "Phone": "1"})
    contact = here.org.create("Contact", {"LastName": "Lee", "Email": "lee@example.com", "AccountId": account})
    return account, contact


def user(here: World, name: str, **more: Any) -> str:
    """A sales person."""
    login = f"{name}@sales.example.com"
    return str(here.org.create("User", {"Username": login, "Email": login, "LastName": name, **more}))


def deal(here: World, *, touch: bool = True) -> Deal:
    """A whole little business; with `touch=False` the org's own users are not heard of."""
    if touch:
        here.touch_built_in_users()
    owner = user(here, "seller")
    account = here.org.create("Account", {"Name": "Acme", "Phone": "1", "OwnerId": owner})
    person = {"LastName": "Lee", "Email": "lee@example.com", "AccountId": account, "OwnerId": owner}
    contact = here.org.create("Contact", person)
    lead = here.org.create("Lead", {"LastName": "Ito", "Email": "ito@example.com", "Company": "Bolt", "OwnerId": owner})
    opportunity = here.org.create("Opportunity", opportunity_of(account, OwnerId=owner))
    role = here.org.create("OpportunityContactRole", {"OpportunityId": opportunity, "ContactId": contact, "Role": "Buyer"})
    return Deal(owner, account, contact, lead, opportunity, role)


def opportunity_of(account: str | None, **more: Any) -> dict[str, Any]:
    """An opportunity's usual fields."""
    return {"Name": "Deal", "AccountId": account, "StageName": "Prospecting", "CloseDate": CLOSE, "Amount": 1000, **more}


def contact_of(account: str | None, name: str, **more: Any) -> dict[str, Any]:
    """A contact's usual fields."""
    return {"LastName": name, "Email": f"{name.lower()}@example.com", "AccountId": account, **more}


def lead_of(name: str, **more: Any) -> dict[str, Any]:
    """A lead's usual fields."""
    return {"LastName": name, "Email": f"{name.lower()}@example.com", "Company": "Bolt", **more}
