"""The files of a task: list, download, upload."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import StreamingResponse

from data_pipeline.errors import DirectoryUnusable, InvalidInput
from data_pipeline.service.answers import REFUSALS, success
from data_pipeline.service.downloads import FILE_ANSWER, send_file
from data_pipeline.service.routes.tasks import PREFIX, RunsDep, TaskId, path_of_task
from data_pipeline.tasks import task_directory
from data_pipeline.tasks.files import OverwriteMode, check_upload, chunks_of, list_files, open_file, upload
from data_pipeline.tasks.ids import new_work_id
from data_pipeline.tasks.table_list import decode_table_list, parse_table_list
from data_pipeline.tasks.workspace import make_directories, open_workspace, printable, read_file
from data_pipeline.use_cases.disk import door
from data_pipeline.use_cases.task_json import formatted_size, size_of, task_file

router = APIRouter(prefix=PREFIX, tags=["files"], responses=REFUSALS)


@router.get("/tasks/{task_id}/files", summary="List files of a task")
def files(request: Request, task_id: TaskId, runs: RunsDep) -> Response:
    """List the files at the top of the task directory. Backups are listed separately."""
    path = path_of_task(runs, task_id)
    task_files = list_files(path)
    total = sum(file.size_bytes for file in task_files)
    directory = {
        "exists": os.path.isdir(path),
        "directory_path": task_id,
        "total_files": len(task_files),
        "total_size": total,
        "total_size_formatted": formatted_size(total),
    }
    return success(
        request,
        f"{len(task_files)} files.",
        {"files": [task_file(file) for file in task_files], "directory_info": directory},
    )


@router.get(
    "/tasks/{task_id}/files/{file_name}",
    summary="Download a file of a task",
    response_class=StreamingResponse,
    responses=FILE_ANSWER,
)
def download(task_id: TaskId, file_name: str, runs: RunsDep) -> StreamingResponse:
    """Return the file without the envelope."""
    return send_file(open_file(path_of_task(runs, task_id), file_name), file_name)


@router.post("/tasks/{task_id}/files", summary="Upload a file to a task")
def put_file(
    request: Request,
    task_id: TaskId,
    file: UploadFile,
    runs: RunsDep,
    overwrite_mode: Annotated[OverwriteMode, Form()] = "backup",
) -> Response:
    """Upload a text file of at most 10 MB.

    An existing file of the same name is renamed (backup), moved to the state directory (replace) or kept (skip).
    """
    name = file.filename or ""
    path = path_of_task(runs, task_id)
    check_upload(name, file.file.read(1024))
    file.file.seek(0)
    runs.check_idle(task_id)
    try:
        make_directories(path)
    except OSError as error:
        raise DirectoryUnusable(f"{printable(path)} cannot be created ({error}).") from error
    upload_id = new_work_id("upload")
    with open_workspace(
        path, task_id, label=f"upload of {name}", timeout_seconds=0, door=door(runs.settings)
    ) as workspace:
        done = upload(workspace, name, chunks_of(file.file), mode=overwrite_mode, upload_id=upload_id)
    now = datetime.now(UTC)
    return success(
        request,
        "The file is uploaded." if done.is_written else "The file already exists and is unchanged.",
        {
            "success": True,
            "task_id": task_id,
            "uploaded_file": {
                "filename": done.name,
                "size": done.size_bytes,
                "size_formatted": formatted_size(done.size_bytes),
                "uploaded_at": now,
                "overwrite_mode": overwrite_mode,
                "written": done.is_written,
            },
            "backup_info": {
                "had_existing_file": done.had_existing,
                "backup_filename": done.backup_name,
                "backup_version": int(done.backup_name.rpartition("_bak")[2]) if done.backup_name else None,
                "backup_created_at": now if done.backup_name else None,
            },
        },
    )


@router.get("/tasks/{task_id}/table-list-info", summary="Get the table list of a task")
def table_list_info(request: Request, task_id: TaskId, runs: RunsDep) -> Response:
    """Return the table names of the task's table list; `exists` is false if there is none."""
    path = os.path.join(path_of_task(runs, task_id), task_directory.TABLE_LIST)
    answer: dict[str, Any] = {
        "task_id": task_id,
        "has_file": False,
        "exists": False,
        "file_name": task_directory.TABLE_LIST,
        "file_path": f"{task_id}/{task_directory.TABLE_LIST}",
        "uploaded_at": None,
        "created_at": None,
        "table_count": 0,
        "table_names": [],
        "is_readable": False,
        **size_of(0),
    }
    try:
        raw, status = read_file(path), os.stat(path)
    except FileNotFoundError:
        return success(request, "The task has no table list yet.", answer)
    except OSError as error:
        raise DirectoryUnusable(f"{path} cannot be read ({error.strerror}).") from error
    answer |= {
        "has_file": True,
        "exists": True,
        "uploaded_at": datetime.fromtimestamp(status.st_mtime, UTC),
        "created_at": datetime.fromtimestamp(status.st_ctime, UTC),
        **size_of(len(raw)),
    }
    try:
        names = parse_table_list(decode_table_list(raw))
    except InvalidInput as error:
        return success(request, str(error), answer)
    answer |= {"is_readable": True, "table_count": len(names), "table_names": [str(name) for name in names]}
    return success(request, f"{len(names)} tables.", answer)
