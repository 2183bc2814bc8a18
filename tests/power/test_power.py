"""The plug is pulled on ext4, xfs and btrfs; disks fill up or refuse every write; then recovery has its turn.

POWER_POINTS=all tries every call (minutes), POWER_SEED=... repeats a run; see conftest.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial

import pytest

from journal import Filesystem, JournalError, Outcome, OutcomeUnknown, TransactionFailed, lock_directory
from tests.power.conftest import Campaign, Workshop
from tests.power.rig import (
    AFTER,
    BACKUP,
    BEFORE,
    BEFORE_BUT_EMPTY,
    CHANGING,
    LOOKING,
    MEBIBYTE,
    SCENARIOS,
    Broken,
    Call,
    CountingFilesystem,
    Disk,
    End,
    Kind,
    Laid,
    LockWithoutFile,
    Unavailable,
    calm,
    check_that_nothing_is_lost,
    commit_at_the_plug,
    copies_of_a_run,
    counted,
    fill,
    fresh,
    gusts,
    in_batches,
    judge_copy,
    make_room,
    point_of,
    recover_and_judge,
    run,
    run_to_the_end,
    set_immutable,
    state_entries,
    state_of,
    stop_writing,
    tree_of,
)

pytestmark = pytest.mark.power

SECOND_PLUGS = 12
RUNS_OF_A_LARGE_SCENARIO = 24


# ---- the plug -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weather", ["calm", "commit_at_the_plug", "gusts"])
def test_a_plug_pulled_at_any_call_leaves_every_file_as_before_or_as_after(
    laid: Laid, weather: str, campaign: Campaign
) -> None:
    """I4, and durability: before the commit all as it was, once it returned all done, every byte under one name."""
    blow = {"calm": calm, "commit_at_the_plug": commit_at_the_plug, "gusts": gusts(campaign.random)}[weather]
    end = len(laid.calls)
    for points in in_batches(campaign.choose(end + 1, [laid.committed + 1, end])):
        with copies_of_a_run(laid, points, blow) as images:
            for point, image in images.items():
                campaign.add(point_of(laid.calls, point), judge_copy(laid, image, laid.allowed(point)).problem)
    campaign.end()


def test_a_second_plug_pulled_during_recovery_changes_nothing_of_what_it_was_about_to_leave(
    laid: Laid, campaign: Campaign
) -> None:
    """I3: recovery cut anywhere and run again ends in the same state."""
    limit = SECOND_PLUGS if laid.is_large else None
    firsts = campaign.choose(len(laid.calls) + 1, share=0.5, limit=limit)
    for points in in_batches(firsts):
        with copies_of_a_run(laid, points, gusts(campaign.random)) as images:
            for first, image in images.items():
                _pull_again(laid, first, image, campaign, limit)
    campaign.end()


def _pull_again(laid: Laid, first: int, image: str, campaign: Campaign, limit: int | None) -> None:
    where = f"first {point_of(laid.calls, first)}"
    cut = laid._replace(disk=Disk(laid.disk.kind, image))
    with fresh(cut) as scratch:
        counting = CountingFilesystem()
        found = judge_copy(laid, scratch.image, laid.allowed(first), counting)
    campaign.add(where, found.problem)
    if found.problem:
        return
    recovery = cut._replace(calls=tuple(counting.calls))
    end = len(recovery.calls)

    def recover(disk: Disk, filesystem: Filesystem) -> None:
        assert recover_and_judge(disk, laid.scenario, filesystem) == found.state

    weather = campaign.random.choice([calm, gusts(campaign.random)])
    for points in in_batches(campaign.choose(end + 1, [end], limit=limit)):
        with copies_of_a_run(recovery, points, weather, perform=recover) as images:
            for second, again in images.items():
                told = f"{where}, second {point_of(recovery.calls, second)}"
                campaign.add(told, judge_copy(laid, again, laid.allowed_again(first, found.state)).problem)


def test_a_finished_run_leaves_nothing_in_the_state_directory(laid: Laid) -> None:
    """The trash, the staged files and the journal go with the transaction, not with some later recovery."""
    with fresh(laid) as disk, disk.mounted():
        run(disk, laid.scenario, CountingFilesystem())
        assert not state_entries(disk)


# ---- full disks -----------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_from_any_call_on_is_reported_and_loses_nothing(laid: Laid, campaign: Campaign) -> None:
    """I4, I9: rolled back or told otherwise; with room again, or after a plug pulled on the full disk, all is there."""
    limit = RUNS_OF_A_LARGE_SCENARIO if laid.is_large else None
    for point in campaign.choose(len(laid.calls), limit=limit):
        campaign.add(point_of(laid.calls, point), _problem(partial(_fill_at, laid, point)))
    campaign.end()


def _fill_at(laid: Laid, point: int) -> None:
    with fresh(laid) as disk:
        full = disk.image + ".full"
        try:
            with disk.mounted(laid.disk.kind.run_options):
                end = run_to_the_end(disk, laid.scenario, _at(point, lambda: fill(disk)))
                _check_end(laid, disk, end)
                disk.copy(full)
                make_room(disk)
                state = recover_and_judge(disk, end.told(laid.scenario))
            _check_promise(laid, end, state)
            with Disk(laid.disk.kind, full).mounted(laid.disk.kind.copy_options) as copy:
                _recover_a_full_disk(laid, copy, end)
                make_room(copy)
                later = recover_and_judge(copy, end.told(laid.scenario))
            _check_promise(laid, end, BEFORE if later == BEFORE_BUT_EMPTY else later)  # its removal was not synced
        finally:
            if os.path.exists(full):
                os.unlink(full)


def _recover_a_full_disk(laid: Laid, disk: Disk, end: End) -> None:
    try:
        recover_and_judge(disk, end.told(laid.scenario))
    except JournalError:
        check_that_nothing_is_lost(disk, laid.scenario)


def test_a_disk_too_full_for_the_journal_fails_the_transaction_before_anything_moved(
    workshop: Workshop, kind: Kind
) -> None:
    """I1: what cannot be announced is not done."""
    laid = workshop.laid(kind, SCENARIOS["backup_of_200"])
    with fresh(laid) as disk, disk.mounted(kind.run_options):
        end = run_to_the_end(disk, laid.scenario, _when("create", ".journal.new", lambda: fill(disk)))
        assert isinstance(end.error, TransactionFailed), end
        assert "No space left" in str(end.error)
        assert state_of(disk, laid.scenario) == BEFORE
        assert not state_entries(disk)


@pytest.mark.parametrize("moment", ["reserve", "fill"])
def test_a_disk_that_is_full_before_or_after_the_moves_has_a_record_of_what_was_moved(
    workshop: Workshop, kind: Kind, moment: str
) -> None:
    """The record's space is reserved before anything moves: without it nothing does, with it the record is written."""
    laid = workshop.laid(kind, SCENARIOS["backup"])
    with fresh(laid) as disk, disk.mounted(kind.run_options):
        end = run_to_the_end(disk, laid.scenario, _when(moment, "staged-", lambda: fill(disk)))
        if moment == "fill" and kind.name != "btrfs":
            assert end.outcome is not None
            assert end.outcome.failures == []
        else:  # a full btrfs refuses to write into allocated blocks, too: then everything is undone
            _check_end(laid, disk, end)
        make_room(disk)
        expected = BEFORE if end.outcome is None else AFTER
        assert recover_and_judge(disk, end.told(laid.scenario)) == expected


