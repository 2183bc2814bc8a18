"""Command-line options built from the fields of a model, with the same names, defaults and help as over HTTP."""

from __future__ import annotations

import argparse
import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import typer
from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from data_pipeline.errors import InvalidInput
from data_pipeline.tasks.parameters import Flags

Command = Callable[..., None]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Option:
    """An option for one field. A switch has flags that turn it off; any other option takes a value of `type`."""

    field: str
    flags: tuple[str, ...]
    off_flags: tuple[str, ...]
    type: Any
    minimum: float | None
    maximum: float | None
    help: str

    @property
    def is_switch(self) -> bool:
        """Return True if the option takes no value."""
        return self.type is bool


def options_of(model: type[BaseModel], leave_out: Collection[str] = ()) -> Iterator[Option]:
    """Yield an option for each field of a model, in the order of the fields."""
    for name, field in model.model_fields.items():
        if name not in leave_out:
            yield _option_of(name, field)


def with_options(
    model: type[BaseModel], parameter: str, leave_out: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Replace a parameter of a command by an option for each field of a model; it receives a mapping of those set."""
    options = list(options_of(model, leave_out))

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_fields(**arguments: Any) -> None:
            values = {option.field: arguments.pop(option.field) for option in options}
            given = {name: value for name, value in values.items() if value is not None}
            command(**arguments, **{parameter: given})

        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for declared in signature.parameters.values():
            if declared.name == parameter:
                parameters += [declared.replace(**_typer_parameter(option)) for option in options]
            else:
                parameters.append(declared)
        # Typer reads the signature. setattr, because functions do not declare the attribute.
        setattr(with_fields, "__signature__", signature.replace(parameters=parameters))  # noqa: B010
        return with_fields

    return decorate


def add_options(parser: argparse.ArgumentParser, model: type[BaseModel], leave_out: Collection[str] = ()) -> None:
    """Add an option for each field of a model to a parser; an omitted option is None."""
    for option in options_of(model, leave_out):
        if option.is_switch:
            parser.add_argument(*option.flags, dest=option.field, action="store_true", default=None, help=option.help)
            off = parser.add_argument(*option.off_flags, dest=option.field, action="store_false", default=None)
            off.help = f"The opposite of {option.flags[0]}."
        else:
            choices = get_args(option.type) or None
            kind = str if choices else option.type
            parser.add_argument(*option.flags, dest=option.field, type=kind, choices=choices, help=option.help)


def validated(model: type[Model], given: Mapping[str, Any]) -> Model:
    """Validate the given fields and return the model. Raises InvalidInput with the name of the option."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        raise InvalidInput(_flag(str(fault["loc"][0])), fault["msg"].removeprefix("Value error, ")) from None


def _option_of(name: str, field: FieldInfo) -> Option:
    metadata = [*field.metadata, *_inner_metadata(field.annotation)]
    type_ = _plain(field.annotation)
    aliases = next((item for item in metadata if isinstance(item, Flags)), Flags())
    is_switch = type_ is bool
    return Option(
        field=name,
        flags=(_flag(name),),
        off_flags=(f"--no-{name.replace('_', '-')}", *aliases.off) if is_switch else (),
        type=type_,
        minimum=next((item.ge for item in metadata if isinstance(item, Ge)), None),  # type: ignore[arg-type]
        maximum=next((item.le for item in metadata if isinstance(item, Le)), None),  # type: ignore[arg-type]
        help=field.description or "",
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _plain(annotation: Any) -> Any:
    """Return the type that a command line parses: bool, int, float, str, or a Literal. A mapping is parsed as text."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _plain(next(part for part in get_args(annotation) if part is not type(None)))
    return str if origin is dict else annotation


def _inner_metadata(annotation: Any) -> list[Any]:
    """Return the metadata of the members of a union, where pydantic keeps the metadata of a Field."""
    if get_origin(annotation) in (Union, UnionType):
        return [item for part in get_args(annotation) for item in _inner_metadata(part)]
    if get_origin(annotation) is Annotated:
        metadata: list[Any] = []
        for item in get_args(annotation)[1:]:
            metadata += item.metadata if isinstance(item, FieldInfo) else [item]
        return metadata + _inner_metadata(get_args(annotation)[0])
    return []


def _typer_parameter(option: Option) -> dict[str, Any]:
    if option.is_switch:
        declared = ["/".join((option.flags[0], option.off_flags[0])), *(f" /{flag}" for flag in option.off_flags[1:])]
        info = typer.Option(*declared, help=option.help, show_default=False)
    else:
        bounds = {"min": option.minimum, "max": option.maximum} if option.type in (int, float) else {}
        info = typer.Option(*option.flags, help=option.help, **bounds)  # type: ignore[arg-type]
    return {"name": option.field, "default": None, "annotation": Annotated[option.type | None, info]}
