"""Groups of commands. Their help shows whole sentences, and only the module of the executed command is imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


class Group(TyperGroup):
    """A group whose help shows the whole first sentence of each command, wrapped instead of cut."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's signature
        """Write the table of the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_sentence(command)) for name, command in self.commands.items()])


class LazyCommand(NamedTuple):
    """A top-level command: its name, the module of this package whose `app` has it, the first sentence of its help."""

    name: str
    module: str
    help: str


class LazyGroup(Group):
    """A group that lists its commands from `table` and imports the module of a command only to run it.

    Neither the help of the group nor its completion imports a module. `commands` contains placeholders with a name and
    a help text; `load` returns the command itself.
    """

    table: ClassVar[Sequence[LazyCommand]] = ()

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for entry in self.table:
            self.add_command(TyperCommand(entry.name, help=entry.help, rich_markup_mode=None))

    def load(self, name: str) -> Any:
        """Import the module of a command and return the command."""
        (module,) = (entry.module for entry in self.table if entry.name == name)
        app = typer.Typer(rich_markup_mode=None)
        app.add_typer(importlib.import_module(f"{__package__}.{module}").app)
        return get_group(app).commands[name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that the arguments begin with and return it with the remaining arguments."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        return name, placeholder if name is None else self.load(name), rest


def first_sentence(command: Any) -> str:
    """Return the first sentence of a command's help."""
    return str(command.get_short_help_str(sys.maxsize))
