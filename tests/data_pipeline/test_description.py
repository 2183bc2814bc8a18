"""The description of the API against the live server: thousands of requests that it allows, or forbids."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.crash.campaign import SEED
from tests.support.server import new_shop, running_server

ROOT = Path(__file__).parents[2]
EXAMPLES = 20


def test_server_does_what_its_description_says_and_nothing_else(tmp_path: Path) -> None:
    """Every operation, every check: no 500, no undeclared answer, nothing accepted that should not be."""
    shop = new_shop(tmp_path / "shop")
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    with running_server(shop) as server:
        server.new_task("customer")
        done = subprocess.run(
            [
                sys.executable, "-c", program, "--config-file", str(ROOT / "tests" / "schemathesis.toml"),
                "run", f"{server.url}/openapi.json", "--checks", "all", "--max-examples", str(EXAMPLES),
                "--seed", str(SEED), "--no-color",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )  # fmt: skip
        log = server.log.read_text()
    assert done.returncode == 0, f"CRASH_SEED={SEED}\n{done.stdout[-20_000:]}{done.stderr[-2_000:]}"
    assert "Traceback" not in log
