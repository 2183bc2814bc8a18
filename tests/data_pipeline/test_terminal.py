"""Progress as a person sees it: bars in a terminal, plain lines in a pipe, nothing where a program reads."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from data_pipeline.commands.terminal import watching
from data_pipeline.events import Event

EVENTS = [
    Event("run", "started", "run_1", "complete"),
    Event("backup", "started"),
    Event("backup", "advanced", done=1, total=2),
    Event("backup", "completed", "file_bak_20250121_094400", done=2, total=2),
    Event("step", "started", "ddl_generation"),
    Event("table", "completed", "main.t", done=1, total=2),
    Event("table", "failed", "main.[red]u", "no [bold]luck", done=2, total=2),
    Event("step", "failed", "ddl_generation", "it failed"),
]


def shown(*, is_terminal: bool, is_quiet: bool = False) -> str:
    """What a console shows of the events, without colours."""
    out = StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=100, no_color=True, legacy_windows=False)
    with watching(console, is_quiet=is_quiet) as emit:
        for event in EVENTS:
            emit(event)
    return out.getvalue()


def test_pipe_gets_one_plain_line_an_event() -> None:
    """No control characters, no marks interpreted; what only moves a bar is left out."""
    assert shown(is_terminal=False).splitlines() == [
        "run run_1 started: complete",
        "backup started",
        "backup file_bak_20250121_094400 completed (2 of 2)",
        "step ddl_generation started",
        "table main.t completed (1 of 2)",
        "table main.[red]u failed (2 of 2): no [bold]luck",
        "step ddl_generation failed: it failed",
    ]


def test_terminal_gets_bars_and_what_ended() -> None:
    """Names from a database cannot be marks of the terminal."""
    text = shown(is_terminal=True)

    assert "done   backup file_bak_20250121_094400" in text
    assert "failed table main.[red]u: no [bold]luck" in text
    assert "failed step ddl_generation it failed" in text
    assert "2/2" in text


def test_program_gets_nothing() -> None:
    """Its answer is JSON on standard output."""
    assert shown(is_terminal=True, is_quiet=True) == ""
