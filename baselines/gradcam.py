"""Grad-CAM and its relatives: weighted sums of the last spatial features."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.network import Network

from .spatial_features import SPATIAL_FEATURES, Upsample, feature_gradients, resized


@register_explainer(
    "gradcam",
    source="Selvaraju et al., ICCV 2017; before global pooling, nearest upsampling, as in the B-cos papers",
    family="cam",
    needs=(SPATIAL_FEATURES,),
    style=Style("#009E73", "-"),
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
    weights = torch.where(denominator > 0, gradients.relu() / denominator, 0).sum((-2, -1))
    maps = torch.einsum("bkf,bfhw->bkhw", weights, features).relu()
    return resized(maps, images.shape[-2:], upsample)


@register_explainer(
    "layercam",
    source="Jiang et al., TIP 2021, equation 6",
    family="cam",
    needs=(SPATIAL_FEATURES,),
    style=Style("#44AA99", "-."),
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
