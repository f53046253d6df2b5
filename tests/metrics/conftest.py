"""The map of `protocols.md` section 14 and toy models, shared by the tests of the metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from bcos_eval.metrics import get_metric
from bcos_eval.metrics.registry import Param, Predict, Scored

V = (
    (4.0, -2.0, 1.0, 0.0),
    (0.0, 6.0, -3.0, 2.0),
    (-1.0, 1.0, 5.0, 0.0),
    (2.0, 0.0, -4.0, 3.0),
)


@pytest.fixture
def map_v() -> Tensor:
    """The 4×4 map V, `(1, 1, 4, 4)` float64."""
    return torch.tensor(V, dtype=torch.float64)[None, None]


@dataclass(frozen=True)
class LinearSigmoid:
    """Two classes with logits ±w·x, sigmoid probabilities and pixels as they are."""

    weights: Tensor

    def encode(self, images: Tensor) -> Tensor:
        return images

    def logits(self, encoded: Tensor) -> Tensor:
        logit = (encoded * self.weights).flatten(1).sum(1)
        return torch.stack([logit, -logit], dim=1)

    def probability(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


@pytest.fixture
def linear_sigmoid() -> Callable[[Tensor], Predict]:
    """Make a toy model from weights `(C, H, W)`."""
    return LinearSigmoid


@pytest.fixture
def score() -> Callable[..., Scored]:
    """Score maps with a metric; images are black, targets 0 and regions everything unless given."""

    def run(
        key: str,
        maps: Tensor,
        regions: Tensor | None = None,
        *,
        images: Tensor | None = None,
        targets: Tensor | None = None,
        predict: Predict | None = None,
        **params: Param,
    ) -> Scored:
        n_images, n_targets, height, width = maps.shape
        everything = torch.ones(maps.shape, dtype=torch.bool)
        black = torch.zeros(n_images, 3, height, width)
        return get_metric(key).score(
            maps,
            black if images is None else images,
            torch.zeros(n_images, n_targets, dtype=torch.int64) if targets is None else targets,
            everything if regions is None else regions,
            predict,
            **params,
        )

    return run