def test_a_disk_too_full_for_the_copy_of_a_file_nobody_may_move_leaves_that_file_and_tells(
    workshop: Workshop, kind: Kind
) -> None:
    """I9, on_error="continue": a file that can be neither moved nor copied stays whole under its old name."""
    laid = workshop.laid(kind, SCENARIOS["backup"])
    kept = "file_70000.sql"
    with fresh(laid) as disk, disk.mounted(kind.run_options):
        path = os.path.join(disk.directory, kept)
        set_immutable(path, on=True)
        try:
            end = run_to_the_end(disk, laid.scenario, _when("copy", kept, lambda: fill(disk)))
        finally:
            set_immutable(path, on=False)
        check_that_nothing_is_lost(disk, laid.scenario)
        assert tree_of(disk.directory)[kept] == laid.scenario.before[kept]
        _check_end(laid, disk, end)
        make_room(disk)
        state = recover_and_judge(disk, end.told(laid.scenario))
        if end.outcome is None:
            assert isinstance(end.error, JournalError)
            assert state == BEFORE
        else:
            told = {result.source: result.failure for result in end.outcome.failures}
            failure = told[kept]
            assert failure is not None
            assert not failure.copied
            assert state == AFTER


def test_a_disk_too_full_for_the_new_files_leaves_the_old_ones_in_place(workshop: Workshop, kind: Kind) -> None:
    """I2: new files are written beside the directory, so a write that fails touches no old one."""
    laid = workshop.laid(kind, SCENARIOS["publish"])
    with fresh(laid) as disk, disk.mounted(kind.run_options):
        end = run_to_the_end(disk, laid.scenario, _when("create", "c.json", lambda: fill(disk)))
        assert isinstance(end.error, OSError)
        assert state_of(disk, laid.scenario) == BEFORE


