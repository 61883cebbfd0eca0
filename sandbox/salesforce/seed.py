"""A small, lifelike org: people, a queue, accounts, contacts, leads, opportunities and roles, the same for the same seed.

Among them: inactive users, a community user who owns a contact, a queue that owns leads, people without an email, a contact and a
lead who share one, long descriptions, roles without a role name, and leads that are not meant for Marketo.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.salesforce.org import Org

FIRST = (
    "Ada",
    "Ben",
    "Chloé",
    "Dmitri",
    "Elif",
    "Femi",
    "Grace",
    "Håkon",
    "Inés",
    "Jürgen",
    "Kaito",
    "Lena",
    "Mei",
    "Noor",
    "Óscar",
)
LAST = (
    "Abe",
    "Berg",
    "Costa",
    "Dufour",
    "Eriksen",
    "Fischer",
    "García",
    "Hughes",
    "Ito",
    "Jansen",
    "Kowalski",
    "Łuczak",
    "Müller",
)
FIRMS = ("Acme", "Bolt", "Cedar", "Delta", "Ember", "Fjord", "Granite", "Harbor", "Ivory", "Juniper", "Kestrel", "Lumen", "Maple")
FORMS = ("Ltd", "GmbH", "Inc", "S.A.", "AB", "& Sons")
CITIES = (
    ("Berlin", "Germany"),
    ("Lyon", "France"),
    ("Oslo", "Norway"),
    ("Austin", "USA"),
    ("Osaka", "Japan"),
    ("Kraków", "Poland"),
)
TITLES = ("CEO", "CTO", "Head of Purchasing", "Engineer", "Marketing Lead", "Office Manager")
SOURCES = ("Web", "Trade Show", "Partner", "Phone Inquiry", None)
INDUSTRIES = ("Energy", "Retail", "Chemicals", "Education", None)
ROLES = ("Decision Maker", "Economic Buyer", "Influencer", "Evaluator")
STAGES = ("Prospecting", "Qualification", "Needs Analysis", "Proposal/Price Quote", "Closed Won", "Closed Lost")
DAY_SECONDS = 86_400.0


@dataclass(slots=True)
class Seeded:
    """The ids that were made, by object; `queue` owns some leads, `community_user` some contacts."""

    users: list[str] = field(default_factory=list)
    inactive_users: list[str] = field(default_factory=list)
    community_user: str = ""
    queue: str = ""
    accounts: list[str] = field(default_factory=list)
    contacts: list[str] = field(default_factory=list)
    leads: list[str] = field(default_factory=list)
    opportunities: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)


def seed_org(
    org: Org,
    *,
    scale: float = 1.0,
    users: int = 20,
    accounts: int = 50,
    contacts: int = 500,
    leads: int = 500,
    opportunities: int = 80,
    roles: int = 150,
    seed: int = 1,
    publish: bool = False,
) -> Seeded:
    """Fill an org. `scale` multiplies all counts but the users'; with `publish`, subscribers get an event for each record."""
    sower = _Sower(org, random.Random(seed))

    def sized(count: int) -> int:
        return round(count * scale)

    def sow() -> None:
        sower.sow_users(users)
        sower.sow_accounts(sized(accounts))
        sower.sow_contacts(sized(contacts))
        sower.sow_leads(sized(leads))
        sower.sow_opportunities(sized(opportunities))
        sower.sow_roles(sized(roles))

    if publish:
        sow()
    else:
        with org.losing_events():
            sow()
    return sower.made


