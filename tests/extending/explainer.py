"""An explainer: this file, as `baselines/gradient_power.py`."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.explainer import register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Count


@register_explainer("gradient_power", source="an example", family="gradient", aliases=("gradpower",))
def gradient_power(model: Network, images: Tensor, targets: Tensor, *, exponent: Count = 2) -> Tensor:
    """Return a power of each target's input gradient, summed over channels, `(B, K, H, W)`."""
    pixels = images.detach().requires_grad_(True)
    logits = model(model.encode(pixels)).gather(1, targets)  # (B, K)
    gradients = [torch.autograd.grad(total, pixels, retain_graph=True)[0] for total in logits.sum(0)]
    return torch.stack([gradient.pow(exponent).sum(1) for gradient in gradients], 1)
