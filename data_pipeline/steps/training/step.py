"""The step training_load: load the published files of the earlier steps into the vector store, all or none.

The step loads the files in the newest results of ddl_generation, qa_generation and sql_validation, with the edits of
people. A resumed run continues with the items that are not staged yet. A load becomes visible atomically, at its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from data_pipeline.config.database_urls import label_of
from data_pipeline.config.vector_place import VectorPlace
from data_pipeline.errors import InvalidInput, StepFailed
from data_pipeline.events import Event
from data_pipeline.steps.contract import RunParameters, StepContext, StepOutput
from data_pipeline.steps.pair_file import parse_pairs
from data_pipeline.steps.threads import in_step_thread, in_waiting_thread
from data_pipeline.steps.training.items import (
    METADATA_PAGE,
    TrainingItems,
    Verdicts,
    add_pairs,
    kind_of,
    lines_of,
    meta_name,
    read_meta,
    read_report,
    sections,
    short,
)
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.results import Json, LoadResult, StepResult, ValidationResult, VectorBackup
from data_pipeline.tasks.staging import StagedFile, Staging
from data_pipeline.tasks.table_list import TableName
from data_pipeline.vectors.store.contract import Item, Load, Loaded

if TYPE_CHECKING:  # numpy takes a tenth of a second to import, which commands without a load must not pay
    from data_pipeline.vectors.store.contract import VectorStore

DESCRIBES: Final = "ddl_generation"
ASKS: Final = "qa_generation"
JUDGES: Final = "sql_validation"

ITEMS_AT_ONCE: Final = 250
"""Number of items that one transaction embeds and stages; a cancelled run ends after them."""

SHOWN: Final = 200
"""Maximum number of items in each list of the log."""


@dataclass
class _Gathered:
    """The items to load, and the findings in their files."""

    items: TrainingItems = field(default_factory=TrainingItems)
    edited_files: list[str] = field(default_factory=list)
    pairs_not_validated: int = 0
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Course:
    """The outcome of a load."""

    gathered: _Gathered
    loaded: Loaded
    added: Sequence[Item]
    backup: VectorBackup | None
    embedder: str
    store: str


class TrainingLoad:
    """Loads the published files; the step fails if one of them is missing."""

    name = "training_load"

    def why_skipped(self, parameters: RunParameters, steps_before: Sequence[str]) -> str | None:  # noqa: ARG002
        if not parameters.enable_training_data_load:
            return "disabled by the task (enable_training_data_load)"
        if parameters.options.skip_training:
            return "disabled by this run (skip_training)"
        return None

    async def check(self, parameters: RunParameters, tables: Sequence[TableName]) -> None:  # noqa: ARG002
        from data_pipeline.vectors.store.opening import look_at_vector_store  # noqa: PLC0415 - numpy

        await in_waiting_thread(look_at_vector_store, _place(parameters))

    async def run(self, context: StepContext) -> StepOutput:
        from data_pipeline.vectors.store.opening import open_vector_store  # noqa: PLC0415 - numpy

        started = datetime.now(UTC).astimezone()
        gathered = await in_step_thread(_gather, context)
        if gathered.missing:
            raise StepFailed(self.name, gathered.missing)
        place = _place(context.parameters)
        store = await in_waiting_thread(open_vector_store, place)
        try:
            backup = await self._back_up(context, store)
            course = await self._load(context, store, gathered, backup)
        finally:
            await in_waiting_thread(store.close)
        return await in_step_thread(_output, context, course, started)

    async def _back_up(self, context: StepContext, store: VectorStore) -> VectorBackup | None:
        """Back up the whole store into the task's folder if the run requests it, and only once in a run."""
        options = context.parameters.options
        if not (options.backup_vector_tables or options.truncate_vector_tables):
            return None

        async def back_up() -> Json:
            return await in_waiting_thread(_write_backup, context, store)

        backup = VectorBackup.model_validate(await context.runner.run(f"{self.name}:backup", back_up))
        context.log.info("The vector store is backed up in %s: %s items", backup.directory, backup.item_count)
        return backup

    async def _load(
        self, context: StepContext, store: VectorStore, gathered: _Gathered, backup: VectorBackup | None
    ) -> _Course:
        found = gathered.items.by_id
        ids, done = list(found), 0
        held = {holding.item_id for holding in await in_waiting_thread(store.holdings, context.task_id)}
        # Work that waits for a server must not occupy the only computing thread.
        in_thread = in_waiting_thread if store.embedder.waits else in_step_thread
        for start in range(0, len(ids), ITEMS_AT_ONCE):
            part = [found[one][0] for one in ids[start : start + ITEMS_AT_ONCE]]
            await in_thread(_stage, store, context.task_id, part)
            done += len(part)
            context.emit(Event("items", "advanced", self.name, done=done, total=len(ids)))
        load = Load(
            context.task_id,
            context.run_id,
            [holding for _, holding in found.values()],
            replaces_all=context.parameters.options.truncate_vector_tables,
        )
        loaded = await in_waiting_thread(store.commit, load)
        now_held = {holding.item_id for holding in await in_waiting_thread(store.holdings, context.task_id)}
        if now_held != found.keys():
            lost = {one: short(found[one][0].content) for one in sorted(found.keys() - now_held)}
            raise StepFailed(
                self.name,
                lost or dict.fromkeys(sorted(now_held - found.keys()), "unexpected item"),
            )
        added = [item for one, (item, _) in found.items() if one not in held]
        return _Course(gathered, loaded, added, backup, str(store.embedder.identity), store.label)


