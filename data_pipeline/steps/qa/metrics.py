"""The metrics of the pairs of a task in `qa_generation_result.json`. Opens nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from data_pipeline.semantics.facts import Facts
from data_pipeline.steps.qa.generator import GeneratedPair, Generator
from data_pipeline.steps.qa.sql.forms import distinct_share
from data_pipeline.tasks.results import Coverage, Json, Share


def metrics_of(pairs: Sequence[GeneratedPair], generator: Generator, facts: Facts) -> Json:
    """Return the fields of the step's result about coverage, difficulty, shapes, variety and rejections.

    Each pair ran and returned a row when it passed the gates: `execution_success` and `non_empty` are shares of such
    pairs. Columns that no question can use, and tables without rows, are listed.
    """
    coverage = generator.coverage
    questions = [pair.question for pair in pairs]
    usable = {(table.name, column.name) for table in facts.tables for column in table.columns if column.is_usable}
    covered = coverage.of("column") & usable
    families = dict.fromkeys(generator.family_names, 0) | dict(coverage.families)
    total = len(pairs)
    return {
        "execution_success": 1.0 if total else 0.0,
        "non_empty": _share(sum(pair.row_count > 0 for pair in pairs), total),
        "duplicates": 0,
        "near_duplicates": 0,
        "coverage": Coverage(
            tables=_counts(len(coverage.of("table")), len(facts.tables)),
            columns=_counts(len(covered), len(usable)),
            foreign_keys=_counts(len(coverage.of("link")), len(facts.links)),
            clauses=tuple(sorted(str(clause) for clause in coverage.of("clause"))),
            columns_without_a_pair=tuple(sorted(f"{table}.{column}" for table, column in usable - covered)),
            tables_without_a_pair=tuple(
                sorted(str(table.name) for table in facts.tables if table.name not in coverage.of("table"))
            ),
            columns_by_table={
                str(table.name): _counts(
                    sum((table.name, column.name) in covered for column in table.columns),
                    sum(column.is_usable for column in table.columns),
                )
                for table in facts.tables
            },
        ),
        "pairs_by_table": {str(table.name): coverage.tables[table.name] for table in facts.tables},
        "not_usable": {
            str(table.name): reasons
            for table in facts.tables
            if (reasons := {column.name: column.role for column in table.columns if not column.is_usable})
        },
        "tables_without_rows": [str(table.name) for table in facts.tables if not table.row_count],
        "provenance": dict(sorted(Counter(pair.provenance for pair in pairs).items())),
        "difficulty": dict(sorted(coverage.difficulties.items())),
        "families": dict(sorted(families.items())),
        "sql_shapes": len(coverage.shapes),
        "distinct": {str(n): round(distinct_share(questions, n), 4) for n in (1, 2, 3)},
        "rejections": dict(sorted(generator.rejections.items())),
    }


def _counts(covered: int, total: int) -> Share:
    return Share(covered=covered, total=total, share=_share(covered, total))


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 1.0
