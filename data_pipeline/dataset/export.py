"""A task's training items as files that other programs train with: the same items, the same bytes. Text in, bytes out.

chat-jsonl   a line a pair: {"messages": [system with the DDL of the tables, user: question, assistant: SQL]}
spider       a zip of tables.json and train.json, with the keys of the Spider data set
sql          every question as a comment, its SQL after it
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from data_pipeline.database.drivers import DIALECTS, grammar_of
from data_pipeline.errors import NotFound
from data_pipeline.semantics.wording import one_line, words_of
from data_pipeline.vectors.store.contract import Holding, Item

ExportFormat = Literal["chat-jsonl", "spider", "sql"]

INSTRUCTION: Final = "Answer the question with one SQL query that only reads."
EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the archive: the first that a zip can say."""

_TOKEN: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\d+(?:\.\d+)?|\w+|<>|<=|>=|!=|\|\||\S")
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|\S")
_TYPES: Final = (
    (r"bool", "boolean"),
    (r"date|time|interval|year", "time"),
    (r"int|num|dec|float|real|double|serial|money", "number"),
    (r"char|text|clob|uuid|enum|name|citext", "text"),
)


@dataclass(frozen=True)
class Export:
    """What is downloaded: a name, its type, its bytes."""

    file_name: str
    media_type: str
    content: bytes


@dataclass
class _Table:
    name: str
    columns: list[tuple[str, str]] = field(default_factory=list)
    primary_key: list[str] = field(default_factory=list)
    foreign_keys: list[tuple[Sequence[str], str, Sequence[str]]] = field(default_factory=list)


@dataclass(frozen=True)
class _Pair:
    database: str
    question: str
    sql: str
    details: Any


def export(task_id: str, held: Sequence[tuple[Item, Holding]], wanted: ExportFormat) -> Export:
    """What a task holds, in a format. Raises NotFound where it holds no pair."""
    pairs = [
        _Pair(item.database, pair["question"], pair["sql"], holding.details)
        for item, holding in held
        if item.kind == "sql" and (pair := json.loads(item.content))
    ]
    if not pairs:
        raise NotFound("pair in the vector store of task", task_id, "Run its step training_load first.")
    pairs.sort(key=lambda pair: (pair.database, pair.question, pair.sql))
    ddl = [(item.database, item.content) for item, _ in held if item.kind == "ddl"]
    match wanted:
        case "chat-jsonl":
            lines = "".join(_chat_lines(pairs, ddl))
            return Export(f"{task_id}_chat.jsonl", "application/x-ndjson", lines.encode())
        case "spider":
            return Export(f"{task_id}_spider.zip", "application/zip", _spider(pairs, ddl))
        case "sql":
            text = "\n".join(f"-- {one_line(pair.question)}\n{_statement(pair.sql)}\n" for pair in pairs)
            return Export(f"{task_id}_pairs.sql", "application/sql", text.encode())


def _statement(sql: str) -> str:
    return sql.strip().rstrip(";").rstrip() + ";"


# ---- chat -----------------------------------------------------------------------------------------------------------


def _chat_lines(pairs: Sequence[_Pair], ddl: Sequence[tuple[str, str]]) -> Iterator[str]:
    tables = [(database, {table.name.lower() for table in read_tables([text])}, text.strip()) for database, text in ddl]
    for pair in pairs:
        words = {word.strip('"').lower() for word in _TOKEN.findall(pair.sql)}
        texts = [text for database, names, text in sorted(tables, key=lambda one: one[2])
                 if database == pair.database and names & words]  # fmt: skip
        system = "\n\n".join([INSTRUCTION, *texts])
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": pair.question},
            {"role": "assistant", "content": _statement(pair.sql)},
        ]
        yield json.dumps({"messages": messages}, ensure_ascii=False) + "\n"


# ---- spider ---------------------------------------------------------------------------------------------------------


