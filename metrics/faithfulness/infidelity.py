"""Infidelity: how far the attribution of random patches is from the logit's drop without them."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import Count
from bcos_eval.contract.statuses import Status, is_nonfinite, is_zero, map_statuses
from bcos_eval.seeding import derived_generator, image_key

from .removal_drops import sums_and_drops

# A sixteenth of the image per patch.
PATCH_SIDE_FRACTION = 0.25
# Captum's default.
DEFAULT_N_SAMPLES = 10
DEFAULT_BATCH_SIZE = 64


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

    Raises:
        ValueError: If there are no patches.
    """
    if n_samples < 1:
        raise ValueError(f"n_samples is {n_samples}; give at least 1.")
    height, width = image.shape[-2:]
    side = max(1, round(PATCH_SIDE_FRACTION * min(height, width)))
    generator = derived_generator(seed, "infidelity", image_key(image))
    top = torch.randint(height - side + 1, (n_samples, 1), generator=generator)
    left = torch.randint(width - side + 1, (n_samples, 1), generator=generator)
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top) & (rows < top + side)
    in_columns = (columns >= left) & (columns < left + side)
    return in_rows[:, :, None] & in_columns[:, None, :]


def _info(preset: str, *, scale_invariant: bool) -> MetricInfo:
    return MetricInfo(
        name="infidelity",
        preset=preset,
        stimulus="single",
        needs=("model",),
        direction="lower",
        low=0.0,
        high=float("inf"),
        chance=None,
        source="Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations; black square patches",
        defaults={"n_samples": DEFAULT_N_SAMPLES, "batch_size": DEFAULT_BATCH_SIZE},
        scale_invariant=scale_invariant,
    )


@register_metric(_info("default", scale_invariant=False), recommended=True)
def _score_absolute(batch: Batch, *, n_samples: Count, batch_size: Count) -> Scored:
    """Score the mean squared difference of a patch's attribution and the target's logit drop, in squared logits.

    The attribution is taken to be a contribution, which already holds the factor of the input, as those of B-cos
    networks, input × gradient and integrated gradients do: the patch's attribution is the sum of its entries.
    A map without such a unit (GradCAM, gradients) is charged for its scale; see `normalised`. A zero map and a map
    with NaN or infinity score NaN; a constant map is judged like any other.
    """
    sums, drops = _sums_and_drops(batch, n_samples, batch_size)
    return _scored(batch, squared_errors(sums, drops))


@register_metric(_info("normalised", scale_invariant=True))
def _score_normalised(batch: Batch, *, n_samples: Count, batch_size: Count) -> Scored:
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
    return Scored(values.masked_fill(undefined, torch.nan), statuses, torch.full_like(values, torch.nan))
