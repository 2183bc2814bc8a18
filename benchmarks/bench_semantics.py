"""How much of what a database means is found without being declared.

    python -m benchmarks.bench_semantics keys [--database URL ...] [--json] [--schemas FILE] [--only NAME]

`keys` hides the primary and foreign keys that databases declare, finds them in names and values, and compares. Without
a database it builds those of `schemas/keys.txt`, each with seeded rows, and reports their groups apart: those that the
scores were tuned on, those that they were not, and well-known public ones. A reference that follows from declared ones
(a column to the parent of its parent) is right, but none that has to be found.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import json
import random
import sqlite3
import string
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.semantics_labels import print_columns
from data_pipeline.database.connection import open_database
from data_pipeline.database.execution import QueryLimits
from data_pipeline.database.finding import list_tables
from data_pipeline.database.reflection import read_tables
from data_pipeline.database.schema import Key, Table
from data_pipeline.semantics.finding_keys import find_keys
from data_pipeline.semantics.keys import ACCEPTED_CONFIDENCE, QUESTION_CONFIDENCE
from data_pipeline.tasks.table_list import TableName

SCHEMAS = Path(__file__).parent / "schemas" / "keys.txt"
TARGET_F1, TARGET_PRECISION = 0.95, 0.98

FIRST = ("Ada", "Ben", "Chen", "Dana", "Emil", "Fay", "Gita", "Hugo", "Ines", "Jon", "Kim", "Lena", "Mia", "Noah")
LAST = ("Ames", "Blake", "Costa", "Dunn", "Evans", "Frost", "Garcia", "Hahn", "Ito", "Jones", "Klein", "Lopez")
CITIES = ("Lisbon", "Oslo", "Kyoto", "Quito", "Turin", "Leeds", "Graz", "Perth", "Lyon", "Cork", "Bergen")
SYLLABLES = ("ba", "co", "da", "fi", "go", "hu", "ka", "lo", "mi", "no", "pa", "ri", "so", "tu", "ve", "zo")
DAY = dt.date(2018, 1, 1)


@dataclass(frozen=True)
class Attribute:
    """A column of a schema text; a foreign key of several columns is one attribute with several names."""

    names: tuple[str, ...]
    kind: str
    is_key: bool


@dataclass(frozen=True)
class TableText:
    """A line of a schema text."""

    name: str
    rows: int
    attributes: tuple[Attribute, ...]

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(name for one in self.attributes if one.is_key for name in one.names)


@dataclass(frozen=True)
class SchemaText:
    name: str
    group: str
    tables: tuple[TableText, ...]


def read_schemas(text: str) -> list[SchemaText]:
    """Parse the schema texts of `schemas/keys.txt`, which says how they are written."""
    found: list[SchemaText] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("== "):
            name = line[3:].strip()
            found.append(SchemaText(name.split()[0], name.partition("(")[2].rstrip(")") or "tuned", ()))
            continue
        head, _, body = line.partition(": ")
        name, rows = head.rsplit(" ", 1)
        attributes = []
        for part in body.split(";"):
            column, kind = part.strip().split(" ", 1)
            attributes.append(Attribute(tuple(column.lstrip("*").split("+")), kind, column.startswith("*")))
        found[-1] = replace(found[-1], tables=(*found[-1].tables, TableText(name, int(rows), tuple(attributes))))
    return found


class RowMaker:
    """Rows of one schema, the same ones each time."""

    def __init__(self, schema: SchemaText) -> None:
        self._chance = random.Random(schema.name)
        self._words = itertools.count()
        self._tables = {table.name: table for table in schema.tables}
        self.rows: dict[str, list[dict[str, Any]]] = {table.name: [] for table in schema.tables}

    def fill(self) -> None:
        """Make all rows: parents first where keys allow it, then references that were waiting for later tables."""
        waiting = list(self._tables.values())
        made: set[str] = set()
        while waiting:
            free = next((one for one in waiting if self._needed(one) <= made), None) or next(
                one for one in waiting if self._needed(one, only_keys=True) <= made
            )
            waiting.remove(free)
            self._fill(free)
            made.add(free.name)
        for table in self._tables.values():
            for row in self.rows[table.name]:
                for one in table.attributes:
                    if one.kind.startswith(">") and row[one.names[0]] is Ellipsis:
                        row.update(self._reference(one, table, row, {}))

    def _needed(self, table: TableText, *, only_keys: bool = False) -> set[str]:
        targets = {
            self._target(one)[0]
            for one in table.attributes
            if one.kind.startswith(">") and (one.is_key or not only_keys)
        }
        return targets - {table.name}

    def _target(self, attribute: Attribute) -> tuple[str, tuple[str, ...]]:
        name = attribute.kind[1:].partition("?")[0].rstrip("!~")
        table, _, column = name.partition(".")
        return table, (column,) if column else self._tables[table].key

    def _fill(self, table: TableText) -> None:
        seen: set[tuple[Any, ...]] = set()
        lines: dict[Any, int] = {}
        chosen: dict[str, list[int]] = {}
        attempts = 0
        while len(self.rows[table.name]) < table.rows and attempts < 20 * table.rows:
            attempts += 1
            number = len(self.rows[table.name])
            row: dict[str, Any] = {}
            for one in table.attributes:
                if one.kind.startswith(">"):
                    row.update(self._reference(one, table, row, chosen))
                elif one.kind == "line":
                    first = row[table.attributes[0].names[0]]
                    row[one.names[0]] = lines.get(first, 0) + 1
                else:
                    row[one.names[0]] = self._value(one.kind, number)
            key = tuple(row[name] for name in table.key)
            if table.key and key in seen:
                continue
            seen.add(key)
            for one in table.attributes:
                if one.kind == "line":
                    lines[row[table.attributes[0].names[0]]] = row[one.names[0]]
            self.rows[table.name].append(row)

    def _reference(
        self, attribute: Attribute, table: TableText, row: Mapping[str, Any], chosen: dict[str, list[int]]
    ) -> dict[str, Any]:
        """Values of a foreign key: some parents have many children, a few none."""
        target, columns = self._target(attribute)
        _, mark, none = attribute.kind.partition("?")
        is_self = target == table.name
        there = self.rows[target]
        nothing: Any = {"": None, "''": ""}.get(none, int(none) if none.lstrip("-").isdigit() else None)
        if mark and (self._chance.random() < 0.2 or (is_self and len(there) < 3)):
            return dict.fromkeys(attribute.names, nothing)
        if not there:
            return dict.fromkeys(attribute.names, ... if not is_self else nothing)
        if "!" in attribute.kind:
            order = chosen.setdefault(attribute.names[0], self._chance.sample(range(len(there)), len(there)))
            place = order.pop() if order else self._chance.randrange(len(there))
        else:
            place = min(self._chance.randrange(len(there)), self._chance.randrange(len(there)) + len(there) // 3)
        return {own: there[place][column] for own, column in zip(attribute.names, columns, strict=True)}

    def _value(self, kind: str, number: int) -> Any:
        if "|" in kind:
            return self._chance.choice(kind.split("|"))
        name, *arguments = kind.split(":")
        if name == "word":
            number = next(self._words)
        return KINDS[name](self._chance, number, arguments)


def _serial(_: random.Random, number: int, arguments: Sequence[str]) -> int:
    start, step = (*map(int, arguments), 1, 1)[:2] if len(arguments) != 1 else (int(arguments[0]), 1)
    return start + step * number


def _code(_: random.Random, number: int, arguments: Sequence[str]) -> str:
    """The template with the row's number in its signs; a single sign is a letter, or two after the twenty-sixth row."""
    signs = arguments[0].count("#")
    letters = string.ascii_uppercase
    text = str(number + 1).zfill(signs) if signs > 1 else letters[number % 26]
    if signs == 1 and number >= 26:
        return arguments[0].replace("#", letters[number // 26 - 1] + text)
    written = iter(text)
    return "".join(next(written) if sign == "#" else sign for sign in arguments[0])


def _word(_: random.Random, number: int, __: Sequence[str]) -> str:
    """A name that no other row of the schema has."""
    return "".join(SYLLABLES[number // 16**place % 16] for place in (0, 1, 2)).title() + SYLLABLES[number * 7 % 16]


def _moment(chance: random.Random) -> str:
    return str(dt.datetime.combine(DAY, dt.time()) + dt.timedelta(minutes=chance.randrange(900_000)))


KINDS: Mapping[str, Callable[[random.Random, int, Sequence[str]], Any]] = {
    "serial": _serial,
    "code": _code,
    "word": _word,
    "uuid": lambda chance, _, __: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
    "int": lambda chance, _, ends: chance.randint(int(ends[0]), int(ends[1])),
    "money": lambda chance, _, __: round(chance.uniform(1, 500), 2),
    "real": lambda chance, _, __: round(chance.uniform(-90, 90), 4),
    "date": lambda chance, _, __: str(DAY + dt.timedelta(days=chance.randrange(900))),
    "day": lambda _, number, __: str(DAY + dt.timedelta(days=number)),
    "ymd": lambda _, number, __: int((DAY + dt.timedelta(days=number)).strftime("%Y%m%d")),
    "time": lambda chance, _, __: _moment(chance),
    "year": lambda chance, _, __: chance.randint(1980, 2024),
    "name": lambda chance, _, __: f"{chance.choice(FIRST)} {chance.choice(LAST)}",
    "city": lambda chance, _, __: chance.choice(CITIES),
    "email": lambda chance, number, __: f"{chance.choice(FIRST).lower()}{number}@example.org",
    "text": lambda chance, _, __: " ".join(chance.choice(SYLLABLES) * 2 for _ in range(chance.randint(3, 9))),
    "flag": lambda chance, _, __: chance.randint(0, 1),
}


def build_database(path: Path, schema: SchemaText) -> None:
    """Create a SQLite file with the tables, keys and rows of a schema text."""
    maker = RowMaker(schema)
    maker.fill()
    connection = sqlite3.connect(path)
    for table in schema.tables:
        rows = maker.rows[table.name]
        columns = [name for one in table.attributes for name in one.names]
        lines = [f'"{name}" {_type_of([row[name] for row in rows])}' for name in columns]
        if table.key:
            lines.append(f"PRIMARY KEY ({_quoted(table.key)})")
        for one in table.attributes:
            if one.kind.startswith(">"):
                target, there = maker._target(one)
                lines.append(f'FOREIGN KEY ({_quoted(one.names)}) REFERENCES "{target}" ({_quoted(there)})')
        connection.execute(f'CREATE TABLE "{table.name}" ({", ".join(lines)})')
        places = ", ".join("?" * len(columns))
        connection.executemany(
            f'INSERT INTO "{table.name}" VALUES ({places})', [[row[name] for name in columns] for row in rows]
        )
    connection.commit()
    connection.close()


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _type_of(values: Sequence[Any]) -> str:
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, int) for value in present):
        return "INTEGER"
    return "REAL" if present and all(isinstance(value, (int, float)) for value in present) else "TEXT"


# Comparison


@dataclass
class Counts:
    """Found and declared keys of one kind; `implied` follow from declared ones."""

    right: int = 0
    implied: int = 0
    false: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    beyond: int = 0
    """Missed although no data could show them: the child or the parent has no rows."""

    @property
    def precision(self) -> float:
        found = self.right + self.implied + len(self.false)
        return (self.right + self.implied) / found if found else 1.0

    @property
    def recall(self) -> float:
        declared = self.right + len(self.missed)
        return self.right / declared if declared else 1.0

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def add(self, other: Counts) -> None:
        self.right += other.right
        self.implied += other.implied
        self.false += other.false
        self.missed += other.missed
        self.beyond += other.beyond

    def as_json(self) -> dict[str, Any]:
        figures = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        rounded: dict[str, Any] = {name: round(value, 4) for name, value in figures.items()}
        return {**rounded, "right": self.right, "implied": self.implied, "false": self.false, "missed": self.missed,
                "missed_without_rows": self.beyond}  # fmt: skip


@dataclass
class Report:
    """Counts of one database: primary keys, foreign keys, and the foreign keys that questions would use."""

    primary: Counts = field(default_factory=Counts)
    foreign: Counts = field(default_factory=Counts)
    primary_for_questions: Counts = field(default_factory=Counts)
    foreign_for_questions: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    tables: int = 0

    def add(self, other: Report) -> None:
        for name in ("primary", "foreign", "primary_for_questions", "foreign_for_questions"):
            getattr(self, name).add(getattr(other, name))
        self.seconds += other.seconds
        self.tables += other.tables

    def as_json(self) -> dict[str, Any]:
        kinds = ("primary", "foreign", "primary_for_questions", "foreign_for_questions")
        counted = {name: getattr(self, name).as_json() for name in kinds}
        return {**counted, "tables": self.tables, "seconds": round(self.seconds, 2)}


Reference = tuple[TableName, TableName, frozenset[tuple[str, str]]]


def without_declarations(table: Table) -> Table:
    """A copy of a table that declares nothing from which a key could be read."""
    columns = tuple(
        replace(column, is_nullable=True, default_sql=None, identity=None, comment=None) for column in table.columns
    )
    return replace(
        table, columns=columns, primary_key=Key(None, ()), foreign_keys=(), unique_keys=(), indexes=(), checks=(),
        numbered_by_default=frozenset(), options=table.options & {"ROWID"}, descending=frozenset(),
    )  # fmt: skip


def compare(url: str, label: str) -> Report:
    """Find the keys of a database whose declarations are hidden."""
    with open_database(url) as database:
        tables, _ = read_tables(database, list_tables(database))
        rows = {}
        with database.connect() as connection:
            quote = connection.dialect.identifier_preparer.quote_identifier
            for table in tables:
                place = ".".join(quote(part) for part in table.name if part)
                rows[table.name] = table.kind != "table" or bool(
                    connection.exec_driver_sql(f"SELECT 1 FROM {place} LIMIT 1".replace("%", "%%")).first()
                )
        started = time.perf_counter()
        found = find_keys(database, [without_declarations(table) for table in tables], QueryLimits())
        seconds = time.perf_counter() - started
    report = Report(seconds=seconds, tables=len(tables))
    declared_keys = {table.name: frozenset(table.primary_key.columns) for table in tables if table.primary_key.columns}
    declared = {
        (table.name, key.target, frozenset(zip(key.columns, _targets(key, tables), strict=True)))
        for table in tables
        for key in table.foreign_keys
    }
    implied = _closure(declared)
    for keys, references, least in (
        (report.primary, report.foreign, ACCEPTED_CONFIDENCE),
        (report.primary_for_questions, report.foreign_for_questions, QUESTION_CONFIDENCE),
    ):
        chosen = {name: frozenset(one.columns) for name, one in found.primary.items() if one.confidence >= least}
        _count_keys(keys, label, declared_keys, chosen, rows)
        references_found = {
            (one.child, one.parent, frozenset(zip(one.child_columns, one.parent_columns, strict=True)))
            for one in found.references
            if one.confidence >= least
        }
        for reference in sorted(references_found, key=str):
            if reference in declared:
                references.right += 1
            elif reference in implied:
                references.implied += 1
            else:
                references.false.append(f"{label}: {_shown(reference)}")
        for reference in sorted(declared - references_found, key=str):
            references.missed.append(f"{label}: {_shown(reference)}")
            references.beyond += not (rows.get(reference[0], True) and rows.get(reference[1], True))
    return report


def _targets(key: Any, tables: Sequence[Table]) -> Sequence[str]:
    if key.target_columns and all(key.target_columns):
        return tuple(key.target_columns)
    return next((table.primary_key.columns for table in tables if table.name == key.target), key.columns)


def _count_keys(
    counts: Counts,
    label: str,
    declared: Mapping[TableName, frozenset[str]],
    chosen: Mapping[TableName, frozenset[str]],
    rows: Mapping[TableName, bool],
) -> None:
    for name, columns in declared.items():
        if chosen.get(name) == columns:
            counts.right += 1
            continue
        counts.missed.append(f"{label}: {name} ({', '.join(sorted(columns))})")
        counts.beyond += not rows[name]
        if name in chosen:
            counts.false.append(f"{label}: {name} ({', '.join(sorted(chosen[name]))})")


def _closure(declared: Iterable[Reference]) -> set[Reference]:
    """References that follow from declared ones: from a parent's own foreign key."""
    up: dict[TableName, list[Reference]] = {}
    for reference in declared:
        up.setdefault(reference[0], []).append(reference)
    implied: set[Reference] = set()
    waiting = list(declared)
    while waiting:
        child, parent, pairs = waiting.pop()
        below = {key: column for column, key in pairs}
        for _, above, keys in up.get(parent, ()):
            if {column for column, _ in keys} <= set(below):
                further = (child, above, frozenset((below[column], key) for column, key in keys))
                if further not in implied and above != child:
                    implied.add(further)
                    waiting.append(further)
    return implied


def _shown(reference: Reference) -> str:
    child, parent, pairs = reference
    ordered = sorted(pairs)
    return (
        f"{child.name}({', '.join(one for one, _ in ordered)}) -> {parent.name}({', '.join(one for _, one in ordered)})"
    )


# Command line


def run_keys(arguments: argparse.Namespace) -> dict[str, Report]:
    """Compare every database; reports by group."""
    groups: dict[str, Report] = {}
    if arguments.database:
        for url in arguments.database:
            groups[url.rpartition("/")[2]] = compare(url, url.rpartition("/")[2])
        return groups
    with tempfile.TemporaryDirectory() as folder:
        for schema in read_schemas(Path(arguments.schemas).read_text(encoding="utf-8")):
            if arguments.only and schema.name not in arguments.only:
                continue
            path = Path(folder, f"{schema.name}.sqlite")
            build_database(path, schema)
            groups.setdefault(schema.group, Report()).add(compare(f"sqlite:///{path}", schema.name))
    return groups


def lines_of(name: str, report: Report) -> Iterator[str]:
    yield f"{name}: {report.tables} tables, {report.seconds:.2f} s"
    for title, counts in (
        ("primary keys", report.primary),
        ("foreign keys", report.foreign),
        ("primary keys for questions", report.primary_for_questions),
        ("foreign keys for questions", report.foreign_for_questions),
    ):
        is_for_questions = title.endswith("questions")
        is_met = counts.precision >= TARGET_PRECISION if is_for_questions else counts.f1 >= TARGET_F1
        implied = f", {counts.implied} implied" if counts.implied else ""
        yield (
            f"  {title:27} precision {counts.precision:.3f}  recall {counts.recall:.3f}  F1 {counts.f1:.3f}"
            f"  {counts.right} right{implied}, {len(counts.false)} false, {len(counts.missed)} missed"
            f" ({counts.beyond} without rows)  {'met' if is_met else 'BELOW TARGET'}"
        )
        yield from (f"      false   {one}" for one in counts.false)
        yield from (f"      missed  {one}" for one in counts.missed if not is_for_questions)
    for title, all_counts, for_questions in (
        ("primary key", report.primary, report.primary_for_questions),
        ("foreign key", report.foreign, report.foreign_for_questions),
    ):
        unsure = [one for one in for_questions.missed if one not in all_counts.missed]
        yield from (f"      right, but not used by questions: {title} {one}" for one in unsure)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    keys = commands.add_parser("keys", help="Primary and foreign keys that nobody declared.")
    keys.add_argument("--database", action="append", metavar="URL", help="Database with declared keys; repeatable.")
    keys.add_argument("--schemas", default=str(SCHEMAS), metavar="FILE", help="Schema texts to build databases from.")
    keys.add_argument("--only", action="append", metavar="NAME", help="Schema text to build; repeatable.")
    keys.add_argument("--json", action="store_true", help="Print one JSON object.")
    columns = commands.add_parser("columns", help="Roles and personal data of labelled columns.")
    columns.add_argument("--errors", action="store_true", help="List the columns of the seen part that disagree.")
    columns.add_argument("--json", action="store_true", help="Print one JSON object.")
    arguments = parser.parse_args(argv)
    if arguments.command == "columns":
        print_columns(is_json=arguments.json, has_errors=arguments.errors)
        return
    run: Callable[[argparse.Namespace], dict[str, Report]] = {"keys": run_keys}[arguments.command]
    groups = run(arguments)
    if arguments.json:
        print(json.dumps({name: report.as_json() for name, report in groups.items()}, indent=2, ensure_ascii=False))
        return
    for name, report in groups.items():
        print("\n".join(lines_of(name, report)))


if __name__ == "__main__":
    main()
