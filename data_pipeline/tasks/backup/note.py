"""Write, replace and delete the note of a backup. The backup itself stays as it is."""

from __future__ import annotations

from datetime import UTC, datetime

from data_pipeline.tasks import task_directory
from data_pipeline.tasks.backup.catalogue import Backup, find_backup
from data_pipeline.tasks.backup.manifests import BackupNote, check_note, maker_of
from data_pipeline.tasks.workspace import Workspace

FOLDER = task_directory.BACKUP_MANIFESTS


def set_note(workspace: Workspace, name: str, note: str | None, *, work_id: str) -> Backup:
    """Write the note of a backup, or delete it if `note` is None; return the changed backup.

    `work_id` is a name for the temporary folder. Raises NotFound, InvalidInput, PublishFailed,
    DeletionFailed, RecoveryNeeded, OutcomeUnsettled, DirectoryUnusable; then the note is as before, or unknown.
    """
    backup = find_backup(workspace.path, name)
    file_name, label = task_directory.backup_note_name(name), f"note on {name}"
    if note is not None:
        content = BackupNote(
            backup=name, maker=maker_of(backup.record), note=check_note(note), noted_at=datetime.now(UTC)
        )
        workspace.put_into(FOLDER, file_name, content.encode(), label=label, work_id=work_id)
    elif file_name in workspace.folder_names(FOLDER):
        workspace.delete({FOLDER: [file_name]}, label=f"the deletion of the {label}")
    return find_backup(workspace.path, name)
