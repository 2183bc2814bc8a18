"""Pages of tables: what people read, and what must not be there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient

from data_pipeline.demo.database import TABLES, build_database
from tests.support.postgres import fresh_database
from tests.support.server import API, data
from tests.support.service import execute, serving, settings_of
from tests.support.waiting import PATIENCE_SECONDS

PERSONAL = (
    "SELECT full_name FROM employee UNION SELECT email FROM employee UNION SELECT phone FROM member UNION "
    "SELECT id_card_number FROM employee UNION SELECT plate_number FROM member UNION "
    "SELECT birthday FROM member UNION SELECT contact_email FROM supplier UNION SELECT email FROM member"
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's database, which tests only read."""
    path = tmp_path_factory.mktemp("demo") / "demo.sqlite"
    build_database(str(path))
    return path


@pytest.fixture(scope="module")
def files(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of a complete run over every table of the demo, as a task has it by default."""
    return run_of(demo, tmp_path_factory.mktemp("run"), *TABLES)


def run_of(demo: Path, folder: Path, *tables: str, **parameters: object) -> dict[str, str]:
    """Run a task over tables of the demo, over HTTP; return the texts of all files of its directory."""
    with serving(settings_of(folder, databases={"demo": f"sqlite:///{demo}"})) as client:
        task_id = data(client.post(f"{API}/tasks", json=parameters))["task_id"]
        data(client.post(f"{API}/tasks/{task_id}/table-list", json={"tables": tables}))
        assert data(execute(client, task_id, wait_seconds=PATIENCE_SECONDS))["status"] == "completed"
    files = (folder / "home" / "training_data" / task_id).rglob("*")
    return {path.name: path.read_text(encoding="utf-8") for path in files if path.is_file()}


def personal_values(demo: Path) -> set[str]:
    connection = sqlite3.connect(demo)
    values = {str(value) for (value,) in connection.execute(PERSONAL) if value is not None}
    connection.close()
    return values


def test_no_personal_value_is_in_any_file_of_the_task_directory(demo: Path, files: dict[str, str]) -> None:
    """Every value of every personal column of the demo is looked for, in every file."""
    values = personal_values(demo)

    assert len(values) > 5_000
    assert len(files) >= 2 * 12 + 4
    for name, text in files.items():
        assert not [value for value in values if value in text], name


def test_task_may_say_otherwise(demo: Path, tmp_path: Path) -> None:
    """What is masked is shown when the task asks for it; the page still says whose it is."""
    page = run_of(demo, tmp_path, "employee", mask_personal_data=False)["employee_detail.md"]

    assert [value for value in personal_values(demo) if value in page]
    assert "- email: personal data (email)\n" in page


def test_task_may_leave_rows_alone(demo: Path, tmp_path: Path) -> None:
    """Without profiles the pages hold nothing of any row."""
    files = run_of(demo, tmp_path, *TABLES, profile_tables=False)

    assert not any("Profile" in text or "[examples" in text for text in files.values())


def test_page_has_examples_enumerations_and_a_profile(demo: Path, files: dict[str, str], tmp_path: Path) -> None:
    """As the step writes it, the whole page of a table; in Chinese the words of the older system's files."""
    english = files["service_area_detail.md"].splitlines()
    chinese = run_of(demo, tmp_path, "service_area", language="zh")["service_area_detail.md"].splitlines()

    assert english[0].startswith("## main.service_area (")
    assert any(line.startswith("- name (TEXT)") and "[examples: " in line for line in english), english
    assert "| field | null | distinct | least | greatest |" in english
    assert any(line.startswith("Profile (rows: ") for line in english)
    assert "字段列表：" in chinese
    assert any("[示例: " in line for line in chinese)
    assert any(line.startswith("数据概况（共 ") for line in chinese)
    assert any("为枚举字段，包含取值：" in line for line in chinese) or any("为主键" in line for line in chinese)


def test_few_rows_or_one_value_are_no_enumeration_and_commas_are_told_from_those_between(tmp_path: Path) -> None:
    """What 8 rows hold says little about the ninth; an address is one example, not three."""
    connection = sqlite3.connect(tmp_path / "odd.sqlite")
    connection.executescript(
        "CREATE TABLE few (state TEXT); CREATE TABLE same (state TEXT); CREATE TABLE many (kind TEXT, place TEXT)"
    )
    connection.executemany("INSERT INTO few VALUES (?)", [("AB",), ("AB",), ("AB",), ("CD",)] * 3)
    connection.executemany("INSERT INTO same VALUES (?)", [("AB",)] * 50)
    rows = [("a, b" if n % 2 else 'say "c"', f"Hall {n}, left") for n in range(30)]
    connection.executemany("INSERT INTO many VALUES (?, ?)", rows)
    connection.commit()
    connection.close()
    with serving(settings_of(tmp_path, databases={"odd": f"sqlite:///{tmp_path / 'odd.sqlite'}"})) as client:
        pages = [page_over_http(client, table) for table in ("few", "same", "many")]
        ddl = data(client.post("/api/v0/database/table/ddl", json={"table": "many"}))["ddl"]

    assert "is one of" not in pages[0] + pages[1]
    assert '- kind is one of: "a, b", "say ""c"""\n' in pages[2]
    assert '[examples: "Hall 0, left", "Hall 1, left"' in pages[2]
    assert ddl.startswith("-- Table: many\n-- Description: many (by its name)\n")


def test_database_page_over_http_is_masked_as_well(demo: Path, tmp_path: Path) -> None:
    """The same page, without a task."""
    with serving(settings_of(tmp_path, databases={"demo": f"sqlite:///{demo}"})) as client:
        page = page_over_http(client, "employee")

    assert "- email: personal data (email); its values are masked\n" in page
    assert not [value for value in personal_values(demo) if value in page]


def test_database_ddl_over_http_loads_alone(tmp_path: Path) -> None:
    """With the types that the table needs, into an empty database."""
    with fresh_database() as url, fresh_database() as copy:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('good'); CREATE TABLE s.t (m s.mood[])")
        with serving(settings_of(tmp_path, databases={"odd": url})) as client:
            answer = data(client.post("/api/v0/database/table/ddl", json={"table": "s.t"}))
        with psycopg.connect(copy, autocommit=True) as session:
            session.execute(answer["ddl"])
            session.execute("INSERT INTO s.t VALUES ('{good}')")


def page_over_http(client: TestClient, table: str) -> str:
    answer = client.post("/api/v0/database/table/ddl", json={"table": table, "type": "md"})
    page: str = data(answer)["md"]
    return page


def test_text_of_rows_cannot_break_the_page(tmp_path: Path) -> None:
    """A value with a newline, a bar, a heading or a link stays one harmless cell."""
    connection = sqlite3.connect(tmp_path / "odd.sqlite")
    connection.execute("CREATE TABLE t (a TEXT)")
    connection.execute("INSERT INTO t VALUES (?)", ("x\n# heading | [link](http://x) `code` <script>",))
    connection.commit()
    connection.close()
    with serving(settings_of(tmp_path, databases={"odd": f"sqlite:///{tmp_path / 'odd.sqlite'}"})) as client:
        lines = page_over_http(client, "t").splitlines()

    assert not [line for line in lines if line.startswith("# ")]
    assert lines[-1] == (
        r"| a | 0.0 % | 1 | x \# heading \| \[link\](http://x) \`code\` \<script\> "
        r"| x \# heading \| \[link\](http://x) \`code\` \<script\> |"
    )
