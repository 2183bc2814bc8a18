"""Load the settings: environment (`DATA_PIPELINE_…`), then `.env`, then `data_pipeline.toml`, then the defaults.

An unknown name or an invalid value is an error with the name of the setting. docs/settings.md lists all settings.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from data_pipeline.config.database_urls import parse_url, target_of, url_of_file
from data_pipeline.config.model_endpoint import ModelEndpoint, ResponseFormat
from data_pipeline.config.retention import Count, DurationText, RetentionPolicy
from data_pipeline.config.vector_place import EmbeddingEndpoint, VectorPlace
from data_pipeline.errors import InvalidInput

PREFIX: Final = "DATA_PIPELINE_"
ENV_FILE: Final = ".env"
TOML_FILE: Final = "data_pipeline.toml"


def _validator_of(check: Callable[[str], object]) -> Callable[[SecretStr], SecretStr]:
    def validate(url: SecretStr) -> SecretStr:
        try:
            check(url.get_secret_value())
        except InvalidInput as error:
            raise ValueError("; ".join(error.problems)) from None  # the value may be a secret
        return url

    return validate


DatabaseUrl = Annotated[SecretStr, AfterValidator(_validator_of(parse_url))]
AllowedUrl = Annotated[SecretStr, AfterValidator(_validator_of(target_of))]


class Settings(BaseSettings):
    """All settings. `load_settings` returns them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        toml_file=TOML_FILE,
        env_nested_delimiter="__",
        extra="ignore",  # .env is shared with other programs; load_settings rejects unknown names with our prefix
        frozen=True,
    )

    home: Path = Field(
        default=Path("data_pipeline"), description="the folder that holds everything: task directories, the task store"
    )
    training_data: Path | None = Field(
        default=None, description="folder of the task directories; default: `training_data` in the home"
    )
    database_url: DatabaseUrl | None = Field(
        default=None, description="the task store; default: `data_pipeline.sqlite` in the home"
    )
    databases: dict[str, DatabaseUrl] = Field(
        default_factory=dict, description="named business databases: `DATA_PIPELINE_DATABASES__SALES=postgresql://...`"
    )
    allowed_databases: Annotated[tuple[AllowedUrl, ...], NoDecode] = Field(
        default=(), description="business databases that requests may name by URL, separated by commas"
    )
    api_key: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="key that requests send as `Authorization: Bearer ...`; without it, the server listens on loopback",
    )
    runs_at_once: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=4, description="maximum number of runs that one server works on at the same time"
    )
    shutdown_seconds: Annotated[float, Field(ge=0, le=3_600)] = Field(
        default=20.0,
        description="seconds that running work may take when the server stops; its run continues at the next start",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="lowest level of messages that the server writes to standard error"
    )
    log_json: bool = Field(default=False, description="write the server's log as one JSON object per line")
    lock_timeout_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=60.0, description="seconds that a run waits for a task directory that another process has locked"
    )
    backup_enabled: bool = Field(
        default=True, description="move the files of earlier runs into a backup before a complete run"
    )
    backup_keep_last: Count | None = Field(
        default=None, description="after each successful complete run: keep the newest N backups of the task"
    )
    backup_keep_within: DurationText | None = Field(
        default=None, description="keep all backups made within this time before the newest one: `14d`, `1y6m`"
    )
    backup_keep_daily: Count | None = Field(
        default=None, description="keep the newest backup of each of the last N days that have one"
    )
    backup_keep_weekly: Count | None = Field(
        default=None, description="keep the newest backup of each of the last N ISO weeks that have one"
    )
    backup_keep_monthly: Count | None = Field(
        default=None, description="keep the newest backup of each of the last N months that have one"
    )
    backup_max_total_bytes: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="delete the oldest backups of a task until the rest has at most N bytes"
    )
    backup_warning_bytes: Annotated[int, Field(ge=0)] = Field(
        default=10 * 1024**3, description="`doctor` warns if all backups together are larger; 0: never"
    )
    backup_checksums: bool = Field(
        default=False, description="record the SHA-256 checksums of a run's backup after the run, without its lock"
    )
    vector_backup_keep_last: Count | None = Field(
        default=None,
        description="after each successful run that backs the vector store up: keep the newest N of the task's folder",
    )
    vector_backup_keep_within: DurationText | None = Field(
        default=None, description="keep all backups made within this time before the newest one: `14d`, `1y6m`"
    )
    vector_backup_keep_daily: Count | None = Field(
        default=None, description="keep the newest backup of each of the last N days that have one"
    )
    vector_backup_keep_weekly: Count | None = Field(
        default=None, description="keep the newest backup of each of the last N ISO weeks that have one"
    )
    vector_backup_keep_monthly: Count | None = Field(
        default=None, description="keep the newest backup of each of the last N months that have one"
    )
    vector_backup_max_total_bytes: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="delete the oldest backups of the folder until the rest has at most N bytes"
    )
    retry_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=5, description="maximum number of attempts to move a busy file"
    )
    retry_seconds: Annotated[float, Field(ge=0, le=3_600)] = Field(
        default=10.0,
        description="maximum number of seconds for repeated attempts in one backup, for all files together",
    )
    qa_pairs_per_table: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=20, description="number of question-SQL pairs for each table"
    )
    qa_max_pairs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=5_000, description="maximum number of pairs of a task"
    )
    qa_difficulty_mix: dict[Literal["easy", "medium", "hard", "extra", "beyond"], float] | None = Field(
        default=None,
        description='shares of the pairs by difficulty, as JSON: `{"easy": 0.3, "medium": 0.4, "hard": 0.3}`',
    )
    qa_seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(
        default=7, description="random seed; the same seed and data give the same pairs"
    )
    qa_llm_pairs_per_theme: Annotated[int, Field(ge=0, le=100)] = Field(
        default=10, description="number of pairs to ask the language model for per theme"
    )
    qa_llm_paraphrase_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.3, description="share of the generator's questions that the model is asked to paraphrase"
    )
    llm_base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s@]+$",
        description="URL of a language model's server with an OpenAI-compatible API; none: no model is used",
    )
    llm_model: str | None = Field(default=None, min_length=1, description="name of the model on that server")
    llm_api_key: SecretStr | None = Field(default=None, min_length=1, description="API key for that server")
    llm_timeout_seconds: Annotated[float, Field(gt=0, le=3_600)] = Field(
        default=60.0, description="maximum number of seconds for one answer of the model"
    )
    llm_calls_at_once: Annotated[int, Field(ge=1, le=100)] = Field(
        default=4, description="maximum number of requests to the model at the same time, for each run"
    )
    llm_tokens_per_run: Annotated[int, Field(ge=1)] = Field(
        default=1_000_000, description="maximum number of tokens of a run; after that, it continues without the model"
    )
    llm_response_format: ResponseFormat = Field(
        default="json_schema",
        description="response format that the server supports: `json_schema`, `json_object`, or `text` for neither",
    )

    llm_price_per_million_prompt_tokens: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="price, in any currency; with it, results contain the cost of a run"
    )
    llm_price_per_million_completion_tokens: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="the same for the tokens that the model writes; set both prices, or none"
    )
    vector_store_url: DatabaseUrl | None = Field(
        default=None,
        description="the vector store; default: the task store if it is in PostgreSQL, else `vectors.sqlite` in `home`",
    )
    embedding_base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s@]+$",
        description="URL of an embeddings server with an OpenAI-compatible API; none: vectors are computed locally",
    )
    embedding_model: str | None = Field(default=None, min_length=1, description="name of the model on that server")
    embedding_dimensions: Annotated[int, Field(ge=1, le=16_000)] | None = Field(
        default=None, description="number of dimensions of its vectors"
    )
    embedding_api_key: SecretStr | None = Field(default=None, min_length=1, description="API key for that server")
    embedding_timeout_seconds: Annotated[float, Field(gt=0, le=3_600)] = Field(
        default=60.0, description="maximum number of seconds for one answer of the embeddings server"
    )
    embedding_texts_at_once: Annotated[int, Field(ge=1, le=2_048)] = Field(
        default=64, description="number of texts in one request to the embeddings server"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not supported
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources by precedence: arguments, environment, `.env`, `data_pipeline.toml`."""
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls)

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if (self.llm_base_url is None) != (self.llm_model is None):
            raise ValueError(f"{PREFIX}LLM_BASE_URL and {PREFIX}LLM_MODEL must be set together")
        prices = (self.llm_price_per_million_prompt_tokens, self.llm_price_per_million_completion_tokens)
        if (prices[0] is None) != (prices[1] is None):
            raise ValueError(f"{PREFIX}LLM_PRICE_PER_MILLION_..._TOKENS: both prices must be set together")
        return self

    @property
    def model_endpoint(self) -> ModelEndpoint | None:
        """The language model, None if none is configured."""
        if self.llm_base_url is None or self.llm_model is None:
            return None
        return ModelEndpoint(
            self.llm_base_url,
            self.llm_model,
            self.llm_api_key.get_secret_value() if self.llm_api_key is not None else None,
            self.llm_timeout_seconds,
            self.llm_calls_at_once,
            self.llm_tokens_per_run,
            self.llm_response_format,
            self.llm_price_per_million_prompt_tokens,
            self.llm_price_per_million_completion_tokens,
        )

    @model_validator(mode="after")
    def _check_embedder(self) -> Self:
        values = (self.embedding_base_url, self.embedding_model, self.embedding_dimensions)
        if len({value is None for value in values}) == 2:
            names = ", ".join(f"{PREFIX}EMBEDDING_{name}" for name in ("BASE_URL", "MODEL", "DIMENSIONS"))
            raise ValueError(f"{names} must be set together")
        return self

    @property
    def vector_place(self) -> VectorPlace:
        """The URL of the vector store, and the endpoint of the embedder."""
        if self.vector_store_url is not None:
            url = self.vector_store_url.get_secret_value()
        else:
            url = self._file_url("vectors.sqlite") if self.store_url.startswith("sqlite") else self.store_url
        if self.embedding_base_url is None or self.embedding_model is None or self.embedding_dimensions is None:
            return VectorPlace(url)
        key = self.embedding_api_key.get_secret_value() if self.embedding_api_key is not None else None
        return VectorPlace(
            url,
            EmbeddingEndpoint(
                self.embedding_base_url,
                self.embedding_model,
                self.embedding_dimensions,
                key,
                self.embedding_timeout_seconds,
                self.embedding_texts_at_once,
            ),
        )

    @property
    def retention(self) -> RetentionPolicy:
        """The policy for the backups of a task's files after a successful complete run. By default, all are kept."""
        return self._policy("backup")

    @property
    def vector_retention(self) -> RetentionPolicy:
        """The policy for the backups of the vector store after a run that created one. By default, all are kept."""
        return self._policy("vector_backup")

    def _policy(self, prefix: str) -> RetentionPolicy:
        return RetentionPolicy(**{name: getattr(self, f"{prefix}_{name}") for name in RetentionPolicy.model_fields})

    @property
    def home_path(self) -> str:
        """The absolute path of the home."""
        return os.path.abspath(self.home)

    @property
    def training_data_path(self) -> str:
        """The absolute path of the folder of the task directories."""
        return os.path.abspath(self.training_data or self.home / "training_data")

    @property
    def store_url(self) -> str:
        """The URL of the task store. It is a secret if it has a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return self._file_url("data_pipeline.sqlite")

    @property
    def engine_url(self) -> str:
        """The URL of the engine's database: a file beside a SQLite store, or the same PostgreSQL database."""
        if self.store_url.startswith("sqlite"):
            return self._file_url("engine.sqlite")
        return self.store_url

    def _file_url(self, name: str) -> str:
        """Return the URL of a SQLite file in the home."""
        return url_of_file(os.path.join(self.home_path, name))

    @field_validator("home", "training_data", mode="before")
    @classmethod
    def _not_empty(cls, value: object) -> object:
        if value == "":
            raise ValueError('must not be empty: unset it for the default, or use "." for the current directory')
        return value

    @field_validator("allowed_databases", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    def database_named(self, name_or_url: str) -> str:
        """Return the URL of a named business database, or the URL itself. Raises InvalidInput for an unknown name."""
        if self.has_database(name_or_url):
            return self._named()[name_or_url.lower()].get_secret_value()
        if "://" in name_or_url:
            return name_or_url
        known = ", ".join(sorted(self.databases)) or "none"
        raise InvalidInput(
            "db_connection",
            "must be a URL (sqlite:///file.sqlite or postgresql://user@host/name) or the name of a configured database "
            f"(configured: {known})",
        )

    def has_database(self, name: str) -> bool:
        """Return whether a business database of this name is configured."""
        return name.lower() in self._named()

    def _named(self) -> dict[str, SecretStr]:
        return {name.lower(): url for name, url in self.databases.items()}


def load_settings() -> Settings:
    """Load the settings. Raises InvalidInput with the name of each setting that is unknown or has an invalid value."""
    problems = [*_unknown(os.environ, "the environment"), *_unknown(_dotenv_names(), ENV_FILE), *_unknown_in_toml()]
    if problems:
        raise InvalidInput("settings", *problems)
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidInput(
            "settings",
            *(f"{_spelled(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors()),
        ) from None  # the values may be secrets
    except (OSError, ValueError) as error:
        raise InvalidInput("settings", f"cannot be read: {type(error).__name__}") from None


def _spelled(place: Sequence[str | int]) -> str:
    """Return the name of a setting in the environment. Entries of a list are counted from 1."""
    if not place:
        return "several settings"
    name = "__".join(part for part in place if isinstance(part, str)).upper()
    return f"{PREFIX}{name}" + "".join(f", entry {part + 1}" for part in place if isinstance(part, int))


def _unknown(names: Iterable[str], where: str) -> list[str]:
    known = {f"{PREFIX}{field}".upper() for field in Settings.model_fields}
    return [
        f"unknown setting {name} in {where}"
        for name in sorted(names)
        if name.upper().startswith(PREFIX)
        and name.upper() not in known
        and not name.upper().startswith(f"{PREFIX}DATABASES__")
    ]


def _dotenv_names() -> list[str]:
    return list(dotenv_values(ENV_FILE, encoding="utf-8")) if os.path.isfile(ENV_FILE) else []


def _unknown_in_toml() -> list[str]:
    try:
        with open(TOML_FILE, "rb") as file:
            content = tomllib.load(file)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        return [f"{TOML_FILE} cannot be read: {error}"]
    return [f"unknown setting {name} in {TOML_FILE}" for name in sorted(content) if name not in Settings.model_fields]
