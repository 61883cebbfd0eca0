"""One Bulk API 2.0 query job: what may be asked for, its rows, its state in time, and the places in its result.

A query that cannot be read is an API_ERROR with the words of SOQL. Ours, because no source tells: the words for OFFSET and for a
wrong locator.
"""

from __future__ import annotations

import base64
import random
import re
from dataclasses import dataclass, replace
from typing import Any, Final

from sandbox.salesforce.bulk_csv import DELIMITERS, LINE_ENDINGS
from sandbox.salesforce.errors import Refused, Unreadable
from sandbox.salesforce.org import Org
from sandbox.salesforce.query import Table, tabulate
from sandbox.salesforce.soql import Query, parse

OPERATIONS = ("query", "queryAll")
KNOWN = frozenset({"operation", "query", "contentType", "columnDelimiter", "lineEnding"})
RUNNING = frozenset({"UploadComplete", "InProgress"})
NESTED = "Aggregate Relationships not supported in Bulk V2 Query with CSV content type"
COMPOUND = "Selecting compound data not supported in Bulk Query"
_SUBQUERY = re.compile(r"\(\s*SELECT\b", re.IGNORECASE)
_WHERE = re.compile(r"\bWHERE\b", re.IGNORECASE)
_GROUPED = re.compile(r"\b(?:GROUP\s+BY|TYPEOF)\b", re.IGNORECASE)
_STRING: Final = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job is asked for."""

    operation: str
    soql: str
    delimiter: str
    line_ending: str


@dataclass(slots=True)
class Job:
    """One query job; times are epoch seconds. A `failure` is told when it would have been complete."""

    id: str
    asked: Asked
    version: str
    user_id: str
    table: Table
    created: float
    begins: float
    ends: float
    failure: str = ""
    aborted: float | None = None

    def state(self, now: float) -> str:
        """Its state now."""
        if self.aborted is not None:
            return "Aborted"
        if now < self.begins:
            return "UploadComplete"
        if now < self.ends:
            return "InProgress"
        return "Failed" if self.failure else "JobComplete"

    def changed(self, now: float) -> float:
        """When its state last changed."""
        if self.aborted is not None:
            return self.aborted
        return max(moment for moment in (self.created, self.begins, self.ends) if moment <= max(now, self.created))

    def locator(self, start: int) -> str:
        """The name of the set that begins with this row; "null" behind the last one."""
        if start >= len(self.table.rows):
            return "null"
        return base64.urlsafe_b64encode(f"{self.id}:{start}".encode()).decode().rstrip("=")

    def start_of(self, locator: str | None) -> int:
        """The row that a locator of this job means, the first one without a locator; raises `Refused`."""
        if not locator:
            return 0
        try:
            owner, _, start = base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)).decode().partition(":")
        except ValueError:
            owner, start = "", ""
        if owner != self.id or not start.isdigit() or not 0 < int(start) < len(self.table.rows):
            raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator")
        return int(start)


def read_asked(body: dict[str, Any]) -> Asked:
    """What the body of a request asks for; anything that Bulk API 2.0 does not know is refused."""
    if unknown := sorted(body.keys() - KNOWN):
        raise Unreadable("JSON_PARSER_ERROR", f'Unrecognized field "{unknown[0]}"')
    operation, soql = body.get("operation"), body.get("query")
    if operation not in OPERATIONS:
        raise Refused("INVALIDOPERATION", f"Operation {operation} is not one of {', '.join(OPERATIONS)}")
    if not isinstance(soql, str) or not soql.strip():
        raise Refused("API_ERROR", "A query is required for a query job")
    delimiter, line_ending = body.get("columnDelimiter", "COMMA"), body.get("lineEnding", "LF")
    if body.get("contentType", "CSV") != "CSV" or delimiter not in DELIMITERS or line_ending not in LINE_ENDINGS:
        raise Refused("API_ERROR", "contentType, columnDelimiter or lineEnding is none that Bulk API 2.0 knows")
    return Asked(str(operation), soql, str(delimiter), str(line_ending))


def rows_of(org: Org, asked: Asked, chunk_size: int, rng: random.Random) -> Table:
    """The rows of a query as they are now; without ORDER BY and LIMIT in chunks by primary key, the chunks in any order."""
    bare = _STRING.sub("''", asked.soql)
    if _SUBQUERY.search(_WHERE.split(bare)[0]) or _GROUPED.search(bare):
        raise Refused("API_ERROR", NESTED)
    try:
        query = parse(asked.soql)
        _check(query)
        table = tabulate(org, query, with_deleted=asked.operation == "queryAll")
    except Refused as refused:
        raise Refused("API_ERROR", refused.message) from refused
    if "address" in table.types:
        raise Refused("API_ERROR", COMPOUND)
    if query.order or query.limit is not None:
        return table
    chunks = [table.rows[start : start + chunk_size] for start in range(0, len(table.rows), chunk_size)]
    rng.shuffle(chunks)
    return replace(table, rows=[row for chunk in chunks for row in chunk])


def _check(query: Query) -> None:
    if any(column.aggregate for column in query.columns):
        raise Refused("API_ERROR", NESTED)
    if query.offset:
        raise Refused("API_ERROR", "OFFSET is not supported in Bulk V2 Query")


def failure_of(table: Table) -> str:
    """What a job will fail of: a parent's parent does not fit into CSV."""
    deep = next((column for column in table.columns if column.count(".") > 1), None)
    return "" if deep is None else f"FeatureNotEnabled : Cannot serialize value for '{deep.split('.')[1]}' in CSV format"


def alphabetical(table: Table) -> Table:
    """The table with its columns in the order of their names, as before version 50.0."""
    order = sorted(range(len(table.columns)), key=lambda place: table.columns[place])
    return replace(
        table,
        columns=tuple(table.columns[place] for place in order),
        types=tuple(table.types[place] for place in order),
        rows=[tuple(row[place] for place in order) for row in table.rows],
    )
