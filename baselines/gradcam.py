"""Grad-CAM and its relatives: weighted sums of the last spatial features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bcos_eval.bcos import target_gradients
from bcos_eval.contract.explainer import Need, Style, register_explainer
from bcos_eval.contract.network import Network, SplitNetwork, TokenNetwork, name_of
from bcos_eval.contract.network_state import forward_hooks
from bcos_eval.contract.params import Param, PassSize
from bcos_eval.errors import IncompatibleError, unknown_name

from .batching import FORWARD_BATCH_PIXELS, batches

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


@register_explainer(
    "gradcam",
    source="Selvaraju et al., ICCV 2017; before global pooling, nearest upsampling, as in the B-cos papers",
    family="cam",
    needs=(SPATIAL_FEATURES,),
    style=Style("#009E73", "-"),
    shares_passes=True,
)
def grad_cam(
    model: Network, images: Tensor, targets: Tensor, *, layer: str = "", upsample: Upsample = "nearest"
) -> Tensor:
    """Return positive feature evidence for each target, `(B, K, H, W)`, non-negative.

    A channel's weight is the *sum* of its gradient over positions; the original mean differs by a constant
    factor. A target without positive evidence gets a zero map.

    Args:
        model: The network to explain.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        layer: Dotted name of the module whose output is weighted; empty for the last spatial features.
        upsample: How the maps are brought to the image's size.
    """
    features, gradients = feature_gradients(model, model.encode(images), targets, layer)
    weights = gradients.sum((-2, -1))
    maps = torch.einsum("bkf,bfhw->bkhw", weights, features).relu()
    return resized(maps, images.shape[-2:], upsample)


@register_explainer(
    "gradcam++",
    source="Chattopadhay et al., WACV 2018, equations 10 and 19",
    family="cam",
    needs=(SPATIAL_FEATURES,),
    aliases=("gradcam_plus_plus", "gradcampp"),
    style=Style("#117733", "--"),
    shares_passes=True,
)
def grad_cam_plus_plus(
    model: Network, images: Tensor, targets: Tensor, *, layer: str = "", upsample: Upsample = "nearest"
) -> Tensor:
    """Return Grad-CAM with pixel-wise weighted positive gradients, `(B, K, H, W)`, non-negative.

    With the score `exp(logit)` the higher derivatives are powers of the logit's gradient `g`: a channel's
    weight is `Σ α · relu(g)` with `α = g² / (2 g² + ΣA · g³)`, the positive factor `exp(logit)` left out.
    The method is made for features after a ReLU; where negative features make `α` negative, it counts as 0.
    Arguments as for `grad_cam`.
    """
    features, gradients = feature_gradients(model, model.encode(images), targets, layer)
    # α · g = g / (2 + ΣA · g): the same quotient, safe where g² would vanish in float32.
    denominator = 2 + features.sum((-2, -1), keepdim=True)[:, None] * gradients
    # Asked for what counts as 0, so that NaN does not.
    weights = torch.where(denominator <= 0, 0, gradients.relu() / denominator).sum((-2, -1))
    maps = torch.einsum("bkf,bfhw->bkhw", weights, features).relu()
    return resized(maps, images.shape[-2:], upsample)


@register_explainer(
    "layercam",
    source="Jiang et al., TIP 2021, equation 6",
    family="cam",
    needs=(SPATIAL_FEATURES,),
    style=Style("#44AA99", "-."),
    shares_passes=True,
)
def layer_cam(
    model: Network, images: Tensor, targets: Tensor, *, layer: str = "", upsample: Upsample = "nearest"
) -> Tensor:
    """Return features weighted by their own positive gradient at each position, `(B, K, H, W)`, non-negative.

    Arguments as for `grad_cam`.
    """
    features, gradients = feature_gradients(model, model.encode(images), targets, layer)
    maps = torch.einsum("bkfhw,bfhw->bkhw", gradients.relu(), features).relu()
    return resized(maps, images.shape[-2:], upsample)


@register_explainer(
    "scorecam",
    source="Wang et al., CVPR workshops 2020",
    family="cam",
    needs=(SPATIAL_FEATURES,),
    style=Style("#117733", "-"),
    expensive=True,
)
def score_cam(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    layer: str = "",
    upsample: Upsample = "bilinear",
    batch_pixels: PassSize = FORWARD_BATCH_PIXELS,
) -> Tensor:
    """Return features weighted by the target's probability under each of them, `(B, K, H, W)`, non-negative.

    Every channel, stretched to [0, 1] at the image's size, multiplies the network input; a constant channel
    counts as 0. Each masked image is evaluated once for all targets, one per channel: thousands for a
    ResNet-50.

    Args:
        model: The network to explain.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        layer: Dotted name of the module whose output is weighted; empty for the last spatial features.
        upsample: How features are brought to the image's size.
        batch_pixels: Pixels that go through the network at once on a CPU; on CUDA, for every 4 GiB of the card.
    """
    encoded = model.encode(images)
    with torch.no_grad():
        features = spatial_features(model, encoded, layer)
        return torch.stack(
            [
                _weighted_features(model, x, channels, wanted, upsample, batch_pixels)
                for x, channels, wanted in zip(encoded, features, targets, strict=True)
            ]
        )


def _weighted_features(
    model: Network, encoded: Tensor, features: Tensor, targets: Tensor, upsample: Upsample, batch_pixels: int
) -> Tensor:
    """Return the map `(K, H, W)` of one image `(C, H, W)` from its features `(F, h, w)`."""
    total = encoded.new_zeros(len(targets), *encoded.shape[1:])
    for part in batches(len(features), encoded, batch_pixels):
        large = resized(features[part, None], encoded.shape[-2:], upsample)  # (n, 1, H, W)
        low, high = large.amin((-2, -1), keepdim=True), large.amax((-2, -1), keepdim=True)
        span = high - low
        masks = (large - low) / span.masked_fill(span == 0, 1)
        probabilities = model.probability(model(masks * encoded))[:, targets]
        varied = torch.where(span == 0, 0, large)[:, 0]
        total += torch.einsum("nk,nhw->khw", probabilities, varied)
    return total.relu()