def _spider(pairs: Sequence[_Pair], ddl: Sequence[tuple[str, str]]) -> bytes:
    databases = sorted({pair.database for pair in pairs} | {database for database, _ in ddl})
    schemas = [
        spider_schema(database_id(one), read_tables(text for database, text in ddl if database == one))
        for one in databases
    ]
    train = [
        {
            "db_id": database_id(pair.database),
            "query": _statement(pair.sql).rstrip(";"),
            "query_toks": query_tokens(pair.sql),
            "query_toks_no_value": [
                "value" if token[0] in "'0123456789" else token.lower() for token in query_tokens(pair.sql)
            ],
            "question": pair.question,
            "question_toks": _WORD.findall(pair.question),
        }
        for pair in pairs
    ]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("tables.json", schemas), ("train.json", train)):
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            archive.writestr(zipfile.ZipInfo(name, EPOCH), text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def database_id(database: str) -> str:
    """A database's name as Spider has them: `sqlite:shop.sqlite` -> `shop`."""
    last = re.split(r"[:/]", database)[-1]
    return re.sub(r"\W+", "_", last.rpartition(".")[0] or last).strip("_") or "database"


def query_tokens(sql: str) -> list[str]:
    """The tokens of a query, without the semicolon at its end."""
    return _TOKEN.findall(_statement(sql).rstrip(";"))


def spider_schema(db_id: str, tables: Sequence[_Table]) -> dict[str, Any]:
    """An entry of tables.json: columns are numbered through all tables, the first one is `*` of none."""
    ordered = sorted(tables, key=lambda table: table.name.lower())
    columns: list[tuple[int, str, str]] = [(-1, "*", "text")]
    places: dict[tuple[str, str], int] = {}
    for number, table in enumerate(ordered):
        for name, type_ in table.columns:
            places[table.name.lower(), name.lower()] = len(columns)
            columns.append((number, name, type_))
    keys = [places.get((table.name.lower(), name.lower())) for table in ordered for name in table.primary_key]
    foreign = []
    for table in ordered:
        for own, target, theirs in table.foreign_keys:
            named = theirs or next((one.primary_key for one in ordered if one.name.lower() == target.lower()), ())
            for mine, other in zip(own, named, strict=False):
                ends = [places.get((table.name.lower(), mine.lower())), places.get((target.lower(), other.lower()))]
                if None not in ends:
                    foreign.append(ends)
    return {
        "db_id": db_id,
        "table_names_original": [table.name for table in ordered],
        "table_names": [words_of(table.name) for table in ordered],
        "column_names_original": [[number, name] for number, name, _ in columns],
        "column_names": [[number, "*" if name == "*" else words_of(name)] for number, name, _ in columns],
        "column_types": [type_ for _, _, type_ in columns],
        "primary_keys": [key for key in keys if key is not None],
        "foreign_keys": foreign,
    }


def read_tables(texts: Iterable[str]) -> list[_Table]:
    """The tables in texts of DDL; what cannot be read as DDL is no table."""
    found: dict[str, _Table] = {}
    late: list[exp.Expression] = []
    for text in texts:
        for statement in _parsed(text):
            if isinstance(statement, exp.Create) and isinstance(statement.this, exp.Schema):
                table = _table(statement.this)
                found.setdefault(table.name, table)
            elif isinstance(statement, exp.Alter):
                late.append(statement)
    for statement in late:
        altered = statement.this.name if isinstance(statement.this, exp.Table) else ""
        if altered in found:
            found[altered].foreign_keys += [_foreign_key(key) for key in statement.find_all(exp.ForeignKey)]
    return list(found.values())


def _parsed(text: str) -> list[exp.Expression]:
    for dialect in DIALECTS:
        try:
            statements = sqlglot.parse(text, dialect=grammar_of(dialect).sqlglot)
            return [statement for statement in statements if statement is not None]  # type: ignore[misc]
        except SqlglotError:
            continue
    return []


def _table(schema: exp.Schema) -> _Table:
    table = _Table(schema.this.name)
    for part in schema.expressions:
        if isinstance(part, exp.ColumnDef):
            kind = part.args.get("kind")
            table.columns.append((part.name, _type_of(kind.sql() if kind is not None else "")))
            if part.find(exp.PrimaryKeyColumnConstraint):
                table.primary_key.append(part.name)
            for reference in part.find_all(exp.Reference):
                table.foreign_keys.append(([part.name], *_target(reference)))
            continue
        for key in part.find_all(exp.PrimaryKey):
            table.primary_key += [column.name for column in key.expressions]
        table.foreign_keys += [_foreign_key(key) for key in part.find_all(exp.ForeignKey)]
    return table


def _foreign_key(key: exp.ForeignKey) -> tuple[Sequence[str], str, Sequence[str]]:
    target, theirs = _target(key.args["reference"])
    return [column.name for column in key.expressions], target, theirs


def _target(reference: exp.Expression) -> tuple[str, Sequence[str]]:
    named = reference.this
    if isinstance(named, exp.Schema):
        return named.this.name, [column.name for column in named.expressions]
    return named.name, ()


def _type_of(sql: str) -> str:
    """Spider's word for a type."""
    low = sql.lower()
    return next((word for pattern, word in _TYPES if re.search(pattern, low)), "others")
