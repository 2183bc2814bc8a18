"""Transient errors, the number and time of new attempts after them, and the reported failures."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal.retry import TRANSIENT_ERRNOS, Failure, RetryLimits, Rounds, is_transient

TRANSIENT = ["EBUSY", "EAGAIN", "EINTR", "ETXTBSY", "ESTALE", "ETIMEDOUT", "EDEADLK", "ENOLCK"]
PERMANENT = [
    "EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "ENOENT", "EEXIST", "ENAMETOOLONG", "EXDEV", "EMLINK", "EIO",
    "EISDIR", "ENOTDIR", "ENOTEMPTY", "ELOOP", "EINVAL", "EMFILE", "ENOTSUP", "EFBIG",
]  # fmt: skip


class Clock:
    """A clock that moves only by sleeps, and by the time that a test adds to `now`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rounds_by(clock: Clock, **limits: Any) -> Rounds:
    """Return rounds on the clock of a test, with generous limits by default."""
    patient = RetryLimits(attempts=5, total_seconds=1000.0, first_wait_seconds=0.05, longest_wait_seconds=2.0)
    return Rounds(replace(patient, **limits), sleep=clock.sleep, clock=clock)


def busy() -> OSError:
    return OSError(errno.EBUSY, "busy")


def denied() -> OSError:
    return OSError(errno.EACCES, "denied")


class Script:
    """An operation whose outcomes are given beforehand; the last one repeats. None means success."""

    def __init__(self, *outcomes: BaseException | None) -> None:
        self._outcomes = list(outcomes)
        self.calls: list[object] = []

    def __call__(self, item: object) -> None:
        self.calls.append(item)
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if outcome is not None:
            raise outcome


# ---- which errors pass by themselves ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSIENT)
def test_error_that_may_pass_is_transient(name: str) -> None:
    """Another process uses the file, a server did not answer, or a signal interrupted the call."""
    assert is_transient(OSError(getattr(errno, name), name))


@pytest.mark.parametrize("name", PERMANENT)
def test_error_that_does_not_pass_is_permanent(name: str) -> None:
    """A missing permission, a full disk, another file system: a new attempt would fail, too."""
    assert not is_transient(OSError(getattr(errno, name), name))


def test_no_other_error_number_is_transient() -> None:
    """All other numbers are permanent; EWOULDBLOCK is transient only because it is EAGAIN."""
    assert {getattr(errno, name) for name in TRANSIENT} == TRANSIENT_ERRNOS


def test_error_without_a_number_is_permanent() -> None:
    """An error of the package itself, such as a replaced file, has no number."""
    assert not is_transient(OSError("the file was replaced"))


@pytest.mark.parametrize(("winerror", "expected"), [(32, True), (33, True), (5, False), (183, False), (None, False)])
def test_windows_sharing_violations_are_transient_whatever_their_errno(winerror: int | None, expected: bool) -> None:
    """Windows reports a file that another program has open as EACCES with winerror 32 or 33."""
    error = OSError(errno.EACCES, "used by another process")
    vars(error)["winerror"] = winerror  # only Windows sets it from the constructor

    assert is_transient(error) is expected


# ---- one pass, then rounds --------------------------------------------------------------------------------------


def test_when_all_succeed_each_is_called_once_without_a_sleep(clock: Clock) -> None:
    """The usual case costs one call an item."""
    operation = Script(None)
    rounds = rounds_by(clock)

    assert rounds.run(operation, ["a", "b"]) == []
    assert operation.calls == ["a", "b"]
    assert (clock.sleeps, rounds.retries) == ([], 0)


def test_without_items_there_is_no_failure(clock: Clock) -> None:
    """A transaction may only make directories."""
    assert rounds_by(clock).run(Script(busy()), []) == []


def test_items_may_come_from_a_generator(clock: Clock) -> None:
    """The caller counts its progress while the first pass consumes them; later rounds remember them."""
    operation = Script(busy(), None, None)

    def items() -> Iterator[str]:
        yield "a"
        yield "b"

    assert rounds_by(clock).run(operation, items()) == []
    assert operation.calls == ["a", "b", "a"]


@pytest.mark.parametrize("failures", [1, 2, 3, 4])
def test_transient_failure_is_tried_again_until_it_succeeds(clock: Clock, failures: int) -> None:
    """Five attempts allow four failures before the success."""
    operation = Script(*[busy()] * failures, None)
    rounds = rounds_by(clock, attempts=5)

    assert rounds.run(operation, ["a"]) == []
    assert len(operation.calls) == failures + 1
    assert len(clock.sleeps) == failures
    assert rounds.retries == failures


