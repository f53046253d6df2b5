"""A user's own module as the engine needs it, and the device to put it on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bcos_eval.bcos import DynamicLinear
from bcos_eval.contract.network_state import evaluating, exclusive
from bcos_eval.errors import InputError, unknown_name
from bcos_eval.models.weights_file import state_digest

from .boundary import facts_of, logits_in

# What a network may say or do beside its forward pass that explainers and metrics make use of.
_TAKEN_OVER = ("position_term", "feature_layer", "to_map", "from_map", "takes_any_size", "preprocessing")

Encode = Callable[[Tensor], Tensor]
Probability = Callable[[Tensor], Tensor]

_PROBABILITIES: dict[str, Probability] = {
    "sigmoid": torch.sigmoid,
    "softmax": lambda logits: logits.softmax(-1),
}


class UserModel(nn.Module):
    """A user's own network with what the suite needs to know of it.

    The network is given copies in its own precision and may work in place; logits come back in float32.

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
        has_gradients: Whether there are gradients by the input.
        own_encode: The function behind `encode`.
        network_within: What it computes, for those who look at the computation.

    Raises:
        InputError: If the network has no `encode` or `probability` and none is given.
    """

    # Methods that the network may or may not have.
    features: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]

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
        # Not by `eval`, which would reach into the user's network.
        self.training = False
        self.network = network
        self.name = name
        self.num_classes = num_classes
        self.input_size = input_size
        self.is_bcos = any(isinstance(module, DynamicLinear) for module in network.modules())
        self.class_names = tuple(map(str, getattr(network, "class_names", None) or range(num_classes)))
        self.logit_bias = float(getattr(network, "logit_bias", 0.0))
        self.has_gradients = True
        self._weights_id = ""
        self.own_encode = encode or _own(network, "encode")
        self._probability = _as_function(probability) or _own(network, "probability")
        for attribute in _TAKEN_OVER:
            if hasattr(network, attribute):
                setattr(self, attribute, getattr(network, attribute))
        if all(callable(getattr(network, attribute, None)) for attribute in ("features", "head")):
            self.features, self.head = self._features, self._head

    @property
    def weights_id(self) -> str:
        """Digest of all parameters and buffers, taken when it is first asked for."""
        self._weights_id = self._weights_id or state_digest(self.network)
        return self._weights_id

    @weights_id.setter
    def weights_id(self, identity: str) -> None:
        self._weights_id = identity

    @property
    def network_within(self) -> nn.Module:
        """The user's own module, where it can be shown what this one is shown."""
        return self.network if precision_of(self.network) == torch.float32 else self

    def settle(self, image: Tensor) -> UserModel:
        """Find out by an image what the network is, and return this model, which goes by it from now on.

        Args:
            image: `(1, 3, H, W)` in [0, 1], on the network's device.

        Raises:
            InputError: If it cannot be evaluated.
        """
        facts = facts_of(self, self.network, image)
        self.num_classes, self.has_gradients = facts.n_logits, facts.has_gradients
        names = getattr(self.network, "class_names", None) or tuple(map(str, range(facts.n_logits)))
        if len(names) != facts.n_logits:
            raise InputError(
                f"model '{self.name}' gives {facts.n_logits} logits and its class_names are {len(names)}; give "
                "one name for each logit."
            )
        self.class_names = tuple(map(str, names))
        if not facts.is_split:
            vars(self).pop("features", None)
            vars(self).pop("head", None)
        return self

    def split(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spatial features and the logits that the head makes of them."""
        features = self._features(encoded)
        return features, self._head(features)

    def encode(self, images: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` in [0, 1] to network input."""
        return self.own_encode(images.clone()).to(torch.float32)

    def probability(self, logits: Tensor) -> Tensor:
        """Map logits `(..., C)` to probabilities."""
        return self._probability(logits.clone())

    def forward(self, encoded: Tensor) -> Tensor:
        """Map network input to logits `(B, C)`, float32."""
        return logits_in(self.network(self._given(encoded)), len(encoded), self.name).to(torch.float32)

    def named_modules(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Module]]:  # noqa: ANN401 - as torch's
        """Iterate over the network's modules by the names its owner knows, so that layers can be named."""
        return self.network.named_modules(*args, **kwargs)

    def _given(self, tensor: Tensor) -> Tensor:
        return tensor.to(precision_of(self.network), copy=True)

    def _features(self, encoded: Tensor) -> Tensor:
        features: Tensor = self.network.features(self._given(encoded))  # type: ignore[operator]
        return features.to(torch.float32)

    def _head(self, features: Tensor) -> Tensor:
        logits: Tensor = self.network.head(self._given(features))  # type: ignore[operator]
        return logits.to(torch.float32)


def precision_of(network: nn.Module) -> torch.dtype:
    """Return the floating point type of a network's first parameter; float32 for one without any."""
    floating = (parameter.dtype for parameter in network.parameters() if parameter.is_floating_point())
    return next(floating, torch.float32)


@contextmanager
def borrowed(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Have a user's network on a device and in evaluation mode inside the block, and leave it as it was.

    Parts of a network that lies on several devices stay where they are.
    """
    homes = {entry.device for entry in (*network.parameters(), *network.buffers())}
    with exclusive(network), evaluating(network):
        try:
            if len(homes) <= 1:
                network.to(device)
            yield
        finally:
            if len(homes) == 1:
                network.to(homes.pop())


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
