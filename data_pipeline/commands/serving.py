"""`data-pipeline serve` and `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from data_pipeline.commands.arguments import AsJson, load_settings
from data_pipeline.commands.output import print_json

app = typer.Typer()

SERVE_EXAMPLES = """\b
Examples:
  data-pipeline serve
  DATA_PIPELINE_DATABASES__SHOP=sqlite:///shop.sqlite data-pipeline serve --port 8084
  DATA_PIPELINE_API_KEY=... data-pipeline serve --host 0.0.0.0 --role api
"""


@app.command(epilog=SERVE_EXAMPLES)
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback only with an API key.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0: a free port, which the log names.", min=0, max=65535)
    ] = 8084,
    role: Annotated[
        Literal["all", "api", "worker"], typer.Option(help="Answer requests, work on runs, or both.")
    ] = "all",
) -> None:
    """Serve the Data Pipeline API. On SIGTERM, running work may end; the rest continues at the next start."""
    from data_pipeline.service.server import serve as serve_api

    serve_api(load_settings(), host=host, port=port, role=role)


DEMO_EXAMPLES = """\b
Examples:
  data-pipeline demo
  data-pipeline demo --folder try_it
"""


@app.command(epilog=DEMO_EXAMPLES)
def demo(
    folder: Annotated[
        Path | None,
        typer.Option(help="New folder for all files of the demo; default: data_pipeline_demo, or the next free name."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the program in a minute: a database, a real server, runs, a backup, a kill -9, a restore."""
    from rich.console import Console

    from data_pipeline.commands.terminal import watching
    from data_pipeline.demo.tour import take_tour

    summary = take_tour(Console(quiet=as_json), None if folder is None else str(folder), watching)
    if as_json:
        print_json(summary)
