"""The oracle: compares a Salesforce org with a Marketo instance and tells everything that is not as it ought to be.

    report = compare(org, marketo.instance, Rules(shared_email="share"))
    assert report.ok, report.problems

It knows nothing of the daemon: what ought to be stands in `oracle_rules` and `oracle_people`, what should not have been sent
in `oracle_journal`. Problems name records by id and
fields by name, never a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sandbox.marketo import Instance
from sandbox.marketo.schema import COMPANY, LEAD, OPPORTUNITY, ROLE, SALES_PERSON
from sandbox.marketo.tables import Record
from sandbox.oracle_journal import Report, check_journal, email_origins, journal_key, last_sent, resent
from sandbox.oracle_people import People, Person, gather
from sandbox.oracle_rules import SCORES, Org, Row, Rules, empty, same, same_score

PLACES: Final = {
    "User": (SALES_PERSON, "externalSalesPersonId"),
    "Account": (COMPANY, "externalCompanyId"),
    "Contact": (LEAD, "externalPersonId"),
    "Lead": (LEAD, "externalPersonId"),
    "Opportunity": (OPPORTUNITY, "externalOpportunityId"),
    "OpportunityContactRole": (ROLE, ""),
}
__all__ = ["PLACES", "Report", "Rules", "compare", "resent"]


def compare(org: Org, instance: Instance, rules: Rules | None = None) -> Report:
    """Compare everything.

    Kinds of problems: missing, extra, duplicate, wrong field, wrong relation, not cleared, not moved, not deleted, score; from
    the journal deleted, cleared, unsubscribed, resent; and the kinds of `Violation` (child_before_parent, twice_in_batch …).
    """
    return _Comparison(org, instance, rules or Rules()).run()


class _Comparison:
    def __init__(self, org: Org, instance: Instance, rules: Rules) -> None:
        self._org = org
        self._instance = instance
        self._rules = rules
        self._report = Report()
        self._emails = email_origins(instance.journal)
        self._people: People = gather(org, rules, () if rules.merge_people else self._met_later())
        self._sent = last_sent(instance.journal)
        self._synced = {name: self._living(name) for name in ("Account", "Opportunity", "OpportunityContactRole")}

    def run(self) -> Report:
        self._sales_persons()
        for name in ("Account", "Opportunity"):
            self._plain(name)
        self._persons()
        self._duplicates()
        self._roles()
        if self._rules.scores:
            self._scores()
        self._fates()
        check_journal(self._report, self._instance, self._rules, self._people.converted)
        for violation in self._instance.violations:
            if violation.kind not in self._rules.violations_allowed:
                self._report.wrong(violation.kind, f"{violation.object} {violation.key} in request {violation.request}")
        return self._report

    def _met_later(self) -> set[str]:
        """Whose people have one email in Marketo now, and were two before: all but one of them got it by an update."""
        found: set[str] = set()
        for leads in self._by_email().values():
            if sum(self._emails.get(lead["id"]) != "updated" for lead in leads) <= 1 < len(leads):
                found |= {lead["externalPersonId"] for lead in leads if lead.get("externalPersonId")}
        return found

    def _by_email(self) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = {}
        for lead in self._instance.leads.values():
            if lead.get("email"):
                found.setdefault(lead["email"].casefold(), []).append(lead)
        return found

    def _living(self, name: str) -> dict[str, Row]:
        return {row["Id"]: row for row in self._org.records(name) if self._rules.admits(name, row)}

    def _owners(self) -> set[str]:
        rows: list[Row] = [*self._synced["Account"].values(), *self._synced["Opportunity"].values()]
        rows += [row for person in self._people.persons for _, row in person.everyone()]
        return {row["OwnerId"] for row in rows if str(row.get("OwnerId") or "").startswith("005")}

    def _sales_persons(self) -> None:
        owners = self._owners()
        users = {row["Id"]: row for row in self._org.records("User")}
        for user_id, row in users.items():
            if user_id in owners or (row.get("IsActive") and self._rules.admits("User", row)):
                self._one("User", row, self._instance.sales_persons.get(user_id))
        self._extra("User", users)

    def _plain(self, name: str) -> None:
        place, _ = PLACES[name]
        for record_id, row in self._synced[name].items():
            self._one(name, row, self._instance.tables[place].get(record_id))
        kept = {row["Id"] for row in self._org.records(name, deleted=True) if row.get("IsDeleted")}
        outside = {row["Id"] for row in self._org.records(name) if self._rules.stays(name, row["Id"])}
        self._extra(name, {*self._synced[name], *kept, *outside})

    def _extra(self, name: str, known: Iterable[str]) -> None:
        place, key = PLACES[name]
        folded = {one.casefold() for one in known}
        for record in self._instance.tables[place].values():
            if str(record[key]).casefold() not in folded and record[key] not in self._rules.excused:
                self._report.wrong("extra", f"{place} {record[key]}")

    def _persons(self) -> None:
        for person in self._people.persons:
            found = self._instance.leads_of(person.carrier["Id"])
            if len(found) > 1:
                self._report.wrong("duplicate", f"lead {person.carrier['Id']} is there {len(found)} times")
            self._one(person.kind, person.carrier, found[0] if found else None)
        for lead in self._instance.leads.values():
            self._stray(lead)

    def _stray(self, lead: Record) -> None:
        """A person whose id stands for nobody any more, or for somebody who shares another's person."""
        external = lead.get("externalPersonId")
        if external is None or external in self._rules.excused:
            return
        person = self._people.of.get(external)
        if external not in self._people.known:
            self._report.wrong("extra", f"lead {external}")
        elif person is not None and person.carrier["Id"] != external:
            self._report.wrong("duplicate", f"lead {external} should share the person of {person.carrier['Id']}")
        elif external in self._people.moved and self._rules.merge_people and self._people.moved[external] in self._people.of:
            self._report.wrong("not moved", f"lead {external} should have become {self._people.moved[external]}")
        elif person is None and external not in self._people.deleted and external not in self._people.moved:
            self._left(lead, "Contact" if str(external).startswith("003") else "Lead")

    def _left(self, lead: Record, kind: str) -> None:
        """A person that stands for somebody who is outside of the filter."""
        external, mark = lead["externalPersonId"], self._rules.deleted_field
        if not self._rules.stays(kind, external):
            self._report.wrong("extra", f"lead {external} is not admitted")
        elif mark and not lead.get(mark):
            self._report.wrong("wrong field", f"{kind} {external}, outside of its filter: {mark}")

    def _duplicates(self) -> None:
        """Two people with one email, one of them made with it. Who got it later is one with the other, or a stray (`_stray`)."""
        if self._rules.shared_email != "share":
            return
        for every in self._by_email().values():
            leads = [lead for lead in every if self._emails.get(lead["id"]) != "updated"]
            if len(leads) > 1 and any(self._emails.get(lead["id"]) == "created" for lead in leads):
                self._report.wrong("duplicate", f"leads {', '.join(str(lead['id']) for lead in leads)} have one email")

    def _one(self, name: str, row: Row, record: Record | None) -> None:
        if row["Id"] in self._rules.excused:
            return
        place, key = PLACES[name]
        self._report.counts["compared"] += 1
        self._report.counts[place] += 1
        if record is None:
            self._report.wrong("missing", f"{name} {row['Id']}")
            return
        if key and record[key] != row["Id"]:
            self._report.wrong("wrong field", f"{name} {row['Id']}: {key}")
        self._fields(name, row, record)
        self._relations(name, row, record)

    def _fields(self, name: str, row: Row, record: Record) -> None:
        place, _ = PLACES[name]
        described = self._instance.schemas[place].fields
        for there, here in self._rules.mapping(name).items():
            known = described.get(here)
            if known is None or there not in row or (here == "unsubscribed" and not row[there]):
                continue
            if same(row[there], record.get(here), known.data_type, known.length):
                continue
            if not empty(row[there]) or known.data_type == "boolean":
                self._report.wrong("wrong field", f"{name} {row['Id']}: {there}")
            elif not empty(self._sent.get((place, journal_key(place, record), here))):
                self._report.wrong("not cleared", f"{name} {row['Id']}: {there}")
        for here, wanted in self._rules.made.get(name, {}).items():
            known = described[here]
            if not same(wanted(row), record.get(here), known.data_type, known.length):
                self._report.wrong("wrong field", f"{name} {row['Id']}: {here}")

    def _relations(self, name: str, row: Row, record: Record) -> None:
        if "OwnerId" in row:
            owner = row["OwnerId"] if str(row["OwnerId"] or "").startswith("005") else None
            self._relation(name, row, record, "externalSalesPersonId", owner)
        if name in {"Contact", "Opportunity"}:
            account = row.get("AccountId") if row.get("AccountId") in self._synced["Account"] else None
            if account is not None or name == "Opportunity":
                self._relation(name, row, record, "externalCompanyId", account)

    def _relation(self, name: str, row: Row, record: Record, field_here: str, parent: str | None) -> None:
        if parent not in self._rules.excused and record.get(field_here) != parent:
            self._report.wrong("wrong relation", f"{name} {row['Id']}: {field_here}")

    def _roles(self) -> None:
        expected: dict[tuple[str, int, str], list[Row]] = {}
        for row in self._synced["OpportunityContactRole"].values():
            key = self._role_key(row)
            if key is not None:
                expected.setdefault(key, []).append(row)
        for key, rows in expected.items():
            record = self._instance.roles.get(key)
            if record is not None and len(rows) > 1:
                self._report.counts[ROLE] += 1
                continue
            for row in rows:
                self._one("OpportunityContactRole", row, record)
        kept = {
            self._role_key(row) for row in self._gone("OpportunityContactRole") if self._fate("OpportunityContactRole") == "keep"
        }
        if any(self._rules.stays("OpportunityContactRole", row["Id"]) for row in self._synced["OpportunityContactRole"].values()):
            return
        for known in self._instance.roles.values():
            key = (known["externalOpportunityId"], known["leadId"], known["role"])
            if key not in expected and key not in kept and known["externalOpportunityId"] not in self._rules.excused:
                self._report.wrong("extra", f"role of {key[0]} and lead {key[1]}")

    def _role_key(self, row: Row) -> tuple[str, int, str] | None:
        """Opportunity, the Marketo id of the contact's person, and the role; None while one of them ought not to be there."""
        person: Person | None = self._people.of.get(row["ContactId"])
        admitted = row["OpportunityId"] in self._synced["Opportunity"] or row.get("IsDeleted")
        if person is None or not admitted or {row["Id"], row["ContactId"], row["OpportunityId"]} & set(self._rules.excused):
            return None
        leads = self._instance.leads_of(person.carrier["Id"])
        role = str(row.get("Role") or self._rules.empty_role)[:50]
        return (row["OpportunityId"], leads[0]["id"] if leads else 0, role)

    def _scores(self) -> None:
        for person in self._people.persons:
            leads = self._instance.leads_of(person.carrier["Id"])
            if len(leads) != 1:
                continue
            for name, row in person.everyone():
                if row["Id"] not in self._rules.excused:
                    self._report.counts["scores compared"] += 1
                    self._scores_of(name, row, leads[0])

    def _scores_of(self, name: str, row: Row, lead: Record) -> None:
        for suffix, (here, kind, length) in SCORES.items():
            value = lead.get(self._instance.relative_score if here == "relativeScore" else here)
            there = self._rules.field_prefix + suffix
            if not same_score(value, row.get(there), kind, length):
                self._report.wrong("score", f"{name} {row['Id']}: {there}")

    def _fate(self, name: str) -> str:
        return self._rules.deletes.get(name, "keep")

    def _gone(self, name: str) -> list[Row]:
        return [row for row in self._org.records(name, deleted=True) if row.get("IsDeleted")]

    def _fates(self) -> None:
        """Deleted records: gone from Marketo where the setting says so, and marked where it keeps them."""
        for name in ("Account", "Contact", "Lead", "Opportunity"):
            for row in self._gone(name):
                if row["Id"] in self._rules.excused or row["Id"] in self._people.moved:
                    continue
                place, key = PLACES[name]
                there = self._instance.tables[place].find(key, row["Id"])
                if there and self._fate(name) == "delete":
                    self._report.wrong("not deleted", f"{name} {row['Id']}")
                elif there and place == LEAD and self._rules.deleted_field and not there[0].get(self._rules.deleted_field):
                    self._report.wrong("wrong field", f"{name} {row['Id']}: {self._rules.deleted_field}")
