"""Counterfactual deletion: does an attribution predict the logit's change when a part is really absent?

Deletion metrics paint over pixels and measure reactions to pictures that no network was trained on. Here the scene
is rendered again without one of its parts: the object, a distractor, a piece of clutter, the texture of a piece of
background. For part r with pixels R_r,

    d_r = y(image) - y(scene without part r)      the drop of the target's logit,
    a_r = Σ map over R_r                          what the attribution says it is.

A part's region is where the picture changes without it. Where regions overlap (a shadow on a neighbour, something
seen through), the pixel belongs to the part whose absence changes it most, so that the R_r are disjoint; a part
that is outdone everywhere is left out.

The attribution `d_r / |R_r|` on the pixels of every part, which explains a network that is linear in which parts
are there, scores 1 (`partial_spearman`, `spearman`) and wastes at most what it puts on parts of negligible effect.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.explained_model import ExplainedModel, content_key, memory_of
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import PassSize
from bcos_eval.contract.statuses import Status, is_constant, is_nonfinite, is_zero, map_statuses
from bcos_eval.contract.stimulus import Counterfactuals

from ..ranking import centred_ranks, rank_correlation
from .random_removal import attribution_of

DEFAULT_BATCH_SIZE = 32
# Share of the scene's largest change below which a change counts as none.
NEGLIGIBLE = 0.01
# Residuals of ranks are multiples of fractions far above this; what is left below is rounding.
_ROUNDING = 1e-9
_CHANGE_DECIMALS = 6


def partial_rank_correlation(first: Tensor, second: Tensor, given: Tensor) -> Tensor:
    """Return Spearman's correlation along the last axis of what a third variable does not explain.

    The ranks of both sides (ties get average ranks) are corrected by a linear regression on the ranks of `given`,
    then correlated.

    Returns:
        Float64 in [-1, 1]; NaN where nothing of either side is left.
    """
    ranks = centred_ranks(given)
    left, right = (_residual(centred_ranks(values), ranks) for values in (first, second))
    scale = (left.square().sum(-1) * right.square().sum(-1)).sqrt()
    return ((left * right).sum(-1) / scale).clamp(-1, 1).masked_fill(scale == 0, torch.nan)


def _residual(ranks: Tensor, given: Tensor) -> Tensor:
    explained = (ranks * given).sum(-1, keepdim=True) / given.square().sum(-1, keepdim=True)
    rest = ranks - explained.nan_to_num() * given
    is_rounding = rest.abs().amax(-1, keepdim=True) <= _ROUNDING * ranks.abs().amax(-1, keepdim=True)
    return rest.masked_fill(is_rounding, 0)


def wasted_share(maps: Tensor, idle: Tensor) -> Tensor:
    """Return the share of the positive attribution on pixels whose part changes nothing.

    Args:
        maps: Signed attributions `(..., H, W)`, any scale.
        idle: True on those pixels, same shape, bool.

    Returns:
        Float64 in [0, 1], lower is better. A uniform map wastes the pixels' share of the area; a map without
        positive entries has no share, NaN, and neither has one with NaN or infinity.
    """
    positive = in_float64(maps).clamp(min=0).cpu()
    total = positive.sum((-2, -1))
    share = (positive * idle).sum((-2, -1)) / total
    return share.masked_fill((total == 0) | ~total.isfinite(), torch.nan)


@torch.no_grad()
def counterfactual_logits(
    model: ExplainedModel, image: Tensor, counterfactuals: Counterfactuals, *, batch_size: int
) -> Tensor:
    """Return the logits of the image, then of the scene without each part, `(1 + R, classes)`.

    Args:
        model: The model.
        image: Pixels `(3, H, W)` in [0, 1].
        counterfactuals: The scene without its parts.
        batch_size: Pictures per forward pass; does not change the result, up to rounding.
    """
    pictures = torch.cat([image[None], counterfactuals.images.to(image)])

    def ask() -> Tensor:
        return torch.cat([model.logits(model.encode(part)) for part in pictures.split(batch_size)])

    return memory_of(model, "logits")(content_key(pictures, batch_size), ask)


def own_pixels(image: Tensor, counterfactuals: Counterfactuals) -> Tensor:
    """Return the pixels of each part, `(R, H, W)` bool, on the CPU: its region without what belongs to others.

    A pixel of several regions belongs to the part whose absence changes it most, in the sum of its colours'
    absolute changes; of equals, to the first. Regions that are disjoint stay as they are.

    Args:
        image: The complete scene `(3, H, W)` in [0, 1].
        counterfactuals: The scene without each of its R parts.
    """
    regions = counterfactuals.regions.cpu()
    change = (counterfactuals.images.cpu().double() - image.cpu().double()).abs().sum(1)
    # Of 8-bit pictures, equal changes differ by rounding alone.
    owner = change.round(decimals=_CHANGE_DECIMALS).masked_fill(~regions, -1).argmax(0)
    return regions & (owner == torch.arange(len(regions))[:, None, None])


def _masses_and_drops(batch: Batch, b: int, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return attribution sums and logit drops `(K, R)` and pixels `(R, H, W)` of one image's parts, on the CPU."""
    parts = batch.counterfactuals[b]
    pixels = own_pixels(batch.images[b], parts)
    logits = counterfactual_logits(batch.model, batch.images[b], parts, batch_size=batch_size)
    of_targets = logits[:, batch.targets[b].to(logits.device)].double().cpu()
    masses = attribution_of(batch.maps[b].nan_to_num(), pixels)
    has_pixels = pixels.flatten(1).any(1)
    drops = (of_targets[:1] - of_targets[1:]).T
    return masses[:, has_pixels], drops[:, has_pixels], pixels[has_pixels]


