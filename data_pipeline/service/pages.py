"""Pagination of long lists."""

from __future__ import annotations

from typing import Any


def page_of(page: int, page_size: int, total: int) -> dict[str, Any]:
    """Return the position of a page among all pages."""
    pages = -(-total // page_size)
    return {
        "page": page,
        "page_size": page_size,
        "total": total,
        "total_pages": pages,
        "has_next": page < pages,
        "has_prev": page > 1,
    }
