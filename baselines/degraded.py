"""A control of known quality: another explainer's maps, some share of which is put at random places."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bcos_eval.contract.explainer import Explainer, Need, Style, register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Fraction, Param
from bcos_eval.contract.plugins import find_explainer
from bcos_eval.errors import InputError
from bcos_eval.seeding import derived_generator, image_key

_NAME = "degraded"
_DEFAULT = "gradcam"


def _explainer(of: str) -> Explainer:
    explainer = find_explainer(of)
    if explainer.info.name == _NAME:
        raise InputError(f"{_NAME}.of={of} is not allowed; name the explainer whose maps are to be made worse")
    return explainer


def _refusal(model: Network, params: Mapping[str, Param]) -> str | None:
    info = _explainer(str(params.get("of", _DEFAULT))).info
    refusals = (need.refusal(model, {}) for need in info.needs)
    found = next((refusal for refusal in refusals if refusal is not None), None)
    if found is None:
        return None
    return f"makes maps of '{info.name}' worse, which {found.replace('METHOD', info.name)}"


MAPS_TO_SPOIL = Need("what the explainer needs whose maps are made worse", _refusal)


@register_explainer(
    _NAME,
    source="control: a known order of quality, for judging metrics",
    family="control",
    needs=(MAPS_TO_SPOIL,),
    style=Style("#777777", "-"),
)
def degraded_maps(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    seed: int = 0,
    of: str = _DEFAULT,
    noise: Fraction = 1.0,
) -> Tensor:
    """Return `(1 − noise) m + noise π(m)`, `(B, K, H, W)`: maps m mixed with themselves in a random order π.

    π(m) has the values of m and none of its places: its energy in a region is the region's share of the area in
    expectation. The order π belongs to image and target and is the same at every noise, so that the maps of one
    image form a path from m to π(m). Constant maps stay as they are.

    Args:
        model: The network to explain.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        seed: Seed of the order, and of the explainer if it draws.
        of: Registered explainer, with its default parameters.
        noise: Share of the shuffled map.
    """
    explainer = _explainer(of)
    draws = {"seed": seed} if explainer.info.stochastic else {}
    maps = explainer.attribute(model, images, targets, **draws)
    shuffled = torch.stack(
        [
            torch.stack([_shuffled(one, seed, key, int(target)) for one, target in zip(own, wanted, strict=True)])
            for own, wanted, key in zip(maps, targets, map(image_key, images), strict=True)
        ]
    )
    return (1 - noise) * maps + noise * shuffled


def _shuffled(one: Tensor, seed: int, key: str, target: int) -> Tensor:
    order = torch.randperm(one.numel(), generator=derived_generator(seed, _NAME, key, target))
    return one.flatten()[order.to(one.device)].view_as(one)
