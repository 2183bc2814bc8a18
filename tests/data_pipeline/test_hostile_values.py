"""Whatever a client sends, on every route of the live server: nothing leaves the task directory, nothing is told."""

from __future__ import annotations

import http.client
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.support.server import Server, new_shop, running_server
from tests.support.waiting import PATIENCE_SECONDS

TEXTS = [
    "..", ".", "../..", "../../../../etc/passwd", "..\\..\\x", "/etc/passwd", "//etc/passwd", "C:\\windows\\win.ini",
    "\\\\server\\share\\x", "~root", "file:///etc/passwd", "a/../../b", "....//....//x", "%2e%2e%2f", "%252e%252e%252f",
    "\0", "task\0.txt", "a\nb", "a\r\nSet-Cookie: x=y", "\t", " ", "", "-rf", "--help", "*", "?", "$HOME", "`id`",
    "$(id)", "'; DROP TABLE data_pipeline_tasks; --", '" OR ""="', "{{7*7}}", "<script>alert(1)</script>", "%s%s%n",
    "null", "\u2025", "\u2024\u2024/x", "\uff0e\uff0e\uff0f", "\u2215etc", "\u202etxt.md", "\ufeff", "\U0001f4a5",
    "CON", "nul", "aux.txt", "COM1.md", "lpt9.json", "con.txt.md", "x.", "x ", "x::$DATA", "x" * 10_000,
    "\u6f22" * 3_000, ".journal", ".workers", "file_bak_20250101_000000",
    "file_bak_20250101_000000/../..", "table_list.txt/..",
]  # fmt: skip

CONNECTIONS = [
    "sqlite:///shop.sqlite/../secret.sqlite", "sqlite:////etc/passwd", "sqlite:///", "sqlite://", "sqlite:///:memory:",
    "sqlite:///file:secret.sqlite?mode=rwc&uri=true", "sqlite:///{shop}?mode=rwc", "sqlite:///{shop}/../secret.sqlite",
    "sqlite:///{shop}%00.txt", "sqlite://localhost/{shop}", "sqlite+pysqlcipher://:x@/{shop}", "sqlite:///{shop}\n",
    "postgresql://127.0.0.1:1/x?host=evil.example", "postgresql://127.0.0.1:1/x?hostaddr=10.0.0.1",
    "postgresql://127.0.0.1:1/x?service=evil", "postgresql://127.0.0.1:1/x?passfile=/etc/passwd",
    "postgresql://127.0.0.1@evil.example/x", "postgresql://127.0.0.1:1,evil.example:1/x", "postgresql:///x?host=/tmp",
    "postgresql://[::1/x", "postgresql://127.0.0.1:99999999/x", "mysql://127.0.0.1/x", "oracle://x", "duckdb:///x",
    "http://169.254.169.254/latest", "://", "shop://x",
]  # fmt: skip

HEADERS = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a task that has run twice, and files beside its folders that nobody may see or change."""
    shop = new_shop(tmp_path_factory.mktemp("hostile") / "shop")
    with running_server(shop) as server:
        task_id = server.new_task("customer", "purchase")
        for _ in range(2):
            assert server.execute(task_id, wait_seconds=PATIENCE_SECONDS).json()["success"]
        yield server


@pytest.fixture(autouse=True)
def nothing_outside_changes(server: Server) -> Iterator[None]:
    """Everything but the task directories that requests make, as it was before and is after."""
    before = contents(server)
    yield
    assert contents(server) == before
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "defect" not in log


def contents(server: Server) -> dict[str, bytes]:
    """Every file that is not the server's own record of tasks, runs and requests."""
    folder = server.log.parent
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
        and not re.search(r"\.sqlite-|data_pipeline\.sqlite|engine\.sqlite|server_|/\.journal/", str(path))
    }


