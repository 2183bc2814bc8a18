"""Build the semantic model: reflected tables and sampled rows in, one verdict for everything out. Pure.

Order: privacy of each column, by itself and then by the values that personal columns elsewhere hold; roles; kinds,
labels, times and nouns of tables; relationships. What people say in overrides comes before every verdict.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from data_pipeline.database.driver import Dialect
from data_pipeline.database.schema import Column, Table
from data_pipeline.semantics.column_case import ColumnSeen, RoleVerdict
from data_pipeline.semantics.column_roles import judge_role
from data_pipeline.semantics.model import (
    ColumnMeaning,
    Evidence,
    KeyMeaning,
    PersonalVerdict,
    Relationship,
    SemanticModel,
    TableMeaning,
    Verdict,
)
from data_pipeline.semantics.overrides import ColumnOverride, Overrides, TableOverride
from data_pipeline.semantics.personal import ColumnSigns, Privacy, judge_privacy
from data_pipeline.semantics.tables import business_time_of, kind_of, label_of, noun_of
from data_pipeline.semantics.units import unit_of
from data_pipeline.semantics.value_labels import labels_of_comment, listed_values
from data_pipeline.semantics.vocabulary import without_affixes, words_of_identifier, written
from data_pipeline.tasks.table_list import TableName

TELLING_KINDS: Final = frozenset({"name", "email", "phone", "national_id", "card", "bank_account", "account", "plate"})
"""Kinds whose values identify a person in any column; a birthday or a street is shared by many."""

_CJK_FROM: Final = "\u3400"


@dataclass(frozen=True)
class TableSample:
    """Rows of one table, the same ones each time, and how many rows it has (an estimate where `is_sampled`)."""

    table: Table
    row_count: int
    rows: Sequence[Sequence[Any]] = field(default=(), repr=False)
    is_sampled: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class FoundKeys:
    """Keys and relationships that are not declared in the database."""

    primary: Mapping[TableName, KeyMeaning] = field(default_factory=dict)
    relationships: Sequence[Relationship] = ()


def build_model(
    database: str,
    dialect: Dialect,
    language: str,
    samples: Sequence[TableSample],
    found: FoundKeys,
    overrides: Overrides,
    now: dt.datetime,
) -> SemanticModel:
    """Return the model of the sampled tables; the same arguments give the same model."""
    tables = [sample.table for sample in samples]
    relationships = _relationships(tables, found, overrides)
    privacy = _judge_all(samples, relationships, overrides)
    counts = Counter(name for table in tables for name in {column.name.lower() for column in table.columns})
    names = {str(table.name): frozenset(column.name for column in table.columns) for table in tables}
    built = []
    for sample in samples:
        own = {place[1]: verdict for place, verdict in privacy.items() if place[0] == sample.table.name}
        built.append(
            _table(
                sample,
                own,
                relationships,
                found,
                overrides,
                counts,
                len(tables),
                names,
                dialect=dialect,
                language=language,
                now=now,
            )
        )
    problems = overrides.unknown_names(tables)
    unreadable = [str(table.name) for table in built if not table.is_readable]
    unreadable += [
        f"{table.name}.{column.name}" for table in built for column in table.columns if not column.is_readable
    ]
    if unreadable:
        listed = ", ".join(unreadable[:12]) + (", …" if len(unreadable) > 12 else "")
        problems.append(
            f"{len(unreadable)} names look like abbreviations; say what they mean in overrides.yaml: {listed}"
        )
    return SemanticModel(
        database=database,
        dialect=dialect,
        language=language,
        tables=tuple(built),
        relationships=tuple(relationships),
        problems=tuple(problems),
    )


def _relationships(tables: Sequence[Table], found: FoundKeys, overrides: Overrides) -> list[Relationship]:
    listed = {table.name for table in tables}
    declared = [
        Relationship(
            child=table.name,
            child_columns=key.columns,
            parent=key.target,
            parent_columns=key.target_columns,
            because=Verdict(confidence=1.0, evidence="declared", reason="the database declares it"),
            is_optional=any(column.is_nullable for column in table.columns if column.name in key.columns),
        )
        for table in tables
        for key in table.foreign_keys
        if key.target in listed
    ]
    taken = {(one.child, column) for one in declared for column in one.child_columns}
    given = [one for one in _given_relationships(tables, overrides) if (one.child, one.child_columns[0]) not in taken]
    taken |= {(one.child, column) for one in given for column in one.child_columns}
    inferred = [
        one for one in found.relationships if not any((one.child, column) in taken for column in one.child_columns)
    ]
    return [*declared, *given, *inferred]


def _given_relationships(tables: Sequence[Table], overrides: Overrides) -> list[Relationship]:
    known = {name: table for table in tables for name in (str(table.name).casefold(), table.name.name.casefold())}
    given = []
    for override in overrides.relationships:
        sides = []
        for side in (override.source, override.target):
            written_columns = [side] if isinstance(side, str) else list(side)
            places = [text.rpartition(".") for text in written_columns]
            table = known.get(places[0][0].casefold())
            spelled = {column.name.casefold(): column.name for column in table.columns} if table else {}
            columns = tuple(spelled.get(place[2].casefold(), "") for place in places)
            sides.append((table, columns))
        (child, child_columns), (parent, parent_columns) = sides
        if child is None or parent is None or "" in child_columns or "" in parent_columns or override.is_wrong:
            continue
        because = Verdict(confidence=1.0, evidence="override", reason="overrides.yaml says so")
        given.append(
            Relationship(
                child=child.name,
                child_columns=child_columns,
                parent=parent.name,
                parent_columns=parent_columns,
                because=because,
                role=override.name,
                is_optional=True,
            )
        )
    return given


def _judge_all(
    samples: Sequence[TableSample], relationships: Sequence[Relationship], overrides: Overrides
) -> dict[tuple[TableName, str], Privacy]:
    """Return the verdict on every column: each by itself, then those that hold values of personal columns elsewhere."""
    referring = {(one.child, column) for one in relationships for column in one.child_columns}
    signs: dict[tuple[TableName, str], ColumnSigns] = {}
    for sample in samples:
        table = sample.table
        beside = tuple(column.name for column in table.columns)
        for number, column in enumerate(table.columns):
            values = [row[number] for row in sample.rows if row[number] is not None]
            signs[table.name, column.name] = ColumnSigns(
                table.name.name, column.name, column.type_sql, column.comment, table.comment, values,
                len({str(value) for value in values}), len(sample.rows),
                is_key=(column.name,) == table.primary_key.columns,
                is_foreign_key=(table.name, column.name) in referring,
                beside=beside,
            )  # fmt: skip
    verdicts = {place: judge_privacy(one) for place, one in signs.items()}
    telling = {
        text
        for place, verdict in verdicts.items()
        if verdict.verdict == "personal" and verdict.kind in TELLING_KINDS
        for text in map(_telling, signs[place].values)
        if text
    }
    for place, verdict in verdicts.items():
        if verdict.is_masked or signs[place].is_foreign_key:
            continue
        texts = [text for text in map(_telling, signs[place].values) if text]
        known = [text for text in texts if text in telling]
        if len(set(known)) >= 2 and len(known) >= 0.3 * max(len(signs[place].values), 1):
            share = len(known) / len(texts)
            raised = max(verdict.probability, 0.7 * share)
            verdicts[place] = Privacy("name", raised, verdict.signs)
    for place, verdict in verdicts.items():
        given = overrides.of_column(*place).personal
        if given is False:
            verdicts[place] = Privacy()
        elif given is not None:
            verdicts[place] = Privacy(verdict.kind if given is True else given, 1.0)
    return verdicts


def _telling(value: object) -> str | None:
    """Return a value that can identify a person, folded; None if it is not a text, or too short."""
    if not isinstance(value, str):
        return None
    folded = value.strip().casefold()
    return (
        folded if len(folded) >= (2 if folded >= _CJK_FROM else 5) and any(sign.isalpha() for sign in folded) else None
    )


def _table(
    sample: TableSample,
    privacy: Mapping[str, Privacy],
    relationships: Sequence[Relationship],
    found: FoundKeys,
    overrides: Overrides,
    counts: Mapping[str, int],
    table_count: int,
    names: Mapping[str, frozenset[str]],
    *,
    dialect: Dialect,
    language: str,
    now: dt.datetime,
) -> TableMeaning:
    table = sample.table
    given = overrides.of_table(table.name)
    noun, many, is_readable = noun_of(table.name.name, table.comment, language)
    own = [one for one in relationships if one.child == table.name]
    key = _key(table, found, given)
    columns = tuple(
        _column(
            sample,
            number,
            column,
            privacy[column.name],
            own,
            key,
            overrides.of_column(table.name, column.name),
            counts,
            table_count,
            dialect=dialect,
            language=language,
            now=now,
        )
        for number, column in enumerate(table.columns)
    )
    kind, because = kind_of(
        table.name.name,
        columns,
        is_view=table.kind in ("view", "materialized view"),
        row_count=sample.row_count,
        parents=[one.child_columns for one in own],
        key=key.columns if key is not None else (),
        is_referenced=any(one.parent == table.name for one in relationships),
        other_tables={name: own_names for name, own_names in names.items() if name != str(table.name)},
    )
    label = tuple([given.label] if isinstance(given.label, str) else given.label or ())
    soft_delete = next((column.name for column in columns if column.role == "soft_delete"), None)
    return TableMeaning(
        name=table.name,
        kind=kind,
        because=because,
        noun=given.noun or noun,
        plural=given.plural or (given.noun + "s" if given.noun and given.noun.isascii() else given.noun or many),
        is_readable=is_readable or given.noun is not None,
        description=given.description or table.comment,
        row_count=sample.row_count,
        primary_key=key,
        label=label or label_of(columns, sample.rows, noun),
        business_time=business_time_of(columns, noun),
        soft_delete=given.soft_delete or soft_delete,
        tenant=next((column.name for column in columns if column.role == "tenant"), None),
        is_ignored=given.ignore,
        columns=columns,
    )


def _key(table: Table, found: FoundKeys, given: TableOverride) -> KeyMeaning | None:
    if given.primary_key:
        because = Verdict(confidence=1.0, evidence="override", reason="overrides.yaml says so")
        return KeyMeaning(columns=tuple(given.primary_key), because=because)
    if table.primary_key.columns:
        because = Verdict(confidence=1.0, evidence="declared", reason="the database declares it")
        return KeyMeaning(columns=table.primary_key.columns, because=because)
    return found.primary.get(table.name)


def _column(
    sample: TableSample,
    number: int,
    column: Column,
    privacy: Privacy,
    own: Sequence[Relationship],
    key: KeyMeaning | None,
    given: ColumnOverride,
    counts: Mapping[str, int],
    table_count: int,
    *,
    dialect: Dialect,
    language: str,
    now: dt.datetime,
) -> ColumnMeaning:
    table = sample.table
    beside = tuple(one.name for one in table.columns)
    values = [row[number] for row in sample.rows if row[number] is not None]
    distinct = len({str(value) for value in values})
    unique_keys = {keys.columns[0] for keys in (table.primary_key, *table.unique_keys) if len(keys.columns) == 1}
    labels = _labels(column, table, values, given, dialect)
    verdict = judge_role(
        ColumnSeen(
            table.name.name,
            column.name,
            column.type_sql,
            column.comment,
            values,
            len(sample.rows) - len(values),
            sample.row_count,
            distinct,
            is_key=key is not None and key.columns == (column.name,),
            is_unique=column.name in unique_keys or (1 < distinct == len(sample.rows)),
            is_foreign_key=any(column.name in one.child_columns for one in own),
            labels=labels,
            personal=privacy.kind if privacy.is_masked else None,
            tables_with_name=counts[column.name.lower()],
            table_count=table_count,
            beside=beside,
        ),
        now,
    )
    words = words_of_identifier(without_affixes(column.name, beside))
    phrase, is_readable = _phrase(column, words.expanded, language), words.is_readable
    return ColumnMeaning(
        name=column.name,
        type_sql=column.type_sql,
        role=given.role or verdict.role,
        because=_because(verdict, given),
        phrase=given.name or phrase,
        is_readable=is_readable or given.name is not None or bool(column.comment),
        description=given.description or column.comment,
        personal=_personal(privacy, given),
        labels={} if privacy.is_masked else labels,
        unit=given.unit or (unit_of(column.name, column.comment) if verdict.role.startswith("measure") else None),
        encoding=verdict.encoding,
        time_format=verdict.time_format,
        null_share=round(1 - len(values) / len(sample.rows), 4) if sample.rows else 0.0,
        distinct_count=distinct,
        is_ignored=given.ignore,
    )


def _phrase(column: Column, words: Sequence[str], language: str) -> str:
    """Return the phrase for a column: the Chinese name in its comment, or the words of its name."""
    if language == "zh" and column.comment:
        head = column.comment.strip()
        for sign in "（(，,。：: ;；":
            head = head.partition(sign)[0]
        head = head.rstrip("0123456789")
        if any(sign >= _CJK_FROM for sign in head):
            return head
    digits = re.search(r"(?<=[^\W\d])_?(\d+)$", column.name)
    return written(words) + (f" {digits[1]}" if digits is not None else "")


def _labels(
    column: Column, table: Table, values: Sequence[Any], given: ColumnOverride, dialect: Dialect
) -> dict[str, str]:
    """Return the labels of codes: from overrides, else the comment, else an enum type or a CHECK constraint."""
    if given.values:
        return dict(given.values)
    if labels := labels_of_comment(column.comment, values):
        return labels
    if column.labels:
        return {label: label for label in column.labels}
    for check in table.checks:
        listed = listed_values(check.definition, column.name, dialect)
        if len(listed) > 1:
            return {value: value for value in listed}
    return {}


def _because(verdict: RoleVerdict, given: ColumnOverride) -> Verdict:
    if given.role is not None:
        return Verdict(confidence=1.0, evidence="override", reason="overrides.yaml says so")
    return Verdict(confidence=verdict.confidence, evidence=verdict.evidence, reason=verdict.reason)


def _personal(privacy: Privacy, given: ColumnOverride) -> PersonalVerdict | None:
    if not privacy.is_masked:
        return None
    evidence: Evidence = "values"
    if given.personal is not None:
        evidence, reason = "override", "overrides.yaml says so"
    else:
        reason = "; ".join(sign.text for sign in privacy.signs) or "its values are those of a personal column elsewhere"
        evidence = "comment" if "comment" in reason else "name" if "name" in reason else "values"
    return PersonalVerdict(
        kind=privacy.kind,
        verdict="personal" if privacy.verdict == "personal" else "unsure",
        because=Verdict(confidence=round(privacy.probability, 4), evidence=evidence, reason=reason),
    )
