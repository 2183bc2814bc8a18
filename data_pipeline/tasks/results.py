"""The results of steps and runs: the content of `<step>_result.json` and `task_result.json`. Pure.

A field of a step's result has a default, because a result of another version may lack it. Fields that this version does
not know are kept. The store and answers have the same results with the number of items in place of long lists: `files`
becomes `file_count`, any other field marked `Counted` becomes `<name>_count`, so that a status does not grow with the
schema.
"""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Final, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, create_model

from data_pipeline.tasks.backup.report import BackupReport, Instant

Json = dict[str, Any]
Mode = Literal["complete", "step"]
Listed = TypeVar("Listed")

_COUNTED: Final = "counted"
Counted = Annotated[Listed, _COUNTED]
"""A list or a map of which the store and answers have only the number of items."""


class Part(BaseModel):
    """A part of a result."""

    model_config = ConfigDict(frozen=True, extra="allow", validate_by_name=True, serialize_by_alias=True)

    @classmethod
    def read(cls, content: Json | None) -> Self | None:
        """Return the part with this JSON; None if there is no JSON, or if it is something else."""
        try:
            return None if content is None else cls.model_validate(content)
        except ValidationError:
            return None

    def as_json(self) -> Json:
        """Return the JSON of files."""
        return self.model_dump(mode="json")

    def counted(self) -> Json:
        """Return the JSON of the store and of answers."""
        content: Json = _count(self, self.as_json())
        return content


class PublishedFile(Part):
    """A file that a step published."""

    name: str
    sha256: str
    size_bytes: int = 0


class StepOutcome(Part):
    """The outcome of a step, of a result in the store too."""

    status: str | None = None
    reason: str | None = None


class StepResult(Part):
    """The result of any step."""

    step: str = ""
    status: Literal["completed", "partial", "skipped", "unknown"] = "completed"
    files: Counted[tuple[PublishedFile, ...]] = ()


class SkippedResult(StepResult):
    """The result of a step that a complete run skipped."""

    status: Literal["skipped"] = "skipped"
    reason: str


class PublishedResult(StepResult):
    """The result of a step that published its files; `failures` are the reasons by table or item.

    The step makes it, and the run adds the fields declared here at the publication.
    """

    status: Literal["completed", "partial"] = "completed"
    task_id: str = ""
    run_id: str = ""
    failures: dict[str, str] = {}


class ModelCost(Part):
    """The requests of a step to a language model; `cost` is null unless prices are set."""

    calls: int = 0
    kept_answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None


class DdlResult(PublishedResult):
    """The result of ddl_generation; `not_profiled` and `not_suggested` are reasons by table."""

    total_tables: int = 0
    processed_successfully: int = 0
    failed: int = 0
    files_generated: int = 0
    not_profiled: dict[str, str] = {}
    not_suggested: dict[str, str] = {}
    language_model: ModelCost | None = None
    duration: float = 0.0


class Share(Part):
    """A part of a whole."""

    covered: int
    total: int
    share: float


class Coverage(Part):
    """The part of the schema that the pairs of a task are about."""

    tables: Share | None = None
    columns: Share | None = None
    foreign_keys: Share | None = None
    clauses: tuple[str, ...] = ()
    columns_without_a_pair: Counted[tuple[str, ...]] = ()
    tables_without_a_pair: Counted[tuple[str, ...]] = ()
    columns_by_table: Counted[dict[str, Share]] = {}


class ModelPairCounts(Part):
    """The pairs that a language model wrote; `rejections` are numbers by reason."""

    asked_for: int = 0
    answered: int = 0
    repaired: int = 0
    taken: int = 0
    rejections: dict[str, int] = {}


class ParaphraseCounts(Part):
    """The questions that a language model paraphrased; `failed_batches` are reasons by first question."""

    asked_for: int = 0
    taken: int = 0
    rejections: dict[str, int] = {}
    failed_batches: Counted[dict[str, str]] = {}


class InferredJoin(Part):
    """A foreign key that is not declared."""

    source: str = Field(validation_alias="from", serialization_alias="from")
    target: str = Field(validation_alias="to", serialization_alias="to")
    confidence: float


class PairsResult(PublishedResult):
    """The result of qa_generation; see docs/files.md for each number."""

    output_file: str | None = None
    total_questions: int | None = None
    requested: int | None = None
    total_themes: int = 0
    successful_themes: int = 0
    failed_themes: Counted[dict[str, str]] = {}
    language_model: ModelCost | None = None
    model_pairs: ModelPairCounts | None = None
    paraphrases: ParaphraseCounts | None = None
    seed: int | None = None
    language: str | None = None
    execution_success: float | None = None
    non_empty: float | None = None
    duplicates: int = 0
    near_duplicates: int = 0
    coverage: Coverage = Coverage()
    pairs_by_table: Counted[dict[str, int]] = {}
    not_usable: Counted[dict[str, dict[str, str]]] = {}
    tables_without_rows: Counted[tuple[str, ...]] = ()
    provenance: dict[str, int] = {}
    difficulty: dict[str, int] = {}
    families: dict[str, int] = {}
    sql_shapes: int | None = None
    distinct: dict[str, float] = {}
    rejections: dict[str, int] = {}
    inferred_joins: Counted[tuple[InferredJoin, ...]] = ()
    problems: Counted[dict[str, str]] = {}
    duration: float = 0.0


