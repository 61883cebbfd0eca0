"""Reads SOQL into a small tree, as strictly as Salesforce: what it does not know is MALFORMED_QUERY.

    SELECT Id, Owner.Email FROM Lead WHERE (Email LIKE '%@x.com' OR IsDeleted = true) AND SystemModstamp >= 2026-01-01T00:00:00Z
    ORDER BY SystemModstamp, Id DESC NULLS LAST LIMIT 10 OFFSET 5

Understood: COUNT() and COUNT, MIN, MAX, SUM, AVG over the whole result; AND, OR, NOT, parentheses; = != <> < <= > >= IN, NOT IN,
LIKE.
Not understood: GROUP BY, subqueries, FIELDS(), TYPEOF, aliases of objects, relative date literals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal as OneOf
from typing import NoReturn

from sandbox.salesforce.errors import Refused

LENGTH_MAX = 100_000
OFFSET_MAX = 2_000
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
  | (?P<date>\d{4}-\d\d-\d\d(?![\dT]))
  | (?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w-]))
  | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
  | (?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
AGGREGATES = frozenset({"COUNT", "MIN", "MAX", "SUM", "AVG", "COUNT_DISTINCT"})

Kind = OneOf["string", "datetime", "date", "number", "boolean", "null"]
_PLAIN: dict[str, Kind] = {"number": "number", "datetime": "datetime", "date": "date"}


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as it stood in the query; strings keep `\\_` and `\\%` for LIKE."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field op value`; IN and NOT IN have several values."""

    field: str
    op: str
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions joined by AND or by OR."""

    op: OneOf["AND", "OR"]
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """NOT something."""

    part: Condition


Condition = Comparison | Junction | Negation


@dataclass(frozen=True, slots=True)
class Column:
    """A selected field, or an aggregate over one (`COUNT()` has no field)."""

    field: str
    aggregate: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """One ORDER BY term."""

    field: str
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query."""

    columns: tuple[Column, ...]
    obj: str
    where: Condition | None
    order: tuple[Order, ...]
    limit: int | None
    offset: int

    @property
    def counts_only(self) -> bool:
        """Whether it is SELECT COUNT()."""
        return len(self.columns) == 1 and self.columns[0].aggregate == "COUNT" and not self.columns[0].field


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def malformed(message: str) -> Refused:
    """A query that can not be read."""
    return Refused("MALFORMED_QUERY", message)


def parse(text: str) -> Query:
    """Read a query; raises `Refused` MALFORMED_QUERY."""
    if len(text) > LENGTH_MAX:
        raise Refused("QUERY_TOO_COMPLICATED", "SOQL statements cannot be longer than 100,000 characters.")
    return _Parser(text).query()


