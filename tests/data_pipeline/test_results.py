"""The results of steps and runs: of this version, of others, in files and in the store."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from data_pipeline.runs.report import RunReport
from data_pipeline.steps import STEPS
from data_pipeline.tasks.backup.report import BackupReport
from data_pipeline.tasks.ids import new_work_id
from data_pipeline.tasks.results import (
    RESULTS,
    Coverage,
    DdlResult,
    InferredJoin,
    Json,
    LoadResult,
    PairsResult,
    ParaphraseCounts,
    PublishedFile,
    PublishedResult,
    RunResult,
    Share,
    SkippedResult,
    StepOutcome,
    ValidationResult,
    VectorBackup,
    counted_model,
)

NOW = datetime(2025, 1, 21, 9, 44, tzinfo=timezone(timedelta(hours=8)))
FILES = (PublishedFile(name="t.ddl", sha256="0" * 64, size_bytes=1), PublishedFile(name="u.ddl", sha256="1" * 64))
PAIRS = PairsResult(
    step="qa_generation",
    files=FILES,
    failed_themes={"sales": "no answer"},
    paraphrases=ParaphraseCounts(asked_for=2, failed_batches={"Who?": "no answer"}),
    coverage=Coverage(
        tables=Share(covered=1, total=2, share=0.5),
        clauses=("count",),
        columns_without_a_pair=("t.a", "t.b", "t.c"),
        columns_by_table={"t": Share(covered=0, total=3, share=0.0)},
    ),
    inferred_joins=(InferredJoin(source="t.u_id", target="u.id", confidence=0.9),),
    problems={"glossary.csv, x": "no table"},
)
LOAD = LoadResult(
    step="training_load",
    vector_backup=VectorBackup(directory="vector_bak", timestamp="20250121_094400", item_count=3, files=("a", "b")),
)


def test_every_step_has_the_type_of_its_result() -> None:
    """In the order of a complete run."""
    assert list(RESULTS) == [step.name for step in STEPS]


@pytest.mark.parametrize("kind", RESULTS.values(), ids=lambda kind: kind.__name__)
def test_result_of_another_version_is_read_with_what_it_has(kind: type[PublishedResult]) -> None:
    """Fields that are missing have defaults, and fields that this version does not know are kept."""
    content: Json = {"run_id": "run_1", "files": [{"name": "t.ddl", "sha256": "0" * 64}], "later": {"a": [1]}}
    result = kind.read(content)

    assert result is not None
    assert (result.run_id, result.files[0].name, result.failures) == ("run_1", "t.ddl", {})
    assert result.as_json()["later"] == {"a": [1]}
    assert result.counted()["file_count"] == 1


@pytest.mark.parametrize("content", [None, {"files": "none"}, {"status": "brewing"}])
def test_what_is_not_a_result_is_not_read(content: Json | None) -> None:
    """It counts as a file that was changed."""
    assert DdlResult.read(content) is None


def test_store_and_answers_have_numbers_in_place_of_lists() -> None:
    """At any depth; a status does not grow with the schema."""
    pairs = PAIRS.counted()

    assert (pairs["file_count"], pairs["failed_themes_count"], pairs["inferred_joins_count"]) == (2, 1, 1)
    assert pairs["paraphrases"]["failed_batches_count"] == pairs["problems_count"] == 1
    assert pairs["coverage"] == {
        "tables": {"covered": 1, "total": 2, "share": 0.5},
        "columns": None,
        "foreign_keys": None,
        "clauses": ["count"],
        "columns_without_a_pair_count": 3,
        "tables_without_a_pair_count": 0,
        "columns_by_table_count": 1,
    }
    assert LOAD.counted()["vector_backup"]["file_count"] == 2
    assert not pairs.keys() & {"files", "failed_themes", "problems", "pairs_by_table"}


def test_files_have_the_names_that_they_always_had() -> None:
    """Of joins, which have a word of Python as a name, and of the backup, whose times keep their zone."""
    (join,) = PAIRS.as_json()["inferred_joins"]
    backup = BackupReport(state="backed_up", moved_count=1, moved_files=("t.ddl",), started_at=NOW, ended_at=NOW)

    assert join == {"from": "t.u_id", "to": "u.id", "confidence": 0.9}
    assert PairsResult.read(PAIRS.as_json()) == PAIRS
    assert json.loads(backup.model_dump_json()) == {
        "state": "backed_up",
        "directory": None,
        "moved_count": 1,
        "failed_files": [],
        "statistics": {"files": 0, "bytes": 0, "seconds": 0.0, "retries": 0},
        "started_at": "2025-01-21T09:44:00+08:00",
        "ended_at": "2025-01-21T09:44:00+08:00",
        "error": None,
    }


def test_stored_result_of_a_run_is_an_instance_of_its_model() -> None:
    """Steps have their own types in it, and skipped ones theirs."""
    report = RunReport("task_1", new_work_id("run"), "complete", NOW)
    for artifact in (DdlResult(step="ddl_generation", files=FILES), PAIRS, LOAD):
        report.complete_step(artifact.step, artifact)
    report.artifacts["sql_validation"] = SkippedResult(step="sql_validation", reason="not wanted")
    result = report.result(NOW)
    parsed = counted_model(RunResult).model_validate(result.counted())

    assert parsed.model_dump(mode="json", exclude_unset=True) == result.counted()
    assert result.as_json()["artifacts"]["qa_generation"] == PAIRS.as_json()
    assert result.as_json()["artifacts"]["sql_validation"] == {
        "step": "sql_validation", "status": "skipped", "files": [], "reason": "not wanted",
    }  # fmt: skip
    assert result.workflow_state.statistics.files_published == 4


def test_outcome_of_a_step_is_read_from_any_stored_result() -> None:
    """Of rows of the first versions, which have no status, too."""
    assert StepOutcome.read({"total_tables": 2}) == StepOutcome.model_validate({"total_tables": 2})
    skipped = StepOutcome.read(SkippedResult(step="sql_validation", reason="not wanted").counted())
    assert skipped is not None
    assert (skipped.status, skipped.reason) == ("skipped", "not wanted")
    assert ValidationResult().counted()["status"] == "completed"
