"""Output of commands: JSON for programs, colours and tables in a terminal, tab-separated lines in a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from data_pipeline.commands import reporting
from data_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

COLOURS: Final = {
    "completed": "green", "ok": "green", "good": "green", "all_completed": "green",
    "in_progress": "cyan", "running": "cyan", "queued": "cyan",
    "failed": "red", "problem": "red", "broken": "red", "cancelled": "red", "ERROR": "red", "CRITICAL": "red",
    "partial_completed": "yellow", "warning": "yellow", "missing": "yellow", "WARNING": "yellow",
}  # fmt: skip

BAR_CHARACTERS: Final = 40

print_json: Final = reporting.print_json


def new_console(*, stderr: bool = False) -> Console:
    """Return a console of rich, which is imported late because a command's help does not need it."""
    from rich.console import Console

    return Console(stderr=stderr)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines without interpreting markup."""
    console = new_console()
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. In a pipe, print one tab-separated line per row, without headings. The first column is not cut."""
    console = new_console()
    if not console.is_terminal:
        for row in rows:
            print("\t".join(row))
        return
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(coloured(cell) for cell in row))
    console.print(table)


def print_section(word: str, title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a titled table, or nothing without rows. In a pipe, print one line per row, beginning with `word`."""
    from rich.text import Text

    listed = list(rows)
    console = new_console()
    if not listed:
        return
    if console.is_terminal:
        console.print(Text.assemble("\n", (title, "bold")))
        print_table(headings, listed)
    else:
        print_table(headings, [(word, *row) for row in listed])


def print_counts(word: str, title: str, counts: Mapping[str, int]) -> None:
    """Print counts side by side, zeros dimmed. In a pipe, print one line per count, beginning with `word`."""
    from rich.columns import Columns
    from rich.text import Text

    console = new_console()
    if not console.is_terminal:
        print_section(word, title, (), [(name, str(count)) for name, count in counts.items()])
    elif counts:
        console.print(Text.assemble("\n", (title, "bold")))
        width = max(map(len, counts)) + 1
        cells = [Text(f"{name:<{width}}{count:>5}", style="" if count else "dim") for name, count in counts.items()]
        console.print(Columns(cells, padding=(0, 4), column_first=True))


def print_bars(word: str, title: str, counts: Mapping[str, int]) -> None:
    """Print counts as bars, the longest for the maximum. In a pipe, print one line per count, beginning with `word`."""
    console = new_console()
    sign = "#" if console.options.ascii_only else "█"
    most = max(counts.values(), default=0) or 1
    rows = [(name, str(count), sign * round(BAR_CHARACTERS * count / most)) for name, count in counts.items()]
    print_section(word, title, ("", "", ""), rows if console.is_terminal else [row[:2] for row in rows])


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print one name and value per line, aligned. A line without a name continues the previous one."""
    from rich.text import Text

    listed = list(fields)
    width = max(len(name) for name, _ in listed) + 2
    console = new_console()
    for name, value in listed:
        console.print(Text.assemble((name.ljust(width), "dim"), coloured(value)), highlight=False, soft_wrap=True)


def coloured(word: str) -> Text:
    """Return a state in its colour, and any other text without one."""
    from rich.text import Text

    return Text(word, style=COLOURS.get(word, ""))


def local_time(time: datetime | None) -> str:
    """Format a time in the local time zone, to the second; `-` for None."""
    return "-" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Return a function that shows progress (done, total) as a bar on standard error, or nothing in a pipe."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = new_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


def write_to_standard_output(chunks: Iterable[bytes], *, is_archive: bool) -> None:
    """Write bytes to standard output. Raises InvalidInput for an archive if standard output is a terminal."""
    if is_archive and sys.stdout.isatty():
        raise InvalidInput("--output", "the archive is binary: name a file, or redirect it, as in `> backup.zip`")
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def write_new_file(path: Path, chunks: Iterable[bytes], option: str) -> int:
    """Write a new file and return its size in bytes. It is deleted again if an error ends the chunks early.

    Raises InvalidInput if the file already exists or cannot be written.
    """
    from data_pipeline.tasks.workspace import printable

    try:
        with open(path, "xb") as file:
            try:
                return sum(file.write(chunk) for chunk in chunks)
            except BaseException:
                with contextlib.suppress(OSError):  # the error that ended the chunks is the one to report
                    path.unlink()
                raise
    except FileExistsError as error:
        raise InvalidInput(option, f"{printable(os.fspath(path))} already exists: name a new file") from error
    except OSError as error:
        raise InvalidInput(option, f"{printable(os.fspath(path))} cannot be written ({error.strerror})") from error
