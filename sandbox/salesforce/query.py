"""Runs a SOQL query over the org: finds fields, checks the types of literals, filters, sorts, and shapes records as REST does."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

from sandbox.salesforce.errors import Refused
from sandbox.salesforce.ids import PREFIXES, id18
from sandbox.salesforce.org import Org
from sandbox.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field
from sandbox.salesforce.soql import Column, Comparison, Condition, Junction, Literal, Negation, Order, Query, malformed, unescape
from sandbox.salesforce.values import Row, Value, parse_datetime, rest_value

Test = Callable[[Row], bool]
RELATIONSHIPS_MAX = 5


@dataclass(frozen=True, slots=True)
class Path:
    """A field of the object itself, or of a parent (`Owner.Email`): how it is reached, and what it is."""

    name: str
    field: Field
    parents: tuple[Field, ...]
    read: Callable[[Row], Any]

    @property
    def column(self) -> str:
        """Its name as a column of its own: `Account.Name`."""
        return ".".join([*(parent.relationship for parent in self.parents), self.field.name])


@dataclass(frozen=True, slots=True)
class Result:
    """All records of a query, and how many it matched."""

    records: list[dict[str, Any]]
    total: int


@dataclass(frozen=True, slots=True)
class Table:
    """A query's rows as plain values, one for each selected column, in the order of selection (what a bulk job keeps)."""

    obj: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Value, ...]]


def invalid_field(message: str) -> Refused:
    """A field that is unknown, hidden, or used as it can not be used."""
    return Refused("INVALID_FIELD", message)


def run(org: Org, query: Query, *, with_deleted: bool, version: str) -> Result:
    """Run a query; raises `Refused` with INVALID_TYPE, INVALID_FIELD or MALFORMED_QUERY."""
    return _Select(org, query, version).run(with_deleted=with_deleted)


def tabulate(org: Org, query: Query, *, with_deleted: bool) -> Table:
    """Run a query that selects fields and no aggregates into a table; raises `Refused` as `run` does."""
    return _Select(org, query, "").table(with_deleted=with_deleted)


