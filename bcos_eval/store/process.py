"""Which process of which machine does something, and whether it still runs."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path


def this_process() -> str:
    """Return a name that no other running process has, on whatever machine or container: `machine-number`."""
    return f"{_machine()}-{os.getpid()}"


def is_gone(process: str) -> bool | None:
    """Return whether a process that `this_process` named has ended; None for one of another machine."""
    machine, _, number = process.partition("-")
    if machine != _machine() or not number.isdecimal():
        return None
    return not _is_alive(int(number))


@cache
def _machine() -> str:
    """Tell this machine, since it was started, from others, and a container from its host: process ids repeat."""
    parts = [socket.gethostname(), str(uuid.getnode())]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # it runs under another user
    return True