@pytest.mark.parametrize("attempts", [1, 2, 3, 7])
def test_first_failure_counts_as_the_first_attempt(clock: Clock, attempts: int) -> None:
    """`attempts` is the number of all tries of an item; the last error and that number are reported."""
    errors = [busy() for _ in range(attempts)]
    operation = Script(*errors)
    rounds = rounds_by(clock, attempts=attempts)

    assert rounds.run(operation, ["a"]) == [("a", Failure(errors[-1], attempts))]
    assert len(operation.calls) == attempts
    assert len(clock.sleeps) == attempts - 1
    assert rounds.retries == attempts - 1


def test_permanent_failure_is_reported_after_one_attempt_without_a_sleep(clock: Clock) -> None:
    """Waiting does not cure a missing permission."""
    error = denied()
    operation = Script(error)
    rounds = rounds_by(clock)

    assert rounds.run(operation, ["a"]) == [("a", Failure(error, 1))]
    assert (operation.calls, clock.sleeps, rounds.retries) == (["a"], [], 0)


def test_permanent_failures_are_not_tried_again_beside_transient_ones(clock: Clock) -> None:
    """Only items that may still succeed are in the new rounds."""
    calls: list[str] = []

    def operation(item: str) -> None:
        calls.append(item)
        if item == "denied":
            raise denied()
        if calls.count(item) < 3:
            raise busy()

    failed = rounds_by(clock).run(operation, ["denied", "busy"])

    assert [(item, failure.attempts) for item, failure in failed] == [("denied", 1)]
    assert calls == ["denied", "busy", "busy", "busy"]


def test_transient_failure_that_turns_permanent_is_given_up_at_once(clock: Clock) -> None:
    """The permanent error is the one to fix: it is reported, with the number of attempts."""
    error = denied()
    operation = Script(busy(), busy(), error)
    rounds = rounds_by(clock, attempts=9)

    assert rounds.run(operation, ["a"]) == [("a", Failure(error, 3))]
    assert len(operation.calls) == 3
    assert len(clock.sleeps) == 2


def test_item_that_turned_permanent_leaves_the_others_waiting(clock: Clock) -> None:
    """Each round sorts its items: succeeded, given up, still waiting."""
    outcomes: dict[str, list[OSError | None]] = {
        "cured": [busy(), None],
        "denied": [busy(), denied()],
        "busy": [busy(), busy(), None],
        "stuck": [busy()] * 4,
    }
    calls: list[str] = []

    def operation(item: str) -> None:
        calls.append(item)
        outcome = outcomes[item].pop(0)
        if outcome is not None:
            raise outcome

    rounds = rounds_by(clock, attempts=4)
    failed = rounds.run(operation, list(outcomes))

    assert {item: failure.attempts for item, failure in failed} == {"denied": 2, "stuck": 4}
    assert calls == ["cured", "denied", "busy", "stuck"] * 2 + ["busy", "stuck", "stuck"]
    assert rounds.retries == 7


def test_a_thousand_busy_items_wait_together(clock: Clock) -> None:
    """Sleeps are bounded by the attempts, whatever the number of items: seconds, not hours."""
    operation = Script(busy())
    rounds = rounds_by(clock, attempts=5, first_wait_seconds=1.0, longest_wait_seconds=60.0)

    failed = rounds.run(operation, range(1000))

    assert [item for item, _ in failed] == list(range(1000))
    assert {failure.attempts for _, failure in failed} == {5}
    assert len(clock.sleeps) == 4
    assert clock.now - 1000.0 <= (1 + 1) + (2 + 1) + (4 + 1) + (8 + 1)
    assert rounds.retries == 4000


def test_each_round_is_one_pass_over_all_waiting_items(clock: Clock) -> None:
    """No item is tried twice between two sleeps."""
    events: list[object] = []

    def operation(item: str) -> None:
        events.append(item)
        raise busy()

    def sleep(_: float) -> None:
        events.append("sleep")

    Rounds(RetryLimits(attempts=3), sleep=sleep, clock=clock).run(operation, ["a", "b"])

    assert events == ["a", "b", "sleep", "a", "b", "sleep", "a", "b"]


def test_later_tries_call_again_instead_of_first(clock: Clock) -> None:
    """The caller's `again` checks first whether the earlier attempt succeeded."""
    first, again = Script(busy()), Script(busy(), None)

    assert rounds_by(clock).run(first, ["a"], again) == []
    assert (first.calls, again.calls) == (["a"], ["a", "a"])


def test_again_is_not_called_for_items_that_succeeded_or_failed_for_good(clock: Clock) -> None:
    """It is for new attempts only."""
    again = Script(None)

    def first(item: str) -> None:
        if item == "denied":
            raise denied()
        if item == "busy":
            raise busy()

    failed = rounds_by(clock).run(first, ["fine", "denied", "busy"], again)

    assert [item for item, _ in failed] == ["denied"]
    assert again.calls == ["busy"]


