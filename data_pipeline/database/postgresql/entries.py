"""Read the entries of many tables in PostgreSQL's catalogue, in its own spelling: types, keys, checks, indexes, rules.

SQLAlchemy knows only the types for which it has classes, and spells the others NULL. format_type and
pg_get_constraintdef know all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection

from data_pipeline.database.schema import Check, Index, Key, Rule
from data_pipeline.tasks.table_list import TableName

KINDS: Final = {"r": "table", "p": "table", "v": "view", "m": "materialized view"}

_SHORT: Final = (
    (re.compile(r"^character varying"), "varchar"),
    (re.compile(r"^character\b"), "char"),
    (re.compile(r"^timestamp(\(\d\))? without time zone"), r"timestamp\1"),
    (re.compile(r"^timestamp(\(\d\))? with time zone"), r"timestamptz\1"),
    (re.compile(r"^time(\(\d\))? without time zone"), r"time\1"),
)
"""Short names of types, as people write them."""

_TABLES: Final = (
    "SELECT c.relname, c.relkind, CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END"
    " FROM pg_class c WHERE c.oid = ANY(%s)"
)
_OIDS: Final = (
    "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm')"
)
_COLUMNS: Final = (
    "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),"
    " CASE WHEN a.attcollation <> t.typcollation THEN"
    " quote_ident(n.nspname) || '.' || quote_ident(l.collname) END,"
    " CASE WHEN t.typtype = 'e' THEN"
    " ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) END"
    " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid"
    " LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = l.collnamespace"
    " WHERE c.oid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped"
)
_CONSTRAINTS: Final = (
    "SELECT c.relname, k.conname, k.contype, pg_get_constraintdef(k.oid),"
    " ARRAY(SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)"
    " JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place)"
    " FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
    " WHERE c.oid = ANY(%s) AND k.contype IN ('p', 'u', 'c', 'x') ORDER BY c.relname, k.conname"
)
_INDEXES: Final = (
    "SELECT c.relname, i.relname, pg_get_indexdef(x.indexrelid)"
    " FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid"
    " WHERE c.oid = ANY(%s) AND NOT EXISTS"
    " (SELECT 1 FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x'))"
    " ORDER BY c.relname, i.relname"
)
# The tables that a view reads are those of its rule ON SELECT. Every other rule is about writes.
_SOURCES: Final = (
    "SELECT DISTINCT c.relname, n.nspname, s.relname"
    " FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class"
    " JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid"
    " AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class"
    " JOIN pg_class s ON s.oid = d.refobjid AND s.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " JOIN pg_namespace n ON n.oid = s.relnamespace"
    " WHERE c.oid = ANY(%s) AND r.ev_type = '1' ORDER BY 1, 2, 3"
)
# As pg_dump writes them: the rule, then the sessions in which it fires if that is not the default.
_RULES: Final = (
    "SELECT c.relname, r.rulename, pg_get_ruledef(r.oid) || CASE r.ev_enabled WHEN 'O' THEN '' ELSE"
    " format(E'\\nALTER TABLE %%I.%%I %%s RULE %%I;', o.nspname, c.relname, CASE r.ev_enabled"
    " WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, r.rulename) END,"
    " ARRAY(SELECT DISTINCT ARRAY[n.nspname::text, s.relname::text] FROM pg_depend d"
    " JOIN pg_class s ON s.oid = d.refobjid AND s.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " JOIN pg_namespace n ON n.oid = s.relnamespace"
    " WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid"
    " AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class ORDER BY 1)"
    " FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace o ON o.oid = c.relnamespace"
    " WHERE c.oid = ANY(%s) AND r.ev_type <> '1' ORDER BY c.relname, r.rulename"
)
# A column that was created as `serial` and never renamed: the type creates the same sequence again.
_NUMBERED: Final = (
    "SELECT c.relname, a.attname FROM pg_depend d"
    " JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' AND d.classid = 'pg_class'::regclass"
    " JOIN pg_class c ON c.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid"
    " JOIN pg_sequence q ON q.seqrelid = s.oid"
    " WHERE c.oid = ANY(%s) AND d.deptype = 'a' AND s.relnamespace = c.relnamespace"
    " AND s.relname = c.relname || '_' || a.attname || '_seq' AND q.seqtypid = a.atttypid"
    " AND (q.seqstart, q.seqincrement, q.seqmin, q.seqcache, q.seqcycle) = (1, 1, 1, 1, false)"
)


@dataclass
class PostgresTable:
    """The entry of one table or view."""

    kind: str
    view_sql: str | None
    types: dict[str, str] = field(default_factory=dict)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    primary_key: Key = field(default_factory=lambda: Key(None, ()))
    unique_keys: list[Key] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    sources: list[TableName] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    numbered: set[str] = field(default_factory=set)


def read_entries(connection: Connection, schema: str, names: Sequence[str]) -> dict[str, PostgresTable]:
    """Return the entries of these tables and views of one schema by name; a missing one is left out."""
    oids = oids_of(connection, schema, names)

    def rows(statement: str) -> Sequence[Any]:
        return connection.exec_driver_sql(statement, (oids,)).all()

    entries = {name: PostgresTable(KINDS[kind], view_sql) for name, kind, view_sql in rows(_TABLES)}
    for name, column, type_sql, collation, labels in rows(_COLUMNS):
        entries[name].types[column] = _short(type_sql) + (f" collate {collation}" if collation else "")
        entries[name].labels[column] = tuple(labels or ())
    for name, constraint, kind, definition, columns in rows(_CONSTRAINTS):
        table = entries[name]
        if kind in ("p", "u"):
            key = Key(constraint, tuple(columns), definition)
            table.unique_keys += [key] if kind == "u" else []
            table.primary_key = key if kind == "p" else table.primary_key
        else:
            table.checks.append(Check(constraint, definition))
    for name, index, definition in rows(_INDEXES):
        entries[name].indexes.append(Index(index, definition))
    for name, source_schema, source in rows(_SOURCES):
        entries[name].sources.append(TableName(source_schema, source))
    for name, rule, statement, needed in rows(_RULES):
        entries[name].rules.append(Rule(rule, statement, tuple(TableName(*place) for place in needed)))
    for name, column in rows(_NUMBERED):
        entries[name].numbered.add(column)
    return entries


def oids_of(connection: Connection, schema: str, names: Sequence[str]) -> list[int]:
    """Return the object identifiers of tables and views."""
    return list(connection.exec_driver_sql(_OIDS, (schema, list(names))).scalars())


def _short(type_sql: str) -> str:
    for pattern, short in _SHORT:
        type_sql = pattern.sub(short, type_sql)
    return type_sql