class _Sower:
    def __init__(self, org: Org, rng: random.Random) -> None:
        self._org = org
        self._rng = rng
        self._emails: list[str] = []
        self.made = Seeded()

    def _pick(self, choices: Sequence[Any]) -> Any:
        return self._rng.choice(choices)

    def _created(self) -> str:
        moment = self._org.now() - self._rng.uniform(1, 700) * DAY_SECONDS
        return self._org.moment(moment)

    # ---- people who work here

    def sow_users(self, count: int) -> None:
        for number in range(count):
            first, last = self._pick(FIRST), self._pick(LAST)
            active = number % 10 != 9
            user = self._user(number, first, last, IsActive=active)
            (self.made.users if active else self.made.inactive_users).append(user)
        self.made.community_user = self._user(count, "Casey", "Community", UserType="PowerPartner")
        self.made.queue = self._org.create("Group", {"Name": "Lead Desk", "DeveloperName": "Lead_Desk"})

    def _user(self, number: int, first: str, last: str, **more: Any) -> str:
        login = f"user{number}@sales.example.com"
        fields = {"Username": login, "Email": login, "FirstName": first, "LastName": last, "Title": "Account Executive"}
        return self._org.create("User", {**fields, "Phone": f"+49 30 5550{number:03}", **more})

    def _owner(self) -> str:
        people = self.made.users or [self._org.person_id]
        leavers = self.made.inactive_users
        return str(self._pick(leavers if leavers and self._rng.random() < 0.05 else people))

    # ---- customers

    def sow_accounts(self, count: int) -> None:
        for number in range(count):
            city, country = self._pick(CITIES)
            name = f"{self._pick(FIRMS)} {self._pick(FIRMS)} {self._pick(FORMS)}"
            fields = {
                "Name": name,
                "OwnerId": self._owner(),
                "Site": f"Plant {number % 7}" if number % 3 else None,
                "Website": f"https://firm{number}.example.com",
                "Phone": f"+1 555 01{number:04}",
                "AnnualRevenue": self._rng.randint(1, 900) * 100_000,
                "Industry": self._pick(INDUSTRIES),
                "NumberOfEmployees": self._rng.randint(1, 9_000),
                "Sic": str(self._rng.randint(1000, 8999)) if number % 4 else None,
                "BillingStreet": f"{number + 1} Market Street\r\nBuilding B"
                if number % 5 == 0
                else f"{number + 1} Market Street",
                "BillingCity": city,
                "BillingCountry": country,
                "BillingPostalCode": f"{self._rng.randint(10000, 99999)}",
                "CreatedDate": self._created(),
            }
            self.made.accounts.append(self._org.create("Account", fields))

    def _person(self, kind: str, number: int) -> dict[str, Any]:
        email = None if number % 25 == 24 else f"{kind}{number}@mail.example.com"
        return {
            "Salutation": self._pick(("Ms.", "Mr.", "Dr.", None)),
            "FirstName": self._pick(FIRST) if number % 11 else None,
            "LastName": self._pick(LAST),
            "Title": self._pick(TITLES),
            "Email": email,
            "Phone": f"+44 20 7946 {number:04}",
            "MobilePhone": f"+44 7700 9{number:05}" if number % 3 == 0 else None,
            "HasOptedOutOfEmail": number % 40 == 0,
            "DoNotCall": number % 50 == 0,
            "LeadSource": self._pick(SOURCES),
            "Description": "Met at the fair. " * 90 if number % 97 == 0 else None,
            "Sync_to_Marketo__c": number % 10 != 7,
            "CreatedDate": self._created(),
        }

    def sow_contacts(self, count: int) -> None:
        for number in range(count):
            city, country = self._pick(CITIES)
            person = self._person("contact", number)
            self._emails.append(person["Email"] or "")
            fields = {
                **person,
                "OwnerId": self.made.community_user if number % 100 == 13 else self._owner(),
                "AccountId": self._pick(self.made.accounts) if self.made.accounts and number % 20 else None,
                "Department": self._pick(("Sales", "IT", "Purchasing", None)),
                "Birthdate": f"19{self._rng.randint(50, 99)}-0{self._rng.randint(1, 9)}-1{self._rng.randint(0, 9)}",
                "MailingStreet": f"{number} Side Road",
                "MailingCity": city,
                "MailingCountry": country,
            }
            self.made.contacts.append(self._org.create("Contact", fields))

    def sow_leads(self, count: int) -> None:
        shared = [email for email in self._emails if email]
        for number in range(count):
            city, country = self._pick(CITIES)
            person = self._person("lead", number)
            if shared and number % 30 == 11:
                person["Email"] = self._pick(shared)
            fields = {
                **person,
                "Company": f"{self._pick(FIRMS)} {self._pick(FORMS)}",
                "OwnerId": self.made.queue if number % 12 == 5 else self._owner(),
                "Status": self._pick(("Open - Not Contacted", "Working - Contacted")),
                "Rating": self._pick(("Hot", "Warm", "Cold", None)),
                "Street": f"{number} Lead Lane",
                "City": city,
                "Country": country,
            }
            self.made.leads.append(self._org.create("Lead", fields))

    # ---- business

    def sow_opportunities(self, count: int) -> None:
        for number in range(count):
            fields = {
                "Name": f"Deal {number}",
                "AccountId": self._pick(self.made.accounts) if self.made.accounts else None,
                "OwnerId": self._owner(),
                "StageName": self._pick(STAGES),
                "Amount": self._rng.randint(1, 5_000) * 99.5 if number % 9 else None,
                "CloseDate": self._org.moment(self._org.now() + self._rng.uniform(-200, 200) * DAY_SECONDS)[:10],
                "Type": self._pick(("New Customer", "Existing Customer", None)),
                "NextStep": self._pick(("Call back", "Send offer", None)),
                "LeadSource": self._pick(SOURCES),
                "Description": "Terms as agreed. " * 140 if number % 40 == 3 else None,
                "CreatedDate": self._created(),
            }
            self.made.opportunities.append(self._org.create("Opportunity", fields))

    def sow_roles(self, count: int) -> None:
        if not (self.made.opportunities and self.made.contacts):
            return
        pairs: set[tuple[str, str]] = set()
        for number in range(count):
            pair = (self._pick(self.made.opportunities), self._pick(self.made.contacts))
            if pair in pairs:
                continue
            pairs.add(pair)
            fields = {"OpportunityId": pair[0], "ContactId": pair[1], "IsPrimary": number % 4 == 0}
            role = None if number % 15 == 6 else self._pick(ROLES)
            self.made.roles.append(self._org.create("OpportunityContactRole", {**fields, "Role": role}))
