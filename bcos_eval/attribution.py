"""Attributions of one's own images: the function behind `bcos_eval.explain`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from bcos_eval.bcos import Over, Unit, contribution_map, unit_summary
from bcos_eval.contract.network import Network, device_of, name_of
from bcos_eval.contract.params import Param, plain
from bcos_eval.contract.precision import float32_by_default
from bcos_eval.data.image_file import to_tensor
from bcos_eval.errors import InputError
from bcos_eval.models import Classifier
from bcos_eval.user_code.model import user_model
from bcos_eval.user_code.network import Encode, Probability, UserModel, precision_of
from bcos_eval.user_code.plugins import explainer_named, explainer_of


def explain(
    model: nn.Module,
    images: Tensor | Image.Image | Sequence[Image.Image],
    targets: Tensor | Sequence[int] | int | None = None,
    method: str | Callable[..., Tensor] = "bcos",
    *,
    encode: Encode | None = None,
    probability: str | Probability | None = None,
    seed: int = 0,
    unit: Unit | None = None,
    over: Over = "mean",
    **params: Param,
) -> Tensor:
    """Return signed attributions of some images for some classes, or for a hidden unit of a B-cos network.

    It may be called inside `no_grad`, `inference_mode` and from several threads; the model is left as it was.

    Args:
        model: From `load_model`, or a module of your own that maps encoded images to logits `(B, C)`.
        images: `(B, 3, H, W)`, floating point, pixels in [0, 1]; or Pillow images of one size.
        targets: Classes to explain, integers `(B,)` for one per image or `(B, K)` for several.
        method: Registered explainer, see `bcos-eval list methods`; `FILE.py:NAME`, which runs that file; or a
            function of your own `(model, images, targets (B, K), *, seed, …) -> maps (B, K, H, W)`.
        encode: For your own module: maps images in [0, 1] to network input; None takes the module's `encode`, or
            else shows it the images as they are, `[x, 1 − x]` if its first layer has six channels, with a warning.
        probability: For your own module: "softmax", "sigmoid" or a function; None takes the module's, or else a
            softmax, for B-cos networks a sigmoid, with a warning.
        seed: Seed of explainers that draw.
        unit: In the place of targets: name of a layer, as `named_modules` has it, and channel of its output. The
            maps are what each pixel contributes to the unit's activation, and sum to it.
        over: Whether the activation of a unit in an image is its `mean` over positions or its `max`.
        params: Parameters of the explainer.

    Returns:
        Maps `(B, K, H, W)`, float32, on the model's device; K = 1 for targets `(B,)`. Positive where a pixel
        speaks for the class.

    Raises:
        ValueError: If the method is unknown (near matches are listed) or does not exist for this model, a
            parameter is unknown, images or targets have the wrong shape, type or range, or the module gives
            something else than logits.

    Example:
        >>> import bcos_eval, torch
        >>> model = bcos_eval.load_model("bcos_resnet18", weights="random", dataset="shapes")
        >>> bcos_eval.explain(model, torch.rand(2, 3, 64, 64), torch.tensor([0, 3])).shape
        torch.Size([2, 1, 64, 64])
        >>> bcos_eval.explain(model, torch.rand(2, 3, 64, 64), unit=("layer4.1", 37)).shape
        torch.Size([2, 1, 64, 64])
    """
    if (targets is None) == (unit is None):
        raise InputError("give targets, the classes to explain, or unit=(layer, channel), and not both.")
    explainer = explainer_named(method) if isinstance(method, str) else explainer_of(_name_of(method), method)
    with torch.inference_mode(False), float32_by_default():
        pixels = _pixels(images)
        classes = None if unit is not None else _classes(targets, len(pixels))
        network = _network(model, pixels[:1], encode, probability)
        if classes is None or unit is not None:
            return _unit_maps(network, pixels, cast("Unit", unit), over, explainer.info.name, params)
        return explainer(network, pixels, classes, seed=_whole(seed), **params)


def _unit_maps(
    network: Network, pixels: Tensor, unit: Unit, over: Over, method: str, params: Mapping[str, Param]
) -> Tensor:
    """Return what pixels contribute to a unit, `(B, 1, H, W)`.

    Raises:
        InputError: If the network is no B-cos network, or another method or a parameter was given.
    """
    if method != "bcos" or params:
        raise InputError("a unit is explained by the method bcos, without parameters; leave the others out.")
    if not network.is_bcos:
        raise InputError(f"'{network.name}' is no B-cos network, and units of others have no linear summary.")
    if over not in ("mean", "max"):
        raise InputError(f"over={over!r} is not allowed; give 'mean' or 'max'.")
    if not (isinstance(unit, tuple) and len(unit) == 2 and isinstance(unit[0], str) and isinstance(unit[1], int)):
        raise InputError(f"unit={unit!r} is not allowed; give (layer, channel), for example ('layer4.1', 37).")
    encoded = network.encode(pixels.to(device_of(network)))
    rows, _ = unit_summary(cast("nn.Module", network), encoded, unit, over=over)
    return contribution_map(rows, encoded)[:, None]


def _network(
    model: nn.Module, image: Tensor, encode: Encode | None, probability: str | Probability | None
) -> Network:
    if not isinstance(model, nn.Module):
        hint = f": bcos_eval.load_model('{model}')" if isinstance(model, str) else ""
        raise InputError(f"the model is of type {type(model).__name__}; give a module{hint}.")
    known = isinstance(model, (Classifier, UserModel)) and encode is None and probability is None
    if known and precision_of(model) == torch.float32:
        return cast("Network", model)
    notes: list[str] = []
    network = user_model(
        model,
        name=name_of(model),
        image=image.to(device_of(cast("Network", model))),
        note=notes.append,
        encode=encode,
        probability=probability,
    )
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return network


def _name_of(function: object) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _whole(seed: object) -> int:
    number = plain(seed)
    if isinstance(number, bool) or not isinstance(number, int):
        raise InputError(f"seed={seed!r} is not allowed; give a whole number.")
    if number < 0:
        raise InputError(f"seed={number} is not allowed; give 0 or more.")
    return number


def _pixels(images: Any) -> Tensor:  # noqa: ANN401 - the user's
    """Return images `(B, 3, H, W)`, float32 in [0, 1], of their own memory."""
    if isinstance(images, Image.Image):
        return _pixels([images])
    if isinstance(images, (list, tuple)) and images:
        if all(isinstance(entry, Image.Image) for entry in images):
            images = [to_tensor(entry.convert("RGB")) for entry in images]
        if not all(isinstance(entry, Tensor) for entry in images) or len({e.shape for e in images}) > 1:
            raise InputError("images are a list; give tensors (3, H, W) or Pillow images, all of one size.")
        return _pixels(torch.stack(list(images)))
    tensor = _as_tensor("images", images)
    _check_images(tensor)
    return tensor.detach().to(torch.float32, copy=True)


def _as_tensor(what: str, given: Any) -> Tensor:  # noqa: ANN401 - the user's
    if isinstance(given, Tensor):
        return given
    try:
        return torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{what} of type {type(given).__name__} make no tensor ({reason}).") from error


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"images have shape {tuple(images.shape)}; give (B, 3, H, W).")
    if not images.is_floating_point():
        raise InputError(f"images have type {images.dtype}; give floating point pixels in [0, 1].")
    if images.numel() == 0:
        raise InputError(f"images have shape {tuple(images.shape)}; give at least one image with pixels.")
    low, high = float(images.detach().min()), float(images.detach().max())
    # Written so that NaN fails too.
    if not (low >= 0 and high <= 1):
        raise InputError(f"images have values from {low:g} to {high:g}; give pixels in [0, 1], not normalised.")


def _classes(given: Any, n_images: int) -> Tensor:  # noqa: ANN401 - the user's
    """Return targets `(B, K)`, int64."""
    targets = _as_tensor("targets", given)
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise InputError(f"targets have type {targets.dtype}; give class indices, an integer type.")
    if targets.ndim == 0 and n_images == 1:
        return targets.reshape(1, 1).long()
    if targets.ndim not in (1, 2) or len(targets) != n_images or targets.numel() == 0:
        raise InputError(
            f"targets have shape {tuple(targets.shape)}; for {n_images} images give ({n_images},) or "
            f"({n_images}, K)."
        )
    return targets.reshape(n_images, -1).long()