# ---- disks that refuse every write ----------------------------------------------------------------------------


def test_a_disk_made_read_only_at_any_call_is_reported_and_gives_everything_back_once_writable(
    laid: Laid, campaign: Campaign
) -> None:
    """I9: an undo that fails deletes nothing; journal and files stay until recovery can write."""
    limit = RUNS_OF_A_LARGE_SCENARIO if laid.is_large else None
    unlocked = counted(laid, lock_factory=LockWithoutFile)
    for point in campaign.choose(len(unlocked.calls), limit=limit):
        campaign.add(point_of(unlocked.calls, point), _problem(partial(_make_read_only_at, unlocked, point)))
    campaign.end()


def _make_read_only_at(laid: Laid, point: int) -> None:
    with fresh(laid) as disk, disk.mounted(laid.disk.kind.run_options):
        read_only = _at(point, lambda: disk.remount("ro"))
        end = run_to_the_end(disk, laid.scenario, read_only, lock_factory=LockWithoutFile)
        if point <= laid.written and end.error is None:
            raise Broken("no error was reported")
        _check_end(laid, disk, end, left_behind={BEFORE_BUT_EMPTY})
        disk.remount("rw")
        state = recover_and_judge(disk, laid.scenario)
        if state not in laid.allowed(point):
            raise Broken(f"{state!r} after {end}")


def test_an_ext4_that_found_an_error_is_reported_as_what_it_did_to_the_transaction(
    workshop: Workshop, ext4: Kind, campaign: Campaign
) -> None:
    """I8: the caller learns what became of the transaction, also where not even the lock's note can be removed."""
    laid = workshop.laid(ext4, SCENARIOS["backup"])
    for point in campaign.choose(len(laid.calls), [laid.written, laid.committed, laid.committed + 1]):
        campaign.add(point_of(laid.calls, point), _problem(partial(_stop_writing_at, laid, point)))
    campaign.end()


def _stop_writing_at(laid: Laid, point: int) -> None:
    with fresh(laid) as disk:
        with disk.mounted((*laid.disk.kind.run_options, "errors=remount-ro")):
            end = run_to_the_end(disk, laid.scenario, _at(point, lambda: stop_writing(disk)))
            if isinstance(end.error, OSError):
                raise Broken(f"{end.error!r} hides {end.error.__context__!r}")
            if point <= laid.written and end.error is None:
                raise Broken("no error was reported")
            if point == laid.committed and not isinstance(end.error, OutcomeUnknown):
                raise Broken(f"{end} although the commit record may not be durable")
            if point > laid.committed and end.error is not None:
                raise Broken(f"{end.error!r} although all was done and durable")
            check_that_nothing_is_lost(disk, laid.scenario)
        with disk.mounted():
            state = recover_and_judge(disk, laid.scenario)
        if state not in laid.allowed(point):
            raise Broken(f"{state!r} after {end}")


