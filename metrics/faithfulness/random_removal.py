"""Does the attribution of random sets of pixels predict the logit's drop without them?

Faithfulness correlation asks on random cells whether sums and drops go together, infidelity on random patches
whether they are equal.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric, unknown_chance
from bcos_eval.contract.params import Count, PassSize, Range
from bcos_eval.contract.statuses import Status, is_constant, is_nonfinite, is_zero, map_statuses
from bcos_eval.seeding import derived_generator, image_key

from .fills import black

# protocols.md 8: cells of 14×14 pixels of a 224×224 image.
CELLS_PER_SIDE = 16
REMOVED_FRACTION = 0.2
CHANCE = 0.0
# A sixteenth of the image per patch.
PATCH_SIDE_FRACTION = 0.25
DEFAULT_BATCH_SIZE = 64

# Deviations below this share of the values are rounding: the values are equal.
_EQUAL = 1e-12


def attribution_of(maps: Tensor, removed: Tensor) -> Tensor:
    """Return the signed sum of maps `(K, H, W)` over pixel sets `(R, H, W)`, `(K, R)` float64, on the CPU."""
    return in_float64(maps).cpu().flatten(1) @ removed.cpu().flatten(1).double().T


@torch.no_grad()
def logit_drops_without(
    model: ExplainedModel, image: Tensor, targets: Tensor, removed: Tensor, *, batch_size: int
) -> Tensor:
    """Return the targets' logits minus their logits with black pixels, `(K, R)` float64, on the CPU.

    Args:
        model: The model.
        image: Pixels `(3, H, W)` in [0, 1]; the fill is a colour of the image, encoded afterwards.
        targets: Classes `(K,)`.
        removed: True on the pixels that turn black, `(R, H, W)` bool.
        batch_size: Pictures per forward pass; does not change the result, up to rounding.
    """
    sets = torch.cat([torch.zeros_like(removed[:1]), removed])[:, None].to(image.device)  # (1 + R, 1, H, W)
    fill = black(image)
    logits = [
        model.logits(model.encode(torch.where(chunk, fill, image)))[:, targets.to(image.device)].double().cpu()
        for chunk in sets.split(batch_size)
    ]
    whole, without = torch.cat(logits).split([1, len(removed)])
    return (whole - without).T


def sums_and_drops(batch: Batch, removed: list[Tensor], *, batch_size: int) -> tuple[Tensor, Tensor]:
    """Return attribution sums and logit drops `(B, K, R)`, float64, on the CPU.

    Args:
        batch: Maps, images, targets and the model.
        removed: Pixel sets `(R, H, W)` of each image.
        batch_size: Pictures per forward pass.
    """
    sums = [attribution_of(maps, sets) for maps, sets in zip(batch.maps, removed, strict=True)]
    drops = [
        logit_drops_without(batch.model, image, targets, sets, batch_size=batch_size)
        for image, targets, sets in zip(batch.images, batch.targets, removed, strict=True)
    ]
    return torch.stack(sums), torch.stack(drops)


def linear_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Pearson's correlation along the last axis, float64 in [-1, 1]; NaN where either side is constant."""
    deviations = [values - values.mean(-1, keepdim=True) for values in map(in_float64, (first, second))]
    constant = [
        deviation.abs().amax(-1) <= _EQUAL * in_float64(values).abs().amax(-1)
        for deviation, values in zip(deviations, (first, second), strict=True)
    ]
    # Scaled before they are squared: squares of tiny deviations would underflow.
    scaled = [deviation / deviation.abs().amax(-1, keepdim=True) for deviation in deviations]
    units = [deviation / deviation.norm(dim=-1, keepdim=True) for deviation in scaled]
    correlation = (units[0] * units[1]).sum(-1).clamp(-1, 1)
    return correlation.masked_fill(constant[0] | constant[1], torch.nan)


def random_cells(image: Tensor, *, n_samples: int, seed: int = 0) -> Tensor:
    """Return random sets of cells of an image, each a fifth of all cells.

    Cells are 1/16 of the sides, or pixels where an image has fewer than 16.

    Args:
        image: `(3, H, W)`; the sets belong to it and the seed.
        n_samples: Number of sets R.
        seed: Seed of the run.

    Returns:
        `(R, H, W)` bool, on the CPU.
    """
    height, width = image.shape[-2:]
    rows, columns = min(CELLS_PER_SIDE, height), min(CELLS_PER_SIDE, width)
    n_cells = rows * columns
    n_removed = max(1, round(REMOVED_FRACTION * n_cells))
    generator = derived_generator(seed, "faithfulness_correlation", image_key(image))
    chosen = torch.zeros(n_samples, n_cells, dtype=torch.bool)
    for cells in chosen:
        cells[torch.randperm(n_cells, generator=generator)[:n_removed]] = True
    cell_of_row = torch.arange(height) * rows // height
    cell_of_column = torch.arange(width) * columns // width
    return chosen.unflatten(1, (rows, columns))[:, cell_of_row[:, None], cell_of_column]


def squared_errors(predicted: Tensor, drops: Tensor) -> Tensor:
    """Return the mean squared difference of predicted and true drops `(..., R)`, float64, 0 is best."""
    return (predicted.double() - drops.double()).square().mean(-1)