def unescape(text: str, *, for_like: bool = False) -> str:
    """The value of a quoted string; for LIKE, escaped wildcards stay escaped."""

    def one(found: re.Match[str]) -> str:
        char = found.group(1)
        if char in "_%":
            return f"\\{char}" if for_like else char
        if char not in _ESCAPES:
            sequence = f"Illegal character sequence '\\{char}' in string literal"
            raise malformed(f"Illegal string literal: Invalid string literal '{text}'. {sequence}")
        plain = _ESCAPES[char]
        return "\\\\" if for_like and plain == "\\" else plain

    return re.sub(r"\\(.)", one, text, flags=re.DOTALL)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._next = 0

    def _split(self, text: str) -> list[_Token]:
        tokens: list[_Token] = []
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None or found.lastgroup is None:
                at = len(text) - len(text[place:].lstrip())
                raise malformed(f"unexpected token: '{text[at : at + 12].split(maxsplit=1)[0]}'{self._where(text, at)}")
            tokens.append(_Token(found.lastgroup, found.group(found.lastgroup), found.start(found.lastgroup)))
            place = found.end()
        return tokens

    @staticmethod
    def _where(text: str, at: int) -> str:
        line = text[max(0, at - 40) : at + 20]
        return f"\n{line}\n{' ' * min(at, 40)}^\nERROR at Row:1:Column:{at + 1}"

    # ---- tokens

    def _peek(self) -> _Token:
        if self._next < len(self._tokens):
            return self._tokens[self._next]
        return _Token("end", "<EOF>", len(self._text))

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _fail(self, token: _Token) -> NoReturn:
        raise malformed(f"unexpected token: '{token.text}'{self._where(self._text, token.at)}")

    def _is(self, *words: str) -> bool:
        """Whether the next tokens are these key words or signs; takes them if so."""
        ahead = self._tokens[self._next : self._next + len(words)]
        fits = [t.text.upper() == word and t.kind in {"name", "sign"} for t, word in zip(ahead, words, strict=False)]
        if len(ahead) < len(words) or not all(fits):
            return False
        self._next += len(words)
        return True

    def _must(self, *words: str) -> None:
        if not self._is(*words):
            self._fail(self._peek())

    def _name(self) -> str:
        token = self._take()
        if token.kind != "name":
            self._fail(token)
        return token.text

    def _whole_number(self) -> int:
        token = self._take()
        if token.kind != "number" or not token.text.isdigit():
            self._fail(token)
        return int(token.text)

    # ---- the grammar

    def query(self) -> Query:
        self._must("SELECT")
        columns = [self._column()]
        while self._is(","):
            columns.append(self._column())
        self._must("FROM")
        obj = self._name()
        where = self._condition() if self._is("WHERE") else None
        order = self._order_by() if self._is("ORDER", "BY") else ()
        limit = self._whole_number() if self._is("LIMIT") else None
        offset = self._whole_number() if self._is("OFFSET") else 0
        if offset > OFFSET_MAX:
            raise Refused("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {OFFSET_MAX}")
        if self._peek().kind != "end":
            self._fail(self._peek())
        return Query(tuple(columns), obj, where, tuple(order), limit, offset)

    def _column(self) -> Column:
        name = self._name()
        if name.upper() in AGGREGATES and self._is("("):
            field = "" if self._peek().text == ")" else self._name()
            self._must(")")
            if not field and name.upper() != "COUNT":
                self._fail(self._peek())
            after = self._peek()
            alias = self._name() if after.kind == "name" and after.text.upper() != "FROM" else ""
            return Column(field, name.upper(), alias)
        return Column(name)

    def _condition(self) -> Condition:
        parts = [self._unary()]
        joined = ""
        while (word := self._peek().text.upper()) in {"AND", "OR"}:
            if joined and word != joined:
                self._fail(self._peek())  # AND and OR side by side need parentheses
            joined = word
            self._take()
            parts.append(self._unary())
        if not joined:
            return parts[0]
        return Junction("AND" if joined == "AND" else "OR", tuple(parts))

    def _unary(self) -> Condition:
        if self._is("NOT"):
            return Negation(self._unary())
        if self._is("("):
            inside = self._condition()
            self._must(")")
            return inside
        return self._comparison()

    def _comparison(self) -> Condition:
        field = self._name()
        if self._is("NOT", "IN"):
            return Comparison(field, "NOT IN", self._list())
        if self._is("IN"):
            return Comparison(field, "IN", self._list())
        token = self._take()
        op = token.text.upper()
        if op not in {"=", "!=", "<>", "<", "<=", ">", ">=", "LIKE"}:
            self._fail(token)
        return Comparison(field, "!=" if op == "<>" else op, (self._literal(),))

    def _list(self) -> tuple[Literal, ...]:
        self._must("(")
        values = [self._literal()]
        while self._is(","):
            values.append(self._literal())
        self._must(")")
        return tuple(values)

    def _literal(self) -> Literal:
        token = self._take()
        if token.kind == "string":
            return Literal("string", token.text[1:-1])
        if token.kind in _PLAIN:
            return Literal(_PLAIN[token.kind], token.text)
        word = token.text.lower()
        if word not in {"true", "false", "null"}:
            self._fail(token)
        return Literal("null" if word == "null" else "boolean", word)

    def _order_by(self) -> tuple[Order, ...]:
        terms = [self._order()]
        while self._is(","):
            terms.append(self._order())
        return tuple(terms)

    def _order(self) -> Order:
        field = self._name()
        descending = self._is("DESC")
        if not descending:
            self._is("ASC")
        nulls_last = self._is("NULLS", "LAST")
        if not nulls_last:
            self._is("NULLS", "FIRST")
        return Order(field, descending, nulls_last)