def test_retries_add_up_over_several_runs(clock: Clock) -> None:
    """One transaction has several phases; it reports the sum of its retries."""
    rounds = rounds_by(clock)

    rounds.run(Script(busy(), busy(), None), ["a"])
    rounds.run(Script(busy(), None, None), ["b", "c"])

    assert rounds.retries == 3


# ---- limits of time ---------------------------------------------------------------------------------------------


def test_new_tries_end_before_the_total_time_would_be_exceeded(clock: Clock) -> None:
    """A wait that would end too late is not begun: the item is given up with its last transient error."""
    operation = Script(busy())
    rounds = rounds_by(clock, attempts=1000, total_seconds=10.0, first_wait_seconds=1.0, longest_wait_seconds=3.0)

    ((_, failure),) = rounds.run(operation, ["a"])

    assert 10.0 - 3.0 <= clock.now - 1000.0 <= 10.0
    assert failure.attempts == len(operation.calls) == len(clock.sleeps) + 1
    assert failure.error.errno == errno.EBUSY


def test_total_time_is_shared_by_all_runs_of_one_transaction(clock: Clock) -> None:
    """The time that links spent is not left for unlinks."""
    rounds = rounds_by(clock, attempts=4, total_seconds=10.0, first_wait_seconds=2.0, longest_wait_seconds=2.0)

    first = rounds.run(Script(busy()), ["a"])
    second = rounds.run(Script(busy()), ["b"])
    third = rounds.run(Script(busy()), ["c"])

    assert [failed[0][1].attempts for failed in (first, second, third)] == [4, 3, 1]
    assert clock.sleeps == [2.0] * 5


def test_used_up_time_still_allows_the_first_pass(clock: Clock) -> None:
    """The limit bounds new attempts only: an item that succeeds at once is done however late it is."""
    rounds = rounds_by(clock, total_seconds=1.0, first_wait_seconds=0.9, longest_wait_seconds=0.9)
    rounds.run(Script(busy()), ["a"])
    operation = Script(None)

    assert rounds.run(operation, ["b"]) == []
    assert operation.calls == ["b"]


def test_time_that_the_tries_themselves_take_counts(clock: Clock) -> None:
    """A call that hangs on a dead server for seconds uses up the limit like a sleep."""
    calls: list[str] = []

    def slow(item: str) -> None:
        calls.append(item)
        clock.now += 4.0
        raise busy()

    rounds = rounds_by(clock, attempts=100, total_seconds=10.0, first_wait_seconds=0.5, longest_wait_seconds=0.5)
    ((_, failure),) = rounds.run(slow, ["a"])

    assert failure.attempts == len(calls) == 4  # the first pass is free, then 4.5 s a round


def test_time_between_two_runs_does_not_count(clock: Clock) -> None:
    """Hours of work on a million files do not reduce the time for new attempts."""
    rounds = rounds_by(clock, total_seconds=10.0)
    rounds.run(Script(busy(), None), ["a"])

    clock.now += 3600.0

    assert rounds.run(Script(busy(), None), ["b"]) == []


def test_no_seconds_at_all_mean_no_new_tries(clock: Clock) -> None:
    """With `total_seconds=0` a transient error is final."""
    operation = Script(busy())

    ((_, failure),) = rounds_by(clock, total_seconds=0.0, first_wait_seconds=0.0).run(operation, ["a"])

    assert failure.attempts == 1
    assert (operation.calls, clock.sleeps) == (["a"], [])


def test_time_spent_before_an_interrupt_is_counted(clock: Clock) -> None:
    """The rollback that follows an interrupt has only the remaining time."""
    rounds = rounds_by(clock, attempts=9, total_seconds=10.0, first_wait_seconds=4.0, longest_wait_seconds=4.0)
    with pytest.raises(KeyboardInterrupt):
        rounds.run(Script(busy(), busy(), KeyboardInterrupt()), ["a"])

    assert clock.sleeps == [4.0, 4.0]
    assert rounds.run(Script(busy(), None), ["b"])
    assert clock.sleeps == [4.0, 4.0]


