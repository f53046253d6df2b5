"""Faithfulness correlation: whether the attribution of random parts predicts the logit's drop without them."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import Count
from bcos_eval.contract.statuses import Status, is_constant, is_nonfinite, is_zero, map_statuses
from bcos_eval.seeding import derived_generator, image_key

from .removal_drops import sums_and_drops

# protocols.md 8: cells of 14×14 pixels of a 224×224 image.
CELLS_PER_SIDE = 16
REMOVED_FRACTION = 0.2
DEFAULT_N_SAMPLES = 100
DEFAULT_BATCH_SIZE = 64
CHANCE = 0.0

# Deviations below this share of the values are rounding: the values are equal.
_EQUAL = 1e-12


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

    Raises:
        ValueError: If there are fewer than two sets, of which nothing can be correlated.
    """
    if n_samples < 2:
        raise ValueError(f"n_samples is {n_samples}; give at least 2 to correlate.")
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
        defaults={"n_samples": DEFAULT_N_SAMPLES, "batch_size": DEFAULT_BATCH_SIZE},
    ),
    recommended=True,
)
def _score(batch: Batch, *, n_samples: Count, batch_size: Count) -> Scored:
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
