"""The access to the disk by the settings."""

from __future__ import annotations

from data_pipeline.config.settings import Settings
from data_pipeline.tasks.workspace import Door, RetryLimits


def door(settings: Settings) -> Door:
    """Return the door to the disk, with the retries that the settings allow."""
    return Door(retry=RetryLimits(attempts=settings.retry_attempts, total_seconds=settings.retry_seconds))
