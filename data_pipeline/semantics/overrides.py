"""`overrides.yaml`: what people know of their database, which comes before every verdict of the code.

    tables:
      orders:
        noun: order
        label: order_no
        description: one order of a customer
        columns:
          sts_cd: {name: status, values: {N: new, S: shipped}, role: category}
          contact: {personal: name}
    relationships:
      - {from: orders.cust, to: customers.id}
    abbreviations: {sts: status}

YAML of plain values: no anchors, no tags, no key twice. Bytes in, values out; it opens nothing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from data_pipeline.database.schema import Table
from data_pipeline.errors import InvalidInput
from data_pipeline.semantics.column_case import Role
from data_pipeline.semantics.personal_words import PersonalKind
from data_pipeline.tasks.table_list import PROBLEM_LIMIT, TableName, parse_table_name

OVERRIDES: Final = "overrides.yaml"
SIZE_LIMIT_BYTES: Final = 1024 * 1024
DEPTH_LIMIT: Final = 12

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
_Long = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnOverride(_Given):
    """What people say of a column. `values` label its codes; `personal: false` shows it, true or a kind masks it."""

    name: _Text | None = None
    description: _Long | None = None
    role: Role | None = None
    personal: bool | PersonalKind | None = None
    unit: _Text | None = None
    values: dict[str, _Text] = Field(default_factory=dict)
    ignore: bool = False

    @field_validator("values", mode="before")
    @classmethod
    def _codes_are_texts(cls, values: object) -> object:
        """YAML reads `1: open` as a number and `N: no` as a truth value; codes are texts."""
        if not isinstance(values, Mapping):
            return values
        plain = {True: "true", False: "false"}
        return {
            plain.get(code, str(code)) if isinstance(code, bool) else str(code): str(label)
            for code, label in values.items()
        }


class TableOverride(_Given):
    """What people say of a table. `ignore: true` leaves it out of questions."""

    noun: _Text | None = None
    plural: _Text | None = None
    label: _Text | list[_Text] | None = None
    description: _Long | None = None
    primary_key: list[_Text] | None = None
    soft_delete: _Text | None = None
    ignore: bool = False
    columns: dict[_Text, ColumnOverride] = Field(default_factory=dict)


class RelationshipOverride(_Given):
    """A relationship that is not declared: `from: orders.cust`, `to: customers.id`; lists for several columns."""

    source: _Text | list[_Text] = Field(alias="from")
    target: _Text | list[_Text] = Field(alias="to")
    name: _Text | None = None
    is_wrong: bool = Field(default=False, alias="wrong")


class Overrides(_Given):
    """All of a file; the names are as people wrote them."""

    tables: dict[_Text, TableOverride] = Field(default_factory=dict)
    relationships: list[RelationshipOverride] = Field(default_factory=list)
    abbreviations: dict[_Text, _Text] = Field(default_factory=dict)
    terms: dict[_Text, _Text] = Field(default_factory=dict)

    def of_table(self, table: TableName) -> TableOverride:
        """Return what is said of a table; the schema may be left out, and case does not matter."""
        wanted = {str(table).casefold(), table.name.casefold()}
        return next((given for name, given in self.tables.items() if name.casefold() in wanted), TableOverride())

    def of_column(self, table: TableName, column: str) -> ColumnOverride:
        """Return what is said of a column."""
        columns = self.of_table(table).columns
        return next(
            (given for name, given in columns.items() if name.casefold() == column.casefold()), ColumnOverride()
        )

    def unknown_names(self, tables: Sequence[Table]) -> list[str]:
        """Return a message for each table or column that the database does not have, with the nearest names."""
        known = {name: table for table in tables for name in (str(table.name).casefold(), table.name.name.casefold())}
        problems = []
        for name, given in self.tables.items():
            table = known.get(name.casefold())
            if table is None:
                problems.append(_unknown("table", name, sorted({one.name.name for one in tables})))
                continue
            columns = [column.name for column in table.columns]
            problems += [
                _unknown("column", f"{name}.{column}", columns, column)
                for column in given.columns
                if column.casefold() not in {own.casefold() for own in columns}
            ]
            labels = [given.label] if isinstance(given.label, str) else given.label or []
            for column in (*labels, *(given.primary_key or ()), *filter(None, [given.soft_delete])):
                if column.casefold() not in {own.casefold() for own in columns}:
                    problems.append(_unknown("column", f"{name}.{column}", columns, column))
        return problems


def parse_overrides(raw: bytes, file: str = OVERRIDES) -> Overrides:
    """Return the overrides of a file. Raises InvalidInput with every fault and where it is."""
    if len(raw) > SIZE_LIMIT_BYTES:
        raise InvalidInput(file, f"must be at most {SIZE_LIMIT_BYTES} bytes, got {len(raw)}")
    try:
        read = yaml.load(raw.decode("utf-8-sig"), Loader=_PlainLoader)  # noqa: S506  a SafeLoader that accepts less
    except UnicodeDecodeError:
        raise InvalidInput(file, "must be UTF-8 text") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidInput(file, f"not valid YAML: {' '.join(str(error).split()) or 'nested too deeply'}") from None
    if read is None:
        return Overrides()
    try:
        given = Overrides.model_validate(read)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}" for fault in error.errors()
        ]
        raise InvalidInput(file, *problems[:PROBLEM_LIMIT]) from None
    problems = list(_bad_names(given))
    if problems:
        raise InvalidInput(file, *problems[:PROBLEM_LIMIT])
    return given


def _bad_names(given: Overrides) -> Iterable[str]:
    for name in given.tables:
        try:
            parse_table_name(name)
        except InvalidInput as error:
            yield f"tables.{name}: {error.problems[0]}"


def _unknown(kind: Literal["table", "column"], name: str, known: Sequence[str], written: str | None = None) -> str:
    near = difflib.get_close_matches((written or name).casefold(), [one.casefold() for one in known], n=3, cutoff=0.6)
    spelled = [one for one in known if one.casefold() in near]
    return f"unknown {kind} {name}" + (f": did you mean {' or '.join(spelled)}?" if spelled else "")


class _PlainLoader(yaml.SafeLoader):
    """YAML of plain values only: an alias could expand without end, and a key given twice hides one of the two."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self._next_event()
            raise _refused("anchors and aliases are not allowed", event)
        self._depth = getattr(self, "_depth", 0) + 1
        if self._depth > DEPTH_LIMIT:
            raise _refused(f"nested deeper than {DEPTH_LIMIT}", self._next_event())
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def _next_event(self) -> yaml.Event:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        return event

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        keys: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            keys.add(key)
        return super().construct_mapping(node, deep)


def _refused(problem: str, event: yaml.Event) -> yaml.YAMLError:
    return yaml.YAMLError(f"{problem} (line {event.start_mark.line + 1})" if event.start_mark else problem)


# `N: no` and `Y: yes` are codes and labels here, not truth values; `true` and `false` are (YAML 1.2).
_PlainLoader.yaml_implicit_resolvers = {
    sign: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for sign, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
