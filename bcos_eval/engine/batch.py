"""How many stimuli go into one batch, and what happens when they are too many."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from bcos_eval.contract.network import is_out_of_memory
from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.errors import InputError

_CPU_PIXELS = 2**18
_GPU_PIXELS = 2**23
_LARGEST_BATCH = 64

T = TypeVar("T")


@dataclass(slots=True)
class BatchLimit:
    """The most stimuli per batch, which shrinks when memory runs out.

    Attributes:
        asked: Stimuli per batch, or None to choose by their size.
        device: Where batches are computed.
        reached: Size of the largest batch that is known to be too large, if there is one.
    """

    asked: int | None
    device: torch.device
    reached: int | None = None

    def size(self, stimulus: Stimulus) -> int:
        """Return how many stimuli of this size make a batch."""
        pixels = stimulus.image.shape[-2] * stimulus.image.shape[-1]
        budget = _GPU_PIXELS if self.device.type == "cuda" else _CPU_PIXELS
        wanted = self.asked or min(max(budget // pixels, 1), _LARGEST_BATCH)
        return wanted if self.reached is None else max(min(wanted, self.reached // 2), 1)

    def batches(self, stimuli: Sequence[Stimulus]) -> Iterator[list[Stimulus]]:
        """Yield consecutive stimuli of equal shape, in order."""
        for _, group in itertools.groupby(stimuli, key=_shape):
            left = list(group)
            while left:
                size = self.size(left[0])
                yield left[:size]
                left = left[size:]

    def apply(self, work: Callable[[Sequence[Stimulus]], list[T]], batch: Sequence[Stimulus]) -> list[T]:
        """Return `work(batch)`; out of memory, the batch is halved until it fits.

        Raises:
            InputError: If a single stimulus does not fit.
        """
        try:
            return work(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                height, width = batch[0].image.shape[-2:]
                raise InputError(
                    f"out of memory on {self.device} with a single image of {height}×{width} pixels; use smaller "
                    "grids (--param grid_pg.n=2), a smaller model or another --device."
                ) from error
        # Outside the handler, whose traceback would keep the failed batch's tensors alive.
        self.reached = len(batch)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        middle = len(batch) // 2
        return [*self.apply(work, batch[:middle]), *self.apply(work, batch[middle:])]


def _shape(stimulus: Stimulus) -> tuple[int, ...]:
    return (*stimulus.image.shape, len(stimulus.targets))
