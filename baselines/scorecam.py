"""Score-CAM: features weighted by the probability that the image keeps under them."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Count

from .batching import FORWARD_BATCH_PIXELS, batches
from .spatial_features import SPATIAL_FEATURES, Upsample, resized, spatial_features


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
    batch_pixels: Count = FORWARD_BATCH_PIXELS,
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
        batch_pixels: Pixels that go through the network at once.
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
    for part in batches(len(features), encoded[0].numel(), batch_pixels):
        large = resized(features[part, None], encoded.shape[-2:], upsample)  # (n, 1, H, W)
        low, high = large.amin((-2, -1), keepdim=True), large.amax((-2, -1), keepdim=True)
        span = high - low
        masks = (large - low) / span.masked_fill(span == 0, 1)
        probabilities = model.probability(model(masks * encoded))[:, targets]
        varied = torch.where(span == 0, 0, large)[:, 0]
        total += torch.einsum("nk,nhw->khw", probabilities, varied)
    return total.relu()
