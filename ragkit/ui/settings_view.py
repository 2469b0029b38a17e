"""The settings in force, each with where it came from; secrets are never shown."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

from pydantic import SecretStr
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from ragkit.core.secrets import without_credentials
from ragkit.core.settings import Settings

Origin: TypeAlias = Literal["option", "environment", "file", "default"]
HIDDEN = "••••••"
_FILE = Path("ragkit.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """A setting: its dotted name, its value as text, where it came from."""

    name: str
    value: str
    origin: Origin


def setting_rows(settings: Settings, *, file: Path | None = None) -> list[SettingRow]:
    """Return every setting; a value that neither file nor environment says is an option's.

    Args:
        settings: In force.
        file: The settings file that was named, instead of `./ragkit.toml`.
    """
    environment = dict(_flat(EnvSettingsSource(Settings)()))
    written = dict(_flat(TomlConfigSettingsSource(Settings, toml_file=file or _FILE)()))
    base = dict(_flat(Settings.model_construct().model_dump()))
    rows: list[SettingRow] = []
    for name, value in _flat(settings.model_dump()):
        origin: Origin = "option"
        if name in environment:
            origin = "environment"
        elif name in written:
            origin = "file"
        elif base.get(name) == value:
            origin = "default"
        rows.append(SettingRow(name=name, value=_shown(value), origin=origin))
    return rows


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            # model_dump gives mappings of names only
            yield from _flat(cast("Mapping[str, object]", value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return HIDDEN
    if value is None:
        return "not set"
    return "{}" if value == {} else without_credentials(str(value))
