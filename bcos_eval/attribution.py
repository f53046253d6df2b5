"""Attributions of one's own images: the function behind `bcos_eval.explain`."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Param
from bcos_eval.errors import InputError
from bcos_eval.user_code.plugins import explainer_named, explainer_of


def explain(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    method: str | Callable[..., Tensor] = "bcos",
    *,
    seed: int = 0,
    **params: Param,
) -> Tensor:
    """Return signed attributions of some images for some classes.

    Args:
        model: From `load_model`, or any module that has `encode(images)` and maps encoded images to logits.
        images: `(B, 3, H, W)`, floating point, pixels in [0, 1].
        targets: Classes to explain, integers `(B,)` for one per image or `(B, K)` for several.
        method: Registered explainer, see `bcos-eval list methods`; `FILE.py:NAME`, which runs that file; or a
            function of your own `(model, images, targets (B, K), *, seed, …) -> maps (B, K, H, W)`.
        seed: Seed of explainers that draw.
        params: Parameters of the explainer.

    Returns:
        Maps `(B, K, H, W)`, float32, on the model's device; K = 1 for targets `(B,)`. Positive where a pixel
        speaks for the class.

    Raises:
        ValueError: If the method is unknown (near matches are listed) or does not exist for this model, a
            parameter is unknown, or images or targets have the wrong shape, type or range.

    Example:
        >>> import bcos_eval, torch
        >>> model = bcos_eval.load_model("bcos_resnet18", weights="random", dataset="shapes")
        >>> bcos_eval.explain(model, torch.rand(2, 3, 64, 64), torch.tensor([0, 3])).shape
        torch.Size([2, 1, 64, 64])
    """
    explainer = explainer_named(method) if isinstance(method, str) else explainer_of(_name_of(method), method)
    if not callable(getattr(model, "encode", None)):
        raise InputError(
            f"the model {type(model).__name__} has no encode(images), which maps images in [0, 1] to its input; "
            "add one, or take a model from load_model."
        )
    _check_images(images)
    network = cast("Network", model)
    return explainer(network, images.float(), _two_dimensional(targets, len(images)), seed=seed, **params)


def _name_of(function: object) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


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


def _two_dimensional(targets: Tensor, n_images: int) -> Tensor:
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise InputError(f"targets have type {targets.dtype}; give class indices, an integer type.")
    if targets.ndim not in (1, 2) or len(targets) != n_images or targets.numel() == 0:
        raise InputError(
            f"targets have shape {tuple(targets.shape)}; for {n_images} images give ({n_images},) or "
            f"({n_images}, K)."
        )
    return targets.reshape(n_images, -1).long()
