"""The last spatial features of a network and their gradients: what the CAM family is made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bcos_eval.bcos import target_gradients
from bcos_eval.contract.explainer import Need
from bcos_eval.contract.network import Network, SplitNetwork, TokenNetwork, name_of
from bcos_eval.contract.network_state import forward_hooks
from bcos_eval.contract.params import Param
from bcos_eval.errors import IncompatibleError, unknown_name

Upsample = Literal["nearest", "bilinear"]


def _refusal_without_features(model: Network, params: Mapping[str, Param]) -> str | None:
    split = hasattr(model, "features") and hasattr(model, "head")
    if params.get("layer") or split or feature_layer(model):
        return None
    return (
        f"needs the last spatial features and '{name_of(model)}' has no features() and head(); name a layer with "
        "--param METHOD.layer=NAME"
    )


SPATIAL_FEATURES = Need("features() and head(), or a layer", _refusal_without_features)


def feature_gradients(model: Network, encoded: Tensor, targets: Tensor, layer: str = "") -> tuple[Tensor, Tensor]:
    """Return spatial features and the gradients of the targets' logits by them.

    The network below the features runs once and is never differentiated.

    Args:
        model: Frozen network.
        encoded: `(B, C, H, W)`.
        targets: `(B, K)`.
        layer: Dotted name of the module whose output is taken; empty for the last spatial features before
            the classifier, which are the output of the network's `feature_layer` if it has one.

    Returns:
        Features `(B, F, h, w)` and gradients `(B, K, F, h, w)`.

    Raises:
        InputError: If no module has that name.
        IncompatibleError: If the module's output is not one spatial tensor.
    """
    layer = layer or feature_layer(model)
    features, logits = _cut_at(model, encoded, layer) if layer else _cut_at_head(model, encoded)
    return features.detach(), target_gradients(logits, features, targets)


def spatial_features(model: Network, encoded: Tensor, layer: str = "") -> Tensor:
    """Return spatial features `(B, F, h, w)`; arguments and errors as for `feature_gradients`."""
    layer = layer or feature_layer(model)
    if layer:
        return _cut_at(model, encoded, layer)[0].detach()
    return cast("SplitNetwork", model).features(encoded)


def feature_layer(model: Network) -> str:
    """Return the module that gives the last spatial features of a network that cannot be split there; or ""."""
    return str(getattr(model, "feature_layer", ""))


def resized(maps: Tensor, size: torch.Size, upsample: Upsample) -> Tensor:
    """Return maps `(B, K, h, w)` at the image's size `(H, W)`."""
    if upsample == "nearest":
        return F.interpolate(maps, tuple(size), mode="nearest")
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)


def _cut_at_head(model: Network, encoded: Tensor) -> tuple[Tensor, Tensor]:
    split = cast("SplitNetwork", model)
    with torch.no_grad():
        features = split.features(encoded)
    features.requires_grad_()
    # A head may begin with an in-place operation, which a leaf does not allow.
    return features, split.head(features.clone())


def _cut_at(model: Network, encoded: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    modules = dict(model.named_modules())
    if layer not in modules:
        raise unknown_name("layer", layer, filter(None, modules))
    outputs: list[Tensor] = []
    has_tokens = layer == feature_layer(model)

    def cut(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if has_tokens:
            tokens = cast("TokenNetwork", model)
            outputs.append(tokens.to_map(output).detach().requires_grad_())
            return tokens.from_map(outputs[-1], output)
        if not isinstance(output, Tensor) or output.dim() != 4:
            raise IncompatibleError(
                f"layer '{layer}' of '{name_of(model)}' does not give spatial features (B, F, h, w); "
                "name another layer"
            )
        outputs.append(output.detach().requires_grad_())
        return outputs[-1].clone()

    with forward_hooks([modules[layer]], cut):
        logits = model(encoded)
    if len(outputs) != 1:
        raise IncompatibleError(
            f"layer '{layer}' of '{name_of(model)}' runs {len(outputs)} times in a forward pass; "
            "name a layer that runs once"
        )
    return outputs[0], logits
