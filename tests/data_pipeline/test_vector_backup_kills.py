"""kill -9 of the real command at each change that it makes on the disk: a backup of vectors is whole or gone."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from data_pipeline.vectors.backup.catalogue import place_of_task
from data_pipeline.vectors.backup.verify import verify
from tests.support.shop import CLI, DIES_AT, Shop
from tests.support.tasks import make_task
from tests.support.vector_backups import make_backups, new_store, timestamps

DIES = [sys.executable, "-c", DIES_AT]
BACKUPS = 4
CHANGES_LIMIT = 500


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("command", "task_id", "stride"),
    [("delete", "task_1", 1), ("delete", None, 1), ("prune", "task_1", 3), ("prune", None, 3)],
)
def test_killed_at_any_change_of_the_disk_a_backup_is_whole_or_gone(
    tmp_path: Path, command: str, task_id: str | None, stride: int
) -> None:
    """Recovery is killed, too; then the same command ends where it should."""
    (tmp_path / "shop").mkdir()
    shop = Shop(tmp_path / "shop")
    root = Path("home", "training_data")
    make_task(shop.folder / root / "task_1", {"a.ddl": "current a"})
    store = new_store(tmp_path)
    before = make_backups(store, shop.folder / root, task_id, range(BACKUPS))
    store.close()
    place = place_of_task(str(shop.folder / root), task_id)
    whole = contents(Path(place.path))
    what = {
        "delete": ["vectors", "delete", place.relative_path, before[-1], "--yes"],
        "prune": ["vectors", "prune", *(["--task", task_id] if task_id else []), "--keep-last", "1", "--yes"],
    }[command]
    counts = set()
    for limit in range(1, CHANGES_LIMIT, stride):
        copy = shop.copy_to(tmp_path / f"copy_{limit}")
        done = copy.call(DIES, str(limit), *what)
        place = place_of_task(str(copy.folder / root), task_id)
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        copy.call(DIES, str(1 + limit % 7), *what)  # killed again in its recovery, or a little after it
        assert copy.call(CLI, "recover").returncode == 0
        left = timestamps(place)
        assert left == before[: len(left)]
        assert contents(Path(place.path)) == {name: whole[name] for name in whole if any(one in name for one in left)}
        assert {verify(place, one).state for one in left} == {"good"}
        assert (copy.folder / root / "task_1" / "a.ddl").read_text() == "current a"
        counts.add(len(left))
        if len(left) == BACKUPS:
            assert copy.call(CLI, *what).returncode == 0
            assert timestamps(place) == (before[:-1] if command == "delete" else before[:1])
        shutil.rmtree(copy.folder)

    assert limit > 15
    assert timestamps(place) == (before[:-1] if command == "delete" else before[:1])
    assert counts == ({4, 3} if command == "delete" else {4, 3, 2, 1})
