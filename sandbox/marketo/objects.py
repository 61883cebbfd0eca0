"""Sales persons, companies, opportunities and roles: they share one way of syncing, deleting and asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.marketo import relations
from sandbox.marketo.answers import Page, Refused, Skipped, reasons
from sandbox.marketo.instance import Instance
from sandbox.marketo.requests import ACTIONS, Query, checked, choice, key_of, records_of, token_after
from sandbox.marketo.schema import OPPORTUNITY, ROLE, SALES_PERSON
from sandbox.marketo.tables import Record, folded
from sandbox.marketo.values import stamp

DEDUPE = ("dedupeFields", "idField")


class Objects:
    """The write and read endpoints of one such object."""

    def __init__(self, instance: Instance, object_name: str) -> None:
        self._instance = instance
        self._name = object_name

    @property
    def _schema(self) -> Any:
        return self._instance.schemas[self._name]

    def check_native_crm(self, *, writes: bool) -> None:
        """With native CRM sync on, roles are not there (610) and nothing can be written (1018)."""
        if not self._instance.quirks.native_crm:
            return
        if self._name == ROLE:
            raise Refused("610", "Requested resource not found")
        if writes:
            raise Refused("1018", "CRM Enabled")

    def describe(self) -> Page:
        """What `describe.json` answers."""
        self.check_native_crm(writes=False)
        described = self._schema
        return Page(
            [
                {
                    "name": described.name,
                    "apiName": described.name,
                    "displayName": described.display_name,
                    "pluralName": described.display_name + "s",
                    "description": f"{described.display_name} object",
                    "createdAt": "2015-02-03T22:36:23Z",
                    "updatedAt": "2015-02-03T22:36:24Z",
                    "idField": described.id_field,
                    "dedupeFields": list(described.dedupe_fields),
                    "searchableFields": described.searchable,
                    "relationships": described.relationships,
                    "fields": [field.described() for field in described.fields.values()],
                }
            ]
        )

    def sync(self, body: Mapping[str, Any], request: int) -> Page:
        """Create and update records; each result carries `seq`."""
        self.check_native_crm(writes=True)
        records = records_of(body, self._instance.quirks.batch_most)
        action = choice(body, "action", ACTIONS)
        by = choice(body, "dedupeBy", DEDUPE)
        if by == "idField" and action == "createOnly":
            raise Refused("1003", "Invalid data: idField does not go with createOnly")
        self._instance.refusals.check_batch(self._name, records)
        if self._name == OPPORTUNITY:
            relations.check_opportunities(self._instance, records)
        seen: set[Any] = set()
        return self._results(records, lambda record: self._sync_one(record, action, by, request, seen))

    def delete(self, body: Mapping[str, Any], request: int) -> Page:
        """Delete records; one that is not there is skipped with 1013, a sales person in use with 1022."""
        self.check_native_crm(writes=True)
        records = records_of(body, self._instance.quirks.batch_most)
        by = choice(body, "deleteBy", DEDUPE)
        self._instance.refusals.check_batch(self._name, records)
        return self._results(records, lambda record: self._delete_one(record, by, request))

    def query(self, query: Query) -> Page:
        """Records by key or by a searchable field, each with `seq` (its place in this answer)."""
        self.check_native_crm(writes=False)
        for name in query.fields:
            if name.casefold() not in {known.casefold() for known in self._schema.fields}:
                raise Refused("1006", f"Field '{name}' not found")
        found = self._found(query)
        page = found[query.offset : query.offset + query.size]
        shown = [{"seq": seq, **self._shown(record, query.fields)} for seq, record in enumerate(page)]
        more = len(found) > query.offset + query.size
        return Page(shown, token_after(query.offset + query.size) if more else None, True if more else None)

    def _results(self, records: list[Any], one: Callable[[Any], dict[str, Any]]) -> Page:
        results = []
        for seq, record in enumerate(records):
            try:
                results.append({"seq": seq, **one(record)})
            except Skipped as skipped:
                results.append({"seq": seq, **reasons(skipped, integer_codes=self._instance.quirks.integer_codes)})
        if self._instance.quirks.reverse_results:
            results.reverse()
        return Page(results)

    def _sync_one(self, record: Any, action: str, by: str, request: int, seen: set[Any]) -> dict[str, Any]:
        fields = checked(self._schema, record, fixed_allowed=frozenset({"email"} if self._name == SALES_PERSON else ()))
        existing = self._existing(fields, by)
        key = self._key(existing) if existing is not None else key_of(fields, self._schema.dedupe_fields)
        if folded(key) in seen:
            self._instance.violated(request, "twice_in_batch", self._name, key, "the same record twice in one batch")
            raise Skipped("1036", "Duplicate object found in input")
        seen.add(folded(key))
        self._instance.refusals.check_record(self._name, fields)
        if existing is None and action == "updateOnly":
            raise Skipped("1013", "Record not found")
        if existing is not None and action == "createOnly":
            raise Skipped("1017", "Object already exists")
        relations.check_parents(self._instance, request, self._name, key, {**(existing or {}), **fields})
        self._check_name(fields, existing)
        relations.settle(self._instance, request, self._name, key, fields=fields, before=existing or {})
        if existing is None:
            return self._create(key, fields, record, request)
        return self._update(key, existing, fields, record, request)

    def _check_name(self, fields: Mapping[str, Any], existing: Record | None) -> None:
        if self._name != OPPORTUNITY:
            return
        if existing is None and "name" not in fields:
            raise Skipped("1002", "Missing value for the required parameter 'name'")
        if fields.get("name", "-") is None:
            raise Skipped("1003", "Value of field 'name' may not be null")

    def _existing(self, fields: Mapping[str, Any], by: str) -> Record | None:
        table, id_field = self._instance.tables[self._name], self._schema.id_field
        if by == "idField":
            found = table.find(id_field, key_of(fields, (id_field,)))
            if not found:
                raise Skipped("1013", "Record not found")
            return found[0]
        if fields.get(id_field) is not None:
            raise Skipped("1003", f"Invalid data: '{id_field}' does not go with dedupeFields")
        return table.get(key_of(fields, self._schema.dedupe_fields))

    def _key(self, record: Mapping[str, Any]) -> Any:
        return key_of(record, self._schema.dedupe_fields)

    def _create(self, key: Any, fields: Record, sent: Mapping[str, Any], request: int) -> dict[str, Any]:
        made = stamp(self._instance.now())
        by_number = self._schema.id_field == "id"
        record = {
            self._schema.id_field: self._instance.next_id() if by_number else self._instance.next_guid(),
            **{name: value for name, value in fields.items() if value is not None},
            "createdAt": made,
            "updatedAt": made,
        }
        self._instance.tables[self._name].put(key, record)
        self._instance.wrote(request, self._name, key, "created", sent=sent, changed=fields)
        return {"status": "created", self._schema.id_field: record[self._schema.id_field]}

    def _update(self, key: Any, record: Record, fields: Record, sent: Mapping[str, Any], request: int) -> dict[str, Any]:
        changed = {name: value for name, value in fields.items() if record.get(name) != value and not self._schema.is_key(name)}
        if self._name == SALES_PERSON and "email" in changed:
            self._check_email(changed, request, key)
        if changed:
            self._instance.tables[self._name].change(key, {**changed, "updatedAt": stamp(self._instance.now())})
            self._echo(record, changed)
        self._instance.wrote(request, self._name, key, "updated", sent=sent, changed=changed)
        return {"status": "updated", self._schema.id_field: record[self._schema.id_field]}

    def _check_email(self, changed: Record, request: int, key: Any) -> None:
        if self._instance.quirks.sales_person_email == "refuse":
            raise Skipped("1003", "Invalid data: field 'email' is not updateable")
        if self._instance.quirks.sales_person_email == "ignore":
            del changed["email"]
            self._instance.violated(request, "ignored_field", self._name, key, "email is not updateable")

    def _echo(self, record: Record, changed: Mapping[str, Any]) -> None:
        """A changed company shows as a value change of each of its leads."""
        if self._name == "company" and self._instance.quirks.value_change_activities:
            for lead in self._instance.leads.find("externalCompanyId", record["externalCompanyId"]):
                self._instance.note_changes(lead["id"], changed)

    def _delete_one(self, record: Any, by: str, request: int) -> dict[str, Any]:
        fields = checked(self._schema, record)
        names = self._schema.dedupe_fields if by == "dedupeFields" else (self._schema.id_field,)
        key = key_of(fields, names)
        self._instance.refusals.check_record(self._name, fields)
        table = self._instance.tables[self._name]
        found = table.get(key) if by == "dedupeFields" else next(iter(table.find(names[0], key)), None)
        if found is None:
            raise Skipped("1013", "Record not found")
        key = self._key(found)
        if self._name == SALES_PERSON and relations.in_use(self._instance, key):
            raise Skipped("1022", "Object in use")
        table.remove(key)
        relations.orphan(self._instance, self._name, found)
        self._instance.wrote(request, self._name, key, "deleted", sent=fields, changed=fields)
        return {"status": "deleted", self._schema.id_field: found[self._schema.id_field]}

    def _found(self, query: Query) -> list[Record]:
        table, described = self._instance.tables[self._name], self._schema
        name = described.id_field if query.filter_type == "idField" else query.filter_type
        if name == "dedupeFields":
            if len(described.dedupe_fields) > 1:
                return self._by_compound_key(query)
            name = described.dedupe_fields[0]
        if name not in described.searchable_names():
            known = name in described.fields
            raise Refused("1011" if known else "1006", f"Field '{name}' not {'supported' if known else 'found'}")
        if name == described.dedupe_fields[0] and len(described.dedupe_fields) == 1:
            keys = dict.fromkeys(folded(value) for value in query.values)
            return [table[value] for value in keys if value in table]
        numeric = described.fields[name].data_type == "integer"
        return table.find_any(name, [int(value) if numeric and value.isdigit() else value for value in query.values])

    def _by_compound_key(self, query: Query) -> list[Record]:
        if not query.keys:
            raise Refused("1003", "Invalid data: a compound key is asked for as JSON")
        table = self._instance.tables[self._name]
        try:
            keys = [key_of(checked(self._schema, key), self._schema.dedupe_fields) for key in query.keys]
        except Skipped as skipped:
            raise Refused(skipped.code, skipped.message) from skipped
        return [table[key] for key in dict.fromkeys(folded(key) for key in keys) if key in table]

    def _shown(self, record: Record, names: tuple[str, ...]) -> dict[str, Any]:
        """The record's asked-for fields; what is null is left out. Without any named, sales persons show all they have."""
        described = self._schema
        if names:
            wanted = {name.casefold() for name in names} | {described.id_field.casefold()}
            names = tuple(name for name in described.fields if name.casefold() in wanted)
        elif self._name == SALES_PERSON:
            names = tuple(described.fields)
        else:
            names = (described.id_field, *described.dedupe_fields, "createdAt", "updatedAt")
        return {name: record[name] for name in names if record.get(name) is not None}
