"""Runs described in a TOML file, with the same keys as the options."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from bcos_eval.errors import InputError, unknown_name


def read_config(path: Path, allowed: Collection[str]) -> dict[str, Any]:
    """Return the values of a TOML file by option name.

    Keys are the long option names without dashes in front (`batch-size` and `batch_size` are the same). Lists
    are options given several times. `param` may also be a table: `[param.grid_pg]` with `n = 2` is
    `--param grid_pg.n=2`.

    Args:
        path: The file.
        allowed: Names of the options, with underscores.

    Raises:
        InputError: If the file is missing or not TOML, or a key is no option.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config '{path}': {error.strerror}; give a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--config '{path}' is not TOML: {error}.") from error
    options = {key.replace("-", "_"): value for key, value in content.items()}
    for key in options:
        if key not in allowed:
            raise unknown_name(f"option in {path}", key, allowed)
    if isinstance(options.get("param"), dict):
        options["param"] = _flattened(path, options["param"])
    return options


def _flattened(path: Path, table: dict[str, Any]) -> list[str]:
    settings = []
    for owner, values in table.items():
        if not isinstance(values, dict):
            raise InputError(f"--config '{path}': [param] holds '{owner}' without a table; write [param.{owner}].")
        settings += [f"{owner}.{key}={value}" for key, value in values.items()]
    return settings
