"""Read the objects that must exist before tables can be created: schemas, extensions, types, functions, sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from data_pipeline.database.postgresql.entries import oids_of
from data_pipeline.database.postgresql.grammar import GRAMMAR
from data_pipeline.database.schema import SharedObject, Table

# From tables to the objects that they depend on, through types, defaults, constraints, indexes and views. Tables that a
# key or a view names are not followed. Objects that an extension created come with the extension.
_SHARED: Final = """
WITH RECURSIVE needed (class, id) AS (
    SELECT 'pg_class'::regclass::oid, unnest(%s::oid[])
  UNION
    SELECT next.class, next.id FROM needed CROSS JOIN LATERAL (
        SELECT d.refclassid AS class, d.refobjid AS id FROM pg_depend d
        LEFT JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
        WHERE d.classid = needed.class AND d.objid = needed.id
          AND (d.refclassid IN ('pg_type'::regclass, 'pg_proc'::regclass, 'pg_extension'::regclass)
               OR c.relkind IN ('S', 'c'))
      UNION ALL SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a
        WHERE needed.class = 'pg_class'::regclass AND a.adrelid = needed.id
      UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k
        WHERE needed.class = 'pg_class'::regclass AND k.conrelid = needed.id
           OR needed.class = 'pg_type'::regclass AND k.contypid = needed.id
      UNION ALL SELECT 'pg_class'::regclass, x.indexrelid FROM pg_index x
        WHERE needed.class = 'pg_class'::regclass AND x.indrelid = needed.id
      UNION ALL SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite r
        WHERE needed.class = 'pg_class'::regclass AND r.ev_class = needed.id
      UNION ALL SELECT 'pg_class'::regclass, t.typrelid FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
        WHERE needed.class = 'pg_type'::regclass AND t.oid = needed.id AND c.relkind = 'c'
    ) AS next
),
own (class, id) AS (
    SELECT class, id FROM needed WHERE NOT EXISTS (SELECT 1 FROM pg_depend d
        WHERE d.classid = class AND d.objid = id AND d.deptype = 'e')
)
SELECT 'extension', x.oid, NULL, x.extname, format('create extension if not exists %%I', x.extname)
  FROM own JOIN pg_extension x ON class = 'pg_extension'::regclass AND x.oid = id
UNION ALL
SELECT 'enum', t.oid, n.nspname, t.typname, format('create type %%I.%%I as enum (%%s)', n.nspname, t.typname,
    (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e
     WHERE e.enumtypid = t.oid))
  FROM own JOIN pg_type t ON class = 'pg_type'::regclass AND t.oid = id JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE t.typtype = 'e'
UNION ALL
SELECT 'domain', t.oid, n.nspname, t.typname,
    format('create domain %%I.%%I as %%s', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod))
    || coalesce(' default ' || t.typdefault, '') || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END
    || coalesce((SELECT string_agg(format(' constraint %%I %%s', k.conname, pg_get_constraintdef(k.oid)), ''
       ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'), '')
  FROM own JOIN pg_type t ON class = 'pg_type'::regclass AND t.oid = id JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE t.typtype = 'd'
UNION ALL
SELECT 'composite type', t.oid, n.nspname, t.typname, format('create type %%I.%%I as (%%s)', n.nspname, t.typname,
    (SELECT string_agg(format('%%I %%s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
     FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
  FROM own JOIN pg_type t ON class = 'pg_type'::regclass AND t.oid = id JOIN pg_namespace n ON n.oid = t.typnamespace
  JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
UNION ALL
SELECT 'range type', t.oid, n.nspname, t.typname, format('create type %%I.%%I as range (subtype = %%s)',
    n.nspname, t.typname, format_type(r.rngsubtype, NULL))
  FROM own JOIN pg_type t ON class = 'pg_type'::regclass AND t.oid = id JOIN pg_namespace n ON n.oid = t.typnamespace
  JOIN pg_range r ON r.rngtypid = t.oid
UNION ALL
SELECT 'function', p.oid, n.nspname, p.proname, pg_get_functiondef(p.oid)
  FROM own JOIN pg_proc p ON class = 'pg_proc'::regclass AND p.oid = id JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE p.prokind IN ('f', 'w') AND n.nspname <> 'pg_catalog' AND NOT EXISTS (SELECT 1 FROM pg_depend d
    WHERE d.classid = class AND d.objid = id AND d.deptype = 'i')
UNION ALL
SELECT 'sequence', s.oid, n.nspname, s.relname,
    format('create sequence %%I.%%I as %%s increment by %%s minvalue %%s maxvalue %%s start with %%s cache %%s',
      n.nspname, s.relname, format_type(q.seqtypid, NULL), q.seqincrement, q.seqmin, q.seqmax, q.seqstart, q.seqcache)
    || CASE WHEN q.seqcycle THEN ' cycle' ELSE '' END
  FROM own JOIN pg_sequence q ON class = 'pg_class'::regclass AND q.seqrelid = id
  JOIN pg_class s ON s.oid = q.seqrelid JOIN pg_namespace n ON n.oid = s.relnamespace
ORDER BY 2
"""


def read_shared_objects(connection: Connection, tables: Sequence[Table]) -> list[SharedObject]:
    """Return the objects that tables need, in loading order, without sequences that a type creates by itself."""
    by_schema: dict[str, list[str]] = {}
    for table in tables:
        by_schema.setdefault(table.name.schema or "public", []).append(table.name.name)
    oids = [oid for schema, names in by_schema.items() for oid in oids_of(connection, schema, names)]
    by_types = {
        (table.name.schema, f"{table.name.name}_{column}_seq")
        for table in tables
        for column in table.numbered_by_default
    }
    # An object may need older objects, and identifiers count up.
    objects = [
        (schema, SharedObject(kind, name, statement))
        for kind, _, schema, name, statement in connection.exec_driver_sql(_SHARED, (oids,))
        if kind != "sequence" or (schema, name) not in by_types
    ]
    names = {*by_schema, *(schema for schema, _ in objects if schema is not None)} - {"public"}
    schemas = [
        SharedObject("schema", name, f"create schema if not exists {GRAMMAR.quoted(name)}") for name in sorted(names)
    ]
    return schemas + sorted((shared for _, shared in objects), key=lambda shared: shared.kind != "extension")