def best_scale(predicted: Tensor, drops: Tensor) -> Tensor:
    """Return the factor `(...)` of the predictions `(..., R)` with the least squared error; 0 where all are 0.

    Source: captum@faac087 metrics/_core/infidelity.py, `normalize=True`.
    """
    product, square = (predicted * drops).sum(-1), predicted.square().sum(-1)
    return torch.where(square == 0, 0.0, product / square)


def random_patches(image: Tensor, *, n_samples: int, seed: int = 0) -> Tensor:
    """Return squares of a quarter of the shorter side, at random places inside the image.

    Args:
        image: `(3, H, W)`; the patches belong to it and the seed.
        n_samples: Number of patches R.
        seed: Seed of the run.

    Returns:
        `(R, H, W)` bool, on the CPU.
    """
    height, width = image.shape[-2:]
    side = max(1, round(PATCH_SIDE_FRACTION * min(height, width)))
    generator = derived_generator(seed, "infidelity", image_key(image))
    top = torch.randint(height - side + 1, (n_samples, 1), generator=generator)
    left = torch.randint(width - side + 1, (n_samples, 1), generator=generator)
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top) & (rows < top + side)
    in_columns = (columns >= left) & (columns < left + side)
    return in_rows[:, :, None] & in_columns[:, None, :]


@register_metric(
    MetricInfo(
        name="faithfulness_correlation",
        preset="superpixels",
        stimulus="single",
        needs=("model",),
        direction="higher",
        low=-1.0,
        high=1.0,
        chance=CHANCE,
        source="Bhatt et al. 2020, Evaluating and Aggregating Feature-based Model Explanations; on 16×16 cells",
        defaults={"n_samples": 100, "batch_size": DEFAULT_BATCH_SIZE},
        expensive=True,
    ),
    recommended=True,
)
def _score_correlation(batch: Batch, *, n_samples: Annotated[int, Range(low=2)], batch_size: PassSize) -> Scored:
    """Score Pearson's correlation of attribution sums and logit drops over random sets of cells turned black.

    All targets and explainers of an image see the same sets. Equal sums or equal drops score NaN with status
    `constant_map`; a zero map and a map with NaN or infinity score NaN too.
    """
    removed = [random_cells(image, n_samples=n_samples, seed=batch.seed) for image in batch.images]
    sums, drops = sums_and_drops(batch, removed, batch_size=batch_size)
    values = linear_correlation(sums.nan_to_num(), drops)
    constant = values.isnan() | is_constant(batch.maps).cpu()
    conditions = {Status.ZERO_MAP: is_zero(batch.maps).cpu(), Status.CONSTANT_MAP: constant}
    statuses = map_statuses(batch.maps.cpu(), conditions)
    undefined = constant | is_nonfinite(batch.maps).cpu()
    return Scored(values.masked_fill(undefined, torch.nan), statuses, torch.full_like(values, CHANCE))


_INFIDELITY = MetricInfo(
    name="infidelity",
    preset="default",
    stimulus="single",
    needs=("model",),
    direction="lower",
    low=0.0,
    high=float("inf"),
    chance=None,
    source="Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations; black square patches",
    # Captum's number of samples.
    defaults={"n_samples": 10, "batch_size": DEFAULT_BATCH_SIZE},
    scale_invariant=False,
    expensive=True,
)


@register_metric(_INFIDELITY, recommended=True)
def _score_absolute(batch: Batch, *, n_samples: Count, batch_size: PassSize) -> Scored:
    """Score the mean squared difference of a patch's attribution and the target's logit drop, in squared logits.

    The attribution is taken to be a contribution, which already holds the factor of the input, as those of B-cos
    networks, input × gradient and integrated gradients do: the patch's attribution is the sum of its entries.
    A map without such a unit (GradCAM, gradients) is charged for its scale; see `normalised`. A zero map and a map
    with NaN or infinity score NaN; a constant map is judged like any other.
    """
    sums, drops = _sums_and_drops(batch, n_samples, batch_size)
    return _scored(batch, squared_errors(sums, drops))


@register_metric(_INFIDELITY.variant("normalised", scale_invariant=True))
def _score_normalised(batch: Batch, *, n_samples: Count, batch_size: PassSize) -> Scored:
    """Score as `default` does after the map is given the scale that suits it best, a negative one too."""
    sums, drops = _sums_and_drops(batch, n_samples, batch_size)
    return _scored(batch, squared_errors(best_scale(sums, drops)[..., None] * sums, drops))


def _sums_and_drops(batch: Batch, n_samples: int, batch_size: int) -> tuple[Tensor, Tensor]:
    patches = [random_patches(image, n_samples=n_samples, seed=batch.seed) for image in batch.images]
    return sums_and_drops(batch, patches, batch_size=batch_size)


def _scored(batch: Batch, values: Tensor) -> Scored:
    zero = is_zero(batch.maps)
    undefined = (zero | is_nonfinite(batch.maps)).cpu()
    statuses = map_statuses(batch.maps, {Status.ZERO_MAP: zero})
    return Scored(values.masked_fill(undefined, torch.nan), statuses, unknown_chance(values))