class RepairCounts(Part):
    """The pairs that a validation tried to repair."""

    attempted: int = 0
    successful: int = 0
    failed: int = 0


class PairFileChanges(Part):
    """The pairs that a validation changed or removed in the pair file."""

    modified: int = 0
    deleted: int = 0
    failed_modifications: int = 0


class ValidationNumbers(Part):
    """The numbers of a validation; items that are not pairs count as invalid."""

    original_sql_count: int = 0
    valid_sql_count: int = 0
    invalid_sql_count: int = 0
    success_rate: float = 1.0
    empty_result_count: int = 0
    faults: dict[str, int] = {}
    repair_stats: RepairCounts = RepairCounts()
    file_modification_stats: PairFileChanges = PairFileChanges()
    average_execution_time: float = 0.0
    total_retries: int = 0


class ValidationResult(ValidationNumbers, PublishedResult):
    """The result of sql_validation."""

    input_file: str | None = None
    language_model: ModelCost | None = None
    duration: float = 0.0


class VectorBackup(Part):
    """The backup of the vector store before a load."""

    directory: str
    timestamp: str
    item_count: int
    files: Counted[tuple[str, ...]]


class LoadResult(PublishedResult):
    """The result of training_load; `left_out` are reasons by pair."""

    training_data_dir: str | None = None
    load_successful: bool = True
    total_records: int = 0
    data_type_counts: dict[str, int] = {}
    added: int = 0
    unchanged: int = 0
    dropped: int = 0
    removed_from_store: int = 0
    equal_to_others: int = 0
    left_out: dict[str, str] = {}
    pairs_not_validated: int = 0
    edited_files: tuple[str, ...] = ()
    vector_backup: VectorBackup | None = None
    truncated: bool = False
    embedder: str | None = None
    vector_store: str | None = None
    duration: float = 0.0


class PrunedBackups(Part):
    """The backups that a run deleted by a retention policy."""

    policy: str
    deleted: tuple[str, ...]
    deleted_bytes: int
    kept_count: int
    errors: tuple[str, ...]


class RunStatistics(Part):
    """The totals of a run."""

    steps_completed: int
    files_published: int


StepResults = dict[str, SerializeAsAny[StepResult]]
"""Results by step."""

RESULTS: Final[Mapping[str, type[PublishedResult]]] = {
    "ddl_generation": DdlResult,
    "qa_generation": PairsResult,
    "sql_validation": ValidationResult,
    "training_load": LoadResult,
}
"""The type of each step's result."""


class WorkflowState(Part):
    """The steps of a run by their outcome."""

    start_time: Instant
    end_time: Instant
    current_step: str | None
    completed_steps: tuple[str, ...]
    failed_steps: tuple[str, ...]
    unknown_steps: tuple[str, ...]
    skipped_steps: tuple[str, ...]
    artifacts: StepResults
    statistics: RunStatistics


class RunResult(Part):
    """The result of a run; `kept_files` are files that a publication moved aside."""

    success: bool
    task_id: str
    run_id: str
    execution_mode: Mode
    error: str | None
    backup: BackupReport | None
    pruned: PrunedBackups | None
    vectors_pruned: PrunedBackups | None
    kept_files: tuple[str, ...]
    warnings: tuple[str, ...]
    workflow_state: WorkflowState
    artifacts: StepResults


@functools.cache
def counted_model(model: type[Part]) -> type[Part]:
    """Return the model of the JSON that `counted` returns for instances of a model."""
    types = {name: _counted_type(field.annotation) for name, field in model.model_fields.items()}
    counted = {name for name, field in model.model_fields.items() if _COUNTED in field.metadata}
    if not counted and all(types[name] is field.annotation for name, field in model.model_fields.items()):
        return model
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name in counted:
            fields[_count_name(name)] = (int, ... if field.is_required() else 0)
        else:
            fields[name] = (types[name], copy.copy(field))
    return create_model(model.__name__, __base__=Part, __doc__=model.__doc__, **fields)


def _counted_type(annotation: Any) -> Any:
    if annotation == StepResults:
        results: dict[str, Any] = {
            step: (_counted_type(kind | SkippedResult | None), None) for step, kind in RESULTS.items()
        }
        return create_model("StepResults", __base__=Part, __doc__="The results by step.", **results)
    if isinstance(annotation, UnionType):
        return functools.reduce(operator.or_, map(_counted_type, get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return counted_model(annotation)
    return annotation


def _count(value: object, content: Any) -> Any:
    """Put numbers in place of the counted fields of `value` in its JSON."""
    if isinstance(value, Mapping):
        return {key: _count(item, content[key]) for key, item in value.items()}
    if not isinstance(value, Part):
        return content
    fields, short = type(value).model_fields, {}
    for name, item in value:
        if name in fields and _COUNTED in fields[name].metadata:
            short[_count_name(name)] = len(item)
        else:
            short[name] = _count(item, content[name])
    return short


def _count_name(name: str) -> str:
    return "file_count" if name == "files" else f"{name}_count"
