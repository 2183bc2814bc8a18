"""Try again after transient errors, in rounds.

A round is one pass over everything that still fails, so a thousand busy files wait together for seconds,
not one after another for hours. The first pass costs nothing, because tenacity is called only after a failure.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_result, wait_exponential_jitter

TRANSIENT_ERRNOS: Final = frozenset({
    errno.EBUSY, errno.EAGAIN, errno.EINTR, errno.ETXTBSY, errno.ESTALE, errno.ETIMEDOUT, errno.EDEADLK, errno.ENOLCK,
})  # fmt: skip
"""All other errors are permanent, because waiting does not cure a missing permission or a full disk."""

TRANSIENT_WINERRORS: Final = frozenset({32, 33})
"""ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION: another program has the file open."""

Item = TypeVar("Item")


def is_transient(error: OSError) -> bool:
    """True if a new attempt may succeed."""
    return error.errno in TRANSIENT_ERRNOS or getattr(error, "winerror", None) in TRANSIENT_WINERRORS


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """Limits for new attempts after transient errors (EBUSY, EAGAIN and the like).

    `attempts` is the number of tries of one operation, the first included. `total_seconds` bounds the time that one
    transaction spends on new attempts, whatever the number of its files. Waits double from `first_wait_seconds` up to
    `longest_wait_seconds`, each with a jitter of at most `first_wait_seconds`. Raises ValueError for fewer than one
    attempt and for negative seconds.
    """

    attempts: int = 5
    total_seconds: float = 10.0
    first_wait_seconds: float = 0.05
    longest_wait_seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts must be at least 1")
        if min(self.total_seconds, self.first_wait_seconds, self.longest_wait_seconds) < 0:
            raise ValueError("seconds must not be negative")


class Failure(NamedTuple):
    """The last error of an operation that failed for good, and the number of attempts."""

    error: OSError
    attempts: int


class Rounds:
    """The new attempts of one transaction; all its phases share the time for them.

    `retries` counts the new attempts.
    """

    def __init__(
        self,
        limits: RetryLimits,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.retries = 0
        self._limits = limits
        self._sleep = sleep
        self._clock = clock
        self._seconds_left = limits.total_seconds

    def run(
        self, first: Callable[[Item], None], items: Iterable[Item], again: Callable[[Item], None] | None = None
    ) -> list[tuple[Item, Failure]]:
        """Call `first` for every item, then `again` in rounds for those that failed for a transient reason.

        `again` (default: `first`) must be safe to call even if an earlier attempt in fact succeeded.
        Returns the items that failed for good; any exception but an OSError propagates at once.
        """
        failed: list[tuple[Item, Failure]] = []
        waiting: list[tuple[Item, Failure]] = []
        for item in items:
            try:
                first(item)
            except OSError as error:
                (waiting if is_transient(error) else failed).append((item, Failure(error, 1)))
        if waiting and self._limits.attempts > 1 and self._seconds_left > 0:
            waiting = self._run_rounds(again or first, waiting, failed)
        return failed + waiting

    def _run_rounds(
        self,
        again: Callable[[Item], None],
        waiting: list[tuple[Item, Failure]],
        failed: list[tuple[Item, Failure]],
    ) -> list[tuple[Item, Failure]]:
        """Try until nothing waits any more or a limit is reached; return the items that still wait."""
        started = self._clock()
        is_first_round = True

        def try_waiting() -> list[tuple[Item, Failure]]:
            nonlocal waiting, is_first_round
            if is_first_round:  # the pass before was attempt 1
                is_first_round = False
                return waiting
            still_waiting: list[tuple[Item, Failure]] = []
            for item, failure in waiting:
                self.retries += 1
                try:
                    again(item)
                except OSError as error:
                    (still_waiting if is_transient(error) else failed).append(
                        (item, Failure(error, failure.attempts + 1))
                    )
            waiting = still_waiting
            return waiting

        def is_over(state: RetryCallState) -> bool:
            spent = self._clock() - started
            return state.attempt_number >= self._limits.attempts or spent + state.upcoming_sleep > self._seconds_left

        retrying = Retrying(
            retry=retry_if_result(bool),
            wait=wait_exponential_jitter(
                multiplier=self._limits.first_wait_seconds,
                max=self._limits.longest_wait_seconds,
                jitter=self._limits.first_wait_seconds,
            ),
            stop=is_over,
            sleep=self._sleep,
            retry_error_callback=lambda _: None,
            reraise=True,
        )
        try:
            retrying(try_waiting)
        finally:
            self._seconds_left -= self._clock() - started
        return waiting
