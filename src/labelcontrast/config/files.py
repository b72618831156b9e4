"""Settings from a TOML file, and single ones by a dotted name: set over them, or all of them named so."""

import tomllib
from pathlib import Path
from typing import Any

from labelcontrast.errors import ConfigError


def read_settings(path: Path) -> dict[str, Any]:
    """Read a TOML file of settings, unchecked.

    Raises:
        ConfigError: when the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        message = f"{path}: no such file; expected a TOML file of settings."
        raise ConfigError(message) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path}: not a TOML file: {error}."
        raise ConfigError(message) from None


def override(values: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Set single fields by ``KEY=VALUE``, the key dotted and the value as TOML has it; a bare word is a string.

    Raises:
        ConfigError: when an assignment has no ``=``.

    Example:
        >>> override({"loss": {"name": "reg"}}, ["loss.temperature=0.05", "encoder.name=hashed"])
        {'loss': {'name': 'reg', 'temperature': 0.05}, 'encoder': {'name': 'hashed'}}
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            message = f'"{assignment}" is not an assignment; expected KEY=VALUE, as in loss.temperature=0.05.'
            raise ConfigError(message)
        values = put(values, key.strip(), read_value(text.strip()))
    return values


def put(values: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """Set one field by its dotted key, in a copy.

    Raises:
        ConfigError: when a part of the key is a value and not a section.
    """
    section, dot, rest = key.partition(".")
    if not dot:
        return values | {key: value}
    inner = values.get(section, {})
    if not isinstance(inner, dict):
        message = f'"{section}" in "{key}" is a value, not a section.'
        raise ConfigError(message)
    return values | {section: put(inner, rest, value)}


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name every field by its dotted path.

    Example:
        >>> flatten({"seed": 0, "loss": {"name": "reg"}})
        {'seed': 0, 'loss.name': 'reg'}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def read_value(text: str) -> Any:  # noqa: ANN401
    """Read a value as TOML has it, and a bare word as a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
