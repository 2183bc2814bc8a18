"""Database URLs as people may see them. Opens nothing."""

from __future__ import annotations

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError


def masked(url: str) -> str:
    """A URL without its password, and without its query, which may hold one too."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return "***"  # whatever it is, it may be a secret
    return parsed.set(query={}).render_as_string(hide_password=True)


def label_of(url: str) -> str:
    """As `masked`, for messages: a file by its name alone, as where a server keeps it is nobody's business."""
    shown = masked(url)
    return f"sqlite:{shown.rpartition('/')[2]}" if shown.startswith("sqlite") else shown
