"""The records of the simulated org: transactions, the rules a write has to pass, and reading.

A change made without a `Caller` is made by a person in the browser: its change events have an empty changeOrigin, and fields that
no API may write can be set.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sandbox.salesforce.access import Access
from sandbox.salesforce.caller import Caller
from sandbox.salesforce.errors import Refused, entity_deleted, missing_record, unknown_field
from sandbox.salesforce.events import Change, Kind
from sandbox.salesforce.ids import PREFIXES, id18, mint_id
from sandbox.salesforce.journal import EventLog
from sandbox.salesforce.publisher import Publisher
from sandbox.salesforce.quota import Quota
from sandbox.salesforce.rules import RowFaults, check_lead, derived, missing_required, shown_value
from sandbox.salesforce.schema import Field, ObjectType, standard_schema
from sandbox.salesforce.values import Row, Value, from_epoch, read_value, rest_value

Trigger = Callable[[str, str, dict[str, Any], dict[str, Any]], Mapping[str, Any] | None]
DEFAULT_SELECTED = ("User", "Account", "Contact", "Lead", "Opportunity")


class Database:
    """Tables, transactions and field rules; `Org` adds what works on several records at once."""

    def __init__(
        self,
        now: Callable[[], float],
        *,
        seed: int = 1,
        msi_prefix: str = "mkto_si__",
        selected: tuple[str, ...] = DEFAULT_SELECTED,
        entities_allowed: int = 5,
    ) -> None:
        self.now = now
        self.types = standard_schema(msi_prefix)
        self.msi_prefix = msi_prefix
        self.org_id = mint_id("00D", 1)
        self.log = EventLog(now, random.Random(seed))
        self.publisher = Publisher(self.log, self.types, now, random.Random(seed + 1), entities_allowed)
        self.publisher.select(selected)
        self.row_faults = RowFaults()
        self.api_calls = Quota(now, limit=100_000)
        self.delivered_events = Quota(now, limit=None)
        self.bulk_query_jobs = Quota(now, limit=10_000)
        self.on_update: list[Trigger] = []
        self.hidden_objects: set[str] = set()
        self.access = Access()
        self._tables: dict[str, dict[str, Row]] = {name: {} for name in self.types}
        self._binned_with: dict[str, str] = {}
        self._counters = dict.fromkeys(self.types, 0)
        self._changes: list[Change] | None = None
        self._undo: list[tuple[str, str, Row | None]] = []
        self._touched: dict[str, list[tuple[Any, str]]] = {}
        self._by: Caller | None = None
        self.person_id = mint_id(PREFIXES["User"], 1)
        self.api_user_id = mint_id(PREFIXES["User"], 2)
        self.lead_assignment_owner: str | None = None
        self._create_residents()

    def _create_residents(self) -> None:
        """The people every org has: an administrator, the integration user, and the queue of the active assignment rule."""
        with self.publisher.mode("lost"):
            for first, last in (("Ada", "Administrator"), ("Integration", "User")):
                name = f"{first}.{last}".lower()
                self.create("User", {"Username": name, "FirstName": first, "LastName": last, "Email": f"{name}@example.com"})
            queue = {"Name": "Inbound Leads", "DeveloperName": "Inbound_Leads"}
            self.lead_assignment_owner = self.create("Group", queue)

    # ---- transactions

    @contextmanager
    def transaction(self, by: Caller | None = None) -> Iterator[None]:
        """Everything changed inside is one transaction: one transactionKey, all of it or (after an exception) nothing."""
        if self._changes is not None:
            yield
            return
        self._changes, self._undo, self._by = [], [], by
        try:
            yield
            changes = self._changes
        except BaseException:
            self._roll_back(0)
            raise
        finally:
            self._changes, self._by = None, None
        self.publisher.publish(changes, by, self.person_id)

    def _roll_back(self, mark: int) -> None:
        for obj, record_id, row in reversed(self._undo[mark:]):
            if row is None:
                del self._tables[obj][record_id]
            else:
                self._tables[obj][record_id] = row
        del self._undo[mark:]
        if self._changes is not None:
            del self._changes[mark:]

    @contextmanager
    def _atomic(self, by: Caller | None) -> Iterator[Caller | None]:
        """One row's work: inside a wider transaction a refused row leaves no trace, and the others stand."""
        with self.transaction(by):
            mark = len(self._undo)
            try:
                yield by or self._by
            except Refused:
                self._roll_back(mark)
                raise

    def _write(self, kind: Kind, obj: str, record_id: str, row: Row) -> None:
        before = self._tables[obj].get(record_id)
        self._undo.append((obj, record_id, before))
        self._tables[obj][record_id] = row
        self._touched.setdefault(obj, []).append((row.get("SystemModstamp"), record_id))
        if self._changes is None:
            raise RuntimeError("a record is written outside a transaction")
        self._changes.append(Change(kind, obj, record_id, before or {}, row))

    # ---- writing

    def create(self, obj: str, fields: Mapping[str, Any], by: Caller | None = None) -> str:
        """Create one record and return its 18-character id; raises `Refused` in Salesforce's words."""
        kind = self._writable_type(obj, by)
        with self._atomic(by) as author:
            given = self._read(kind, fields, author, creating=True)
            row: Row = {f.name: f.default for f in kind.fields.values() if f.default is not None}
            row |= {name: value for name, value in given.items() if value is not None}
            if "OwnerId" in kind.fields:
                row.setdefault("OwnerId", self._author_id(author))
            missing_required(kind, row)
            self._assign(kind, row, author)
            self._counters[kind.name] += 1
            record_id = mint_id(PREFIXES[kind.name], self._counters[kind.name])
            row["Id"] = record_id
            self._stamp(row, author, created=True)
            self._write("CREATE", kind.name, record_id, derived(kind, row, given))
        return record_id

    def update(self, obj: str, record_id: str, fields: Mapping[str, Any], by: Caller | None = None) -> None:
        """Change one record; what triggers add goes into the same event. Raises `Refused`."""
        kind = self._writable_type(obj, by)
        with self._atomic(by) as author:
            given = self._read(kind, fields, author, creating=False)
            before = self._live_row(kind, record_id)
            self.row_faults.check(str(before["Id"]), author)
            check_lead(kind, before, author)
            row = {**before, **given}
            missing_required(kind, row)
            for trigger in self.on_update:
                edits = trigger(kind.name, str(row["Id"]), self._shown(kind, before), self._shown(kind, row)) or {}
                row |= self._read(kind, edits, None, creating=False)
            self._assign(kind, row, author)
            self._stamp(row, author)
            self._write("UPDATE", kind.name, str(row["Id"]), derived(kind, row, given))

    def update_many(self, obj: str, ids: list[str], fields: Mapping[str, Any], by: Caller | None = None) -> None:
        """The same change to several records in one transaction: one event with several recordIds."""
        with self.transaction(by):
            for record_id in ids:
                self.update(obj, record_id, fields)

    def inspect(self, obj: str, record_id: str) -> Row | None:
        """The stored row, deleted or not, or None when there is none (15 or 18 characters)."""
        return self._tables[obj].get(id18(record_id) or record_id)

    def _live_row(self, kind: ObjectType, record_id: str) -> Row:
        row = self.inspect(kind.name, record_id)
        if row is None:
            raise missing_record()
        if row.get("IsDeleted"):
            raise entity_deleted()
        return row

    def _read(self, kind: ObjectType, fields: Mapping[str, Any], by: Caller | None, *, creating: bool) -> Row:
        read: Row = {}
        locked: list[str] = []
        for name, value in fields.items():
            field = self.field(kind.name, name) if by else kind.find(name)
            if field is None:
                raise unknown_field(kind.name, name)
            if by and not (field.creatable if creating else field.writable):
                locked.append(field.name)
                continue
            read[field.name] = self._checked(field, read_value(field, value))
        if locked:
            message = f"Unable to create/update fields: {', '.join(locked)}. Please check the security settings of this field"
            message += " and verify that it is read/write for your profile or permission set."
            raise Refused("INVALID_FIELD_FOR_INSERT_UPDATE", message, tuple(locked))
        return read

    def _checked(self, field: Field, value: Value) -> Value:
        if field.type == "reference" and isinstance(value, str):
            rows = (self.inspect(target, value) for target in field.refers_to)
            if not any(row is not None and not row.get("IsDeleted") for row in rows):
                raise Refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", (field.name,))
        return value

    def _assign(self, kind: ObjectType, row: Row, by: Caller | None) -> None:
        """The active assignment rule gives a lead a new owner with every API write that does not switch it off."""
        if kind.name == "Lead" and by is not None and by.auto_assign and self.lead_assignment_owner:
            row["OwnerId"] = self.lead_assignment_owner

    def _author_id(self, by: Caller | None) -> str:
        return by.user_id if by else self.person_id

    def _stamp(self, row: Row, by: Caller | None, *, created: bool = False) -> None:
        moment = from_epoch(self.now())
        if created:
            row.setdefault("CreatedDate", moment)
            row.setdefault("CreatedById", self._author_id(by))
        row["LastModifiedDate"] = row["SystemModstamp"] = moment
        row["LastModifiedById"] = self._author_id(by)

    # ---- reading

    def type_named(self, name: str, *, hidden_too: bool = False) -> ObjectType:
        """An object by its name, case aside; raises `Refused` NOT_FOUND for one that is unknown or hidden from the API user."""
        kind = self.types.get(name) or next((t for t in self.types.values() if t.name.lower() == name.lower()), None)
        if kind is None or (kind.name in self.hidden_objects and not hidden_too):
            raise missing_record()
        return kind

    def _writable_type(self, name: str, by: Caller | None) -> ObjectType:
        """The object of a write: people in the browser see all of them."""
        return self.type_named(name, hidden_too=by is None and self._by is None)

    def field(self, obj: str, name: str) -> Field | None:
        """A field the API user may see, by its name, case aside."""
        field = self.types[obj].find(name)
        return None if field is None or (obj, field.name) in self.publisher.hidden else field

    def fields(self, obj: str) -> list[Field]:
        """All fields the API user may see."""
        return [f for f in self.types[obj].fields.values() if (obj, f.name) not in self.publisher.hidden]

    @staticmethod
    def moment(seconds: float) -> str:
        """An epoch time as REST writes it."""
        return str(rest_value(from_epoch(seconds)))

    def count(self, obj: str) -> int:
        """How many records an object has outside the recycle bin."""
        return sum(1 for _ in self.rows(obj))

    def rows(self, obj: str, *, deleted: bool = False) -> Iterator[Row]:
        """The stored rows of an object in the order of their creation; with `deleted`, those in the recycle bin too."""
        for row in self._tables[obj].values():
            if deleted or not row.get("IsDeleted"):
                yield row

    def rows_since(self, obj: str, moment: Any, *, deleted: bool = False) -> Iterable[Row]:
        """At least the rows that were modified at this moment or later, found without looking at all; the later ones first."""
        found: dict[str, Row] = {}
        after = None
        for stamp, record_id in reversed(self._touched.get(obj, [])):
            if stamp is None or (after is not None and stamp > after):  # the clock was set: in no order
                return self.rows(obj, deleted=deleted)
            if stamp < moment:
                return found.values()
            after = stamp
            row = self._tables[obj].get(record_id)
            if row is not None and (deleted or not row.get("IsDeleted")):
                found.setdefault(record_id, row)
        return self.rows(obj, deleted=deleted)

    def value(self, obj: str, row: Row, field: Field) -> Value | dict[str, Any]:
        """What a query shows for one field: the stored value, or a compound or name made from its parts."""
        return shown_value(self.types[obj], row, field)

    def get(self, obj: str, record_id: str) -> dict[str, Any] | None:
        """One record as REST writes its values, deleted or not; None when there is none."""
        row = self.inspect(obj, record_id)
        return None if row is None else self._shown(self.types[obj], row)

    def records(self, obj: str, *, deleted: bool = False) -> list[dict[str, Any]]:
        """All records of an object, as `get` shows them."""
        return [self._shown(self.types[obj], row) for row in self.rows(obj, deleted=deleted)]

    def _shown(self, kind: ObjectType, row: Row) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for field in kind.fields.values():
            value = shown_value(kind, row, field)
            shown[field.name] = value if isinstance(value, dict) else rest_value(value)
        return shown

    # ---- what the org lets be seen

    def hide_field(self, obj: str, field: str) -> None:
        """Field-level security: it leaves describe, queries and events, and a write of it is refused."""
        self.publisher.hidden.add((obj, field))

    def show_field(self, obj: str, field: str) -> None:
        """End `hide_field`."""
        self.publisher.hidden.discard((obj, field))

    def hide_object(self, obj: str) -> None:
        """No permission on the object: it leaves describe, queries and events."""
        self.hidden_objects.add(obj)
        self.publisher.silenced.add(obj)
