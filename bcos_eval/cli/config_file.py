"""Runs described in a TOML file, with the same keys as the options."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bcos_eval.errors import InputError, unknown_name


def read_config(path: Path, options: Sequence[click.Parameter]) -> dict[str, Any]:
    """Return the values of a TOML file by option name.

    Keys are the long option names without dashes in front (`batch-size` and `batch_size` are the same). A list is
    an option given several times; for an option that can be, a single value will do. `param` may also be a table:
    `[param.grid_pg]` with `n = 2` is `--param grid_pg.n=2`.

    Args:
        path: The file.
        options: The options of the command.

    Raises:
        InputError: If the file is missing or not TOML, a key is no option, or a value is not one the option takes.
    """
    known = {str(option.name): option for option in options}
    values = {key.replace("-", "_"): value for key, value in _content(path).items()}
    for key in values:
        if key not in known:
            raise unknown_name(f"option in {path}", key, known)
    return {key: _option_value(path, key, value, multiple=known[key].multiple) for key, value in values.items()}


def _content(path: Path) -> dict[str, Any]:
    try:
        # Editors on Windows begin a text with a byte order mark.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"--config '{path}': {error.strerror}; give a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--config '{path}' is not TOML: {error}.") from error


def _option_value(path: Path, key: str, value: object, *, multiple: bool) -> object:
    if key == "param" and isinstance(value, Mapping):
        return _flattened(path, value)
    if isinstance(value, Mapping):
        raise InputError(f"--config '{path}': [{key}] is a table; write {key} = …, as for --{_dashed(key)}.")
    if isinstance(value, list):
        if not multiple:
            raise InputError(f"--config '{path}': {key} is a list; --{_dashed(key)} takes one value.")
        return [str(one) for one in value]
    return [str(value)] if multiple else value


def _flattened(path: Path, table: Mapping[str, Any]) -> list[str]:
    settings = []
    for owner, values in table.items():
        if not isinstance(values, Mapping):
            raise InputError(f"--config '{path}': [param] holds '{owner}' without a table; write [param.{owner}].")
        settings += [f"{owner}.{key}={value}" for key, value in values.items()]
    return settings


def _dashed(key: str) -> str:
    return key.replace("_", "-")
