"""The map of `protocols.md` section 14 and toy models, shared by the tests of the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.contract.metric import Scored
from bcos_eval.contract.params import Param
from bcos_eval.contract.stimulus import Counterfactuals
from bcos_eval.metrics import get_metric

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


class Weights(nn.Module):
    """The weights of a toy model, as a layer that can be initialised again."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights, requires_grad=False)

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight)

    def forward(self, encoded: Tensor) -> Tensor:
        return (encoded * self.weight).flatten(1).sum(1)


@dataclass(frozen=True)
class LinearSigmoid:
    """Two classes with logits ±w·x, explained by w∘x, sigmoid probabilities and pixels as they are."""

    weights: Tensor
    layer: Weights | None = None

    def encode(self, images: Tensor) -> Tensor:
        return images

    def logits(self, encoded: Tensor) -> Tensor:
        logit = self.network(encoded)
        return torch.stack([logit, -logit], dim=1)

    def probability(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    @property
    def network(self) -> nn.Module:
        return self.layer or Weights(self.weights)

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        contribution = (images * self.network.weight).sum(1, keepdim=True)
        return contribution * (1 - 2 * targets)[..., None, None]

    def constant_terms(self, encoded: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(targets.shape), torch.zeros(targets.shape)

    def with_network(self, network: nn.Module) -> LinearSigmoid:
        return replace(self, layer=network)


@pytest.fixture
def linear_sigmoid() -> Callable[[Tensor], ExplainedModel]:
    """Make a toy model from weights `(C, H, W)`."""
    return LinearSigmoid


def without_bands(image: Tensor) -> Counterfactuals:
    """An image `(3, H, W)` without one of eight bands, which are black then and differ in size."""
    height, width = image.shape[1:]
    band = torch.bucketize(torch.arange(height) / height, torch.tensor([0.1, 0.25, 0.5]), right=True)
    part = 2 * band[:, None] + (torch.arange(width) >= width // 2)
    regions = part == torch.arange(8)[:, None, None]
    return Counterfactuals(image.masked_fill(regions[:, None], 0), regions)


@pytest.fixture
def score() -> Callable[..., Scored]:
    """Score maps with a metric; images are black, targets 0 and regions everything unless given.

    Metrics of counterfactuals get `without_bands` unless others are given.
    """

    def run(
        key: str,
        maps: Tensor,
        regions: Tensor | None = None,
        *,
        images: Tensor | None = None,
        targets: Tensor | None = None,
        predict: ExplainedModel | None = None,
        counterfactuals: Sequence[Counterfactuals] | None = None,
        **params: Param,
    ) -> Scored:
        n_images, n_targets, height, width = maps.shape
        everything = torch.ones(maps.shape, dtype=torch.bool)
        black = torch.zeros(n_images, 3, height, width)
        shown = black if images is None else images
        if "counterfactuals" in get_metric(key).info.needs:
            params["counterfactuals"] = counterfactuals or [without_bands(image) for image in shown]
        return get_metric(key).score(
            maps,
            shown,
            torch.zeros(n_images, n_targets, dtype=torch.int64) if targets is None else targets,
            everything if regions is None else regions,
            predict,
            **params,
        )

    return run
