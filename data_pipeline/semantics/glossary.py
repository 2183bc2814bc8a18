"""The words of a business: a file of terms and what they mean in the database. Bytes in, values out; opens nothing.

    term,target,synonyms
    customer,public.customer,client; buyer
    price,order_line.unit_price,
    revenue,SUM(order_line.quantity * order_line.unit_price),turnover|sales

CSV in UTF-8, with or without a mark at its beginning, or GBK. A target is `table`, `schema.table`, `table.column`,
`schema.table.column` (odd names in quotes), or an expression that makes one number of many rows of one table.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlglot import exp

from data_pipeline.database.drivers import DIALECTS
from data_pipeline.database.query_gate import check_query
from data_pipeline.database.schema import Table
from data_pipeline.errors import InvalidInput, QueryRefused
from data_pipeline.semantics.wording import one_line
from data_pipeline.tasks.table_list import PROBLEM_LIMIT, TableName, decode_text

SIZE_LIMIT_BYTES: Final = 1024 * 1024
TERM_LIMIT: Final = 5_000
SYNONYM_LIMIT: Final = 20
"""How many one term may have."""

LENGTH_LIMIT: Final = 100
"""Of a term or a synonym, in characters: it stands in questions."""

_HEADER: Final = ["term", "target", "synonyms"]
_PART: Final = r'(?:[^\W\d][\w$]*|"(?:[^"\x00-\x1f]|"")+")'
_NAME: Final = re.compile(rf"{_PART}(?:\.{_PART}){{0,2}}")
_LEFT_OUT: Final = (None, "public", "main")
"""Schemas that need no mention."""

_AGGREGATES: Final = (
    exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance,
    exp.VariancePop,
)  # fmt: skip


@dataclass(frozen=True)
class Term:
    """What people call something, and what else."""

    text: str
    synonyms: tuple[str, ...]


@dataclass(frozen=True)
class MeasureTerm:
    """What people call a number: `expression_sql` makes it of rows of `table`, from its `columns`."""

    term: Term
    table: TableName
    expression_sql: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Glossary:
    """Terms by what they mean, found by name in any case; `public` and `main` may be left out."""

    measures: tuple[MeasureTerm, ...] = ()
    _names: Mapping[tuple[str, ...], Term] = field(default_factory=dict)
    _targets: Mapping[str, tuple[str, ...] | MeasureTerm] = field(default_factory=dict)

    def of_table(self, table: TableName) -> Term | None:
        """What a table is called."""
        return self._first(_keys_of(table))

    def of_column(self, table: TableName, column: str) -> Term | None:
        """What a column is called."""
        return self._first((*key, column.casefold()) for key in _keys_of(table))

    def unmatched(self, tables: Sequence[Table]) -> list[str]:
        """Targets that none of these tables has, as they were written: mend them, or the schema lacks them."""
        known: set[tuple[str, ...]] = set()
        for table in tables:
            for key in _keys_of(table.name):
                known.add(key)
                known.update((*key, column.name.casefold()) for column in table.columns)
        return [target for target, meaning in self._targets.items() if not known.issuperset(_needed(meaning))]

    def _first(self, keys: Iterable[tuple[str, ...]]) -> Term | None:
        return next((self._names[key] for key in keys if key in self._names), None)


def parse_glossary(raw: bytes, name: str) -> Glossary:
    """The terms of a file. Raises InvalidInput with the number of every bad line; `name` is the file's."""
    if len(raw) > SIZE_LIMIT_BYTES:
        raise InvalidInput(name, f"it is {len(raw)} bytes long; {SIZE_LIMIT_BYTES} are the most")
    names: dict[tuple[str, ...], Term] = {}
    targets: dict[str, tuple[str, ...] | MeasureTerm] = {}
    problems: dict[int, str] = {}
    lines: dict[tuple[str, ...] | str, int] = {}
    for count, (line, fields) in enumerate(_rows(decode_text(raw, name), name), start=1):
        if count > TERM_LIMIT:
            raise InvalidInput(name, f"it has more than {TERM_LIMIT} terms")
        try:
            term, target = _term(fields), fields[1].strip()
            parts = _parts(target)
            meaning = _measure(term, target) if parts is None else parts
        except ValueError as error:
            problems[line] = str(error)
            continue
        known = meaning.expression_sql.casefold() if isinstance(meaning, MeasureTerm) else meaning
        if known in lines:
            problems[line] = f"{one_line(target)!a} has its term in line {lines[known]} already"
            continue
        lines[known] = line
        targets[one_line(target)] = meaning
        if isinstance(meaning, tuple):
            names[meaning] = term
    if problems:
        told = [f"line {line}: {reason}" for line, reason in list(problems.items())[:PROBLEM_LIMIT]]
        more = ", ".join(str(line) for line in list(problems)[PROBLEM_LIMIT:])
        raise InvalidInput(name, *told, *([f"and lines {more}"] if more else []))
    measures = tuple(meaning for meaning in targets.values() if isinstance(meaning, MeasureTerm))
    return Glossary(measures, names, targets)


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows after the header that are not blank, with the number of the line in which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begins, is_headed = 1, False
    try:
        for fields in reader:
            if any(value.strip() for value in fields):
                if is_headed:
                    yield begins, fields
                elif [value.strip().lower() for value in fields] != _HEADER:
                    raise InvalidInput(name, f"line {begins}: it is not the header {','.join(_HEADER)}")
                is_headed = True
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InvalidInput(name, f"line {begins}: it is no CSV ({error})") from None
    if not is_headed:
        raise InvalidInput(name, f"it has no header {','.join(_HEADER)}")


