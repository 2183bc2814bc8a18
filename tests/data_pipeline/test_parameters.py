"""One model of parameters: HTTP, the command line and the script accept the same ones; `edit` and PATCH change them."""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from data_pipeline import cli, schema_workflow
from data_pipeline.commands.options import Option, options_of, validated
from data_pipeline.config.settings import load_settings
from data_pipeline.errors import InvalidInput, TaskBusy
from data_pipeline.store import Store
from data_pipeline.tasks.parameters import RunOptions, TaskParameters
from data_pipeline.tasks.workspace import open_workspace
from tests.support.server import API, data
from tests.support.service import new_task, refused, serving, settings_of
from tests.support.shop import PATIENCE_SECONDS

FIELDS = [(model, option) for model in (TaskParameters, RunOptions) for option in options_of(model)]


def by_field(model: type[TaskParameters | RunOptions], option: Option) -> str:
    return f"{model.__name__}-{option.field}"


@pytest.fixture
def task_id(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A task that was created on the command line."""
    monkeypatch.setenv("DATA_PIPELINE_HOME", str(folder / "home"))
    monkeypatch.setenv("DATA_PIPELINE_DATABASES__SHOP", f"sqlite:///{folder / 'shop.sqlite'}")
    Path("tables.txt").write_text("customer\n")
    made = call("create", "--db-connection", "shop", "--table-list", "tables.txt", "--no-profile", "--seed", "3")
    return made.output.strip()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["tasks", *arguments])


def kept(task_id: str) -> dict[str, Any]:
    settings = load_settings()
    with Store.open(settings.store_url) as store:
        return dict(store.task(task_id).parameters)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The schemas of the description of the API, which is made once for all fields."""
    with serving(settings_of(tmp_path_factory.mktemp("described")), "api") as client:
        described: dict[str, Any] = client.get("/openapi.json").json()["components"]["schemas"]
        return described


@functools.cache
def commands() -> dict[str, Any]:
    root: Any = typer.main.get_command(cli.app)
    tasks = root.load("tasks").commands
    return {"run": root.load("run"), "create": tasks["create"], "edit": tasks["edit"]}


@pytest.mark.parametrize(("model", "option"), FIELDS, ids=[by_field(model, option) for model, option in FIELDS])
def test_http_command_line_and_script_have_each_parameter_with_the_same_default_and_help(
    schemas: dict[str, Any], model: type[TaskParameters | RunOptions], option: Option
) -> None:
    """The help is the description of the API; what is not given is None, so that the model's default counts."""
    field = model.model_fields[option.field]
    requests = ["NewTaskRequest", "ChangeTaskRequest"] if model is TaskParameters else ["CompleteRun", "StepRun"]
    for name in requests:
        described = schemas[name]["properties"][option.field]
        assert (described["description"], described.get("default")) == (option.help, field.default)

    taking = ["run", "create", "edit"] if model is TaskParameters else ["run"]
    for name in taking:
        (parameter,) = [one for one in commands()[name].params if one.name == option.field]
        assert (tuple(parameter.opts), parameter.help, parameter.default) == (option.flags, option.help, None)
        assert tuple(parameter.secondary_opts) == option.off_flags

    actions = {flag: action for action in schema_workflow._parser()._actions for flag in action.option_strings}
    assert {actions[flag].dest for flag in (*option.flags, *option.off_flags)} == {option.field}
    assert (actions[option.flags[0]].help, actions[option.flags[0]].default) == (option.help, None)


def test_script_gives_its_arguments_to_the_same_model() -> None:
    """The older names of its switches are kept."""
    words = ["--db-connection", "d", "--table-list", "t", "--business-context", "c"]
    older = ["--skip-validation", "--disable-llm-repair", "--no-modify-file", "--skip-training-load", "--skip-training"]
    options = schema_workflow._parser().parse_args([*words, *older, "--seed", "5", "--difficulty-mix", "easy=1"])
    given = {name: value for name, value in vars(options).items() if value is not None}
    assert validated(TaskParameters, given) == TaskParameters(
        business_context="c", enable_sql_validation=False, enable_llm_repair=False, modify_original_file=False,
        enable_training_data_load=False, seed=5, difficulty_mix={"easy": 1.0},
    )  # fmt: skip
    assert validated(RunOptions, given) == RunOptions(skip_training=True)
    assert isinstance(options, argparse.Namespace)


def test_parameters_of_a_new_task_are_kept_and_edited_one_by_one(task_id: str) -> None:
    before = kept(task_id)
    assert (before["profile_tables"], before["seed"], before["language"]) == (False, 3, "en")
    shown = call("edit", task_id, "--profile-tables", "--language", "zh", "--task-name", "nightly", "--json")
    assert json.loads(shown.output)["task_name"] == "nightly"
    assert kept(task_id) == {**before, "profile_tables": True, "language": "zh"}


@pytest.mark.parametrize(
    "arguments",
    ["", "--difficulty-mix easy=2", "--difficulty-mix simple=1", "--difficulty-mix easy", "--db-connection nope"],
)
def test_wrong_change_is_refused_and_changes_nothing(task_id: str, arguments: str) -> None:
    before = kept(task_id)
    words = ["--language", "zh", *arguments.split()] if arguments else []
    assert isinstance(call("edit", task_id, *words).exception, InvalidInput)
    assert kept(task_id) == before


def test_task_is_not_edited_while_it_runs(task_id: str) -> None:
    """The run holds the lock of the task's directory."""
    path = Path(load_settings().training_data_path) / task_id
    before = kept(task_id)
    with open_workspace(str(path), task_id, label="run", timeout_seconds=PATIENCE_SECONDS):
        assert isinstance(call("edit", task_id, "--language", "zh").exception, TaskBusy)
    assert kept(task_id) == before


def test_patch_changes_the_named_fields_and_null_brings_the_default_back(client: TestClient) -> None:
    task_id = new_task(client, pairs_per_table=5, seed=3)
    url = f"{API}/tasks/{task_id}"
    changed = data(client.patch(url, json={"language": "zh", "seed": None, "task_name": "nightly"}))
    parameters = changed["parameters"]
    assert (parameters["language"], parameters["pairs_per_table"], parameters["seed"]) == ("zh", 5, None)
    assert changed["task_name"] == "nightly"
    assert data(client.get(url))["parameters"] == parameters


@pytest.mark.parametrize(
    "body", [{"language": "fr"}, {"seed": True}, {"pairs_per_table": 0}, {"profile_tables": 1}, {"db_connection": ""}]
)
def test_patch_with_a_wrong_value_changes_nothing(client: TestClient, body: dict[str, Any]) -> None:
    task_id = new_task(client)
    url = f"{API}/tasks/{task_id}"
    before = data(client.get(url))["parameters"]
    refused(client.patch(url, json={"business_context": "new", **body}), 400, "invalid_params")
    assert data(client.get(url))["parameters"] == before


def test_patch_is_refused_while_a_run_is_queued(api: TestClient) -> None:
    task_id = new_task(api)
    api.post(f"{API}/tasks/{task_id}/execute")
    refused(api.patch(f"{API}/tasks/{task_id}", json={"language": "zh"}), 409, "task_running")
    refused(api.patch(f"{API}/tasks/task_unknown", json={"language": "zh"}), 404, "resource_not_found")
