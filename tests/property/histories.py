"""Random histories of an org, as data: each step picks by number among the records that are there, and is passed over where
Salesforce itself would refuse it. The same history leaves the same org, whatever a daemon does beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from sandbox.salesforce.errors import Refused
from sandbox.salesforce.org import Org

WAITS_S = (0.0, 0.0, 0.001, 0.4, 1.1, 3.0, 3.0, 20.0, 120.0)
EMAILS = ("ann@example.com", "bob@example.com", "cat@example.com")
TITLES = ("Buyer", "Chief", None)
ROLES = ("Decision Maker", "Evaluator", None)
CLOSE = "2027-01-01"
MOST_RECORDS = 6  # of one object: more would meet each other less often


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what, three numbers to choose by, and how it is told; `wait_s` passes before it."""

    what: str
    a: int
    b: int
    c: int
    told: str = "told"
    wait_s: float = 3.0

    def __repr__(self) -> str:
        """As it may be written down in a test."""
        return f"Step({self.what!r}, {self.a}, {self.b}, {self.c}, {self.told!r}, {self.wait_s})"


class History:
    """An org that steps are taken in. `meets`: whether people may get others' emails later."""

    def __init__(self, org: Org, *, meets: bool = True) -> None:
        self.org, self.meets = org, meets
        self.passed_over = self.emails = 0

    def take(self, step: Step) -> None:
        """Take one step."""
        try:
            if step.told == "lost":
                with self.org.losing_events():
                    STEPS[step.what](self, step)
            elif step.told == "gap":
                with self.org.as_gaps():
                    STEPS[step.what](self, step)
            else:
                STEPS[step.what](self, step)
        except (Refused, LookupError):
            self.passed_over += 1
        if step.told == "wildcard":
            self.org.publisher.wildcard(("Contact", "Lead", "Account")[step.a % 3])
        if step.told == "overflow":
            self.org.publisher.gap(("Contact", "Lead", "Opportunity")[step.a % 3], [], "GAP_OVERFLOW")

    # ---- who is there

    def ids(self, obj: str, *, deleted: bool = False) -> list[str]:
        """The living records of an object that can be worked on, or those in the recycle bin."""
        rows = self.org.rows(obj, deleted=deleted)
        return [str(row["Id"]) for row in rows if bool(row.get("IsDeleted")) == deleted and not row.get("IsConverted")]

    def one(self, obj: str, number: int, *, deleted: bool = False) -> str:
        """One of them. Raises LookupError where there is none."""
        found = self.ids(obj, deleted=deleted)
        if not found:
            raise LookupError(obj)
        return found[number % len(found)]

    def one_or_none(self, obj: str, number: int) -> str | None:
        """One of them, or none: where there is none, and for one of the numbers."""
        found: list[str | None] = [*self.ids(obj), None]
        return found[number % len(found)]

    def person(self, number: int) -> tuple[str, str]:
        """A contact or a lead."""
        found = [(obj, each) for obj in ("Contact", "Lead") for each in self.ids(obj)]
        if not found:
            raise LookupError("people")
        return found[number % len(found)]

    def room(self, obj: str) -> None:
        """Raises LookupError where there are many already."""
        if self.org.count(obj) >= MOST_RECORDS:
            raise LookupError(obj)

    # ---- what happens

    def new_user(self, step: Step) -> None:
        """A user, some of them of a community."""
        self.room("User")
        number = self.org.count("User")
        login = f"u{number}@sales.example.com"
        fields = {"Username": login, "Email": login, "LastName": f"U{number}", "UserType": ("Standard", "Guest")[step.a % 5 == 0]}
        self.org.create("User", fields)

    def new_account(self, step: Step) -> None:
        """A company, or now and then a person account."""
        self.room("Account")
        owner = {"OwnerId": self.one("User", step.a)}
        if step.b % 4 == 3:
            self.org.create("Account", {"LastName": f"P{step.c}", "PersonEmail": self.email(step.c), **owner})
        else:
            self.org.create("Account", {"Name": f"A{step.c % 9}", "Phone": "1", **owner})

    def new_contact(self, step: Step) -> None:
        """A contact."""
        self.room("Contact")
        self.org.create(
            "Contact",
            {
                "LastName": f"C{step.c % 9}",
                "Email": self.email(step.b),
                "AccountId": self.one_or_none("Account", step.a),
                "OwnerId": self.one("User", step.c),
            },
        )

    def new_lead(self, step: Step) -> None:
        """A lead, some of them owned by a queue."""
        self.room("Lead")
        owner = self.org.lead_assignment_owner if step.a % 5 == 0 else self.one("User", step.a)
        fields = {"LastName": f"L{step.c % 9}", "Company": "Bolt", "Email": self.email(step.b), "OwnerId": owner}
        self.org.create("Lead", fields)

    def new_deal(self, step: Step) -> None:
        """An opportunity."""
        self.room("Opportunity")
        stage = ("Prospecting", "Closed Won")[step.c % 2]
        fields = {"Name": f"O{step.c % 9}", "StageName": stage, "CloseDate": CLOSE, "Amount": step.c}
        self.org.create(
            "Opportunity", {**fields, "AccountId": self.one_or_none("Account", step.a), "OwnerId": self.one("User", step.b)}
        )

    def new_role(self, step: Step) -> None:
        """A contact's role in a deal."""
        self.room("OpportunityContactRole")
        deal, contact = self.one("Opportunity", step.a), self.one("Contact", step.b)
        self.org.create(
            "OpportunityContactRole", {"OpportunityId": deal, "ContactId": contact, "Role": ROLES[step.c % len(ROLES)]}
        )

    def edit(self, step: Step) -> None:
        """A field gets another value, or none."""
        obj = ("Account", "Contact", "Lead", "Opportunity", "User")[step.a % 5]
        field = {"Account": "Phone", "Opportunity": "NextStep"}.get(obj, "Title")
        self.org.update(obj, self.one(obj, step.b), {field: TITLES[step.c % len(TITLES)]})

    def edit_many(self, step: Step) -> None:
        """All leads or contacts change in one transaction."""
        obj = ("Lead", "Contact")[step.a % 2]
        self.org.update_many(obj, self.ids(obj), {"Phone": TITLES[step.c % len(TITLES)]})

    def opt_out(self, step: Step) -> None:
        """For good: what was opted out is never taken back by the daemon."""
        obj, record_id = self.person(step.a)
        self.org.update(obj, record_id, {"HasOptedOutOfEmail": True})

    def write_much(self, step: Step) -> None:
        """A long text changes a little: its event tells only the difference."""
        obj, record_id = self.person(step.a)
        self.org.update(obj, record_id, {"Description": "word " * 300 + str(step.c)})

    def new_email(self, step: Step) -> None:
        """A person gets an email that nobody has, or none."""
        obj, record_id = self.person(step.a)
        self.emails += 1
        self.org.update(obj, record_id, {"Email": f"{self.emails}@new.example.com" if step.b % 4 else None})

    def same_email(self, step: Step) -> None:
        """A person gets the email of another one, who lives."""
        (obj, record_id), (other, other_id) = self.person(step.a), self.person(step.b)
        email = (self.org.get(other, other_id) or {}).get("Email")
        if not self.meets or email is None or record_id == other_id:
            raise LookupError("an email to take")
        self.org.update(obj, record_id, {"Email": email})

    def new_owner(self, step: Step) -> None:
        """A record changes hands; a lead may go to a queue."""
        obj = ("Account", "Contact", "Lead", "Opportunity")[step.a % 4]
        queue = obj == "Lead" and step.c % 4 == 0
        self.org.update(
            obj, self.one(obj, step.b), {"OwnerId": self.org.lead_assignment_owner if queue else self.one("User", step.c)}
        )

    def move(self, step: Step) -> None:
        """A contact or deal changes its account. A person keeps its last company in Marketo: so it gets another one."""
        if step.a % 2:
            self.org.update("Contact", self.one("Contact", step.b), {"AccountId": self.one("Account", step.c)})
        else:
            self.org.update("Opportunity", self.one("Opportunity", step.b), {"AccountId": self.one_or_none("Account", step.c)})

    def rename_role(self, step: Step) -> None:
        """A role's name is part of its key in Marketo."""
        self.org.update(
            "OpportunityContactRole", self.one("OpportunityContactRole", step.a), {"Role": ROLES[step.b % len(ROLES)]}
        )

    def leave(self, step: Step) -> None:
        """A user leaves, or comes back."""
        users = self.ids("User")[2:]
        record_id = users[step.a % len(users)] if users else self.one("User", 0)
        self.org.update("User", record_id, {"IsActive": step.b % 2 == 0})

    def delete(self, step: Step) -> None:
        """A record goes into the recycle bin, with its children."""
        obj = ("Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole")[step.a % 5]
        self.org.delete(obj, self.one(obj, step.b))

    def undelete(self, step: Step) -> None:
        """And out of it."""
        obj = ("Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole")[step.a % 5]
        record_id = self.one(obj, step.b, deleted=True)
        row = self.org.get(obj, record_id) or {}
        parents = [(parent, row.get(f"{parent}Id")) for parent in ("Account", "Contact", "Opportunity")]
        gone = [each for parent, each in parents if each is not None and each not in self.ids(parent)]
        if not gone and row.get("MasterRecordId") is None and not (obj == "Contact" and row.get("IsPersonAccount")):
            self.org.undelete(obj, record_id)

    def merge(self, step: Step) -> None:
        """Two become one."""
        obj = ("Account", "Contact", "Lead")[step.a % 3]
        winner, loser = self.one(obj, step.b), self.one(obj, step.c)
        if winner != loser:
            self.org.merge(obj, winner, loser, {"Phone": "2"} if step.a % 2 else None)

    def convert(self, step: Step) -> None:
        """A lead becomes a contact, a new one or one that is there."""
        lead = self.one("Lead", step.a)
        contact = self.one_or_none("Contact", step.b)
        account = self.one_or_none("Account", step.c) if contact is None else None
        self.org.convert_lead(lead, contact_id=contact, account_id=account, opportunity=step.c % 2 == 0)

    def email(self, number: int) -> str | None:
        """One of a few, so that people meet; or none.

        One that only those have who are gone is nobody's any more: Marketo may keep a person with it, and whoever adopts that one
        finds what the others left there.
        """
        email = (*EMAILS, None)[number % (len(EMAILS) + 1)]
        rows = [row for obj in ("Contact", "Lead") for row in self.org.rows(obj, deleted=True)]
        had = [row for row in rows if email is not None and row.get("Email") == email]
        lives = any(not row.get("IsDeleted") and not row.get("IsConverted") for row in had)
        return email if lives or not had else f"{len(rows)}.{email}"


