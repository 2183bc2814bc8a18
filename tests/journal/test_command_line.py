"""`python -m journal status|recover|verify`: output, exit codes, and files that it does not touch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from journal import LocalFilesystem, lock_directory
from journal.__main__ import DAMAGED, main
from journal.filesystem import Directory
from tests.journal.test_directory import leave_hot_journal
from tests.support.backup import make_files, names_in

ROOT = Path(__file__).parents[2]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "task"
    make_files(path, "a", "b")
    return path


def journal_of(task: Path) -> Path:
    (found,) = (task.parent / ".journal" / task.name).glob("*.journal")
    return found


def test_directory_that_was_never_locked_is_clean_and_stays_untouched(
    task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0; an inspection creates no state directory."""
    for command in ("status", "recover", "verify"):
        assert main([command, str(task)]) == 0
        assert capsys.readouterr().out == f"{task}: clean\n"
    assert names_in(task.parent) == ["task"]


def test_status_of_a_hot_journal_reports_the_effect_of_a_recovery(
    task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4: a transaction is half done, and stays so."""
    leave_hot_journal(task)

    assert main(["status", str(task)]) == 4
    out = capsys.readouterr().out
    assert f"{task}: work" in out
    assert "rolled_back" in out
    assert "2 moved back" in out
    assert names_in(task) == ["bak"]


def test_recover_does_it_and_then_everything_is_clean(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, as `data-pipeline recover`: everything is recovered."""
    leave_hot_journal(task)

    assert main(["recover", str(task)]) == 0
    out = capsys.readouterr().out
    assert f"{task}: recovered" in out
    assert "2 moved back" in out
    assert names_in(task) == ["a", "b"]
    assert main(["recover", str(task)]) == 0
    assert main(["status", str(task)]) == 0


def test_held_directory_is_busy_and_its_holder_named(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 75, with the holder's process, host, time and label."""
    with lock_directory(task, label="run 7"):
        assert main(["status", str(task)]) == 75
        assert main(["recover", str(task)]) == 75

    out = capsys.readouterr().out
    assert out.count(f"held by 'run 7' (process {os.getpid()} on ") == 3


def test_damaged_journal_is_explained_line_by_line(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, before and after it was set aside: an operator must look."""
    leave_hot_journal(task)
    journal = journal_of(task)
    lines = journal.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b'"inode":', b'"inode":1')
    journal.write_bytes(b"\n".join(lines))

    assert main(["status", str(task)]) == 3
    assert "line 3: the checksum does not match the line" in capsys.readouterr().out
    assert main(["verify", str(task)]) == 3
    assert "line 3: the checksum does not match the line" in capsys.readouterr().out
    assert journal.exists()
    assert main(["recover", str(task)]) == 3
    assert ".damaged" in capsys.readouterr().out
    assert main(["status", str(task)]) == 3
    assert main(["verify", str(task)]) == 3


def test_status_of_unfinished_and_ended_journals_reports_that_only_files_are_removed(
    task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A journal that was being written is discarded, a journal with its last record is only removed."""
    from journal.records import RolledBack, encode_terminal

    leave_hot_journal(task)
    journal = journal_of(task)
    unfinished = journal.with_name("20260101T000000000000-00000000.journal.new")
    unfinished.write_bytes(b"torn")
    journal.write_bytes(journal.read_bytes() + encode_terminal(RolledBack(conflicts=())))

    assert main(["verify", str(task)]) == 4, "what a crash leaves is no damage"
    capsys.readouterr()
    assert main(["status", str(task)]) == 4
    out = capsys.readouterr().out
    assert "discarded" in out
    assert "rolled_back" in out
    assert "moved back" not in out


def test_verify_of_an_intact_hot_journal_counts_its_lines(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 4: not damaged, but hot."""
    leave_hot_journal(task)

    assert main(["verify", str(task)]) == 4
    assert "5 lines, 0 of them damaged" in capsys.readouterr().out


def test_conflict_is_printed_with_its_reason_and_the_kept_journal(
    task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3: a file has taken an old name; both files are there."""
    leave_hot_journal(task)
    make_files(task, "a")

    assert main(["status", str(task)]) == 4
    assert "conflict" in capsys.readouterr().out
    assert main(["recover", str(task)]) == 3
    out = capsys.readouterr().out
    assert "another file has its old name" in out
    assert "the journal is kept as" in out


def test_removed_file_and_leftovers_are_printed(
    task: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notes about files that another process removed, swept names, and names that could not be removed."""
    leave_hot_journal(task)
    (task / "bak" / "a").unlink()
    make_files(task.parent / ".journal" / "task", "staged-20260101T000000000000-00000000-0")

    assert main(["recover", str(task)]) == 0
    out = capsys.readouterr().out
    assert "removed by another process" in out
    assert "swept staged-20260101T000000000000-00000000-0" in out

    def refuse(self: LocalFilesystem, parent: Directory, name: str) -> None:
        raise OSError(16, "busy", name)

    make_files(task.parent / ".journal" / "task", "staged-20260101T000000000000-00000000-0")
    monkeypatch.setattr(LocalFilesystem, "remove_tree", refuse)
    assert main(["recover", str(task)]) == 4
    assert "could not be removed: staged-20260101T000000000000-00000000-0" in capsys.readouterr().out


def test_failed_recovery_is_work_that_remains(
    task: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4 with the reason: fix the cause, recover again."""
    leave_hot_journal(task)

    def refuse(self: LocalFilesystem, source: Directory, name: str, target: Directory, new_name: str) -> None:
        raise OSError(30, "Read-only file system", name)

    monkeypatch.setattr(LocalFilesystem, "link", refuse)
    assert main(["recover", str(task)]) == 4
    assert "Read-only file system" in capsys.readouterr().out


def test_json_has_the_same_results(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list with one object for each directory, names as valid text."""
    odd = os.fsdecode(b"latin-\xe9")
    make_files(task, odd)
    leave_hot_journal(task)
    (task / odd).write_bytes(b"taken")

    assert main(["recover", "--json", str(task)]) == 3
    (answer,) = json.loads(capsys.readouterr().out)
    assert main(["recover", str(task)]) == 3, "the journal that was set aside still needs an operator"
    assert answer["exit_code"] == 3
    assert answer["directory"] == str(task)
    assert answer["report"]["journals"][0]["action"] == "conflict"
    assert "latin-\\xe9" in answer["report"]["journals"][0]["conflicts"][0]


def test_all_takes_every_directory_below(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is the worst of them."""
    for name in ("dead", "clean"):
        make_files(tmp_path / name, "a")
    leave_hot_journal(tmp_path / "dead")
    lock_directory(tmp_path / "clean", label="first").release()

    assert main(["status", "--all", str(tmp_path)]) == 4
    assert main(["recover", "--all", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path / 'clean'}: clean" in out
    assert f"{tmp_path / 'dead'}: work" in out
    assert f"{tmp_path / 'dead'}: recovered" in out


def test_state_directory_elsewhere_is_named_by_an_option(task: Path) -> None:
    """Where the caller chose a state directory, the command line must find it."""
    state = task.parent / "state"
    leave_hot_journal(task, state_directory=state)

    assert main(["recover", "--state-directory", str(state), str(task)]) == 0
    assert names_in(task) == ["a", "b"]


@pytest.mark.parametrize("arguments", [[], ["mend", "x"], ["status"], ["status", "--nonsense", "x"]])
def test_wrong_usage_is_reported_in_one_line_with_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage errors have an exit code of their own."""
    assert main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("option", [[], ["--all"]])
def test_missing_directory_is_bad_input(tmp_path: Path, option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One clear sentence on standard error."""
    assert main(["status", *option, str(tmp_path / "gone")]) == 1
    assert "gone is not a directory" in capsys.readouterr().err


def test_unreadable_state_directory_is_reported_not_a_traceback(
    task: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3 and the reason."""

    def refuse(self: LocalFilesystem, path: str) -> Directory:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(LocalFilesystem, "open_directory", refuse)
    assert main(["status", str(task)]) == 3
    assert main(["recover", str(task)]) == 3
    assert capsys.readouterr().out.count("Permission denied") == 2
    assert main(["status", "--all", str(task.parent)]) == 3
    assert "Permission denied" in capsys.readouterr().err


def test_state_that_cannot_be_used_is_damage_for_recover(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lock file that is a link is never followed."""
    leave_hot_journal(task)
    lock = task.parent / ".journal" / "task" / "lock"
    lock.unlink()
    lock.symlink_to("/dev/null")

    assert main(["recover", str(task)]) == 3
    assert "lock file cannot be opened" in capsys.readouterr().out


def test_module_runs_as_a_program(task: Path) -> None:
    """`python -m journal`, from anywhere."""
    done = subprocess.run(
        [sys.executable, "-m", "journal", "status", str(task)],
        capture_output=True,
        text=True,
        check=False,
        cwd=task.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{task}: clean\n", "")


def test_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """With the exit codes, and one of its own: 0."""
    assert main(["--help"]) == 0
    assert "75 busy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"), [(["status", "--json", "nowhere"], 1), (["recover", "--json"], 2)], ids=["missing", "usage"]
)
def test_refusal_is_an_object_for_programs(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, in the shape of every other error of the project."""
    assert main(arguments) == code
    answer = json.loads(capsys.readouterr().out)

    assert (answer["code"], answer["success"]) == (code, False)
    assert set(answer["data"]) == {"response", "error_type", "timestamp"}


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (ZeroDivisionError, 70)])
def test_unexpected_error_is_reported_in_one_sentence(
    task: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    code: int,
) -> None:
    """An interrupt, and a defect: a code of its own, no traceback."""

    def refuse(self: LocalFilesystem, path: str) -> Directory:
        raise error

    monkeypatch.setattr(LocalFilesystem, "open_directory", refuse)
    assert main(["verify", str(task)]) == code
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("target", "code", "said"), [("> /dev/full", 1, "No space left"), (">&-", 0, ""), ("| true", 0, "")]
)
def test_output_that_cannot_be_written_gives_no_traceback(task: Path, target: str, code: int, said: str) -> None:
    """A full disk is reported, a closed pipe is not; the exit code is that of the command."""
    command = f'set -o pipefail; "{sys.executable}" -m journal status "$1" {target}'
    done = subprocess.run(
        ["bash", "-c", command, "bash", str(task)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (code, True, False)


def test_closed_pipe_hides_no_exit_code(task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The output is written once: there is no second attempt at the exit of the interpreter."""
    reading, writing = os.pipe()
    os.close(reading)
    leave_hot_journal(task)
    done = subprocess.run(
        [sys.executable, "-m", "journal", "status", str(task)],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (4, "")


def test_name_that_the_encoding_cannot_express_is_escaped(tmp_path: Path) -> None:
    """It is printed as ASCII."""
    make_files(tmp_path / "任务", "a")
    done = subprocess.run(
        [sys.executable, "-m", "journal", "status", str(tmp_path / "任务")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
    )

    assert (done.returncode, "\\u4efb" in done.stdout) == (0, True), done.stderr


def test_journal_that_cannot_be_read_is_reported_as_damaged_with_its_name(
    task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code of damage, without a traceback: a directory has the name of a journal."""
    lock_directory(task, label="test").release()
    name = "20250121T094400000000-01234567.journal"
    (task.parent / ".journal" / task.name / name).mkdir()

    assert main(["verify", str(task), "--json"]) == DAMAGED
    assert name in "".join(capsys.readouterr())


def test_relative_path_from_a_folder_that_was_removed_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The path is relative to a folder that no longer exists; no traceback."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert main(["status", "task"]) == DAMAGED
    assert "No such file or directory" in capsys.readouterr().err
