"""Break the package one guarantee at a time and see which test notices: `python -m tests.mutants [WORD ...]`.

A mutant that survives means that a guarantee is written down but not tested: exit code 1.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TESTS = ("tests/crash", "tests/journal")
BACKUP_TESTS = tuple(
    f"tests/data_pipeline/test_{name}.py" for name in ("backup_deletion", "backup_verification", "retention")
)
TIMEOUT_SECONDS = 300


class Edit(NamedTuple):
    """Replace `old`, which stands exactly once in the module, by `new`.

    A module without a folder is one of `journal`.
    """

    module: str
    old: str
    new: str

    @property
    def path(self) -> str:
        """The file, from the root of the project."""
        return f"{self.module if '/' in self.module else f'journal/{self.module}'}.py"


class Mutant(NamedTuple):
    """What is broken, how, and which tests are asked first."""

    name: str
    edits: tuple[Edit, ...]
    ask: str = "crash/test_power_loss.py"


def broken(name: str, module: str, old: str, new: str, *, ask: str = "crash/test_power_loss.py") -> Mutant:
    """A mutant of one edit."""
    return Mutant(name, (Edit(module, old, new),), ask)


RENAME_JOURNAL = (
    "        self._filesystem.replace(self._state, new, self._state, self._journal_name)  # a private name\n"
)
SYNC_NEW_NAMES = """\
        for folder in sorted({move.destination for move in arrived} | {move.destination for move in renamed}):
            self.sync(folder)  # I4: the new names are durable before an old one goes