def _term(fields: Sequence[str]) -> Term:
    """Raises ValueError."""
    if not 2 <= len(fields) <= len(_HEADER):
        raise ValueError(f"it has {len(fields)} fields, not {len(_HEADER)} (a target with commas stands in quotes)")
    text = one_line(fields[0])
    if not text:
        raise ValueError("it has no term")
    written = re.split("[;|\uff1b]", fields[2]) if len(fields) > 2 else []
    found = {text.casefold(): text}
    for synonym in filter(None, map(one_line, written)):
        found.setdefault(synonym.casefold(), synonym)
    if len(found) - 1 > SYNONYM_LIMIT:
        raise ValueError(f"it has {len(found) - 1} synonyms; {SYNONYM_LIMIT} are the most")
    if any(len(one) > LENGTH_LIMIT for one in found.values()):
        raise ValueError(f"a term or synonym is longer than {LENGTH_LIMIT} characters")
    return Term(text, tuple(found.values())[1:])


def _parts(target: str) -> tuple[str, ...] | None:
    """The parts of a name without their quotes, in one case; None where a target is no name."""
    if _NAME.fullmatch(target) is None:
        return None
    found = re.findall(_PART, target)
    return tuple((part[1:-1].replace('""', '"') if part[0] == '"' else part).casefold() for part in found)


def _measure(term: Term, target: str) -> MeasureTerm:
    """Raises ValueError where a target is no expression that makes one number of rows of one table."""
    if not target:
        raise ValueError("it has no target")
    expression, sql = _read(target)
    if expression.alias:
        raise ValueError("its target is two names (one with a blank stands in double quotes)")
    if expression.find(exp.Query, exp.Window) is not None:
        raise ValueError("its target holds a query or a window: only an aggregate can be a term")
    aggregates = list(expression.find_all(*_AGGREGATES))
    if not aggregates or any(one.find_ancestor(*_AGGREGATES) for one in aggregates):
        raise ValueError("its target is no name, and no SUM, COUNT, AVG, MIN or MAX of a table's columns")
    tables: dict[tuple[str, ...], TableName] = {}
    columns: dict[str, None] = {}
    for column in expression.find_all(exp.Column):
        if not column.table or isinstance(column.this, exp.Star):
            raise ValueError(f"{column.name[:60]!a} in its target has no table before it, or is a star")
        if column.find_ancestor(*_AGGREGATES, exp.Filter) is None:
            raise ValueError(f"{column.name[:60]!a} in its target stands outside of an aggregate")
        table = TableName(column.text("db") or None, column.table)
        tables[_keys_of(table)[0]] = table
        columns[column.name] = None
    if len(tables) != 1:
        raise ValueError(f"its target names columns of {len(tables)} tables; it must be one")
    return MeasureTerm(term, next(iter(tables.values())), sql, tuple(columns))


def _read(target: str) -> tuple[exp.Expr, str]:
    """An expression that the gate lets through, and its text, written anew. Raises ValueError."""
    reason = ""
    for dialect in DIALECTS:
        try:
            query = check_query(f"SELECT {target}", dialect)
        except QueryRefused as error:
            reason = reason or error.reason
            continue
        select = query.expression
        is_alone = isinstance(select, exp.Select) and len(select.expressions) == 1
        if not is_alone or any(value for name, value in select.args.items() if name != "expressions"):
            raise ValueError("its target is more than one expression")
        return select.expressions[0], query.sql.removeprefix("SELECT ")
    raise ValueError(f"its target is no name (an odd one stands in double quotes), and no expression: {reason}")


def _keys_of(table: TableName) -> list[tuple[str, ...]]:
    """All ways to write a table's name."""
    name = table.name.casefold()
    schema = None if table.schema is None else table.schema.casefold()
    if schema in _LEFT_OUT:
        return [(name,), ("public", name), ("main", name)]
    return [(str(schema), name)]


def _needed(meaning: tuple[str, ...] | MeasureTerm) -> list[tuple[str, ...]]:
    """The keys that a schema must have for a target to mean something in it."""
    if isinstance(meaning, tuple):
        return [meaning]
    return [(*_keys_of(meaning.table)[0], column.casefold()) for column in meaning.columns]
