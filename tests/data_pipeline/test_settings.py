"""Settings: where they come from, who wins, and that a wrong one is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from data_pipeline.config.settings import PREFIX, load_settings
from data_pipeline.errors import InvalidInput


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def test_defaults_lie_below_the_home(tmp_path: Path) -> None:
    """Everything in one folder, absolute from the start."""
    settings = load_settings()

    assert settings.home_path == str(tmp_path / "data_pipeline")
    assert settings.training_data_path == str(tmp_path / "data_pipeline" / "training_data")
    assert settings.store_url == f"sqlite:///{tmp_path}/data_pipeline/data_pipeline.sqlite"
    assert settings.engine_url == f"sqlite:///{tmp_path}/data_pipeline/engine.sqlite"
    assert (settings.backup_enabled, settings.lock_timeout_seconds) == (True, 60)


def test_environment_wins_over_dotenv_over_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Foreign names in .env are other programs' business."""
    (tmp_path / "data_pipeline.toml").write_text(
        "lock_timeout_seconds = 1\nretry_attempts = 1\nbackup_enabled = false\n"
    )
    (tmp_path / ".env").write_text("DATA_PIPELINE_LOCK_TIMEOUT_SECONDS=2\nDATA_PIPELINE_RETRY_ATTEMPTS=2\nOTHER=x\n")
    monkeypatch.setenv("DATA_PIPELINE_LOCK_TIMEOUT_SECONDS", "3")
    settings = load_settings()

    assert (settings.lock_timeout_seconds, settings.retry_attempts, settings.backup_enabled) == (3, 2, False)


def test_named_databases_are_found_and_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recommended way: the name in the task, the secret in the environment."""
    monkeypatch.setenv("DATA_PIPELINE_DATABASES__SALES", "postgresql://u:s3cret@h/d")
    settings = load_settings()

    assert settings.database_named("sales") == "postgresql://u:s3cret@h/d"
    assert settings.database_named("sqlite:///x.sqlite") == "sqlite:///x.sqlite"
    assert "s3cret" not in repr(settings)
    with pytest.raises(InvalidInput, match="sales"):
        settings.database_named("purchases")


@pytest.mark.parametrize("where", ["environment", "dotenv", "toml"])
def test_unknown_setting_is_named_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A typing error would else be a silent default."""
    if where == "environment":
        monkeypatch.setenv("DATA_PIPELINE_BACKUP_ENABLE", "false")
    elif where == "dotenv":
        (tmp_path / ".env").write_text("DATA_PIPELINE_BACKUP_ENABLE=false\n")
    else:
        (tmp_path / "data_pipeline.toml").write_text("backup_enable = false\n")
    with pytest.raises(InvalidInput, match=r"(?i)unknown setting \S*backup_enable in"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOCK_TIMEOUT_SECONDS", "-1"),
        ("LOCK_TIMEOUT_SECONDS", "s3cret"),
        ("RETRY_ATTEMPTS", "0"),
        ("BACKUP_ENABLED", "perhaps"),
        ("DATABASES__SHOP", "s3cret"),
        ("DATABASES__SHOP", "mysql://u:s3cret@h/d"),
        ("DATABASE_URL", "s3cret"),
        ("ALLOWED_DATABASES", "sqlite:///a.sqlite,postgresql://u:s3cret@h/d?host=elsewhere"),
        ("API_KEY", ""),
        ("HOME", ""),
        ("TRAINING_DATA", ""),
    ],
)
def test_bad_value_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """It may be a secret in the wrong place."""
    monkeypatch.setenv(f"{PREFIX}{name}", value)
    with pytest.raises(InvalidInput, match=name) as refused:
        load_settings()

    assert "s3cret" not in str(refused.value)


def test_unreadable_toml_is_named(tmp_path: Path) -> None:
    """With the place of the fault."""
    (tmp_path / "data_pipeline.toml").write_text("lock_timeout_seconds = = 1\n")
    with pytest.raises(InvalidInput, match=r"data_pipeline\.toml cannot be read: .*line 1"):
        load_settings()


def test_home_with_signs_that_mean_something_in_a_url_is_only_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `?` began the options, a `#` the fragment."""
    monkeypatch.setenv("DATA_PIPELINE_HOME", "/odd #1 ?x=y%20")
    for url in (load_settings().store_url, load_settings().engine_url):
        assert os.path.dirname(str(make_url(url).database)) == "/odd #1 ?x=y%20"


def test_engine_goes_where_the_postgresql_store_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """One URL is all that changes."""
    monkeypatch.setenv("DATA_PIPELINE_DATABASE_URL", "postgresql://user:s3cret@db/x")
    assert load_settings().engine_url == load_settings().store_url == "postgresql://user:s3cret@db/x"


def test_list_of_allowed_databases_is_split_at_commas_and_stays_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold passwords."""
    monkeypatch.setenv("DATA_PIPELINE_ALLOWED_DATABASES", "sqlite:///a.sqlite, postgresql://u:s3cret@db/x,")
    settings = load_settings()
    assert [url.get_secret_value() for url in settings.allowed_databases] == [
        "sqlite:///a.sqlite",
        "postgresql://u:s3cret@db/x",
    ]
    assert "s3cret" not in repr(settings)


def test_bad_url_is_named_by_its_own_setting_and_its_place_in_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails at the start, not at the first request that needs it."""
    monkeypatch.setenv("DATA_PIPELINE_DATABASES__SHOP", "shop.sqlite")
    monkeypatch.setenv("DATA_PIPELINE_ALLOWED_DATABASES", "sqlite:///a.sqlite, sqlite:///")
    with pytest.raises(InvalidInput) as refused:
        load_settings()

    assert sorted(refused.value.problems) == [
        "DATA_PIPELINE_ALLOWED_DATABASES, entry 2: the URL must have the path of a SQLite file (sqlite:///path)",
        "DATA_PIPELINE_DATABASES__SHOP: must be a URL such as sqlite:///file.sqlite or postgresql://...",
    ]