STEPS: Mapping[str, Callable[[History, Step], None]] = {
    name: getattr(History, name)
    for name in (
        "new_user",
        "new_account",
        "new_contact",
        "new_lead",
        "new_deal",
        "new_role",
        "edit",
        "edit_many",
        "opt_out",
        "write_much",
        "new_email",
        "same_email",
        "new_owner",
        "move",
        "rename_role",
        "leave",
        "delete",
        "undelete",
        "merge",
        "convert",
    )
}
FIRST = ("new_user", "new_account", "new_account", "new_contact", "new_contact", "new_lead", "new_lead", "new_deal", "new_role")
OFTEN = (*STEPS, "new_contact", "new_lead", "new_email", "same_email", "merge", "convert", "delete", "edit", "edit")
TOLD = ("told",) * 12 + ("gap", "gap", "lost", "wildcard", "overflow")
NUMBERS = st.integers(0, 11)


def steps(*told: str, names: tuple[str, ...] = OFTEN) -> st.SearchStrategy[Step]:
    """A step."""
    return st.builds(Step, st.sampled_from(names), NUMBERS, NUMBERS, NUMBERS, st.sampled_from(told), st.sampled_from(WAITS_S))


@st.composite
def histories(draw: st.DrawFn, *, told: tuple[str, ...] = TOLD, most: int = 25) -> list[Step]:
    """Some records, and then anything at all."""
    first = [draw(steps("told", names=(name,))) for name in FIRST]
    return first + draw(st.lists(steps(*told), max_size=most))


def summary(fields: Mapping[str, Any]) -> str:
    """A record's fields in an order of their own."""
    return ", ".join(f"{name}={fields[name]!r}" for name in sorted(fields))
