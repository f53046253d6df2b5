"""Who computes what, said by files, so that several runs in one folder share the work.

A claim is a file in `OUT/claims` that only one process can create, named after a shard or a piece of a pool, with
the process's name. It is touched while the process lives, deleted when the work is stored, and void when its
process has ended or has not touched it for long. Should two processes take over a void claim at once, the work is
done twice, with the same numbers; nothing worse can happen.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .atomic_write import DAY_IN_SECONDS, unwritable
from .process import is_gone, this_process

_FOLDER = "claims"
_SECONDS_BETWEEN_TOUCHES = 10.0
# A process of another machine that has not touched its claim for so long has ended: a paused disk takes less.
_SECONDS_UNTIL_VOID = 180.0
# One without a name was left between two operations: its process was killed, or needs a moment.
_SECONDS_UNTIL_NAMED = 5.0
# How often to look whether another process has stored what it was computing.
_SECONDS_BETWEEN_LOOKS = 0.5


@dataclass
class Claims:
    """The claims in a folder of results.

    Attributes:
        root: The folder.
    """

    root: Path
    _held: set[Path] = field(default_factory=set)
    _last_seen: dict[Path, tuple[float, float]] = field(default_factory=dict)
    _toucher: threading.Thread | None = None
    _never: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def held(self, names: Sequence[str]) -> Iterator[set[str]]:
        """Claim work, by names of its own, for the block; yields what no other process has claimed.

        Raises:
            InputError: If claims cannot be written.
        """
        mine = {name for name in names if self._take(self._path(name))}
        self._touch_on()
        try:
            yield mine
        finally:
            for name in mine:
                self._give_up(self._path(name))

    def remove_ended(self) -> None:
        """Delete the claims of processes that have ended: what they stored nobody claims again."""
        for path in (self.root / _FOLDER).glob("*"):
            with suppress(OSError):
                gone = is_gone(path.read_text(encoding="ascii", errors="replace"))
                if gone or (gone is None and time.time() - path.stat().st_mtime > DAY_IN_SECONDS):
                    path.unlink()

    def wait(self) -> None:
        """Give other processes the time to store something."""
        time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _path(self, name: str) -> Path:
        return self.root / _FOLDER / name

    def _take(self, path: Path) -> bool:
        if self._create(path):
            return True
        if not self._is_void(path):
            return False
        with suppress(OSError):
            path.unlink()
        return self._create(path)

    def _create(self, path: Path) -> bool:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            with path.open("x", encoding="ascii") as file:
                self._held.add(path)
                file.write(this_process())
        except FileExistsError:
            return False
        except OSError as error:
            if path in self._held:
                self._give_up(path)
            raise unwritable(path, error) from error
        return True

    def _give_up(self, path: Path) -> None:
        self._held.discard(path)
        with suppress(OSError):
            path.unlink()

    def _is_void(self, path: Path) -> bool:
        """Whether the claim's process has ended; clocks of machines differ, so touches are timed by this one's."""
        try:
            touched, process = path.stat().st_mtime, path.read_text(encoding="ascii", errors="replace")
        except OSError:
            return False  # it was given up just now
        if is_gone(process):
            return True
        seen_touched, since = self._last_seen.get(path, (touched, time.monotonic()))
        if touched != seen_touched:
            since = time.monotonic()
        self._last_seen[path] = (touched, since)
        return time.monotonic() - since > (_SECONDS_UNTIL_VOID if process else _SECONDS_UNTIL_NAMED)

    def _touch_on(self) -> None:
        if self._toucher is None:
            self._toucher = threading.Thread(target=self._touch_forever, name="claims", daemon=True)
            self._toucher.start()

    def _touch_forever(self) -> None:
        while not self._never.wait(_SECONDS_BETWEEN_TOUCHES):
            for path in tuple(self._held):
                with suppress(OSError):
                    os.utime(path)
