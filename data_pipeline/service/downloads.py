"""File responses: streamed while the file is read, as attachments that a browser does not display."""

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
    200: {"content": {"application/octet-stream": {}}, "description": "The file, as an attachment."}
}
ZIP_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/zip": {}}, "description": "A zip archive, as an attachment."}
}


def send_file(file: IO[bytes], name: str) -> StreamingResponse:
    """Return a response with the size and the content of an open file, and close the file at the end."""
    size_bytes = os.fstat(file.fileno()).st_size
    return _attach(chunks_of(file), name, "application/octet-stream", {"Content-Length": str(size_bytes)})


def send_zip(chunks: Generator[bytes, None, None], name: str) -> StreamingResponse:
    """Return a response with a zip archive that is created while it is sent.

    An error before the first chunk is raised here, while an error response is still possible. A later error closes the
    connection before the end of the response, so that no client mistakes a part for the whole.
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
