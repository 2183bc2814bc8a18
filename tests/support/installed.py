"""Run by `nox -s package` with the Python that has only the wheel: the package works there, and the wheel is clean."""

import importlib.metadata
import os
import sqlite3
import subprocess
import sys
import tempfile
import zipfile

import journal


def main(wheel: str, listing: str) -> None:
    """Check where the package comes from, what the wheel holds, and that one transaction works.

    `listing` names the files of the packages before anything ran in the checkout.
    """
    assert "site-packages" in (journal.__file__ or ""), journal.__file__
    top_level = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    distribution = f"journaled_data_pipeline-{importlib.metadata.version('journaled-data-pipeline')}.dist-info"
    assert top_level <= {"journal", "data_pipeline", distribution}, top_level
    with open(listing, encoding="utf-8") as file:
        of_the_packages = set(file.read().splitlines())
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith(distribution)}
    assert held == of_the_packages, held ^ of_the_packages
    assert "journal/py.typed" in zipfile.ZipFile(wheel).namelist()
    with tempfile.TemporaryDirectory() as folder:
        task = os.path.join(folder, "task")
        os.mkdir(task)
        with open(os.path.join(task, "a"), "w", encoding="utf-8") as file:
            file.write("a")
        with journal.lock_directory(task, label="installed") as directory:
            transaction = directory.transaction("backup")
            transaction.move("a", transaction.make_directory("bak"))
            transaction.commit()
        assert os.listdir(os.path.join(task, "bak")) == ["a"]
        subprocess.run([sys.executable, "-m", "journal", "status", task], check=True)
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(os.path.join(folder, "shop.sqlite"))
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        connection.close()
        with open(os.path.join(folder, "tables.txt"), "w", encoding="utf-8") as file:
            file.write("orders")
        command = os.path.join(os.path.dirname(sys.executable), "data-pipeline")
        words = ["run", "--db-connection", "sqlite:///shop.sqlite", "--table-list", "tables.txt"]
        subprocess.run([command, *words], cwd=folder, check=True)  # the migrations came with the wheel
        subprocess.run([command, "demo", "--folder", "demo"], cwd=folder, check=True)
    print("the installed package works")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
