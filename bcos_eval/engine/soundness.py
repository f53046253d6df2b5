"""Networks that no score can be trusted of, found by a few passes over the same images."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.network import Network
from bcos_eval.contract.network_state import frozen

# Rounding between two passes over the same batch, and between batches of different size, as a share of the largest
# logit; half precision rounds to three digits.
_SAME_BATCH = 1e-4
_OTHER_BATCH = 1e-3
_HALF_PRECISION = 3e-2
# How far beyond 0 and 1 rounding takes a probability.
_PROBABILITY_SLACK = 1e-4


def unsoundness(network: Network, images: Tensor) -> str | None:
    """Return what is impossible about a network, as the rest of a sentence and what to do; None if nothing is.

    The same images are shown twice with others in between, then one of them alone. Logits that are not finite are
    no concern here: their units have a status.

    Args:
        network: In the mode it is to be evaluated in.
        images: Two or more different images `(B, 3, H, W)` in [0, 1], on the network's device.
    """
    with torch.no_grad(), frozen(network):
        first = network(network.encode(images.clone()))
        network(network.encode(1 - images))
        second = network(network.encode(images.clone()))
        alone = network(network.encode(images[:1].clone()))
        probability = network.probability(first)
    if first.is_floating_point() and first.dtype in (torch.float16, torch.bfloat16):
        same = other = _HALF_PRECISION
    else:
        same, other = _SAME_BATCH, _OTHER_BATCH
    if not _agree(first, second, same):
        return (
            f"gives other logits when it is shown the same images again (off by {_gap(first, second):.2g}); it "
            "draws at random, has dropout left on or keeps a state between calls: make it repeatable."
        )
    if not _agree(first[:1], alone, other):
        return (
            f"gives an image other logits alone than in a batch (off by {_gap(first[:1], alone):.2g}); use stored "
            "statistics in its normalisation, so that images do not depend on each other."
        )
    known = probability[first.isfinite() & probability.isfinite()]
    if bool(((known < -_PROBABILITY_SLACK) | (known > 1 + _PROBABILITY_SLACK)).any()):
        return (
            f"gives probabilities from {float(known.min()):.3g} to {float(known.max()):.3g}; its "
            "probability(logits) must give values in [0, 1], as sigmoid or softmax do."
        )
    return None


def _gap(one: Tensor, other: Tensor) -> float:
    return float((one.double() - other.double()).abs().nan_to_num(0).max())


def _agree(one: Tensor, other: Tensor, share: float) -> bool:
    both = one.isfinite() & other.isfinite()
    if not torch.equal(one.isfinite(), other.isfinite()):
        return False
    scale = float(one[both].double().abs().max()) if bool(both.any()) else 0.0
    return _gap(one[both][None], other[both][None]) <= share * max(scale, 1.0) if bool(both.any()) else True
