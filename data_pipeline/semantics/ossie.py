"""`semantic_model.yaml`: the semantic model in the vendor-neutral format of Apache Ossie 0.2.0.dev0. Pure.

Datasets, fields, keys, relationships and the metrics that are safe to sum or average stand in the format's own places;
verdicts with their evidence, labels of codes, units and encodings stand in `custom_extensions`, as JSON. No value of
any row is in it but the codes that a comment, a type or overrides list.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import yaml
from pydantic import BaseModel

from data_pipeline.errors import InvalidInput
from data_pipeline.semantics.model import ColumnMeaning, Relationship, SemanticModel, TableMeaning
from data_pipeline.tasks.table_list import TableName

SEMANTIC_MODEL: Final = "semantic_model.yaml"
VERSION: Final = "0.2.0.dev0"
VENDOR: Final = "COMMON"

_DATATYPES: Final = (
    (re.compile(r"bool", re.IGNORECASE), "Boolean"),
    (re.compile(r"timestamp.*with time zone|timestamptz", re.IGNORECASE), "DateTimeTz"),
    (re.compile(r"timestamp|datetime", re.IGNORECASE), "DateTime"),
    (re.compile(r"date", re.IGNORECASE), "Date"),
    (re.compile(r"time", re.IGNORECASE), "Time"),
    (re.compile(r"int|serial", re.IGNORECASE), "Integer"),
    (re.compile(r"numeric|decimal|money|number", re.IGNORECASE), "Decimal"),
    (re.compile(r"real|double|float", re.IGNORECASE), "Float"),
    (re.compile(r"char|text|clob|uuid|enum|name", re.IGNORECASE), "String"),
)


def ossie_of(model: SemanticModel) -> str:
    """Return the model as YAML; the same model gives the same bytes."""
    content: dict[str, Any] = {
        "version": VERSION,
        "semantic_model": [
            {
                "name": model.database or "database",
                "datasets": [_dataset(table) for table in model.tables],
                "relationships": [_relationship(one) for one in model.relationships],
                "metrics": [metric for table in model.tables for metric in _metrics(table)],
                "custom_extensions": [_extension(model, exclude={"tables", "relationships"})],
            }
        ],
    }
    for name in ("relationships", "metrics"):
        if not content["semantic_model"][0][name]:
            del content["semantic_model"][0][name]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def model_of_ossie(text: str | bytes, file: str = SEMANTIC_MODEL) -> SemanticModel:
    """Return the model that `ossie_of` wrote. Raises InvalidInput for another file."""
    try:
        (content,) = yaml.safe_load(text)["semantic_model"]
        tables = [
            {**_extended(dataset), "columns": [_extended(field) for field in dataset["fields"]]}
            for dataset in content["datasets"]
        ]
        relationships = [_extended(one) for one in content.get("relationships", ())]
        return SemanticModel.model_validate({**_extended(content), "tables": tables, "relationships": relationships})
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            file, f"not a semantic model that this version wrote: {' '.join(str(error).split())}"
        ) from None


def _extended(content: dict[str, Any]) -> dict[str, Any]:
    extended: dict[str, Any] = json.loads(content["custom_extensions"][0]["data"])
    return extended


def _dataset(table: TableMeaning) -> dict[str, Any]:
    dataset: dict[str, Any] = {"name": str(table.name), "source": str(table.name)}
    if table.primary_key is not None:
        dataset["primary_key"] = list(table.primary_key.columns)
    if table.description:
        dataset["description"] = table.description
    if table.noun != table.name.name:
        dataset["ai_context"] = {"synonyms": list(dict.fromkeys([table.noun, table.plural]))}
    dataset["fields"] = [_field(column) for column in table.columns]
    dataset["custom_extensions"] = [_extension(table, exclude={"columns"})]
    return dataset


def _field(column: ColumnMeaning) -> dict[str, Any]:
    field: dict[str, Any] = {"name": column.name, "expression": _expression(_quoted(column.name))}
    if column.role == "time" or column.encoding is not None:
        field["dimension"] = {"is_time": True}
    elif column.role in ("category", "flag", "ordinal", "label"):
        field["dimension"] = {"is_time": False}
    if column.phrase and column.phrase != column.name:
        field["label"] = column.phrase
    if column.description:
        field["description"] = column.description
    field["datatype"] = next((name for pattern, name in _DATATYPES if pattern.search(column.type_sql)), "Opaque")
    field["custom_extensions"] = [_extension(column)]
    return field


def _relationship(one: Relationship) -> dict[str, Any]:
    return {
        "name": f"{_plain(one.child)}_{'_'.join(one.child_columns)}_to_{_plain(one.parent)}",
        "from": str(one.child),
        "to": str(one.parent),
        "from_columns": list(one.child_columns),
        "to_columns": list(one.parent_columns),
        "custom_extensions": [_extension(one)],
    }


def _metrics(table: TableMeaning) -> list[dict[str, Any]]:
    """What is safe to sum over any rows, and what is averaged; states of a moment and unknown numbers are neither."""
    metrics = []
    if table.kind in ("view", "backup copy", "empty") or table.is_ignored:
        return []
    for column in table.columns:
        if column.is_masked or column.is_ignored or column.because.confidence < 0.8:
            continue
        function = {"measure_additive": "SUM", "measure_non_additive": "AVG"}.get(column.role)
        if function is None:
            continue
        word = {"SUM": "total ", "AVG": "average "}[function]
        if set(column.phrase.split()) & {"total", "sum", "average", "mean"}:
            word = ""
        metrics.append(
            {
                "name": f"{word}{column.phrase} of {table.plural}",
                "expression": _expression(f"{function}({_quoted(table.name.name)}.{_quoted(column.name)})"),
            }
        )
    return metrics


def _expression(text: str) -> dict[str, Any]:
    return {"dialects": [{"dialect": "ANSI_SQL", "expression": text}]}


def _extension(content: BaseModel, exclude: set[str] | None = None) -> dict[str, str]:
    """What the format has no place for, as JSON; `model_of_ossie` reads it again."""
    dumped = content.model_dump(mode="json", exclude=exclude, exclude_defaults=True)
    return {"vendor_name": VENDOR, "data": json.dumps(dumped, ensure_ascii=False)}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _plain(name: TableName) -> str:
    return re.sub(r"\W+", "_", str(name)).strip("_")
