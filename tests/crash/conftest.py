"""Say which sample of the campaigns this run takes."""

from tests.crash.campaign import SEED


def pytest_report_header() -> str:
    return f"crash campaigns: CRASH_SEED={SEED}"
