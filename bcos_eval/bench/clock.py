"""Timing: several pieces of work in turns, so that a slow minute of the machine hits all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

_T = TypeVar("_T")


def timed(work: Callable[[], _T]) -> tuple[float, _T]:
    """Return the seconds some work took, and its result."""
    _wait_for_gpu()
    start = time.perf_counter()
    result = work()
    _wait_for_gpu()
    return time.perf_counter() - start, result


def _wait_for_gpu() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


@contextmanager
def threads(n_threads: int | None) -> Iterator[None]:
    """Let torch use so many threads inside the block; None leaves its choice."""
    before = torch.get_num_threads()
    try:
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        yield
    finally:
        torch.set_num_threads(before)
