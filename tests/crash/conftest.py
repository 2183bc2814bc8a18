"""Print the seed of the samples in this run."""

from tests.crash.campaign import SEED


def pytest_report_header() -> str:
    return f"crash campaigns: CRASH_SEED={SEED}"
