"""Progress of runs and of long reads on standard error: bars in a terminal, lines in a pipe."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from data_pipeline.events import Emit, Event


@contextlib.contextmanager
def watching(console: Console, *, is_quiet: bool = False) -> Iterator[Emit]:
    """Show events on a console while the block runs."""
    if is_quiet:
        yield _show_nothing
    elif console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            yield _Bars(progress).show
    else:
        yield _Lines(console).show


@contextlib.contextmanager
def watching_bytes(console: Console, what: str, *, is_quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Return a function that shows progress (done, total) in bytes as a bar in a terminal, or nothing in a pipe."""
    is_quiet = is_quiet or not console.is_terminal
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=is_quiet) as progress:
        bar = progress.add_task(_escaped(what), total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


@contextlib.contextmanager
def counting_bytes(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Return a function to call with the number of bytes of each read; it shows the progress as a bar."""
    done = 0
    with watching_bytes(console, what) as progress:

        def add(count: int) -> None:
            nonlocal done
            done += count
            progress(done, total)

        yield add


def _show_nothing(event: Event) -> None:
    pass


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, event: Event) -> None:
        if event.state == "advanced":
            return
        text = " ".join(filter(None, [event.phase, event.name, event.state]))
        if event.total:
            text += f" ({event.done} of {event.total})"
        if event.message:
            text += f": {event.message}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def show(self, event: Event) -> None:
        match event.phase, event.state:
            case "backup", "advanced":
                self._advance("backup", event)
            case "table", "completed" | "failed":
                self._advance("tables", event)
                if event.state == "failed":
                    self._say(f"[red]failed[/] table {_escaped(event.name)}: {_escaped(event.message)}")
            case "pairs", "advanced":
                self._advance("pairs", event)
            case "items", "advanced":
                self._advance("items", event)
            case "step", "skipped":
                self._say(f"[dim]skipped[/] step {_escaped(event.name)}: {_escaped(event.message)}")
            case "backup" | "step", "completed":
                self._say(f"[green]done[/]   {event.phase} {_escaped(event.name)}")
            case "backup" | "step", "unknown":
                self._say(f"[yellow]unknown[/] {event.phase} {_escaped(event.name)} {_escaped(event.message)}")
            case "backup" | "step", "failed":
                self._say(f"[red]failed[/] {event.phase} {_escaped(event.name)} {_escaped(event.message)}")

    def _say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False)

    def _advance(self, name: str, event: Event) -> None:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=event.total)
        self._progress.update(self._bars[name], completed=event.done, total=event.total)


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