# ---- what these tests share -----------------------------------------------------------------------------------


def _at(number: int, act: Callable[[], None]) -> CountingFilesystem:
    """A file system to which something happens just before a call."""
    return CountingFilesystem(lambda made, call: act() if made == number else None)


def _when(verb: str, name: str, act: Callable[[], None]) -> CountingFilesystem:
    """A file system to which something happens just before the first call of this kind."""
    waiting = [act]

    def before(number: int, call: Call) -> None:
        if waiting and call.verb == verb and name in call.name:
            waiting.pop()()

    return CountingFilesystem(before)


def _problem(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except Unavailable as missing:
        pytest.skip(str(missing))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        return f"{type(error).__name__}: {error}"
    return ""


def _check_end(laid: Laid, disk: Disk, end: End, left_behind: frozenset[str] | set[str] = frozenset()) -> None:
    """What the caller was told is so, now, with the disk still as bad as it is."""
    if end.outcome is None:
        check_that_nothing_is_lost(disk, laid.scenario)
    if isinstance(end.error, OSError) and laid.scenario.name.startswith("backup"):
        raise Broken(f"an error that is none of the package's: {end.error!r}") from end.error
    if isinstance(end.error, TransactionFailed):
        try:
            state = state_of(disk, laid.scenario)
        except Broken as broken:
            raise Broken(f"told that it was rolled back, but {broken}; told: {end.error}") from end.error
        if state not in {BEFORE, *left_behind}:
            raise Broken(f"told that it was rolled back, but the state is {state!r}; told: {end.error}")
    if end.outcome is not None:
        state = state_of(disk, end.told(laid.scenario))
        if state != AFTER:
            raise Broken(f"told that it was done, but the state is {state!r}")


def _check_promise(laid: Laid, end: End, state: str) -> None:
    """What the caller was told is so after recovery."""
    if isinstance(end.error, TransactionFailed) and state != BEFORE:
        raise Broken(f"told that it was rolled back, after recovery {state!r}")
    if end.outcome is not None and state != AFTER:
        raise Broken(f"told that it was done, after recovery {state!r}")
    if state not in (BEFORE, AFTER):
        raise Broken(state)


# ---- controls: the rig sees what it is there to see -----------------------------------------------------------


def _is_journal(call: Call) -> bool:
    return call.verb == "sync_file" and ".journal" in call.name


def _end_of_a_run(laid: Laid, ignores: Callable[[int, Call], bool]) -> str:
    """What is found wrong after a plug pulled when a run that lacks these calls has committed."""
    point = laid.committed + 1
    with copies_of_a_run(laid, [point], ignores=ignores) as images:
        return judge_copy(laid, images[point], laid.allowed(point)).problem


def test_the_rig_counts_every_verb_that_changes_something() -> None:
    """A verb that the plug does not know would have no crash point."""
    assert {verb for verb in vars(Filesystem) if not verb.startswith("_")} == LOOKING | CHANGING


def test_control_without_any_sync_a_committed_backup_is_gone(workshop: Workshop, kind: Kind) -> None:
    """The image holds nothing that was not synced: a page cache that leaked into it would make every test pass."""
    laid = workshop.laid(kind, SCENARIOS["backup_of_200"])
    problem = _end_of_a_run(laid, lambda number, call: call.verb.startswith("sync"))
    assert problem == f"{BEFORE!r}, promised was {AFTER}"


def test_control_without_the_sync_of_staged_files_they_are_empty(workshop: Workshop, kind: Kind) -> None:
    """Names and content are durable apart: the sync of each staged file is needed everywhere."""
    laid = workshop.laid(kind, SCENARIOS["publish"])
    problem = _end_of_a_run(laid, lambda number, call: call.verb == "sync_file" and not _is_journal(call))
    assert "c.json (0 bytes)" in problem


def test_control_with_only_the_journal_file_synced_btrfs_keeps_no_move_though_it_is_committed(
    workshop: Workshop, btrfs: Kind
) -> None:
    """Syncing the journal keeps all names on ext4 and xfs, whose own journals are global, and none on btrfs."""
    laid = workshop.laid(btrfs, SCENARIOS["backup_of_200"])
    problem = _end_of_a_run(laid, lambda number, call: call.verb.startswith("sync") and not _is_journal(call))
    assert problem == f"{BEFORE!r}, promised was {AFTER}"


# ---- copies ---------------------------------------------------------------------------------------------------

SPARSE_BYTES = 10 << 30


def _middle(path: str) -> tuple[int, bytes]:
    """The size of a file and a MiB of it: reading all of 10 GiB of hole takes a minute."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size // 2)
        return size, file.read(MEBIBYTE)


def _unmovable(workshop: Workshop, kind: Kind, make: Callable[[str, int], None]) -> tuple[Outcome, int, int, int]:
    """Back up a directory with a file that nobody may move; the outcome, and the bytes free before, after, and asked.

    `make` writes the file, given its path and the free space.
    """
    with fresh(Laid(workshop.empty(kind), SCENARIOS["backup"], ())) as disk, disk.mounted():
        os.mkdir(disk.directory)
        path = os.path.join(disk.directory, "unmovable")
        with lock_directory(disk.directory, label="set up"):
            pass
        make(path, shutil.disk_usage(disk.root).free)
        os.sync()
        set_immutable(path, on=True)
        try:
            before = shutil.disk_usage(disk.root)
            with lock_directory(disk.directory, label="test") as locked:
                transaction = locked.transaction("backup", on_error="continue")
                transaction.move("unmovable", transaction.make_directory(BACKUP), copy_on_failure=True)
                outcome = transaction.commit()
            os.sync()
            copy = os.path.join(disk.directory, BACKUP, "unmovable")
            (result,) = outcome.failures
            assert result.failure is not None
            assert result.failure.copied == os.path.exists(copy)
            if result.failure.copied:
                assert _middle(copy) == _middle(path)
            assert not state_entries(disk)
            return outcome, before.total, before.free, shutil.disk_usage(disk.root).free
        finally:
            set_immutable(path, on=False)


def test_sparse_file_that_nobody_may_move_is_copied_with_its_holes(workshop: Workshop, kind: Kind) -> None:
    """10 GiB of hole on a disk of some MiB: the copy takes the space of its data."""

    def make(path: str, free: int) -> None:
        with open(path, "wb") as file:
            file.truncate(SPARSE_BYTES)
            file.seek(SPARSE_BYTES // 2)
            file.write(b"middle")

    outcome, _, before, after = _unmovable(workshop, kind, make)

    (result,) = outcome.failures
    assert result.failure is not None
    assert result.failure.copied
    assert before - after < MEBIBYTE


def test_large_file_that_nobody_may_move_shares_its_blocks_or_stays_alone(workshop: Workshop, kind: Kind) -> None:
    """More than half of the disk: where blocks can be shared the copy takes none, elsewhere the reserve stays free."""

    def make(path: str, free: int) -> None:
        with open(path, "wb") as file:
            file.writelines([os.urandom(MEBIBYTE)] * (free * 6 // 10 // MEBIBYTE))

    outcome, total, before, after = _unmovable(workshop, kind, make)

    (result,) = outcome.failures
    assert result.failure is not None
    assert result.failure.copied == (kind.name != "ext4")
    assert before - after < total // 20
