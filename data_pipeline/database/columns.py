"""Columns as SQLAlchemy's inspection reports them, completed by what a driver reads of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Inspector
from sqlalchemy.engine.reflection import ObjectKind, ObjectScope
from sqlalchemy.exc import SAWarning

from data_pipeline.database.schema import Column
from data_pipeline.tasks.table_list import TableName

# Types are spelled by the database, so it does not matter if SQLAlchemy has no class for one.
warnings.filterwarnings("ignore", "Did not recognize type", SAWarning)

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


def asked_for(names: Sequence[TableName]) -> dict[str, Any]:
    """Return the arguments of the Inspector's `get_multi_…` methods for tables and views of one schema."""
    return {
        "schema": names[0].schema,
        "filter_names": [name.name for name in names],
        "kind": ObjectKind.ANY,
        "scope": ObjectScope.ANY,
    }


def inspected_columns(inspector: Inspector, names: Sequence[TableName]) -> dict[str, Sequence[Any]]:
    """Return the columns of tables and views of one schema by the name of the table."""
    return {key[1]: columns for key, columns in inspector.get_multi_columns(**asked_for(names)).items()}


def columns_of(
    inspected: Sequence[Any],
    types: Mapping[str, str],
    *,
    comments: Mapping[str, str] = _NONE,
    labels: Mapping[str, tuple[str, ...]] = _NONE,
    generated: Mapping[str, str] = _NONE,
) -> tuple[Column, ...]:
    """Return columns; the mappings have what the driver knows by the name of the column. `types` has every column."""
    columns = []
    for item in inspected:
        name, identity, computed = item["name"], item.get("identity"), item.get("computed")
        columns.append(
            Column(
                name,
                types[name],
                item["nullable"],
                None if computed or identity else item["default"],
                item.get("comment") or comments.get(name),
                None if identity is None else "always" if identity.get("always") else "by default",
                generated.get(name, computed["sqltext"]) if computed else None,
                bool(computed and computed.get("persisted")),
                labels.get(name, ()),
            )
        )
    return tuple(columns)