class _Select:
    def __init__(self, org: Org, query: Query, version: str) -> None:
        self._org = org
        self._query = query
        self._version = version
        try:
            self._obj = org.type_named(query.obj).name
        except Refused as error:
            message = f"sObject type '{query.obj}' is not supported. If you are attempting to use a custom object, be sure to "
            message += "append the '__c' after the entity name."
            raise Refused("INVALID_TYPE", message) from error

    def run(self, *, with_deleted: bool) -> Result:
        project = self._projection()
        if not any(column.aggregate for column in self._query.columns):
            rows = self._rows(with_deleted=with_deleted)
            return Result([project(row) for row in rows], len(rows))
        if not self._query.counts_only:
            return Result([self._aggregate(self._matching(with_deleted=with_deleted))], 1)
        if self._query.order:
            raise malformed("ORDER BY is not allowed with COUNT()")
        return Result([], len(self._rows(with_deleted=with_deleted)))

    def table(self, *, with_deleted: bool) -> Table:
        paths = self._paths()
        rows = [tuple(path.read(row) for path in paths) for row in self._rows(with_deleted=with_deleted)]
        columns, types = tuple(path.column for path in paths), tuple(path.field.type for path in paths)
        return Table(self._obj, columns, types, rows)

    def _matching(self, *, with_deleted: bool) -> list[Row]:
        where = self._compile(self._query.where) if self._query.where else None
        since = self._since(self._query.where)
        rows = self._org.rows_since if since is not None else None
        found = rows(self._obj, since, deleted=with_deleted) if rows else self._org.rows(self._obj, deleted=with_deleted)
        return [row for row in found if where is None or where(row)]

    def _since(self, where: Condition | None) -> Value:
        """The moment before which nobody that is asked for was modified, where the question says so."""
        if isinstance(where, Junction) and where.op == "AND":
            return next((since for part in where.parts if (since := self._since(part)) is not None), None)
        bounds = isinstance(where, Comparison) and where.op in {">", ">=", "="} and where.field.lower() == "systemmodstamp"
        return _typed(self._path(where.field).field, where.values[0]) if bounds and isinstance(where, Comparison) else None

    def _rows(self, *, with_deleted: bool) -> list[Row]:
        orders = [(order, self._path(order.field)) for order in self._query.order]
        rows = self._sorted(self._matching(with_deleted=with_deleted), orders)[self._query.offset :]
        return rows if self._query.limit is None else rows[: self._query.limit]

    # ---- fields

    def _path(self, name: str, *, filtering: bool = True) -> Path:
        *relations, last = name.split(".")
        if relations and relations[0].lower() == self._obj.lower():
            relations = relations[1:]
        if len(relations) > RELATIONSHIPS_MAX:
            raise malformed(f"too many relationships in {name}")
        objects: tuple[str, ...] = (self._obj,)
        parents: list[Field] = []
        for relation in relations:
            parent = self._relation(objects, relation)
            parents.append(parent)
            objects = parent.refers_to
        field = self._field(objects, last)
        if filtering and not field.filterable:
            raise invalid_field(f"field '{field.name}' can not be filtered in a query call")
        return Path(name, field, tuple(parents), self._reader(field, parents))

    def _relation(self, objects: tuple[str, ...], relation: str) -> Field:
        for obj in objects:
            for field in self._org.fields(obj):
                if field.relationship.lower() == relation.lower() and field.type == "reference":
                    return field
        raise invalid_field(f"Didn't understand relationship '{relation}' in field path.")

    def _field(self, objects: tuple[str, ...], name: str) -> Field:
        for obj in reversed(objects):
            field = self._org.field(obj, name)
            if field is not None:
                return field
        message = f"No such column '{name}' on entity '{objects[-1]}'. If you are attempting to use a custom field, be sure to "
        message += "append the '__c' after the custom field name. Please reference your WSDL or the describe call for the "
        raise invalid_field(f"{message}appropriate names.")

    def _reader(self, field: Field, parents: list[Field]) -> Callable[[Row], Any]:
        obj = self._obj
        if not parents and not (field.type == "address" or field.name == "Name"):
            return lambda row: row.get(field.name)

        def read(row: Row) -> Any:
            found = self._parent(obj, row, tuple(parents))
            return None if found is None else self._org.value(found[0], found[1], field)

        return read

    def _parent(self, obj: str, row: Row, parents: tuple[Field, ...]) -> tuple[str, Row] | None:
        for parent in parents:
            parent_id = row.get(parent.name)
            if not isinstance(parent_id, str):
                return None
            obj = next(target for target in parent.refers_to if parent_id.startswith(PREFIXES[target]))
            above = self._org.inspect(obj, parent_id)
            if above is None:
                return None
            row = above
        return obj, row

    # ---- where

    def _compile(self, condition: Condition) -> Test:
        if isinstance(condition, Negation):
            inner = self._compile(condition.part)
            return lambda row: not inner(row)
        if isinstance(condition, Junction):
            tests = [self._compile(part) for part in condition.parts]
            if condition.op == "AND":
                return lambda row: all(test(row) for test in tests)
            return lambda row: any(test(row) for test in tests)
        return self._compare(condition)

    def _compare(self, comparison: Comparison) -> Test:
        path = self._path(comparison.field)
        read, field, op = path.read, path.field, comparison.op
        if op == "LIKE":
            return _like(field, read, comparison.values[0])
        wanted = [_typed(field, literal) for literal in comparison.values]
        if op in {"IN", "NOT IN"}:
            found = set(wanted)
            return (lambda row: _key(read(row)) in found) if op == "IN" else (lambda row: _key(read(row)) not in found)
        value = wanted[0]
        if op == "=":
            return lambda row: _key(read(row)) == value
        if op == "!=":
            return lambda row: _key(read(row)) != value
        if field.type in {"boolean", "id", "reference"} and value is not None and field.type == "boolean":
            raise Refused("INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {field.name}")
        return _ordering(op, read, value)

    # ---- order, projection, aggregates

    def _sorted(self, rows: list[Row], orders: list[tuple[Order, Path]]) -> list[Row]:
        def compare(a: Row, b: Row) -> int:
            for order, path in orders:
                left, right = _key(path.read(a)), _key(path.read(b))
                if left == right:
                    continue
                if left is None or right is None:
                    return (1 if order.nulls_last else -1) * (1 if left is None else -1)
                less = left < right  # type: ignore[operator]
                return -1 if less != order.descending else 1
            return 0

        return sorted(rows, key=cmp_to_key(compare)) if orders else rows

    def _paths(self) -> list[Path]:
        plain = [column for column in self._query.columns if not column.aggregate]
        names = [column.field.lower() for column in plain]
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise malformed(f"duplicate field selected: {double}")
        paths = [self._path(column.field, filtering=False) for column in plain]
        if len(plain) != len(self._query.columns) and plain:
            raise malformed(f"Field must be grouped or aggregated: {plain[0].field}")
        return paths

    def _projection(self) -> Callable[[Row], dict[str, Any]]:
        paths = self._paths()

        def project(row: Row) -> dict[str, Any]:
            record = self._attributes(self._obj, row)
            for path in paths:
                self._put(record, row, path)
            return record

        return project

    def _attributes(self, obj: str, row: Row) -> dict[str, Any]:
        return {"attributes": {"type": obj, "url": f"/services/data/v{self._version}/sobjects/{obj}/{row['Id']}"}}

    def _put(self, record: dict[str, Any], row: Row, path: Path) -> None:
        for depth, parent in enumerate(path.parents, start=1):
            found = self._parent(self._obj, row, path.parents[:depth])
            if found is None:
                record[parent.relationship] = None
                return
            record = record.setdefault(parent.relationship, self._attributes(*found))
        value = path.read(row)
        record[path.field.name] = value if isinstance(value, dict) else rest_value(value)

    def _aggregate(self, rows: list[Row]) -> dict[str, Any]:
        record: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
        for number, column in enumerate(self._query.columns):
            record[column.alias or f"expr{number}"] = self._one_aggregate(rows, column)
        return record

    def _one_aggregate(self, rows: list[Row], column: Column) -> Any:
        if not column.field:
            return len(rows)
        path = self._path(column.field)
        values = [value for value in map(path.read, rows) if value is not None]
        if column.aggregate == "COUNT":
            return len(values)
        if column.aggregate == "COUNT_DISTINCT":
            return len({_key(value) for value in values})
        if column.aggregate in {"MIN", "MAX"}:
            best = (min if column.aggregate == "MIN" else max)(values, default=None)
            return rest_value(best)
        if path.field.type != "int" and path.field.type not in NUMBER_TYPES:
            raise malformed(f"field {path.field.name} does not support aggregate operator {column.aggregate}")
        total = float(sum(values))
        return (total / len(values) if values else None) if column.aggregate == "AVG" else total


