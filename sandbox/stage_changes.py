"""What people do in the simulated org while the demo looks on: edits, new records, deletions, owners, stages, roles, conversions.

Each step is one transaction, chosen by a seed, so that every run makes the same changes in the same order.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sandbox.salesforce.org import Org
from sandbox.salesforce.seed import ROLES, STAGES, TITLES, Seeded
from sandbox.stage import Stage

STATUSES: Final = ("Open - Not Contacted", "Working - Contacted", "Closed - Not Converted")


@dataclass(frozen=True, slots=True)
class Conversion:
    """A lead that was converted: its id, its contact's, and the Marketo id its person had before."""

    lead: str
    contact: str
    marketo_id: int


@dataclass(slots=True)
class Changes:
    """Changes the org, and remembers what it asked for.

    `touched` holds when each record that must reach Marketo was changed and not looked after since; `latest` what happened last
    to each object; `cleared` (Salesforce id, Marketo field) what was emptied on purpose.
    """

    stage: Stage
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    made: Counter[str] = field(default_factory=Counter)
    latest: dict[str, tuple[float, str]] = field(default_factory=dict)
    touched: dict[tuple[str, str], float] = field(default_factory=dict)
    cleared: set[tuple[str, str]] = field(default_factory=set)
    conversions: list[Conversion] = field(default_factory=list)
    deleted: Counter[str] = field(default_factory=Counter)
    scored: Counter[str] = field(default_factory=Counter)
    _step: int = 0

    @property
    def org(self) -> Org:
        """Salesforce's records."""
        return self.stage.org

    @property
    def seeded(self) -> Seeded:
        """The records there were in the beginning."""
        return self.stage.seeded

    def steps(self, count: int) -> Iterator[str]:
        """So many steps, each made when it is asked for; what comes out is a sentence on it."""
        turns: tuple[Callable[[], str], ...] = (
            self.edit_contact,
            self.edit_lead,
            self.move_stage,
            self.new_contact,
            self.edit_lead,
            self.change_role,
            self.edit_account,
            self.new_lead,
            self.edit_contact,
            self.delete_opportunity,
            self.clear_phone,
            self.new_deal,
            self.change_owner,
            self.delete_role,
            self.edit_user,
            self.delete_person,
        )
        for _ in range(count):
            sentence = turns[self._step % len(turns)]()
            self._step += 1
            yield sentence

    # ---- edits

    def edit_contact(self) -> str:
        """A contact gets a title and a phone number."""
        contact = self._pick("Contact")
        self._update("Contact", contact, Title=self._other("Contact", contact, "Title", TITLES), Phone=self._phone())
        return self._did("Contact", "edits", "a contact is edited")

    def edit_lead(self) -> str:
        """A lead's status moves on."""
        lead = self._pick("Lead")
        self._update("Lead", lead, Status=self._other("Lead", lead, "Status", STATUSES), MobilePhone=self._phone())
        return self._did("Lead", "edits", "a lead is edited")

    def edit_many(self) -> str:
        """A campaign's list import touches half of the leads, in one transaction: one event with many ids."""
        leads = self._living("Lead")
        with self.org.transaction():
            for lead in leads[: max(len(leads) // 2, 1)]:
                self._update("Lead", lead, LeadSource=f"Campaign {self._step}")
        self._step += 1
        return self._did("Lead", "edits", f"{max(len(leads) // 2, 1)} edited at once")

    def edit_account(self) -> str:
        """An account grows."""
        account = self._pick("Account")
        self._update("Account", account, NumberOfEmployees=10_000 + self._step, Phone=self._phone())
        return self._did("Account", "edits", "an account is edited")

    def edit_user(self) -> str:
        """A colleague has a new phone."""
        self._update("User", self._user(), MobilePhone=self._phone())
        return self._did("User", "edits", "a user is edited")

    def clear_phone(self) -> str:
        """Somebody takes a contact's phone number out: the one thing that may empty a field in Marketo."""
        contact = self._pick("Contact")
        self._update("Contact", contact, Phone=None)
        self.cleared.add((contact, "phone"))
        return self._did("Contact", "fields cleared", "a phone is cleared")

    def move_stage(self) -> str:
        """An opportunity moves on."""
        deal = self._pick("Opportunity")
        self._update("Opportunity", deal, StageName=self._other("Opportunity", deal, "StageName", STAGES))
        return self._did("Opportunity", "stage moves", "a stage moves")

    def change_role(self) -> str:
        """A contact plays another part in an opportunity: in Marketo the role's key changes."""
        role = self._pick("OpportunityContactRole")
        self._update("OpportunityContactRole", role, Role=self._other("OpportunityContactRole", role, "Role", ROLES))
        return self._did("OpportunityContactRole", "role changes", "a role changes")

    def change_owner(self) -> str:
        """An account goes to a colleague, with its contacts and opportunities, in one transaction."""
        account = self._pick("Account")
        owner = self._other("Account", account, "OwnerId", tuple(self.seeded.users))
        with self.org.transaction():
            self._update("Account", account, OwnerId=owner)
            for child in ("Contact", "Opportunity"):
                for row in [row for row in self.org.rows(child) if row.get("AccountId") == account]:
                    self._update(child, str(row["Id"]), OwnerId=owner)
        return self._did("Account", "owner changes", "an owner changes")

    # ---- new records

    def new_contact(self) -> str:
        """A contact comes to an account."""
        self._new_contact(self._pick("Account"))
        return self._did("Contact", "new records", "a new contact")

    def new_lead(self) -> str:
        """A lead comes in."""
        name = {"FirstName": "Nova", "LastName": f"Lead {self._step}", "Company": "Newcomer Ltd"}
        email = f"new.lead{self._step}@mail.example.com"
        self._create("Lead", {**name, "Email": email, "OwnerId": self._user(), "Status": STATUSES[0], "Phone": self._phone()})
        return self._did("Lead", "new records", "a new lead")

    def new_deal(self) -> str:
        """A whole family at once: account, contact, opportunity and role, children in the same moment as their parents."""
        with self.org.transaction():
            account = self._create("Account", {"Name": f"Startup {self._step} Ltd", "OwnerId": self._user()})
            contact = self._new_contact(account)
            deal = self._create(
                "Opportunity",
                {
                    "Name": f"New deal {self._step}",
                    "AccountId": account,
                    "OwnerId": self._user(),
                    "StageName": STAGES[0],
                    "CloseDate": self.org.moment(self.org.now() + 30 * 86_400)[:10],
                },
            )
            self._create("OpportunityContactRole", {"OpportunityId": deal, "ContactId": contact, "Role": ROLES[0]})
        self._did("OpportunityContactRole", "new records", "a new role")
        return self._did("Opportunity", "new records", "a new deal")

    def _new_contact(self, account: str) -> str:
        name = {"FirstName": "Nova", "LastName": f"Contact {self._step}", "Email": f"new.contact{self._step}@mail.example.com"}
        return self._create("Contact", {**name, "AccountId": account, "OwnerId": self._user(), "Title": TITLES[0]})

    # ---- deletions and conversions

    def delete_opportunity(self) -> str:
        """An opportunity is deleted, and its roles with it."""
        self._delete("Opportunity")
        return self._did("Opportunity", "deletes", "a deal is deleted")

    def delete_role(self) -> str:
        """A contact leaves an opportunity."""
        self._delete("OpportunityContactRole")
        return self._did("OpportunityContactRole", "deletes", "a role is deleted")

    def delete_person(self) -> str:
        """A contact, then a lead, is deleted: Marketo keeps the person by default."""
        obj = ("Contact", "Lead")[(self.deleted["Contact"] + self.deleted["Lead"]) % 2]
        self._delete(obj)
        return self._did(obj, "deletes", f"a {obj.lower()} is deleted")

    def convert_lead(self, *, into_account: bool) -> str:
        """A lead that stands alone in Marketo is converted, into a new account with a deal, or into an account that is there."""
        lead = self._convertible()
        marketo_id = int(self.stage.instance.leads_of(lead)[0]["id"])
        account = self._pick("Account") if into_account else None
        made = self.org.convert_lead(lead, account_id=account, opportunity=not into_account)
        self.conversions.append(Conversion(lead, made.contact_id, marketo_id))
        self._touch("Contact", made.contact_id)
        if made.opportunity_id:
            self._touch("Account", made.account_id)
            self._touch("Opportunity", made.opportunity_id)
        return self._did("Lead", "conversions", "a lead is converted")

    def _convertible(self) -> str:
        """A living lead whose person in Marketo is its own and has an email that no contact shares."""
        emails = {str(row.get("Email")).casefold() for row in self.org.rows("Contact")}
        for lead in self._living("Lead"):
            row = self.org.inspect("Lead", lead) or {}
            alone = row.get("Email") and str(row["Email"]).casefold() not in emails
            if alone and len(self.stage.instance.leads_of(lead)) == 1:
                return lead
        raise LookupError("no lead is left that could be converted")

    # ---- scores

    def busy_day(self, share: float) -> str:
        """Interesting moments and score changes for a share of the people, each with its activity."""
        people = len(self.stage.instance.scores.busy_day(share, seed=self._step))
        self.scored["by activities"] += people
        self._step += 1
        return self._did("Scores", "scores", f"{people} people are active")

    def nightly(self, share: float) -> str:
        """Marketo's nightly recalculation: new stars and flames, and nothing that tells of it."""
        people = len(self.stage.instance.scores.recalculate(share, seed=self._step))
        self.scored["by the nightly recalculation"] += people
        self._step += 1
        return self._did("Scores", "scores", f"{people} scores are recalculated")

    # ---- the org

    def _ids(self, obj: str) -> list[str]:
        """The records of an object that there are, or were: seeded ones and those made since."""
        seeded = self.seeded
        return {
            "Account": seeded.accounts,
            "Contact": seeded.contacts,
            "Lead": seeded.leads,
            "Opportunity": seeded.opportunities,
            "OpportunityContactRole": seeded.roles,
        }[obj]

    def _living(self, obj: str) -> list[str]:
        rows = ((one, self.org.inspect(obj, one) or {"IsDeleted": True}) for one in self._ids(obj))
        return [one for one, row in rows if not row.get("IsDeleted") and not row.get("IsConverted")]

    def _pick(self, obj: str) -> str:
        return self.rng.choice(self._living(obj))

    def _user(self) -> str:
        return self.rng.choice(self.seeded.users)

    def _phone(self) -> str:
        return f"+1 555 {self._step:03} {self.rng.randint(1000, 9999)}"

    def _other(self, obj: str, record_id: str, name: str, choices: tuple[str, ...]) -> str:
        """A value the record does not have yet: every step changes something."""
        now = (self.org.inspect(obj, record_id) or {}).get(name)
        return self.rng.choice([choice for choice in choices if choice != now])

    def _create(self, obj: str, fields: dict[str, object]) -> str:
        record_id = self.org.create(obj, fields)
        self._ids(obj).append(record_id)
        self._touch(obj, record_id)
        return record_id

    def _update(self, obj: str, record_id: str, **fields: object) -> None:
        self.org.update(obj, record_id, fields)
        self._touch(obj, record_id)

    def _delete(self, obj: str) -> None:
        record_id = self._pick(obj)
        self.org.delete(obj, record_id)
        self.deleted[obj] += 1
        self.touched.pop((obj, record_id), None)

    def _touch(self, obj: str, record_id: str) -> None:
        self.touched.setdefault((obj, record_id), self.org.now())

    def _did(self, obj: str, kind: str, sentence: str) -> str:
        self.made[kind] += 1
        self.latest[obj] = (self.org.now(), sentence)
        return sentence
