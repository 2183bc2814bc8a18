"""Report every setting with its value and the origin of the value. Secrets are masked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, TomlConfigSettingsSource

from data_pipeline.config.database_urls import masked
from data_pipeline.config.settings import ENV_FILE, PREFIX, TOML_FILE, Settings

DEFAULT: Final = "default"
_HIDDEN: Final = "***"


@dataclass(frozen=True)
class SettingValue:
    """A setting: its name in the environment, its value without secrets, the source of the value, its meaning."""

    name: str
    value: str
    origin: str
    meaning: str

    def summary(self) -> dict[str, str]:
        """Return the fields for JSON."""
        return asdict(self)


def settings_in_use(settings: Settings) -> list[SettingValue]:
    """Return all settings in the order of the documentation. Each named database is an entry of its own."""
    sources = (
        ("environment", EnvSettingsSource(Settings)()),
        (ENV_FILE, DotEnvSettingsSource(Settings)()),
        (TOML_FILE, TomlConfigSettingsSource(Settings)()),
    )
    values_in_use = []
    for field, info in Settings.model_fields.items():
        name, meaning = f"{PREFIX}{field.upper()}", info.description or ""
        if field == "databases" and settings.databases:
            for database, url in settings.databases.items():
                origin = next(where for where, values in sources if database in values.get(field, {}))
                shown = masked(url.get_secret_value())
                values_in_use.append(
                    SettingValue(f"{name}__{database.upper()}", shown, origin, "a named business database")
                )
            continue
        origin = next((where for where, values in sources if field in values), DEFAULT)
        values_in_use.append(SettingValue(name, _shown(settings, field), origin, meaning))
    return values_in_use


def _shown(settings: Settings, field: str) -> str:
    effective: dict[str, Any] = {
        "home": settings.home_path,
        "training_data": settings.training_data_path,
        "database_url": masked(settings.store_url),
        "vector_store_url": masked(settings.vector_place.url),
        "allowed_databases": ", ".join(masked(url.get_secret_value()) for url in settings.allowed_databases) or "none",
        "databases": "none",
    }
    value = effective.get(field, getattr(settings, field))
    match value:
        case None:
            return "none"
        case SecretStr():
            return _HIDDEN
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
    assert isinstance(value, (str, int, Path))
    return str(value)
