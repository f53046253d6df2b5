"""What the benchmark ran on, and how much memory it took."""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

_PACKAGES = ("torch", "captum", "bcos", "quantus")
_PROCESS = Path("/proc/self")
# Source: Linux, Documentation/filesystems/proc.rst: 5 resets the peak of the resident memory.
_RESET_PEAK = "5"
_BYTES_PER_KIB = 1024

_T = TypeVar("_T")


def machine() -> dict[str, Any]:
    """Return processor, cores, threads, GPUs and the versions of what is compared; None for what is not there."""
    return {
        "processor": _processor(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "versions": {name: installed_version(name) for name in _PACKAGES},
    }


def installed_version(package: str) -> str | None:
    """Return a package's version, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def peak_growth(work: Callable[[], _T]) -> tuple[int | None, _T]:
    """Return by how many bytes resident memory grows at its peak while `work` runs, and the result of `work`.

    Memory that the process holds already, for example from the same work done before, is not counted. The growth
    is None where the system does not tell.
    """
    gc.collect()
    if not _reset_peak():
        return None, work()
    before = _status("VmRSS")
    result = work()
    return max(0, _status("VmHWM") - before), result


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _reset_peak() -> bool:
    try:
        # Freed memory goes back first, or the work would hide in it.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        (_PROCESS / "clear_refs").write_text(_RESET_PEAK)
    except (OSError, AttributeError):
        return False
    return True


def _status(field: str) -> int:
    lines = (_PROCESS / "status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * _BYTES_PER_KIB