_PARTIAL = MetricInfo(
    name="counterfactual_deletion",
    preset="partial_spearman",
    stimulus="single",
    needs=("model", "counterfactuals"),
    direction="higher",
    low=-1.0,
    high=1.0,
    chance=0.0,
    source="this suite: scenes of the generator without one part",
    defaults={"batch_size": DEFAULT_BATCH_SIZE},
    expensive=True,
)


@register_metric(_PARTIAL, recommended=True)
def _score_given_size(batch: Batch, *, batch_size: PassSize) -> Scored:
    """Score the rank correlation of attribution and drop that the sizes of the parts do not explain.

    Large parts collect much attribution of any kind and change much: a map that knows sizes only would score above
    0 otherwise. Positive noise scores 0 in expectation. Where nothing but the order of the sizes is left, as with
    a constant map, the score is NaN with status `constant_map`; a zero map and a map with NaN or infinity score
    NaN too.
    """

    def score(masses: Tensor, drops: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        values = partial_rank_correlation(masses, drops, sizes.expand_as(drops))
        return values, torch.zeros_like(values)

    return _correlated(batch, score, batch_size)


@register_metric(_PARTIAL.variant("spearman", chance="area"))
def _score_plain(batch: Batch, *, batch_size: PassSize) -> Scored:
    """Score the rank correlation of attribution and drop.

    Its chance level is that of the sizes of the parts, which a constant map scores. Equal sums or equal drops, a
    zero map and a map with NaN or infinity score NaN.
    """

    def score(masses: Tensor, drops: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        return rank_correlation(masses, drops), rank_correlation(sizes.expand_as(drops), drops)

    return _correlated(batch, score, batch_size)


@register_metric(_PARTIAL.variant("wasted", direction="lower", low=0.0, chance="area"))
def _score_wasted(batch: Batch, *, batch_size: PassSize) -> Scored:
    """Score the share of the positive attribution on parts whose absence changes the logit by next to nothing.

    That is by at most 1 % of the largest change that a part of the same scene makes. Pixels of no part do not
    count. The chance level is the share of these parts in the area of all, which a uniform map scores. A map
    without positive entries scores NaN with status `zero_map`, a map or a logit with NaN or infinity NaN.
    """
    values, chance, known = [], [], []
    for b, maps in enumerate(batch.maps):
        _, drops, pixels = _masses_and_drops(batch, b, batch_size)
        is_idle = drops.abs() <= NEGLIGIBLE * drops.abs().amax(-1, keepdim=True)  # (K, R)
        idle = (is_idle[..., None, None] & pixels).any(1)  # (K, H, W)
        held = pixels.any(0)  # nobody knows what the pixels of no part are worth
        values.append(wasted_share(maps * held.to(maps.device), idle))
        chance.append(idle.double().sum((-2, -1)) / held.sum())
        known.append(drops.isfinite().all(-1))
    undefined = is_nonfinite(batch.maps).cpu() | ~torch.stack(known).cpu()
    scores = torch.stack(values).masked_fill(undefined, torch.nan)
    without_positive = scores.isnan() & ~undefined
    conditions = {Status.ZERO_MAP: without_positive, Status.NONFINITE: undefined}
    return Scored(scores, map_statuses(batch.maps.cpu(), conditions), torch.stack(chance))


def _correlated(
    batch: Batch, score: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]], batch_size: int
) -> Scored:
    """Return correlations of all units with their chance levels; `score` maps masses, drops and sizes to both."""
    of_images = []
    for b in range(len(batch.maps)):
        masses, drops, pixels = _masses_and_drops(batch, b, batch_size)
        of_images.append(score(masses, drops, pixels.flatten(1).sum(1).double()))
    values, chance = (torch.stack(part) for part in zip(*of_images, strict=True))
    zero, undefined = is_zero(batch.maps).cpu(), is_nonfinite(batch.maps).cpu()
    constant = is_constant(batch.maps).cpu() | (values.isnan() & ~undefined)
    statuses = map_statuses(batch.maps.cpu(), {Status.ZERO_MAP: zero, Status.CONSTANT_MAP: constant})
    return Scored(values.masked_fill(undefined | zero, torch.nan), statuses, chance)
