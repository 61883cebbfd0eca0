"""Adobe's own diagnosis for one lead or contact: is everything in Marketo that its sales person's widget is made of?

    Salesforce: record ─ owner ─ account          found by their external ids in Marketo, and compared
    Marketo:    person ─ sales person ─ company

Each line is a sentence about one link of the chain; the last one says what it comes to. Only read, on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from store.errors import StoreError
from store.model import PEOPLE, ObjectName
from stream import connecting
from stream.clock import Clock
from stream.config.model import Settings
from stream.doctor.checks import PATIENCE
from stream.doctor.findings import Finding, failure, ok, warning
from stream.edges import Edges, edges
from stream.errors import StreamError
from stream.ids import PREFIX, QUEUE, USER, widen
from stream.marketo.client import MarketoObject
from stream.operating.why import Story
from stream.operating.why import why as story_of
from stream.salesforce.soql import in_list, select
from stream.score_diff import MSI_FIELDS, current, difference, marketo_names, score_fields

RECORD, PERSON, COMPANY, OWNER = "salesforce record", "marketo person", "company", "sales person"
SCORES, DAEMON, WIDGET = "MSI values", "daemon", "widget"
AGAIN = "let the daemon send it again: change the record in Salesforce, or run `msi-stream backfill`"


@dataclass(slots=True)
class Diagnosis:
    """One record, followed from link to link; what is missing ends the chain behind it, and nothing else."""

    settings: Settings
    edge: Edges
    obj: ObjectName
    record_id: str
    found: list[Finding] = field(default_factory=list)

    async def make(self) -> None:
        """All lines but the daemon's own and the last."""
        row = await self._salesforce_record()
        if row is None:
            return
        person = await self._person(row)
        await self._company(row, person)
        await self._owner(row, person)
        if person is not None:
            await self._scores(row, person)

    def say(self, *findings: Finding) -> None:
        """One more line."""
        self.found += findings

    # ── Salesforce

    async def _salesforce_record(self) -> Mapping[str, Any] | None:
        describe = await self.edge.salesforce.describe(self.obj)
        prefix = self.settings.scores.field_prefix
        wanted = ["Id", "OwnerId", "AccountId", "Email", "IsDeleted", "IsConverted", "ConvertedContactId"]
        names = [name for name in [*wanted, *(prefix + each for each in MSI_FIELDS.values())] if name in describe.fields]
        row = await self._one(self.obj, self.record_id, names, deleted=True)
        name = f"{self.obj} {self.record_id}"
        if row is None:
            cure = "compare the id, and give the integration user access to the record (View All)"
            self.say(failure(RECORD, f"Salesforce shows no {name} to this user.", cure))
        elif row.get("IsDeleted"):
            self.say(failure(RECORD, f"{name} lies in Salesforce's recycle bin.", "look at the one it was merged into, if any"))
        elif row.get("IsConverted"):
            contact = row.get("ConvertedContactId") or "a contact"
            cure = f"run `msi-stream doctor --record {contact}`: the Marketo person has moved to the contact"
            self.say(warning(RECORD, f"{name} was converted into {contact}.", cure))
        else:
            self.say(ok(RECORD, f"{name} is there, and seen by this user."))
            return row
        return None

    async def _one(self, obj: str, record_id: str, names: Sequence[str], *, deleted: bool = False) -> Mapping[str, Any] | None:
        asked = select(names, obj, in_list("Id", [record_id]))
        async for page in self.edge.salesforce.query(asked, deleted=deleted):
            if page:
                return page[0]
        return None

    # ── Marketo

    async def _find(self, obj: MarketoObject, key: str, record_id: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        """By the 18-character id, and by the 15-character one, under which other integrations may have written it."""
        return await self.edge.marketo.find(obj, key, [record_id, record_id[:15]], [key, *fields])

    def _is_wide(self, check: str, key: str, held: Mapping[str, Any], record_id: str) -> bool:
        found = str(held.get(key))
        if found == record_id:
            return True
        cure = f"another integration wrote it: let it write 18-character ids, and correct {key} in Marketo"
        self.say(failure(check, f"Marketo has it under the id {found}, expected {record_id}: nothing is tied to that.", cure))
        return False

    async def _person(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        describe = await self.edge.marketo.describe("leads")
        spelled = marketo_names(describe.fields, self.settings.scores.relative_score_field)
        fields = ["id", "email", "externalCompanyId", "externalSalesPersonId", *spelled.values()]
        fields = [name for name in fields if name in describe.fields]
        people = await self._find("leads", "externalPersonId", self.record_id, fields)
        if len(people) > 1:
            ids = ", ".join(str(each["id"]) for each in people)
            self.say(failure(PERSON, f"Several people in Marketo carry this id: {ids}.", "merge them in Marketo"))
            return people[0]
        if people:
            if self._is_wide(PERSON, "externalPersonId", people[0], self.record_id):
                self.say(ok(PERSON, f"Marketo has the person, with id {people[0]['id']}."))
            return people[0]
        await self._absent_person(str(row.get("Email") or ""))
        return None

    async def _absent_person(self, email: str) -> None:
        """Why nobody in Marketo carries the record's id, as far as the email tells."""
        same = await self.edge.marketo.find("leads", "email", [email], ["id", "externalPersonId"]) if email else []
        carried = [each for each in same if each.get("externalPersonId")]
        if carried:
            other = carried[0]["externalPersonId"]
            cure = 'two records with one email share one person: look at that record, or set deliver.shared_email = "duplicate"'
            self.say(warning(PERSON, f"Marketo's person {carried[0]['id']} with this email carries the record {other}.", cure))
        elif same:
            told = f"Nobody in Marketo carries this id; person {same[0]['id']} has the email, and no external id."
            self.say(failure(PERSON, told, AGAIN))
        else:
            self.say(failure(PERSON, "Nobody in Marketo carries this id, or has this email.", AGAIN))

    async def _company(self, row: Mapping[str, Any], person: Mapping[str, Any] | None) -> None:
        account = row.get("AccountId")
        if self.obj != "Contact" or not account:
            who = "A lead" if self.obj == "Lead" else "This contact"
            self.say(ok(COMPANY, f"{who} has no account, so there is no company to show."))
            return
        account = widen(str(account))
        if person is not None and person.get("externalCompanyId") != account:
            names = person.get("externalCompanyId") or "none"
            self.say(failure(COMPANY, f"The person's company in Marketo is {names}, in Salesforce it is {account}.", AGAIN))
        held = await self._find("companies", "externalCompanyId", account, ["externalSalesPersonId"])
        if not held:
            self.say(failure(COMPANY, f"Marketo has no company {account}.", f"ask `msi-stream why {account}`"))
        elif self._is_wide(COMPANY, "externalCompanyId", held[0], account):
            await self._company_owner(account, held[0])

    async def _company_owner(self, account: str, held: Mapping[str, Any]) -> None:
        row = await self._one("Account", account, ["Id", "OwnerId"]) or {}
        owner, there = widen(str(row["OwnerId"])) if row.get("OwnerId") else "", held.get("externalSalesPersonId") or ""
        if owner and owner != there:
            told = f"Company {account} belongs to {there or 'nobody'} in Marketo, to {owner} in Salesforce."
            self.say(failure(COMPANY, told, AGAIN))
        else:
            self.say(ok(COMPANY, f"Marketo has company {account}, with the same owner."))

    async def _owner(self, row: Mapping[str, Any], person: Mapping[str, Any] | None) -> None:
        owner = str(row.get("OwnerId") or "")
        if owner.startswith(QUEUE):
            cure = "give the record an owner who is a person: a queue is nobody's widget"
            self.say(warning(OWNER, f"The record belongs to the queue {owner}, so to no sales person.", cure))
            return
        if not owner.startswith(USER):
            self.say(failure(OWNER, "Salesforce shows no owner.", "let the integration user see OwnerId"))
            return
        owner = widen(owner)
        if person is not None and person.get("externalSalesPersonId") != owner:
            names = person.get("externalSalesPersonId") or "nobody"
            self.say(failure(OWNER, f"The person's sales person in Marketo is {names}, in Salesforce it is {owner}.", AGAIN))
        held = await self._find("salespersons", "externalSalesPersonId", owner, ["email"])
        if not held:
            self.say(failure(OWNER, f"Marketo has no sales person {owner}.", f"ask `msi-stream why {owner}`"))
        elif self._is_wide(OWNER, "externalSalesPersonId", held[0], owner):
            await self._email(owner, str(held[0].get("email") or ""))

    async def _email(self, owner: str, there: str) -> None:
        user = await self._one("User", owner, ["Id", "Email"]) or {}
        here = str(user.get("Email") or "")
        if here.casefold() == there.casefold():
            self.say(ok(OWNER, f"Marketo has sales person {owner}, with the same email."))
            return
        cure = "bring both to one email: where Marketo's API refuses to change a sales person's, ask Adobe to"
        told = f"Sales person {owner} has the email {there or '(none)'} in Marketo, {here or '(none)'} in Salesforce."
        self.say(failure(OWNER, told, cure))

    async def _scores(self, row: Mapping[str, Any], person: Mapping[str, Any]) -> None:
        describe = await self.edge.salesforce.describe(self.obj)
        known = (await self.edge.marketo.describe("leads")).fields
        spelled = marketo_names(known, self.settings.scores.relative_score_field)
        prefix = self.settings.scores.field_prefix
        there = current(person, score_fields(spelled, describe.fields, prefix))
        if not any(value is not None for value in there.values()):
            cure = "nothing: it fills with the person's first interesting moment or score"
            self.say(warning(SCORES, "Marketo has no interesting moment and no score for this person yet.", cure))
        elif other := sorted(difference(there, {name: row.get(name) for name in there})):
            cure = "wait for the next sweep (scores.sweep_interval_seconds), and see that `msi-stream status` finds nothing wrong"
            self.say(warning(SCORES, f"Salesforce does not hold Marketo's values yet in: {', '.join(other)}.", cure))
        else:
            self.say(ok(SCORES, "Salesforce holds what Marketo says."))


async def _of_the_store(settings: Settings, record_id: str, now: float) -> list[Finding]:
    """What the daemon knows of the record, where there is a store."""
    try:
        story = await story_of(settings.store.path, record_id, int(now * 1000))
    except StoreError:
        return []
    return [_told(story)]


def _told(story: Story) -> Finding:
    if story.state == "synced":
        return ok(DAEMON, story.stands)
    make = failure if story.state == "dead" else warning
    return make(DAEMON, story.stands, story.cure or f"ask `msi-stream why {story.id}`")


def _widget(found: Sequence[Finding]) -> Finding:
    """What it comes to."""
    broken = list(dict.fromkeys(each.check for each in found if each.result == "failure" and each.check != DAEMON))
    if broken:
        told = f"The sales person's widget would be empty, or lack something, because of: {', '.join(broken)}."
        return failure(WIDGET, told, "do what stands beside those lines, then ask again")
    doubtful = list(dict.fromkeys(each.check for each in found if each.result != "ok"))
    if doubtful:
        told = f"The widget may be empty, because of: {', '.join(doubtful)}."
        return warning(WIDGET, told, "look at those lines")
    return ok(WIDGET, "Everything that the sales person's widget is made of is there and agrees.")


def object_of(record_id: str) -> tuple[ObjectName, str]:
    """Lead or Contact, and the 18-character id. Raises ValueError for what is no such id."""
    wide = widen(record_id)
    obj = next((obj for obj in PEOPLE if wide.startswith(PREFIX[obj])), None)
    if obj is None:
        raise ValueError(f"expected the id of a Lead (00Q…) or a Contact (003…), found {record_id}")
    return obj, wide


async def diagnose(settings: Settings, record_id: str, clock: Clock) -> list[Finding]:
    """All lines for this record. Raises ValueError where the id is none of a lead or contact."""
    obj, wide = object_of(record_id)
    async with connecting.session() as session:
        diagnosis = Diagnosis(settings, edges(settings, session, clock, PATIENCE), obj, wide)
        try:
            await diagnosis.make()
        except StreamError as error:
            diagnosis.say(failure("services", error.message, error.hint or "run `msi-stream doctor` for both services"))
    found = diagnosis.found + await _of_the_store(settings, wide, clock.now())
    return [*found, _widget(found)]
