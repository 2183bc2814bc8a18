"""`data-pipeline recover`, `doctor` and `config show`: find problems and their remedies."""

from __future__ import annotations

from typing import Any

import typer

from data_pipeline.commands.arguments import AsJson, load_settings
from data_pipeline.commands.exit_codes import ExitCode
from data_pipeline.commands.groups import Group
from data_pipeline.commands.output import print_json, print_lines, print_table
from data_pipeline.errors import InvalidInput, TaskBusy

app = typer.Typer()

RECOVER_EXAMPLES = """\b
Examples:
  data-pipeline recover
  data-pipeline recover --json
"""


@app.command(epilog=RECOVER_EXAMPLES)
def recover(as_json: AsJson = False) -> None:
    """Complete or roll back the changes of killed runs, in every task that is not locked.

    A run does the same for its own task.
    """
    from data_pipeline.tasks.workspace import RecoveryReport, printable, recover_tasks, recovery_notes

    settings = load_settings()
    results = recover_tasks(settings.training_data_path)
    answer: dict[str, dict[str, Any]] = {}
    lines: list[str] = []
    worst = ExitCode.DONE
    for task, result in sorted(results.items()):
        if isinstance(result, RecoveryReport):
            answer[task] = {"state": "clean" if result.is_clean else "recovered", **result.model_dump()}
            lines += [f"{task}: {note}" for note in recovery_notes(result)]
        else:
            answer[task] = {"state": "busy" if isinstance(result, TaskBusy) else "failed", "error": str(result)}
            lines.append(f"{task}: {result}")
            worst = max(worst, ExitCode.DONE if isinstance(result, TaskBusy) else ExitCode.FAILED)
    lines.append(f"{len(results)} task directories checked in {printable(settings.training_data_path)}.")
    if as_json:
        print_json(answer)
    else:
        print_lines(lines)
    if worst:
        raise typer.Exit(worst)


DOCTOR_EXAMPLES = """\b
Examples:
  data-pipeline doctor
  data-pipeline doctor --json
"""


@app.command(epilog=DOCTOR_EXAMPLES)
def doctor(as_json: AsJson = False) -> None:
    """Check settings, folders, disk, mounts, journals, store and databases; print a remedy for each problem.

    No file is changed.
    """
    from data_pipeline.commands.doctor import Finding, examine

    try:
        findings = list(examine(load_settings()))
    except InvalidInput as error:
        remedy = "Correct it in the environment, .env or data_pipeline.toml; docs/settings.md lists all settings"
        findings = [Finding("settings", "problem", problem, remedy) for problem in error.problems]
    if as_json:
        print_json([finding.summary() for finding in findings])
    else:
        rows = [
            (finding.name, finding.state, finding.message + (f"\n-> {finding.remedy}" if finding.remedy else ""))
            for finding in findings
        ]
        print_table(("check", "state", "result"), [tuple(cell.replace("\n", "  ") for cell in row) for row in rows])
        counts = {state: sum(finding.state == state for finding in findings) for state in ("problem", "warning")}
        if not any(counts.values()):
            print_lines(["No problems found."])
        else:
            print_lines([f"{counts['problem']} problems, {counts['warning']} warnings."])
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(ExitCode.BAD_INPUT)


config = typer.Typer(name="config", cls=Group, no_args_is_help=True, help="Settings of this folder.")
app.add_typer(config)

CONFIG_EXAMPLES = """\b
Examples:
  data-pipeline config show
  DATA_PIPELINE_RUNS_AT_ONCE=8 data-pipeline config show --json
"""


@config.command(epilog=CONFIG_EXAMPLES)
def show(as_json: AsJson = False) -> None:
    """Show each setting with its value and origin: environment, .env, data_pipeline.toml or default."""
    from data_pipeline.config.report import settings_in_use

    settings = settings_in_use(load_settings())
    if as_json:
        print_json([setting.summary() for setting in settings])
    else:
        print_table(
            ("setting", "value", "from"), [(setting.name, setting.value, setting.origin) for setting in settings]
        )
