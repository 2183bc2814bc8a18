"""Decide which business databases requests may name: URLs are compared by their targets, not by text. Opens nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from data_pipeline.config.database_urls import target_of
from data_pipeline.errors import InvalidInput, NotAllowed


def check_allowed(url: str, allowed: Sequence[str]) -> None:
    """Check that a URL leads to one of the allowed databases. Raises NotAllowed, whose message names none of them."""
    try:
        target = target_of(url)
    except InvalidInput as error:
        raise NotAllowed(str(error)) from None
    for allowed_url in allowed:
        with contextlib.suppress(InvalidInput):  # a configured database with options that no request can name
            if target_of(allowed_url) == target:
                return
    raise NotAllowed(
        "This server may not open that database: name one of DATA_PIPELINE_DATABASES__<NAME>, "
        "or have its URL put into DATA_PIPELINE_ALLOWED_DATABASES."
    )