"""
BATCHES = "data_pipeline/tasks/backup/batches"
DELETE = "data_pipeline/tasks/backup/delete"
PRUNING = "data_pipeline/tasks/backup/pruning"
VECTOR_DELETE = "data_pipeline/vectors/backup/delete"
CHECKSUMS = "data_pipeline/tasks/backup/checksums"
VERIFY = "data_pipeline/tasks/backup/verify"
RETENTION = "data_pipeline/config/retention"
REMOVE = "        failed += self._remove_old_names(arrived)\n"

MUTANTS = (
    Mutant(
        "moves before it announces",
        (
            Edit("commit", RENAME_JOURNAL + "        self._carrier.sync(STATE)\n", ""),
            Edit(
                "commit",
                '        """Append `committed`; it counts once it is durable."""\n',
                "        new = self._declaration.id + names.NEW\n" + RENAME_JOURNAL,
            ),
        ),
    ),
    Mutant(
        "unlinks before it syncs",
        (
            Edit("moves", SYNC_NEW_NAMES, ""),
            Edit("moves", REMOVE, REMOVE + SYNC_NEW_NAMES),
        ),
    ),
    broken(
        "forgets the journal though an undo failed",
        "recovery",
        "        if failed or errors:\n",
        "        if False:\n",
        ask="crash/test_faults.py",
    ),
    broken(
        "removes the journal before it undoes",
        "recovery",
        "            journal = self._read()\n            if journal.terminal",
        "            journal = self._read()\n"
        "            self._filesystem.unlink(self._state, self._name)\n"
        "            if journal.terminal",
        ask="crash/test_kill.py",
    ),
    broken(
        "undoes oldest first",
        "playback",
        "range(len(operations) - 1, -1, -1)",
        "range(len(operations))",
        ask="journal/test_playback.py",
    ),
    broken(
        "plans without an updated view",
        "playback",
        "            sources[move.source_name] = occupant\n            del destinations[move.destination_name]\n",
        "            pass\n",
        ask="journal/test_playback.py",
    ),
    broken(
        "identity is the type alone",
        "values",
        "return self.inode == other.inode and self.type == other.type",
        "return self.type == other.type",
        ask="journal/test_playback.py",
    ),
    broken(
        "unlinks without a look",
        "parking",
        "        if removed is not None and removed.is_same(expected):\n",
        "        if removed is not None:\n",
        ask="crash/test_strangers.py",
    ),
    broken(
        "renames over what is there",
        "filesystem",
        "        self._exclusive_rename(source, name, target, new_name)\n",
        "        os.rename(source.at(name), target.at(new_name), src_dir_fd=source.fd, dst_dir_fd=target.fd)\n",
        ask="journal/test_filesystem.py",
    ),
    broken(
        "fills the disk with a copy",
        "copying",
        "        if total and needed_bytes > free - reserved:",
        "        if False:",
        ask="journal/test_copying.py",
    ),
    broken(
        "looks at the free space only once",
        "copying",
        "        self._check(max(count_bytes, self._needed_bytes))\n",
        "",
        ask="journal/test_copying.py",
    ),
    broken(
        "leaves a part of a copy",
        "filesystem",
        "                    self.unlink(target, new_name)\n",
        "                    pass\n",
        ask="journal/test_copying.py",
    ),
    broken(
        "opens what is no regular file",
        "filesystem",
        "        if not stat.S_ISREG(os.fstat(fd).st_mode):\n            raise _not_regular(path)\n    except",
        "        pass\n    except",
        ask="journal/test_every_errno.py",
    ),
    broken(
        "trusts that the right file was linked",
        "moves",
        "        failed += self._refuse_strangers(arrived, renamed)\n",
        "",
        ask="journal/test_transaction.py",
    ),
    broken(
        "does not roll back on interrupts",
        "commit",
        "        except BaseException as error:",
        "        except Exception as error:",
        ask="crash/test_faults.py",
    ),
    broken(
        "believes a commit record whose sync failed",
        "recovery",
        "            self._filesystem.write_at(self._state, self._name, offset, line, truncate=False)\n",
        "            pass\n",
        ask="crash/test_faults.py",
    ),
    broken(
        "appends to a torn record",
        "state_files",
        "encode_terminal(terminal), truncate=True)",
        "encode_terminal(terminal), truncate=False)",
        ask="journal/test_recovery.py",
    ),
    broken(
        "does not check what was prepared",
        "records",
        '    if prepared.checksum != f"{checksum:08x}":\n',
        "    if False:\n",
        ask="journal/test_records.py",
    ),
    broken(
        "sweeps the trash of a journal that was set aside",
        "state_files",
        "    owners = {journal.transaction for journal in _journals_among(entries)}\n",
        "    owners: set[str] = set()\n",
        ask="crash/test_strangers.py",
    ),
    broken(
        "discards edited publications",
        "playback",
        "    if destination_is_a and _was_changed(move, destination):\n",
        "    if False:\n",
        ask="journal/test_playback.py",
    ),
    broken(
        "removes a stranger's record",
        "recovery",
        " or self._transaction.encode() in self._filesystem.read(directory, name):\n",
        " or True:\n",
        ask="journal/test_recovery.py",
    ),
    broken(
        "removes whatever stands where a copy may be",
        "judging",
        " and _is_prefix_of_source(self.filesystem, folders, move))\n",
        ")\n",
        ask="journal/test_recovery.py",
    ),
    broken(
        "starts over an incomplete rollback",
        "transaction",
        "        recover(self._filesystem, self._path, self._state, self._rounds)\n",
        "",
        ask="journal/test_directory.py",
    ),
    broken(
        "works without the lock",
        "directory",
        "        self._locked._check_held()\n",
        "",
        ask="journal/test_directory.py",
    ),
    broken("no sync of the journal file", "commit", "        self._filesystem.sync_file(self._state, new)\n", ""),
    broken(
        "no sync of the state directory",
        "commit",
        RENAME_JOURNAL + "        self._carrier.sync(STATE)\n",
        RENAME_JOURNAL,
    ),
    broken(
        "no sync of the directory that got a backup directory",
        "commit",
        "            self._carrier.sync(DIRECTORY)\n",
        "            pass\n",
    ),
    broken("no sync of the new names", "moves", SYNC_NEW_NAMES, ""),
    broken(
        "no sync of the record",
        "commit",
        "        self._filesystem.fill(self._state, staged, content)\n"
        "        self._filesystem.sync_file(self._state, staged)\n",
        "        self._filesystem.fill(self._state, staged, content)\n",
    ),
    broken(
        "no sync of a copy",
        "commit",
        "            self._filesystem.sync_file(self._state, staged)\n        except OSError as error:\n",
        "            pass\n        except OSError as error:\n",
    ),
    broken(
        "no last sync of the directories",
        "commit",
        "                self._carrier.sync(folder)  # the caller's",
        "                pass  # the caller's",
    ),
    broken(
        "no sync of the commit record",
        "commit",
        "            self._filesystem.sync_file(self._state, self._journal_name)\n",
        "            pass\n",
    ),
    broken(
        "no sync of staged content",
        "commit",
        "                    self._filesystem.sync_file(directory, name)\n",
        "",
    ),
    broken(
        "no sync on the way to the state directory",
        "directory",
        "        _sync_upwards(filesystem, state)\n",
        "        pass\n",
    ),
    broken(
        "recovery does not sync the journal it found",
        "recovery",
        "        self._filesystem.sync_file(self._state, self._name)\n"
        "        self._filesystem.sync_directory(self._state)\n        try:",
        "        self._filesystem.sync_directory(self._state)\n        try:",
        ask="crash/test_faults.py",
    ),
    broken(
        "recovery does not sync the state directory it found",
        "recovery",
        "        self._filesystem.sync_directory(self._state)\n        try:",
        "        try:",
        ask="crash/test_faults.py",
    ),
    broken(
        "recovery does not sync every announced directory",
        "recovery",
        "            carrier.sync(folder)  # I10",
        "            pass  # I10",
        ask="crash/test_faults.py",
    ),
    broken(
        "recovery does not sync what it removed",
        "recovery",
        "        for folder in sorted(carrier.unsynced - {STATE}):\n            carrier.sync(folder)\n",
        "",
        ask="crash/test_faults.py",
    ),
    broken(
        "recovery does not sync `rolled_back`",
        "recovery",
        "journal.length_bytes, terminal)\n                self._filesystem.sync_file(self._state, self._name)\n",
        "journal.length_bytes, terminal)\n",
        ask="crash/test_faults.py",
    ),
    broken(
        "recovery does not sync a terminal record it found",
        "recovery",
        "line, truncate=False)\n            self._filesystem.sync_file(self._state, self._name)\n",
        "line, truncate=False)\n",
        ask="crash/test_faults.py",
    ),
    broken(
        "a journal is set aside without a sync",
        "recovery",
        "        filesystem.sync_directory(state)\n        filesystem.unlink(state, name)\n",
        "        filesystem.unlink(state, name)\n",
        ask="crash/test_faults.py",
    ),
    broken(
        "looks at a name, then unlinks it",
        "moves",
        "        return self._parking.remove(self._folders[folder], name, expected)\n",
        "        found = self._filesystem.look(self._folders[folder], name)\n"
        "        if found is None or not found.is_same(expected):\n"
        "            return None\n"
        "        self._filesystem.unlink(self._folders[folder], name)\n"
        "        return found\n",
        ask="crash/test_strangers.py",
    ),
    broken(
        "keeps a stranger's file in the parking place",
        "parking",
        "            return removed\n        self._give_back(directory, name)\n",
        "            return removed\n",
        ask="crash/test_strangers.py",
    ),
    broken(
        "gives a file back over the name",
        "parking",
        "self._filesystem.rename(self._state, self._place, directory, new_name)\n",
        "self._filesystem.replace(self._state, self._place, directory, new_name)\n",
        ask="crash/test_strangers.py",
    ),
    broken(
        "keeps a file whose look failed in the parking place",
        "parking",
        "        except OSError as error:\n            self._give_back(directory, name)\n",
        "        except OSError as error:\n",
        ask="journal/test_parking.py",
    ),
    broken(
        "believes that a rename that reported an error was not made",
        "parking",
        "            if not self._has_arrived():\n                raise\n",
        "            raise\n",
        ask="journal/test_parking.py",
    ),
    broken(
        "forgets that a rename between two links to one file does nothing",
        "parking",
        "        if self._parked is not None and self._parked.is_same(expected):\n",
        "        if False:\n",
        ask="journal/test_parking.py",
    ),
    broken(
        "drops a parked file that has no other name",
        "judging",
        "                (redundant if is_spare else only).append(name)\n",
        "                redundant.append(name)\n",
        ask="crash/test_strangers.py",
    ),
    broken(
        "keeps a parked file that has another name",
        "judging",
        "                (redundant if is_spare else only).append(name)\n",
        "                only.append(name)\n",
        ask="crash/test_kill.py",
    ),
    broken(
        "commits without a record",
        "commit",
        "            self._write_files()\n",
        "",
        ask="crash/test_kill.py",
    ),
    broken(
        "reserves nothing",
        "commit",
        "max(file.size_bytes, len(placeholder)))",
        "len(placeholder))",
        ask="journal/test_transaction.py",
    ),
    broken(
        "fills the record through its public name",
        "commit",
        "        self._filesystem.fill(self._state, staged, content)\n"
        "        self._filesystem.sync_file(self._state, staged)\n",
        "        self._filesystem.fill(folder, file.name, content)\n"
        "        self._filesystem.sync_file(folder, file.name)\n",
        ask="journal/test_parking.py",
    ),
    broken(
        "does not see that its record's name was taken",
        "commit",
        "        if public is None or reserved is None or not public.is_same(reserved):\n",
        "        if False:\n",
        ask="journal/test_transaction.py",
    ),
    broken(
        "trusts links whose inode numbers differ",
        "directory",
        "    return first is not None and second is not None and first.is_same(second)\n",
        "    return True\n",
        ask="journal/test_names_only.py",
    ),
    broken(
        "never looks again what a disk can do",
        "directory",
        "        if ready is None or ready.area != area:\n",
        "        if ready is None:\n",
        ask="journal/test_directory.py",
    ),
    broken(
        "rolls a copied home back without proof",
        "judging",
        "            if not judged.is_proven or (judged.missing and not is_known_copy):\n                raise\n",
        "",
        ask="journal/test_copied_home.py",
    ),
    broken(
        "reports a move without seeing the old name gone",
        "moves",
        "        failed += self._refuse_unmoved([*arrived, *renamed], {id(move) for move, _ in failed})\n",
        "",
        ask="journal/test_parking.py",
    ),
    broken(
        "calls an error after the commit a failure",
        "commit",
        '            self._leftovers += (f"{self._journal_name}: {error}",)\n',
        "            raise\n",
        ask="journal/test_descriptor_limit.py",
    ),
    broken(
        "leaves a directory that it made and could not open",
        "commit",
        "                self._filesystem.remove_directory(parent, directory.name)  # no journal",
        "                pass  # no journal",
        ask="journal/test_transaction.py",
    ),
    broken(
        "follows a symbolic link to a directory",
        "filesystem",
        "os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)",
        "os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent_fd)",
        ask="journal/test_directory.py",
    ),
    broken(
        "keeps the state beside a mount point",
        "directory",
        " or is_mount_point(real_path):\n",
        ":\n",
        ask="journal/test_mount_point.py",
    ),
    broken(
        "does not see a mount under the state directory",
        "directory",
        "        if filesystem.mount(state) != area:\n",
        "        if False:\n",
        ask="journal/test_directory.py",
    ),
    broken(
        "takes no parking place before anything moves",
        "commit",
        'any(move.type != "directory" for move in self._moves)',
        "False",
        ask="journal/test_parking.py",
    ),
    broken(
        "does not look whether a few old names are gone",
        "filesystem",
        "    return {name: identity.inode for name, identity in observe(filesystem, directory, names)}\n",
        "    return {}\n",
        ask="journal/test_parking.py",
    ),
    broken(
        "does not scan whether many old names are gone",
        "filesystem",
        "        return dict(filesystem.scan_inodes(directory))\n",
        "        return {}\n",
        ask="journal/test_parking.py",
    ),
    broken(
        "takes a staged file whose name was not durable yet for a loss",
        "judging",
        'move.destination in missing and move.source.root == "directory"\n',
        "move.destination in missing\n",
    ),
    broken(
        "deletes a backup of unknown outcome",
        DELETE,
        "    if record.note is not None or (is_ours and not record.is_of_commit) or record.transaction in unsettled:\n",
        "    if False:\n",
        ask="data_pipeline/test_backup_deletion.py",
    ),
    broken(
        "deletes a backup without some of its files",
        DELETE,
        "    if record.failed_files:\n",
        "    if False:\n",
        ask="data_pipeline/test_backup_deletion.py",
    ),
    broken(
        "deletes the newest backup by its name alone",
        PRUNING,
        "        reason = NEWEST if backup.name == newest else backup.guard\n",
        "        reason = backup.guard\n",
        ask="data_pipeline/test_backup_deletion.py",
    ),
    broken(
        "deletes by name without a look at the guards",
        DELETE,
        "    planned = plan_deletion(workspace.path, names, is_forced=is_forced)\n",
        "    planned = plan_deletion(workspace.path, names, is_forced=True)\n",
        ask="data_pipeline/test_backup_deletion.py",
    ),
    broken(
        "deletes a backup and its manifests in two transactions",
        DELETE,
        "        workspace.delete(names, label",
        "        for folder in names:\n            workspace.delete({folder: names[folder]}, label",
        ask="data_pipeline/test_backup_deletion.py",
    ),
    broken(
        "deletes each backup in a transaction of its own",
        DELETE,
        "BATCH_SIZE: Final = 20\n",
        "BATCH_SIZE: Final = 1\n",
        ask="data_pipeline/test_backup_deletion.py",
    ),
    broken(
        "reports a deletion before it is committed",
        BATCHES,
        "    deletion.commit([",
        '    deletion.log.info("%s was deleted", batch[0].backup)\n    deletion.commit([',
        ask="data_pipeline/test_backup_deletion.py",
    ),
    broken(
        "ends a prune at the first backup that cannot go",
        BATCHES,
        "    except PipelineError as error:\n        if isinstance",
        "    except ZeroDivisionError as error:\n        if isinstance",
        ask="data_pipeline/test_backup_deletion.py",
    ),
    broken(
        "lets one backup that cannot go keep its whole batch",
        BATCHES,
        "        if isinstance(error, DeletionFailed) and len(batch) > 1:\n",
        "        if False:\n",
        ask="data_pipeline/test_backup_deletion.py",
    ),
    broken(
        "tries the backups of an unknown outcome again",
        BATCHES,
        "        if isinstance(error, DeletionFailed) and len(batch) > 1:\n",
        "        if len(batch) > 1:\n",
        ask="data_pipeline/test_backup_deletion.py",
    ),
    broken(
        "takes an unknown outcome of a deletion for a failure",
        BATCHES,
        '        action: Action = "unknown" if isinstance(error, OutcomeUnsettled) else "failed"\n',
        '        action: Action = "failed"\n',
        ask="data_pipeline/test_backup_deletion.py",
    ),
    broken(
        "deletes a vector backup whose restore began after the plan",
        VECTOR_DELETE,
        "        with kept_from_restores(place, timestamp):\n",
        "        if True:\n",
        ask="data_pipeline/test_vector_backup_deletion.py",
    ),
    broken(
        "prunes guarded backups",
        RETENTION,
        "        if candidate.guard is not None and not is_forced:\n",
        "        if False:\n",
        ask="data_pipeline/test_retention.py",
    ),
    broken(
        "lets the oldest backup go while a count is not used up",
        RETENTION,
        "        if period == self.last and not is_oldest:\n",
        "        if period == self.last:\n",
        ask="data_pipeline/test_retention.py",
    ),
    broken(
        "lets the newest backup go for the total",
        RETENTION,
        "    for number in range(len(verdicts) - 1, 0, -1):",
        "    for number in range(len(verdicts) - 1, -1, -1):",
        ask="data_pipeline/test_retention.py",
    ),
    broken(
        "compares sizes instead of checksums",
        VERIFY,
        "        if current != recorded:\n",
        "        if found.size_bytes != recorded.size_bytes:\n",
        ask="data_pipeline/test_backup_verification.py",
    ),
    broken(
        "records the checksums of a damaged backup",
        VERIFY,
        '    if report.state != "good" or report.checksums_recorded_at is not None:\n',
        "    if report.checksums_recorded_at is not None:\n",
        ask="data_pipeline/test_backup_verification.py",
    ),
    broken(
        "records checksums for another backup that took the name",
        CHECKSUMS,
        "        if maker_of(find_backup(path, name).record) != manifest.maker:\n",
        "        if False:\n",
        ask="data_pipeline/test_backup_verification.py",
    ),
    broken(
        "trusts the checksums of an earlier backup of the name",
        "data_pipeline/tasks/backup/manifests",
        "        return manifest if manifest.maker == maker_of(record) else None\n",
        "        return manifest\n",
        ask="data_pipeline/test_backup_verification.py",
    ),
)


def first_failure(mutant: Mutant) -> str | None:
    """The first test that fails on the mutant, None when all pass."""
    with tempfile.TemporaryDirectory() as folder:
        for part in ("journal", "data_pipeline", "tests", "docs", "pyproject.toml"):
            source = ROOT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, Path(folder, part))
        for edit in mutant.edits:
            path = Path(folder, edit.path)
            text = path.read_text(encoding="utf-8")
            if text.count(edit.old) != 1:
                raise SystemExit(f"mutant {mutant.name!r}: its line stands {text.count(edit.old)} times in {edit.path}")
            path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
        others = TESTS if all(edit.path.startswith("journal/") for edit in mutant.edits) else BACKUP_TESTS
        return failure_in(folder, f"tests/{mutant.ask}") or failure_in(folder, *others)


def failure_in(folder: str, *tests: str) -> str | None:
    """The first of the tests that fails in this copy of the project, None when all pass."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *tests, "-x", "-q", "-n0", "-p", "no:randomly", "-p", "no:cacheprovider"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder, "JOURNAL_KILLS": "2", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"{' '.join(tests)} hangs"
    if done.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return failed[1] if failed else done.stdout[-2000:] + done.stderr[-2000:]


def main(words: Sequence[str]) -> int:
    """Run the mutants whose name contains one of the words (default: all)."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, caught_by in zip(chosen, pool.map(first_failure, chosen), strict=True):
            print(f"{mutant.name}: {caught_by or 'SURVIVED'}", flush=True)
            survivors += caught_by is None
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