def _key(value: Value) -> Value:
    """What a value is compared as: text without regard to case."""
    return value.lower() if isinstance(value, str) else value


def _ordering(op: str, read: Callable[[Row], Any], value: Value) -> Test:
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }
    holds = compare[op]

    def test(row: Row) -> bool:
        found = _key(read(row))
        return found is not None and value is not None and holds(found, value)

    return test


def _like(field: Field, read: Callable[[Row], Any], literal: Literal) -> Test:
    if field.type not in TEXT_TYPES:
        raise Refused("INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {field.type} field")
    if literal.kind != "string":
        raise malformed("LIKE needs a string in quotes")
    pieces = re.findall(r"\\.|.", unescape(literal.text, for_like=True), re.DOTALL)
    wild = {"%": ".*", "_": "."}
    pattern = "".join(wild.get(piece) or re.escape(piece.removeprefix("\\") or piece) for piece in pieces)
    matcher = re.compile(pattern, re.IGNORECASE | re.DOTALL)

    def test(row: Row) -> bool:
        value = read(row)
        return isinstance(value, str) and matcher.fullmatch(value) is not None

    return test


_LITERAL_OF = {"boolean": "boolean", "int": "number", "date": "date", "datetime": "datetime"}


def _typed(field: Field, literal: Literal) -> Value:
    """A literal as a value of the field's type; Salesforce converts nothing."""
    if literal.kind == "null":
        return None
    wanted = "number" if field.type in NUMBER_TYPES else _LITERAL_OF.get(field.type, "string")
    if literal.kind != wanted:
        quotes = "should not be enclosed in quotes" if literal.kind == "string" else "should be enclosed in quotes"
        kind = field.type if wanted != "string" else "string"
        needs = quotes if "string" in {literal.kind, wanted} else f"is a {literal.kind}"
        raise invalid_field(f"value of filter criterion for field '{field.name}' must be of type {kind} and {needs}")
    return _convert(field, literal)


def _convert(field: Field, literal: Literal) -> Value:
    if literal.kind == "boolean":
        return literal.text == "true"
    if literal.kind == "number":
        return float(literal.text)
    if literal.kind == "datetime":
        moment = parse_datetime(literal.text)
        if moment is None:
            raise malformed(f"invalid datetime: {literal.text}")
        return moment
    if literal.kind == "date":
        try:
            return dt.date.fromisoformat(literal.text)
        except ValueError as error:
            raise malformed(f"invalid date: {literal.text}") from error
    text = unescape(literal.text)
    if field.type in {"id", "reference"}:
        whole = id18(text) if text else ""
        if whole is None:
            raise Refused("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}")
        return whole.lower() or None
    return text.lower() or None
