"""What a user's own network is, found out once and before any work: its form, its split, its gradients.

Whatever would make a wrong number of it is refused here, in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from bcos_eval.contract.network import Network, is_out_of_memory
from bcos_eval.contract.network_state import frozen
from bcos_eval.errors import InputError

# Logits of the features and of the whole network may differ by so much of the largest one: rounding in the
# network's own precision, not another computation.
_SPLIT_TOLERANCE: Mapping[torch.dtype, float] = {torch.float16: 1e-2, torch.bfloat16: 5e-2}
_USUAL_SPLIT_TOLERANCE = 1e-3
_NDIM_IMAGES, _NDIM_LOGITS = 4, 2


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What a network showed of itself.

    Attributes:
        n_logits: Number of logits.
        is_split: Whether it has `features` and `head` that make its logits.
        has_gradients: Whether there is a gradient of the logits by the input.
    """

    n_logits: int
    is_split: bool
    has_gradients: bool


_KNOWN: WeakKeyDictionary[nn.Module, dict[int, NetworkFacts]] = WeakKeyDictionary()


def facts_of(model: nn.Module, network: nn.Module, image: Tensor) -> NetworkFacts:
    """Return what a network is, from a few passes of one image; they are not repeated until it is changed.

    Args:
        model: What maps images to logits for the suite, with `encode`; it stands for the network.
        network: The user's own network.
        image: `(1, 3, H, W)` in [0, 1], on the network's device.

    Raises:
        InputError: If it cannot be evaluated: it fails on the image, gives no logits, or an encoding that does not
            lie on the image.
    """
    key = _key(network, model, image)
    known = _KNOWN.setdefault(network, {})
    if key not in known:
        known[key] = _examined(model, image)  # type: ignore[arg-type] # it is a network but for what is asked here
    return known[key]


def logits_in(output: object, n_images: int, name: str) -> Tensor:
    """Return what a network gave if it is logits.

    Args:
        output: What it gave.
        n_images: Number of images it was shown.
        name: What it is called.

    Raises:
        InputError: If it is anything but a tensor `(B, C)`; says what it is and what to return.
    """
    if isinstance(output, Tensor) and output.ndim == _NDIM_LOGITS and len(output) == n_images:
        return output
    images = "one image" if n_images == 1 else f"{n_images} images"
    raise InputError(
        f"the network of '{name}' gives {_form(output)} for {images}; it must give logits (B, C){_remedy(output)}."
    )


def require_encoding(encode: Callable[[Tensor], Tensor], image: Tensor, name: str) -> Tensor:
    """Return what the network is shown for an image if its pixels lie where the image's do.

    Args:
        encode: Maps images to network input.
        image: `(1, 3, H, W)` in [0, 1].
        name: What the model is called.

    Raises:
        InputError: If it fails, or resizes, crops or moves the image: attributions would not lie on it.
    """
    encoded = _attempt(lambda: encode(image.clone()), f"encode of '{name}'", image)
    height, width = image.shape[-2:]
    if not isinstance(encoded, Tensor) or encoded.ndim != _NDIM_IMAGES or len(encoded) != 1:
        raise InputError(
            f"encode of '{name}' gives {_form(encoded)} for one image; it must give network input (B, C, H, W)."
        )
    if encoded.shape[-2:] != (height, width):
        raise InputError(
            f"encode of '{name}' makes {encoded.shape[-2]}×{encoded.shape[-1]} of an image of {height}×{width}, "
            "on which no attribution would lie; resize and crop the images before, and let encode normalise alone."
        )
    _require_places(encode, image, encoded, name)
    return encoded


