"""Every errno at every call: reported as an error of the package, and nothing is lost."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable
from functools import partial

import pytest

from journal import JournalError, OutcomeUnknown, RollbackIncomplete, TransactionFailed
from journal.filesystem import Filesystem
from journal.names import PROBE
from tests.crash.campaign import fail_at, files_before, list_calls, recover, run_until, sample
from tests.support.model_filesystem import Hook, ModelFilesystem
from tests.support.scenarios import BACKUP, PUBLISH, SCENARIOS, Scenario, assert_nothing_lost, files_of, lock, verdict

ERRNOS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EBUSY, errno.EROFS, errno.EMLINK)


def error_of(act: Callable[[], object]) -> BaseException | None:
    """Return the exception of `act`; a bare OSError from inside a commit or a recovery is a failure."""
    try:
        act()
    except JournalError as error:
        return error
    except OSError as error:
        frames = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        assert not frames & {"commit", "recover"}, "an OSError came out of the package as it was"
        return error
    return None


def from_call(call: int, error: int) -> Hook:
    """Let every changing call from that one on fail, as on a disk that was removed."""

    def hook(number: int, verb: str, name: str) -> None:
        if number >= call:
            raise OSError(error, "gone", name)

    return hook


@pytest.mark.parametrize("error", ERRNOS, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_one_failing_call_is_reported_or_overcome_and_nothing_is_lost(scenario: Scenario, error: int) -> None:
    """I8, I9: after any single failure the disk is as before, or as after, or the failed file is where it was."""
    originals = files_before(scenario)
    for call in range(len(list_calls(scenario))):
        disk = scenario.disk()
        disk.on_call = fail_at(call, error)
        raised = error_of(partial(scenario.run, disk))
        disk.revive()
        if raised is not None and not isinstance(raised, (OutcomeUnknown, RollbackIncomplete)):
            changed = {name: content for name, content in files_of(disk).items() if name != PROBE}
            assert changed == originals, f"call {call}: {raised} left a change"
        recover(disk)

        if raised is None and scenario.name.startswith("backup"):
            assert_nothing_lost(originals, disk)
        elif raised is None:
            assert verdict(scenario, originals, disk) == "after"
        else:
            assert verdict(scenario, originals, disk) in ("before", "after")


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_disk_that_fails_from_any_call_on_loses_nothing_and_is_recovered_when_it_is_back(
    scenario: Scenario, error: int
) -> None:
    """I9: a rollback that fails keeps everything, and is repeated later."""
    originals = files_before(scenario)
    for call in range(len(list_calls(scenario))):
        disk = scenario.disk()
        disk.on_call = from_call(call, error)
        raised = error_of(partial(scenario.run, disk))
        disk.revive()
        assert_nothing_lost({} if raised is None or scenario.commits_in_steps else originals, disk)
        recover(disk)

        assert verdict(scenario, originals, disk) in ("before", "after")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_any_failing_call_of_a_recovery_is_reported_and_the_next_one_ends_it(scenario: Scenario) -> None:
    """I3, I9: a recovery that failed is run again, and ends in the state in which it would have ended."""
    originals = files_before(scenario)
    for call in range(len(list_calls(scenario))):
        disk = scenario.disk()
        disk.on_call = from_call(call, errno.EIO)
        error_of(partial(scenario.run, disk))
        disk.revive()
        trial = disk.clone()
        recover(trial)
        for second in sample(range(trial.calls), 6, scenario.name, call):
            again = disk.clone()
            again.on_call = fail_at(second, errno.EIO)
            error_of(partial(recover, again))
            again.revive()
            recover(again)

            assert files_of(again) == files_of(trial)
            assert verdict(scenario, originals, again) in ("before", "after")


def test_failed_sync_of_the_commit_record_leaves_the_outcome_unknown_and_the_journal_hot() -> None:
    """I8: the failed sync is neither repeated nor is the transaction undone; recovery decides."""
    call = max(number for number, name in enumerate(list_calls(BACKUP)) if name.startswith("sync_file"))
    disk = BACKUP.disk()
    disk.on_call = fail_at(call, errno.EIO)

    with pytest.raises(OutcomeUnknown, match="could not be made durable"):
        BACKUP.run(disk)

    assert any(name.endswith(".journal") for name in disk.tree("/t/.journal/D"))


@pytest.mark.parametrize("model", ["M1", "M2"])
def test_commit_record_whose_sync_failed_is_written_again_before_it_is_trusted(model: str) -> None:
    """I8: the kernel drops pages that it could not write, so a second sync proves nothing; they are written again."""
    call = max(number for number, name in enumerate(list_calls(PUBLISH)) if name.startswith("sync_file"))
    disk = PUBLISH.disk()
    disk.on_call = fail_at(call, errno.EIO)
    with pytest.raises(OutcomeUnknown):
        PUBLISH.run(disk)
    disk.revive()
    recover(disk)

    for survivor in disk.power_losses(model):
        recover(survivor)
        assert verdict(PUBLISH, files_before(PUBLISH), survivor) == "after"


@pytest.mark.parametrize("verb", ["link", "replace"])
def test_file_that_cannot_be_moved_is_reported_with_error_errno_and_attempts_and_the_others_move(verb: str) -> None:
    """The policy `continue`: one failure is reported, its file copied, every other file moved."""
    disk = BACKUP.disk()

    refused: list[int] = []

    def refuse(number: int, called: str, name: str) -> None:
        if (called, name) == (verb, "f0") and not refused:
            refused.append(number)
            raise OSError(errno.EACCES, "Permission denied", name)

    disk.on_call = refuse
    with lock(disk) as directory:
        transaction = directory.transaction("backup", on_error="continue")
        backup = transaction.make_directory("bak")
        for name in ("f0", "f1"):
            transaction.move(name, backup, copy_on_failure=True)
        outcome = transaction.commit()

    (failed,) = outcome.failures
    assert failed.failure is not None
    assert (failed.source, failed.failure.errno, failed.failure.attempts) == ("f0", errno.EACCES, 1)
    assert failed.failure.copied
    assert outcome.moved_count == 1
    files = files_of(disk)
    assert files["f0"] == files["bak/f0"] == b"content of f0"
    assert "f1" not in files


def test_file_that_keeps_both_names_is_reported() -> None:
    """Neither its old name nor its new name can be removed: nothing is lost, and the failure is reported."""
    disk = BACKUP.disk()

    def refuse(number: int, verb: str, name: str) -> None:
        if (verb, name) == ("replace", "f0"):
            raise OSError(errno.EACCES, "Permission denied", name)

    disk.on_call = refuse
    with lock(disk) as directory:
        transaction = directory.transaction("backup", on_error="continue")
        backup = transaction.make_directory("bak")
        transaction.move("f0", backup)
        transaction.move("f1", backup)
        outcome = transaction.commit()

    assert [failed.source for failed in outcome.failures] == ["f0"]
    assert files_of(disk)["f0"] == files_of(disk)["bak/f0"] == b"content of f0"


def test_busy_files_are_tried_again_in_rounds_and_moved() -> None:
    """Transient errors pass: after two busy attempts each, every file is moved and the retries are counted."""
    disk = BACKUP.disk()
    tries: dict[str, int] = {}

    def busy(number: int, verb: str, name: str) -> None:
        if verb == "link" and name.startswith("f"):
            tries[name] = tries.get(name, 0) + 1
            if tries[name] < 3:
                raise OSError(errno.EBUSY, "busy", name)

    disk.on_call = busy
    with lock(disk) as directory:
        transaction = directory.transaction("backup", on_error="continue")
        backup = transaction.make_directory("bak")
        transaction.move("f0", backup)
        transaction.move("f1", backup)
        outcome = transaction.commit()

    assert (outcome.moved_count, outcome.retries, outcome.failures) == (2, 4, [])


def test_under_the_policy_rollback_the_first_permanent_failure_undoes_everything() -> None:
    """The error has the file and the reason; every name is where it was."""
    disk = PUBLISH.disk()

    def refuse(number: int, verb: str, name: str) -> None:
        if (verb, name) == ("link", "fresh"):
            raise OSError(errno.ENOSPC, "No space left on device", name)

    disk.on_call = refuse
    with pytest.raises(TransactionFailed, match=r"fresh.*No space left"):
        PUBLISH.run(disk)

    disk.on_call = None
    assert files_of(disk) == files_before(PUBLISH)


def test_rollback_that_fails_is_reported_and_blocks_the_next_transaction() -> None:
    """I9: no transaction starts over an incomplete rollback; once the cause is fixed, recovery ends it."""
    disk = PUBLISH.disk()

    def refuse(number: int, verb: str, name: str) -> None:
        if (verb, name) == ("link", "fresh"):
            disk.on_call = from_call(number + 1, errno.EROFS)
            raise OSError(errno.ENOSPC, "No space left on device", name)

    disk.on_call = refuse
    with pytest.raises(RollbackIncomplete) as caught:
        PUBLISH.run(disk)
    assert "Read-only" in str(caught.value) or "gone" in str(caught.value)

    with lock(disk, recover_first=False) as directory, pytest.raises(RollbackIncomplete):
        _empty_transaction(directory.transaction("next"))
    disk.revive()
    recover(disk)
    assert verdict(PUBLISH, files_before(PUBLISH), disk) == "before"


def _empty_transaction(transaction: object) -> None:
    transaction.delete("f0")  # type: ignore[attr-defined]
    transaction.commit()  # type: ignore[attr-defined]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_interrupt_at_any_call_rolls_back_and_propagates(scenario: Scenario, interrupt: type[BaseException]) -> None:
    """Interrupts are neither retried nor suppressed; the live rollback leaves the state before, or after the commit."""
    originals = files_before(scenario)
    for call in range(len(list_calls(scenario))):
        disk = scenario.disk()

        def interrupt_at(number: int, verb: str, name: str, call: int = call) -> None:
            if number == call:
                raise interrupt

        disk.on_call = interrupt_at
        with pytest.raises(interrupt):
            scenario.run(disk)
        disk.on_call = None
        recover(disk)

        assert verdict(scenario, originals, disk) in ("before", "after")


def test_progress_hook_that_raises_cancels_the_transaction() -> None:
    """Cancellation comes through the progress hook; everything is as before."""
    disk = BACKUP.disk()

    class Cancelled(BaseException):
        pass

    def cancel(done: int, total: int) -> None:
        if done:
            raise Cancelled

    with lock(disk) as directory:
        transaction = directory.transaction("backup", on_error="continue")
        backup = transaction.make_directory("bak")
        transaction.move("f0", backup)
        transaction.move("f1", backup)
        with pytest.raises(Cancelled):
            transaction.commit(cancel)

    assert verdict(BACKUP, files_before(BACKUP), disk) == "before"


def _sync_calls(run: Callable[[Filesystem], None], disk: ModelFilesystem) -> int:
    run(disk)
    return disk.syncs


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("backup-1", 8),
        ("backup-2", 8),
        ("backup-2-copy", 9 + 1),
        ("publish-2", 5 + 3),
        ("publish-1-keep", 5 + 2),
        ("restore-1", 8 + 1),
        ("delete-tree", 5),
        ("prune-2", 5 + 6),
        ("manifest-first", 5 + 1),
        ("manifest-replaced", 5 + 1),
    ],
)
def test_number_of_syncs_is_constant(scenario: str, expected: int) -> None:
    """I7: 8 for a backup or a restore, 9 with copies, 4 or 5 for a publish, 5 or 6 for a deletion; 3 more at first use.

    And one for each file that is written.
    """
    chosen = next(candidate for candidate in SCENARIOS if candidate.name == scenario)

    assert _sync_calls(chosen.run, chosen.disk()) == expected + 3


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_failed_sync_of_a_recovery_is_reported(scenario: Scenario) -> None:
    """I8, I10: the error of each sync is raised, whether there is much to undo or nothing."""
    for call in range(len(list_calls(scenario))):
        dead = run_until(scenario, call)
        verbs: list[str] = []
        trial = dead.clone()
        trial.on_call = lambda number, verb, name, verbs=verbs: verbs.append(verb)
        recover(trial)
        for number, verb in enumerate(verbs):
            if verb.startswith("sync"):
                again = dead.clone()
                again.on_call = fail_at(number, errno.EIO)
                with pytest.raises(JournalError):
                    recover(again)


def test_recovery_syncs_the_journal_before_it_acts_and_its_changes_before_the_last_record() -> None:
    """I8, I10: journal, state directory; link back, sync, park; every announced directory; record; `rolled_back`."""
    disk = run_until(BACKUP, list_calls(BACKUP).index("replace f1"))
    done: list[str] = []
    disk.on_call = lambda number, verb, name: done.append(f"{verb} {name}" if len(name) < 20 else verb)
    recover(disk)

    assert done == [
        "sync_file",  # the journal
        "sync_directory D",  # the state directory
        "create",  # the parking place: it is there already, with f0, whose new name is durable
        "link f0",
        "sync_directory D",
        "replace f1",
        "replace f0",
        "sync_directory D",
        "sync_directory D",
        "sync_directory bak",
        "replace info.json",
        "remove_directory bak",
        "sync_directory D",
        "write_at",
        "write",
        "sync_file",
        "unlink",  # the parked file
        "unlink",  # the reserved file
        "unlink",
    ]


def test_journal_is_set_aside_so_that_it_has_a_durable_name_at_every_instant() -> None:
    """I4 for the journal itself: link, sync, and only then unlink."""
    disk = run_until(BACKUP, list_calls(BACKUP).index("replace f1"))
    disk.put("/t/D/f0", b"taken")
    verbs: list[str] = []
    disk.on_call = lambda number, verb, name: verbs.append(verb)
    recover(disk)

    assert verbs[-3:] == ["link", "sync_directory", "unlink"]


def test_publish_into_free_names_takes_four_syncs() -> None:
    """I7: journal, state directory, directory, journal; and one for the staged file."""
    disk = BACKUP.disk()
    with lock(disk) as directory:
        work = directory.make_state_folder("work-1")
        directory.write(work, "fresh", [b"fresh"])
        disk.syncs = 0
        transaction = directory.transaction("publish")
        transaction.publish("fresh", source=work)
        transaction.commit()

    assert disk.syncs == 4 + 1
