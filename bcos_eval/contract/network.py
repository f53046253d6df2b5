"""What the suite expects of an image classifier, and what it asks of one before the first pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn


class Network(Protocol):
    """An image classifier that knows its own input encoding; the suite's models are such networks.

    Attributes:
        name: As in the tables.
        weights_id: Says which weights are loaded; part of every stored result.
        is_bcos: Whether it has a linear summary.
        num_classes: Number of logits.
        input_size: Side in pixels of the images it was made for.
    """

    name: str
    weights_id: str
    is_bcos: bool
    num_classes: int
    input_size: int
    training: bool

    def encode(self, images: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` in [0, 1] to network input `(B, C, H, W)`."""
        ...

    def probability(self, logits: Tensor) -> Tensor:
        """Map logits to probabilities, by the non-linearity the network was trained with."""
        ...

    def __call__(self, encoded: Tensor, /) -> Tensor:
        """Map network input to logits `(B, C)`."""
        ...

    def modules(self) -> Iterator[nn.Module]:
        """Iterate over all modules, parents first."""
        ...

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Iterate over all modules with their dotted names."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Iterate over all parameters."""
        ...

    def buffers(self) -> Iterator[Tensor]:
        """Iterate over all buffers."""
        ...


class SplitNetwork(Network, Protocol):
    """A network that can be cut before its classifier: `head(features(x))` equals the logits."""

    def features(self, encoded: Tensor) -> Tensor:
        """Map network input to the last spatial features `(B, F, h, w)`."""
        ...

    def head(self, features: Tensor) -> Tensor:
        """Map spatial features to logits."""
        ...


class TokenNetwork(Network, Protocol):
    """A network whose last spatial features are tokens, some of which have no place.

    Attributes:
        feature_layer: Dotted name of the module that gives the tokens.
    """

    feature_layer: str

    def to_map(self, tokens: Tensor) -> Tensor:
        """Return the tokens that have a place as a map `(B, F, h, w)`."""
        ...

    def from_map(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Return tokens with those that have a place replaced by a map."""
        ...


def name_of(model: object) -> str:
    """Return the model's registered name, for a user's own network the name of its class."""
    return str(getattr(model, "name", type(model).__name__))


def device_of(model: Network) -> torch.device:
    """Return the device of the model's first parameter or buffer; the CPU for a model without any."""
    tensor: Tensor | None = next(model.parameters(), None)
    if tensor is None:
        tensor = next(model.buffers(), None)
    return torch.device("cpu") if tensor is None else tensor.device


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an exception says that memory ran out."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    # The CPU allocator has no exception class of its own.
    return "can't allocate memory" in str(error)
