"""How long this machine takes for a forward and an explanation pass."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bcos_eval.attribution import explain
from bcos_eval.models import load_model

_MAX_REPEATS = 9
# No more repeats are begun after this time; a slow machine should not wait for a precise number.
_BUDGET_S = 2.0
# The first one, which is slower, does not count.
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class SpeedCase:
    """A network and the images it is timed on.

    Attributes:
        model: Registered name.
        dataset: Dataset whose variant of the network is built; `imagenet` for the published size.
        weights: As for `load_model`.
        side: Side of the images.
        only_full: Whether it takes too long for a first look.
    """

    model: str
    dataset: str
    weights: str | None
    side: int
    only_full: bool = False

    @property
    def label(self) -> str:
        """Network and image size in one word."""
        return f"{self.model} {self.side}×{self.side}"

    @property
    def where(self) -> str:
        """The device it is timed on."""
        return "cuda" if torch.cuda.is_available() else "cpu"


CASES = (
    SpeedCase("bcos_resnet18", "shapes", None, 64),
    SpeedCase("bcos_resnet50", "imagenet", "random", 224, only_full=True),
)


def measured(case: SpeedCase) -> tuple[float, float]:
    """Return the median seconds of a forward pass and of an explanation (`bcos`) of one image."""
    device = torch.device(case.where)
    model = load_model(case.model, case.weights, case.dataset, device)
    image = torch.rand(1, 3, case.side, case.side, generator=torch.Generator().manual_seed(0)).to(device)
    target = torch.zeros(1, dtype=torch.int64, device=device)

    def forward() -> object:
        with torch.inference_mode():
            return model(model.encode(image))

    return _median_seconds(forward), _median_seconds(lambda: explain(model, image, target, "bcos"))


def _median_seconds(work: Callable[[], object]) -> float:
    times: list[float] = []
    while len(times) <= _MAX_REPEATS and (len(times) < _FEWEST or sum(times) < _BUDGET_S):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])
