"""Who computes which shard, said by files, so that several runs in one folder share the work.

A claim is a file in `OUT/claims` that only one process can create, named after the shard and holding the process's
name. It is touched while the process lives, deleted when the shard is stored, and void when its process has ended
or has not touched it for long. Should two processes take over a void claim at once, the shard is computed twice,
with the same numbers; nothing worse can happen.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .facts import ShardAddress
from .process import is_gone, this_process

_FOLDER = "claims"
_SECONDS_BETWEEN_TOUCHES = 10.0
# A process of another machine that has not touched its claim for so long has ended: a paused disk takes less.
_SECONDS_UNTIL_VOID = 180.0


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
    def held(self, addresses: Sequence[ShardAddress]) -> Iterator[set[ShardAddress]]:
        """Claim shards for the block; yields those that no other process has claimed."""
        mine = {address for address in addresses if self._take(self._path(address))}
        self._touch_on()
        try:
            yield mine
        finally:
            for address in mine:
                path = self._path(address)
                self._held.discard(path)
                with suppress(OSError):
                    path.unlink()

    def _path(self, address: ShardAddress) -> Path:
        return self.root / _FOLDER / address.shard

    def _take(self, path: Path) -> bool:
        if self._create(path):
            return True
        if not self._is_void(path):
            return False
        with suppress(OSError):
            path.unlink()
        return self._create(path)

    def _create(self, path: Path) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="ascii") as file:
                file.write(this_process())
        except FileExistsError:
            return False
        self._held.add(path)
        return True

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
        return time.monotonic() - since > _SECONDS_UNTIL_VOID

    def _touch_on(self) -> None:
        if self._toucher is None:
            self._toucher = threading.Thread(target=self._touch_forever, name="claims", daemon=True)
            self._toucher.start()

    def _touch_forever(self) -> None:
        while not self._never.wait(_SECONDS_BETWEEN_TOUCHES):
            for path in tuple(self._held):
                with suppress(OSError):
                    os.utime(path)
