"""A user's own module as the engine needs it, and the device to put it on."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bcos_eval.bcos import DynamicLinear
from bcos_eval.errors import InputError, unknown_name

# Enough hexadecimal digits of a digest to tell weights apart in a table.
_ID_DIGITS = 16

Encode = Callable[[Tensor], Tensor]
Probability = Callable[[Tensor], Tensor]

_PROBABILITIES: dict[str, Probability] = {
    "sigmoid": torch.sigmoid,
    "softmax": lambda logits: logits.softmax(-1),
}


class UserModel(nn.Module):
    """A user's own network with what the suite needs to know of it.

    Args:
        network: Maps encoded images to logits `(B, C)`.
        name: How tables call it.
        num_classes: Number of logits.
        input_size: Side of the images it was made for.
        encode: Maps images in [0, 1] to network input; None takes the network's own `encode`.
        probability: "softmax", "sigmoid" or a function; None takes the network's own `probability`.

    Attributes:
        is_bcos: Whether it has layers with an explanation mode.
        class_names: One name per class, numbers where the network does not say.
        weights_id: Digest of the state dict.

    Raises:
        InputError: If the network has no `encode` or `probability` and none is given.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        num_classes: int,
        input_size: int,
        encode: Encode | None = None,
        probability: str | Probability | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.name = name
        self.num_classes = num_classes
        self.input_size = input_size
        self.is_bcos = any(isinstance(module, DynamicLinear) for module in network.modules())
        names = getattr(network, "class_names", None) or range(num_classes)
        self.class_names = tuple(str(name) for name in names)
        self.weights_id = state_digest(network)
        self.logit_bias = float(getattr(network, "logit_bias", 0.0))
        self._encode = encode or _own(network, "encode")
        self._probability = _as_function(probability) or _own(network, "probability")
        if inspect.ismethod(getattr(network, "features", None)) and hasattr(network, "head"):
            self.features, self.head = network.features, network.head
        if callable(getattr(network, "position_term", None)):
            self.position_term = network.position_term

    def encode(self, images: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` in [0, 1] to network input."""
        return self._encode(images)

    def probability(self, logits: Tensor) -> Tensor:
        """Map logits `(..., C)` to probabilities."""
        return self._probability(logits)

    def forward(self, encoded: Tensor) -> Tensor:
        """Map network input to logits `(B, C)`."""
        logits: Tensor = self.network(encoded)
        return logits

    def named_modules(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Module]]:  # noqa: ANN401 - as torch's
        """Iterate over the network's modules by the names its owner knows, so that layers can be named."""
        return self.network.named_modules(*args, **kwargs)


def state_digest(network: nn.Module) -> str:
    """Return a digest of all parameters and buffers."""
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:_ID_DIGITS]


def choose_device(text: str) -> torch.device:
    """Return the device called so; `auto` is the first GPU, or the CPU.

    Raises:
        InputError: If there is no such device.
    """
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(text)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device '{text}' cannot be used ({reason}); give auto, cpu or cuda.") from error
    return device


def _own(network: nn.Module, attribute: str) -> Callable[[Tensor], Tensor]:
    function = getattr(network, attribute, None)
    if not callable(function):
        raise InputError(
            f"the model {type(network).__name__} has no '{attribute}'; give evaluate({attribute}=…), a function."
        )
    return function


def _as_function(probability: str | Probability | None) -> Probability | None:
    if isinstance(probability, str):
        if probability not in _PROBABILITIES:
            raise unknown_name("probability", probability, _PROBABILITIES)
        return _PROBABILITIES[probability]
    return probability
