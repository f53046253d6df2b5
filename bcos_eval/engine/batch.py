"""How many stimuli go into one batch, and what happens when they are too many."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from bcos_eval.contract.network import is_out_of_memory
from bcos_eval.contract.pass_size import memory_class_gib
from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.errors import InputError

_CPU_PIXELS = 2**18
# Of a CUDA card's memory, which are 32 KiB for a pixel.
_PIXELS_PER_GIB = 2**15
_LARGEST_BATCH = 64

T = TypeVar("T")


@dataclass(slots=True)
class BatchLimit:
    """The most stimuli per batch, which shrinks when memory runs out.

    Where stimuli are explained together, a batch is what shares a pass: its size depends on the size of the images
    and on the card's memory class, so that equal cards make equal passes, whatever memory is free.

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
        wanted = self.asked or min(max(self._pixels() // pixels, 1), _LARGEST_BATCH)
        return wanted if self.reached is None else max(min(wanted, self.reached // 2), 1)

    def _pixels(self) -> int:
        if self.device.type != "cuda":
            return _CPU_PIXELS
        return pixels_of_card(memory_class_gib(self.device))

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


def explains_together(device: torch.device) -> bool:
    """Whether the stimuli of a batch share passes there: a single image does not occupy a GPU.

    On a CPU every image is explained alone, so that scores are the same to the last bit in batches of any size.
    """
    return device.type == "cuda"


def pixels_of_card(memory_class: int) -> int:
    """Return how many pixels of images share a pass on a card of a memory class in GiB.

    At 224×224 pixels, the graph of a B-cos ResNet-50 keeps 1 kB for each, that of the largest transformer 14 kB.

    Example:
        >>> [pixels_of_card(gib) // 672**2 for gib in (16, 32, 64, 128)]
        [1, 2, 4, 9]
    """
    return memory_class * _PIXELS_PER_GIB


def _shape(stimulus: Stimulus) -> tuple[int, ...]:
    return (*stimulus.image.shape, len(stimulus.targets))
