"""What a process takes, phase by phase."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_UP = "start-up"
POOL = "pool"
GRIDS = "grids"
EXPLAINING = "explaining"
SCORING = "scoring"
STORING = "storing"
REST = "rest"


class Phases:
    """Seconds of phases; while one runs inside another, the outer one's clock stands still.

    Args:
        started: When the process was started, by `time.monotonic`, which all processes of a machine share. What
            passes before the first phase is the start-up.
    """

    def __init__(self, started: float) -> None:
        self._seconds: dict[str, float] = {}
        self._open = [START_UP]
        self._since = started

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Count what the block takes to a phase."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def follow(self, name: str) -> None:
        """Let another phase take the place of the innermost one."""
        self._turn()
        self._open[-1] = name

    def count(self, owner: object, function: str, name: str) -> None:
        """Count all calls of a module's function, or a class's method, to a phase from now on."""
        original = getattr(owner, function)

        @functools.wraps(original)
        def counted(*args: object, **keywords: object) -> object:
            with self.of(name):
                return original(*args, **keywords)

        setattr(owner, function, counted)

    def save(self, path: Path) -> None:
        """Write the seconds of every phase, by name, as JSON."""
        self._turn()
        path.write_text(json.dumps(self._seconds), encoding="utf-8")

    def _turn(self) -> None:
        now = time.monotonic()
        name = self._open[-1]
        self._seconds[name] = self._seconds.get(name, 0.0) + now - self._since
        self._since = now
