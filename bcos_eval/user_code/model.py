"""A network that a file of the user's own makes, as the engine needs it: `path/to/file.py:factory`."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from bcos_eval.bcos import DynamicLinear, add_inverse
from bcos_eval.errors import InputError
from bcos_eval.models.weights_file import load_strictly, read_weights
from bcos_eval.spelling import is_reference

from .file import (
    Reference,
    error_line,
    fixed_draws,
    load_file,
    named_object,
    parse_reference,
)
from .network import Encode, Probability, UserModel

_RANDOM = "random"
_ID_DIGITS = 16
_INVERSE_CHANNELS = 6
_CONVOLUTION_NDIM = 4


def models_named(texts: Iterable[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the names that models have in tables, and for those from a file `FILE.py:FACTORY` by name.

    Raises:
        InputError: If two of them would have the same name.

    Example:
        >>> models_named(["resnet18", "nets/mine.py:small"])
        (('resnet18', 'mine.small'), {'mine.small': 'nets/mine.py:small'})
    """
    names: list[str] = []
    files: dict[str, str] = {}
    for text in texts:
        name = parse_reference(text).short if is_reference(text) else text
        if files.get(name, text) != text:
            raise InputError(
                f"models '{files[name]}' and '{text}' are both called {name}; rename one of the files."
            )
        if is_reference(text):
            files[name] = text
        names.append(name)
    return tuple(dict.fromkeys(names)), files


def is_bcos_module(module: nn.Module) -> bool:
    """Whether a network has layers with an explanation mode."""
    return any(isinstance(part, DynamicLinear) for part in module.modules())


def make_module(reference: Reference) -> nn.Module:
    """Run a file and return the network that its factory makes; draws of fresh weights are seeded.

    Raises:
        InputError: If the file cannot be run, there is no such factory, it needs arguments, raises, or returns
            something else.
    """
    file = load_file(reference.path)
    factory = named_object(reference, file, "model")
    if isinstance(factory, nn.Module):
        return factory
    place = f"'{reference.path}:{reference.name}'"
    if not callable(factory):
        raise InputError(
            f"{place} is of type {type(factory).__name__}; give a function that returns an nn.Module."
        )
    needed = _required_arguments(factory)
    if needed:
        raise InputError(f"the factory {place} needs arguments ({', '.join(needed)}); give them defaults.")
    with fixed_draws():
        try:
            module = factory()
        except Exception as error:  # a user's code may raise anything
            raise InputError(f"the factory {place} raised {error_line(file.path, error)}.") from error
    if not isinstance(module, nn.Module):
        raise InputError(f"the factory {place} returned {type(module).__name__}; return an nn.Module.")
    return module


def load_user_model(
    text: str,
    *,
    weights: str | None,
    image_side: Callable[[], int],
    device: torch.device,
    note: Callable[[str], None],
) -> UserModel:
    """Return the network that `FILE.py:FACTORY` makes, on a device, in evaluation mode.

    A network without `encode` is shown images in [0, 1] as they are, or `[x, 1 − x]` if its first layer takes six
    channels; one without `probability` gets a softmax, a B-cos network a sigmoid; both are noted.

    Args:
        text: File and factory.
        weights: A file with its state dict; None keeps the weights that the factory made.
        image_side: Says the side of the images for networks without `input_size`.
        device: Where to put it.
        note: Told what was assumed.

    Raises:
        InputError: If file, factory or weights cannot be used, or the network gives no logits `(B, C)`.
    """
    reference = parse_reference(text)
    module = make_module(reference).eval().requires_grad_(False)
    if weights == _RANDOM:
        raise InputError(f"--weights random: '{text}' comes with the weights its factory makes; leave it out.")
    if weights is not None:
        state, _ = read_weights(Path(weights))
        load_strictly(module, state, Path(weights))
    side = int(getattr(module, "input_size", None) or image_side())
    network = user_model(module.to(device), name=reference.short, image=noise(side, device), note=note)
    # The same weights in changed code are another network.
    identity = f"{network.weights_id} {load_file(reference.path).digest}"
    network.weights_id = hashlib.sha256(identity.encode()).hexdigest()[:_ID_DIGITS]
    return network.eval()


def user_model(
    module: nn.Module,
    *,
    name: str,
    image: Tensor,
    note: Callable[[str], None],
    encode: Encode | None = None,
    probability: str | Probability | None = None,
) -> UserModel:
    """Return a network of the user's own as the suite needs it, once it has shown that it can be evaluated.

    Args:
        module: The network.
        name: How tables call it.
        image: `(1, 3, H, W)` in [0, 1] that it is tried with, on its device.
        note: Told what was assumed.
        encode: Maps images in [0, 1] to network input; None takes the network's own, or what fits its first layer.
        probability: "softmax", "sigmoid" or a function; None takes the network's own, or what its kind has.

    Raises:
        InputError: If it cannot be evaluated.
    """
    model = UserModel(
        module,
        name=name,
        num_classes=0,
        input_size=int(getattr(module, "input_size", None) or image.shape[-1]),
        encode=encode or _encode(module, name, note),
        probability=_probability(module, name, note) if probability is None else probability,
    )
    return model.settle(image)


def noise(side: int, device: torch.device) -> Tensor:
    """Return an image `(1, 3, side, side)` that networks are tried with, the same each time."""
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)


def _required_arguments(factory: Callable[..., object]) -> list[str]:
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        argument.name
        for argument in inspect.signature(factory).parameters.values()
        if argument.default is inspect.Parameter.empty and argument.kind not in variable
    ]


def _encode(module: nn.Module, name: str, note: Callable[[str], None]) -> Encode:
    own = getattr(module, "encode", None)
    if callable(own):
        return own
    first = next((parameter for parameter in module.parameters() if parameter.ndim == _CONVOLUTION_NDIM), None)
    six = first is not None and first.shape[1] == _INVERSE_CHANNELS
    note(
        f"{name} has no encode(images); it is shown images in [0, 1] {'as [x, 1 − x]' if six else 'as they are'}."
    )
    return add_inverse if six else _as_they_are


def _probability(module: nn.Module, name: str, note: Callable[[str], None]) -> Probability:
    own = getattr(module, "probability", None)
    if callable(own):
        return own
    sigmoid = is_bcos_module(module)
    note(f"{name} has no probability(logits); {'sigmoid' if sigmoid else 'softmax'} is taken.")
    return torch.sigmoid if sigmoid else _softmax


def _as_they_are(images: Tensor) -> Tensor:
    return images


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(-1)
