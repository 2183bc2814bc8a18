"""Numbers in JSON: true is not 1. Pure.

In an annotation, `NO_BOOLEAN` comes after the constraints: before them, pydantic omits them from the JSON schema.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BeforeValidator, Field


def _refuse_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - the error that pydantic expects
    return value


NO_BOOLEAN: Final = BeforeValidator(_refuse_boolean)

Number = Annotated[int, NO_BOOLEAN]
Share = Annotated[float, Field(ge=0, le=1), NO_BOOLEAN]
