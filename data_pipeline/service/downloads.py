"""Answers that are a file: they are sent while they are read, as attachments that no browser shows."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Generator, Iterator
from typing import IO, Any, Final
from urllib.parse import quote

from fastapi.responses import StreamingResponse

from data_pipeline.tasks.files import chunks_of

FILE_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "the file, as an attachment"}
}
ZIP_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/zip": {}}, "description": "a zip, as an attachment"}
}


def send_file(file: IO[bytes], name: str) -> StreamingResponse:
    """Answer with an open file, which is closed at the end, and with its size."""
    size_bytes = os.fstat(file.fileno()).st_size
    return _attach(chunks_of(file), name, "application/octet-stream", {"Content-Length": str(size_bytes)})


def send_zip(chunks: Generator[bytes, None, None], name: str) -> StreamingResponse:
    """Answer with a zip that is made while it is sent.

    An error before the first chunk is raised here, while the answer can still be an error. A later one ends the
    connection before the end of the answer, so that no client takes a part for the whole.
    """
    first = list(itertools.islice(chunks, 1))
    return _attach(_and_then(first, chunks), name, "application/zip", {})


def _and_then(first: list[bytes], chunks: Generator[bytes, None, None]) -> Iterator[bytes]:
    with contextlib.closing(chunks):
        yield from first
        yield from chunks


def _attach(chunks: Iterator[bytes], name: str, media_type: str, headers: dict[str, str]) -> StreamingResponse:
    return StreamingResponse(
        chunks,
        media_type=media_type,
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(os.fsencode(name), safe='')}",
            "X-Content-Type-Options": "nosniff",
            **headers,
        },
    )
