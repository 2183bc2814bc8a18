"""An earlier version in an environment of its own, a home that it has filled, and the present version."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.losses import PRECIOUS
from tests.support.shop import Shop
from tests.upgrade.older import OlderVersion, install


@dataclass(frozen=True)
class Left:
    """What the earlier version has left behind, and what it said of it."""

    shop: Shop
    task_id: str
    backups: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    pairs: list[dict[str, str]]
    vector_backup: dict[str, Any]


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OlderVersion]:
    folder = tmp_path_factory.mktemp("older")
    with OlderVersion(install(folder)) as older:
        assert older.modules_are_in(folder)
        yield older


@pytest.fixture(scope="session")
def filled(older: OlderVersion, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """Three runs, a person's files among theirs, backups of files and vectors, a restore; nothing is half done."""
    shop = Shop(tmp_path_factory.mktemp("filled"))
    connection = sqlite3.connect(shop.folder / "shop.sqlite")
    connection.executescript(
        "INSERT INTO customer VALUES (1, 'Ann'), (2, 'Bo'), (3, 'Cy');"
        "INSERT INTO purchase VALUES (1, 1), (2, 1), (3, 2);"
    )
    connection.close()
    source = ("--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt")
    task_id: str = older.answer(shop, "run", *source)["task_id"]
    task = shop.home / "training_data" / task_id
    for name, content in PRECIOUS.items():
        (task / name).write_text(content)
    (task / "notes").mkdir()
    (task / "notes" / "kept.txt").write_text("a folder that no run moves")
    older.answer(shop, "run", task_id)
    (task / "customer.ddl").write_text("-- edited by a person\n")
    vector_backup = older.answer(shop, "vectors", "backup", "--task", task_id)
    older.answer(shop, "run", task_id)
    first = older.answer(shop, "backups", "list", task_id)[-1]["name"]
    older.answer(shop, "backups", "restore", task_id, first)
    (pair_file,) = task.glob("qs_*_pair.json")
    return Left(
        shop=shop,
        task_id=task_id,
        backups=older.answer(shop, "backups", "list", task_id),
        runs=older.answer(shop, "tasks", "show", task_id)["executions"],
        pairs=json.loads(pair_file.read_text()),
        vector_backup=vector_backup,
    )


@pytest.fixture
def left(filled: Left, tmp_path: Path) -> Callable[[], Left]:
    """Makes copies of that home, one for each run that is to be killed."""

    def copy() -> Left:
        copies = len(list(tmp_path.iterdir()))
        return Left(**{**vars(filled), "shop": filled.shop.copy_to(tmp_path / f"home_{copies}")})

    return copy