def _examined(model: Network, image: Tensor) -> NetworkFacts:
    name = model.name
    with frozen(model):
        encoded = require_encoding(model.encode, image, name).detach()
        has_gradients = True
        try:
            logits, has_gradients = _logits_with_gradients(model, encoded)
        except InputError:
            raise
        except Exception as error:  # a user's code may raise anything, and more with gradients than without
            if is_out_of_memory(error):
                raise
            has_gradients = False
            with torch.no_grad():
                logits = _attempt(lambda: model(encoded), f"the network of '{name}'", image)
        two = encoded.expand(2, *encoded.shape[1:])
        with torch.no_grad():
            _attempt(lambda: model(two), f"the network of '{name}'", two)
            probability = _attempt(lambda: model.probability(logits), f"probability of '{name}'", logits)
            if not isinstance(probability, Tensor) or probability.shape != logits.shape:
                raise InputError(
                    f"probability of '{name}' gives {_form(probability)} for logits {tuple(logits.shape)}; it "
                    "must give one probability for each logit."
                )
            is_split = _is_split(model, encoded, logits.detach())
    return NetworkFacts(int(logits.shape[1]), is_split, has_gradients)


def _logits_with_gradients(model: Network, encoded: Tensor) -> tuple[Tensor, bool]:
    x = encoded.clone().requires_grad_()
    logits = model(x)
    if not logits.requires_grad:
        return logits, False
    try:
        (gradient,) = torch.autograd.grad(logits.sum(), x, allow_unused=True)
    except (RuntimeError, NotImplementedError) as error:
        if is_out_of_memory(error):
            raise
        return logits, False
    return logits, gradient is not None


def _is_split(model: Network, encoded: Tensor, logits: Tensor) -> bool:
    split = getattr(model, "split", None)
    if split is None:
        return False
    try:
        features, of_features = split(encoded)
    except Exception as error:  # attributes of these names may be anything
        if is_out_of_memory(error):
            raise
        return False
    if features.ndim != _NDIM_IMAGES or of_features.shape != logits.shape:
        return False
    dtype = next((entry.dtype for entry in model.parameters()), torch.float32)
    tolerance = _SPLIT_TOLERANCE.get(dtype, _USUAL_SPLIT_TOLERANCE)
    return bool((of_features - logits).abs().max() <= tolerance * logits.abs().max())


def _require_places(encode: Callable[[Tensor], Tensor], image: Tensor, encoded: Tensor, name: str) -> None:
    """Refuse an encoding by which a change of a pixel in a corner of the image is not largest there."""
    for corner in ((0, 0), (-1, -1)):
        changed = image.clone()
        changed[..., *corner] = (changed[..., *corner] + 0.5) % 1
        difference = (encode(changed).float() - encoded.float()).abs().amax((0, 1))
        if not difference.max() > 0 or difference[corner] < difference.max():
            raise InputError(
                f"encode of '{name}' crops or moves the image, so that attributions would not lie on it; resize "
                "and crop the images before, and let encode normalise alone."
            )


def _attempt(work: Callable[[], Any], what: str, images: Tensor) -> Any:  # noqa: ANN401 - whatever it gives
    try:
        return work()
    except InputError:
        raise
    except Exception as error:  # a user's code may raise anything
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())
        raise InputError(
            f"{what} fails on a tensor of shape {tuple(images.shape)}: {type(error).__name__}: {reason}"
        ) from error


def _form(output: object) -> str:
    if isinstance(output, Tensor):
        return str(tuple(output.shape))
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} with {', '.join(map(str, output))}"
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)}"
    return type(output).__name__


def _remedy(output: object) -> str:
    if isinstance(output, Tensor):
        if output.ndim < _NDIM_LOGITS:
            return ", also for one image and for one logit: do not squeeze them"
        return ": average or flatten them" if output.ndim > _NDIM_LOGITS else ", one row for each image"
    if isinstance(output, Mapping) or hasattr(output, "logits"):
        return ": return them alone, without what is around them"
    return ": return them alone" if isinstance(output, (tuple, list)) else ""


def _key(network: nn.Module, model: nn.Module, image: Tensor) -> int:
    """Return a number that changes when a network is given other layers, another precision or another input."""
    encode: Any = getattr(model, "own_encode", None)
    return hash(
        (
            *(type(module) for module in network.modules()),
            *((parameter.shape, parameter.dtype) for parameter in network.parameters()),
            id(vars(network).get("forward")),
            id(getattr(encode, "__func__", encode)),
            image.shape,
            image.device,
        )
    )