@settings(deadline=None, database=None)  # slow machines; trees that may not be written
@given(
    first=st.floats(0.001, 5.0),
    longest=st.floats(0.001, 20.0),
    attempts=st.integers(2, 12),
)
def test_waits_double_with_as_much_jitter_and_stay_below_the_longest(
    first: float, longest: float, attempts: int
) -> None:
    """Wait n is first x 2^(n-1) and up to `first` more, cut off at the longest."""
    clock = Clock()
    limits = RetryLimits(attempts, total_seconds=1e9, first_wait_seconds=first, longest_wait_seconds=longest)

    Rounds(limits, sleep=clock.sleep, clock=clock).run(Script(busy()), ["a"])

    least = [min(first * 2**number, longest) for number in range(attempts - 1)]
    most = [min(first * 2**number + first, longest) for number in range(attempts - 1)]
    assert len(clock.sleeps) == attempts - 1
    assert all(low <= wait <= high for low, wait, high in zip(least, clock.sleeps, most, strict=True))
    assert clock.sleeps == sorted(clock.sleeps)


def test_waits_differ_from_one_process_to_the_next() -> None:
    """Jitter: two processes that collided once do not collide again and again."""
    clocks = [Clock() for _ in range(8)]
    for clock in clocks:
        rounds_by(clock, first_wait_seconds=1.0).run(Script(busy(), None), ["a"])

    assert len({clock.sleeps[0] for clock in clocks}) > 1


# ---- what is not an OSError -------------------------------------------------------------------------------------


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError])
@pytest.mark.parametrize("good_before", [0, 1])
def test_anything_but_an_oserror_in_the_first_pass_propagates_at_once(
    clock: Clock, interrupt: type[BaseException], good_before: int
) -> None:
    """Interrupts are never retried: the caller rolls back; the items after it are not touched."""
    operation = Script(*[None] * good_before, interrupt())

    with pytest.raises(interrupt):
        rounds_by(clock).run(operation, ["a", "b", "c"])

    assert len(operation.calls) == good_before + 1
    assert clock.sleeps == []


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError])
def test_anything_but_an_oserror_in_a_later_round_propagates_at_once(
    clock: Clock, interrupt: type[BaseException]
) -> None:
    """An interrupt ends the retries, too; the items after it are not tried again."""
    again = Script(None, interrupt())

    with pytest.raises(interrupt):
        rounds_by(clock).run(Script(busy()), ["a", "b", "c"], again)

    assert again.calls == ["a", "b"]
    assert len(clock.sleeps) == 1


def test_interrupt_during_a_wait_propagates_at_once(clock: Clock) -> None:
    """Ctrl-C waits neither for the sleep nor for another attempt."""
    operation = Script(busy())

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Rounds(RetryLimits(), sleep=interrupted, clock=clock).run(operation, ["a"])

    assert operation.calls == ["a"]


def test_interrupt_from_the_items_propagates_at_once(clock: Clock) -> None:
    """The progress hook raises from inside the iteration: that cancels the run and is not a failure of an item."""

    def cancelled() -> Iterable[str]:
        yield "a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rounds_by(clock).run(Script(busy()), cancelled())

    assert clock.sleeps == []


# ---- the limits themselves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [0, -1])
def test_fewer_than_one_attempt_is_refused(attempts: int) -> None:
    """Zero attempts would be a mistake."""
    with pytest.raises(ValueError, match="attempts must be at least 1"):
        RetryLimits(attempts=attempts)


@pytest.mark.parametrize("name", ["total_seconds", "first_wait_seconds", "longest_wait_seconds"])
def test_negative_seconds_are_refused(name: str) -> None:
    """No clock goes backwards."""
    seconds: dict[str, Any] = {name: -0.001}

    with pytest.raises(ValueError, match="seconds must not be negative"):
        RetryLimits(**seconds)


@pytest.mark.parametrize(
    "limits",
    [
        lambda: RetryLimits(attempts=1),
        lambda: RetryLimits(total_seconds=0.0, first_wait_seconds=0.0, longest_wait_seconds=0.0),
        lambda: RetryLimits(first_wait_seconds=5.0, longest_wait_seconds=1.0),
    ],
    ids=["one-attempt", "no-seconds", "longest-below-first"],
)
def test_smallest_limits_are_accepted(limits: Callable[[], RetryLimits]) -> None:
    """One attempt and no waiting at all is a policy: fail at once."""
    assert limits().attempts >= 1


def test_without_arguments_five_attempts_in_ten_seconds_are_allowed() -> None:
    """The defaults: 0.05 s doubling to at most 2 s, five attempts, ten seconds for one transaction."""
    assert RetryLimits() == RetryLimits(
        attempts=5, total_seconds=10.0, first_wait_seconds=0.05, longest_wait_seconds=2.0
    )


def test_without_a_clock_and_a_sleep_the_real_ones_are_used() -> None:
    """A wait of a thousandth of a second really happens, and the item is then tried again."""
    rounds = Rounds(RetryLimits(first_wait_seconds=0.001))

    assert rounds.run(Script(busy(), None), ["a"]) == []
    assert rounds.retries == 1