def _place(parameters: RunParameters) -> VectorPlace:
    if parameters.vectors is None:
        raise InvalidInput("vector store", "none is configured: set DATA_PIPELINE_VECTOR_STORE_URL")
    return parameters.vectors


def _stage(store: VectorStore, task_id: str, items: Sequence[Item]) -> None:
    by_id = {item.id: item for item in items}
    fresh = [by_id[one] for one in store.claim(task_id, list(by_id))]
    if fresh:
        store.stage(task_id, fresh, store.embedder.embed([item.passage for item in fresh]))


def _write_backup(context: StepContext, store: VectorStore) -> Json:
    from data_pipeline.vectors.backup.create import write_backup  # noqa: PLC0415 - numpy

    made: Json = {"directory": task_directory.VECTOR_BACKUPS}

    def write(staging: Staging, taken: Collection[str]) -> Sequence[StagedFile]:
        now = datetime.now(UTC).astimezone()
        backup = write_backup(store, staging, now=now, task_id=context.task_id, taken=taken)
        made["timestamp"] = backup.manifest.timestamp
        made["item_count"] = backup.manifest.item_count
        made["files"] = [file.name for file in backup.files]
        return backup.files

    context.put_aside(task_directory.VECTOR_BACKUPS, write)
    return made


def _gather(context: StepContext) -> _Gathered:
    """Read every file in the newest results. Raises InvalidInput if the first step has no result."""
    described = context.files.result_of(DESCRIBES, StepResult)
    if described is None:
        raise InvalidInput("training data", f"{DESCRIBES} has no result, or it was changed: run {DESCRIBES} first")
    asked = context.files.result_of(ASKS, StepResult)
    judged = context.files.result_of(JUDGES, ValidationResult)
    gathered = _Gathered()
    read = _Reader(context, gathered, [result for result in (described, asked, judged) if result is not None])
    for file in described.files:
        kind = kind_of(file.name)
        if kind in ("ddl", "documentation"):
            read.text(file.name, kind, DESCRIBES)
    pair_files: list[str] = []
    if asked is not None:
        pair_files = [file.name for file in asked.files if kind_of(file.name) == "sql"]
        if any(file.name == METADATA_PAGE for file in asked.files):
            read.text(METADATA_PAGE, "documentation", ASKS)
    elif judged is not None and judged.input_file is not None:
        pair_files = [judged.input_file]
    for name in pair_files:
        is_judged = judged is not None and judged.input_file == name
        read.pairs(name, judged if is_judged else None)
    return gathered