def ask(server: Server, method: str, target: str, body: bytes | None = None, headers: Any = None) -> tuple[int, str]:
    """One request as it is written, no path mended by a client; its answer is checked for what it tells."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_SECONDS)
    connection._validate_path = lambda target: None  # type: ignore[attr-defined]  # a hostile client validates nothing
    try:
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    about = f"{method} {target[:200]} {(body or b'')[:300]!r}: {answer.status} {text[:500]}"
    assert answer.status < 500, about
    assert "set-cookie" not in {name.lower() for name, _ in answer.getheaders()}, about
    for leak in ("Traceback", "root:", "site-packages", str(server.log.parent)):
        assert leak not in text, about
    return answer.status, text


def operations(server: Server) -> list[tuple[str, str, dict[str, Any]]]:
    described = server.client.get("/openapi.json").json()
    return [
        (path, method.upper(), operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]


def filled(path: str, hostile: str, task_id: str) -> Iterator[str]:
    """The path with the text in each of its places in turn; the others are those of a task that there is."""
    right = {"task_id": task_id, "file_name": "customer.ddl", "backup": "file_bak_20250101_000000"}
    names = re.findall(r"{(\w+)}", path)
    for chosen in names:
        yield re.sub(r"{(\w+)}", lambda name: hostile if name[1] == chosen else right[name[1]], path)  # noqa: B023


def fields(schema: dict[str, Any], described: dict[str, Any]) -> dict[str, str]:
    """The fields of a request with what describes each, as text, through references and alternatives."""
    if "$ref" in schema:
        return fields(described["components"]["schemas"][schema["$ref"].rpartition("/")[2]], described)
    options = [option for part in ("anyOf", "oneOf", "allOf") for option in schema.get(part, [])]
    found = {name: json.dumps(described_field) for name, described_field in schema.get("properties", {}).items()}
    for option in options:
        for name, text in fields(option, described).items():
            found[name] = found.get(name, "") + text
    return found


def task_of(server: Server) -> str:
    tasks = server.client.get("/api/v0/data_pipeline/tasks?status=completed").json()["data"]["tasks"]
    return str(tasks[-1]["task_id"])


def test_no_text_in_a_path_leads_anywhere(server: Server) -> None:
    """Written plainly, percent-encoded once, and twice."""
    task_id = task_of(server)
    count = 0
    for (path, method, _), text in itertools.product(operations(server), TEXTS):
        once = quote(text, safe="")
        for written in {once, quote(once, safe=""), quote(text, safe="/\\.:*?")}:
            for target in filled(path, written, task_id):
                status, _ = ask(server, method, target, b"{}" if method != "GET" else None, HEADERS)
                count += 1
                assert status >= 300 or method == "GET" or written in ("", "."), (method, target, status)
    assert count > 1000


def test_no_text_in_a_query_does_anything_else(server: Server) -> None:
    """Each parameter that is described, with each text."""
    task_id = task_of(server)
    asked = 0
    for path, method, operation in operations(server):
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "query":
                target = path.replace("{task_id}", task_id)
                for text in TEXTS:
                    ask(server, method, f"{target}?{parameter['name']}={quote(text, safe='')}")
                    asked += 1
    assert asked > 100


def test_no_text_in_a_body_does_anything_else(server: Server) -> None:
    """Each field of each request, with each text; a connection leads to no other database.

    A text in a list and as a name is refused by its type, unless the field takes such: there each is sent, elsewhere
    some are.
    """
    described = server.client.get("/openapi.json").json()
    task_id = task_of(server)
    shop = server.log.parent / "shop.sqlite"
    for path, method, operation in operations(server):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None or path.endswith(("/execute", "/table-list")):  # these are right to take some: see below
            continue
        target = path.replace("{task_id}", task_id).replace("{backup}", "file_bak_20250101_000000")
        for name, description in sorted(fields(body["schema"], described).items()):
            takes_more = any(word in description for word in ("array", "object", "$ref"))
            for number, text in enumerate(TEXTS):
                for value in (text, [text], {text: text}) if takes_more or number % 8 == 0 else (text,):
                    sent = {"confirm": True, "task_ids": ["task_unknown"], "table": "nothing", name: value}
                    if path.endswith("/tasks") and method == "POST":
                        sent = {"db_connection": "nowhere", name: value}
                    ask(server, method, target, json.dumps(sent).encode(), HEADERS)
    for text in [connection.replace("{shop}", str(shop)) for connection in CONNECTIONS] + TEXTS:
        for target, more in (
            ("data_pipeline/tasks", {}),
            ("database/tables", {}),
            ("database/table/ddl", {"table": "x"}),
        ):
            status, answer = ask(
                server, "POST", f"/api/v0/{target}", json.dumps({"db_connection": text, **more}).encode(), HEADERS
            )
            assert status in (400, 403, 404), (target, text, answer)


def test_no_text_as_a_table_or_a_step_reaches_a_file_or_the_database(server: Server) -> None:
    """A new task takes the names, or says why not; its files are its own."""
    task_id = server.new_task("customer")
    for text in TEXTS:
        sent = json.dumps({"execution_mode": "step", "step_name": text}).encode()
        status, _ = ask(server, "POST", f"/api/v0/data_pipeline/tasks/{task_id}/execute", sent, HEADERS)
        assert status == 400, text
    folder = server.log.parent / "home" / "training_data" / task_id
    for text in TEXTS:
        sent = json.dumps({"tables": [text]}).encode()
        ask(server, "POST", f"/api/v0/data_pipeline/tasks/{task_id}/table-list", sent, HEADERS)
        assert [path.name for path in folder.iterdir()] == ["table_list.txt"], text
    server.client.request("DELETE", "/api/v0/data_pipeline/tasks", json={"task_ids": [task_id], "confirm": True})


def test_no_name_of_an_uploaded_file_leads_anywhere(server: Server) -> None:
    """Written into the form as a hostile client does, with a suffix that is allowed."""
    task_id = server.new_task("customer")
    folder = server.log.parent / "home" / "training_data" / task_id
    headers = {"Content-Type": "multipart/form-data; boundary=limit"}
    for text in TEXTS:
        for name, route in itertools.product((text, f"{text}.txt", f"{text}/x.md"), ("files", "upload-table-list")):
            head = f'Content-Disposition: form-data; name="file"; filename="{name}"'
            form = f"--limit\r\n{head}\r\n\r\ncustomer\r\n--limit--\r\n"
            ask(server, "POST", f"/api/v0/data_pipeline/tasks/{task_id}/{route}", form.encode(), headers)
            for path in folder.iterdir():
                assert path.is_file(), (name, path)
                assert re.fullmatch(r"[^\x00-\x1f/\\:]{1,255}", path.name), (name, path)
                if path.name != "table_list.txt":
                    path.unlink()
    server.client.request("DELETE", "/api/v0/data_pipeline/tasks", json={"task_ids": [task_id], "confirm": True})


def test_no_answer_and_no_file_of_a_task_says_where_on_the_server_it_lies(server: Server) -> None:
    """Not even those that can be downloaded, nor the log."""
    task_id = task_of(server)
    url = f"/api/v0/data_pipeline/tasks/{task_id}"
    names = [file["file_name"] for file in server.client.get(f"{url}/files").json()["data"]["files"]]
    assert {"task_config.json", "data_pipeline.log", "task_result.json"} <= set(names)
    backups = [backup["name"] for backup in server.client.get(f"{url}/backups").json()["data"]["backups"]]
    asked = ["", "/executions", "/files", "/logs?limit=1000", "/table-list-info", "/backups", "/events"]
    asked += [f"/files/{quote(name)}" for name in names] + [f"/backups/{name}" for name in backups]
    for path in asked:
        status, _ = ask(server, "GET", f"{url}{path}")
        assert status == 200, path
    for file in (server.log.parent / "home" / "training_data" / task_id).rglob("*"):
        assert file.is_dir() or str(server.log.parent).encode() not in file.read_bytes(), file
