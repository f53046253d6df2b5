"""What an explainer needs from a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn


class Network(Protocol):
    """An image classifier that knows its own input encoding; the suite's models are such networks.

    `features` and `head`, where they exist, split the network before its classifier: `head(features(x))`
    equals the logits and `features(x)` is `(B, F, h, w)`.
    """

    training: bool

    def encode(self, images: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` in [0, 1] to network input `(B, C, H, W)`."""

    def probability(self, logits: Tensor) -> Tensor:
        """Map logits to probabilities."""

    def __call__(self, encoded: Tensor, /) -> Tensor:
        """Map network input to logits."""

    def modules(self) -> Iterator[nn.Module]:
        """Iterate over all modules, parents first."""

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Iterate over all modules with their dotted names."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Iterate over all parameters."""

    def buffers(self) -> Iterator[Tensor]:
        """Iterate over all buffers."""


class SplitNetwork(Network, Protocol):
    """A network that can be cut before its classifier."""

    def features(self, encoded: Tensor) -> Tensor:
        """Map network input to the last spatial features `(B, F, h, w)`."""

    def head(self, features: Tensor) -> Tensor:
        """Map spatial features to logits."""


def name_of(model: Network) -> str:
    """Return the model's registered name, for a user's own network the name of its class."""
    return str(getattr(model, "name", type(model).__name__))


def device_of(model: Network) -> torch.device:
    """Return the device of the model's first parameter or buffer; the CPU for a model without any."""
    tensor: Tensor | None = next(model.parameters(), None)
    if tensor is None:
        tensor = next(model.buffers(), None)
    return torch.device("cpu") if tensor is None else tensor.device