class _Reader:
    """Reads files into items; `results` are those of the steps that published them."""

    def __init__(self, context: StepContext, gathered: _Gathered, results: Sequence[StepResult]) -> None:
        self._context = context
        self._gathered = gathered
        parameters = context.parameters
        self._database = parameters.source or label_of(parameters.db_connection)
        self._published: dict[str, set[str]] = {}
        for result in results:
            for file in result.files:
                self._published.setdefault(file.name, set()).add(file.sha256)

    def text(self, name: str, kind: Any, step: str) -> None:
        """Add the items of a `.ddl` file or a page."""
        text = self._decoded(name, step)
        if text is None:
            return
        for part in [text] if kind == "ddl" else sections(text):
            if part.strip():
                self._gathered.items.add(kind, self._database, part, name)

    def pairs(self, name: str, judged: StepResult | None) -> None:
        """Add the items of a pair file, with their details and verdicts."""
        raw = self._raw(name, ASKS)
        if raw is None:
            return
        pairs, others = parse_pairs(raw, name)
        for other in others:
            self._gathered.items.left_out[f"{name}, item {other.place}"] = other.reason
        meta = self._context.files.read(meta_name(name)) if meta_name(name) in self._published else None
        self._gathered.pairs_not_validated += add_pairs(
            self._gathered.items,
            self._database,
            name,
            pairs,
            read_meta(meta) if meta is not None else {},
            self._verdicts(judged),
        )

    def _verdicts(self, judged: StepResult | None) -> Verdicts:
        if judged is None:
            return Verdicts()
        reports = [file.name for file in judged.files if file.name.endswith("_report.json")]
        raw = self._context.files.read(reports[0]) if reports else None
        return read_report(raw) if raw is not None else Verdicts()

    def _decoded(self, name: str, step: str) -> str | None:
        raw = self._raw(name, step)
        try:
            return None if raw is None else raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            self._gathered.missing[name] = f"it is not UTF-8: correct it, or run {step} again"
            return None

    def _raw(self, name: str, step: str) -> bytes | None:
        raw = self._context.files.read(name)
        if raw is None:
            self._gathered.missing[name] = f"it was published and is missing: run {step} again, or restore it"
            return None
        known = self._published.get(name)
        if known is not None and hashlib.sha256(raw).hexdigest() not in known:
            self._gathered.edited_files.append(name)
        return raw


def _output(context: StepContext, course: _Course, started: datetime) -> StepOutput:
    now = datetime.now(UTC).astimezone()
    gathered, loaded = course.gathered, course.loaded
    total = len(gathered.items.by_id)
    result = LoadResult(
        training_data_dir=context.task_id,
        load_successful=True,
        total_records=total,
        data_type_counts=gathered.items.counts(),
        added=loaded.added,
        unchanged=total - loaded.added,
        dropped=loaded.dropped,
        removed_from_store=loaded.removed,
        equal_to_others=gathered.items.equal_count,
        left_out=gathered.items.left_out,
        pairs_not_validated=gathered.pairs_not_validated,
        edited_files=tuple(gathered.edited_files),
        vector_backup=course.backup,
        truncated=context.parameters.options.truncate_vector_tables,
        embedder=course.embedder,
        vector_store=course.store,
        duration=round((now - started).total_seconds(), 3),
    )
    log = context.staging.write(task_directory.training_load_log(now), _log(context, course, result, now))
    return StepOutput((log,), result)


def _log(context: StepContext, course: _Course, result: LoadResult, now: datetime) -> str:
    """Return the log of the load for people."""
    items = course.gathered.items
    lines = [
        "Training load",
        f"Time:         {now.isoformat(timespec='seconds')}",
        f"Task:         {context.task_id}",
        f"Vector store: {course.store}",
        f"Embedder:     {course.embedder}",
        f"Duration:     {result.duration:.2f} s",
        "",
        f"Items:        {result.total_records}, all of them loaded",
        *(f"  {kind}: {count}" for kind, count in result.data_type_counts.items()),
        f"New:          {result.added}",
        f"As before:    {result.unchanged}",
        f"Dropped:      {result.dropped}, of which {result.removed_from_store} left the store",
        f"Equal:        {result.equal_to_others} have the content of another one",
        f"Not judged:   {result.pairs_not_validated} pairs, by any validation",
    ]
    if course.backup is not None:
        lines.append(f"Backup:       {course.backup.directory}/{course.backup.files[0]}")
    if result.truncated:
        lines.append("Truncated:    everything else left the store in the same transaction")
    lines += ["", *lines_of("Files", ((name, f"{count} items") for name, count in items.by_file.items()), SHOWN)]
    lines += lines_of("Edited since they were published", ((name, "") for name in course.gathered.edited_files), SHOWN)
    lines += lines_of("Left out", items.left_out.items(), SHOWN)
    lines += lines_of("New items", ((item.id[:16], short(item.content)) for item in course.added), SHOWN)
    return "\n".join(line.rstrip() for line in lines) + "\n"
