"""Sensitivity: how much an attribution changes when the image hardly does."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric, unknown_chance
from bcos_eval.contract.params import Count, Positive
from bcos_eval.contract.statuses import Status, is_nonfinite, is_zero, map_statuses
from bcos_eval.seeding import derived_generator, image_key

# captum@faac087 metrics/_core/sensitivity.py: defaults.
DEFAULT_RADIUS = 0.02
DEFAULT_N_SAMPLES = 10


def nearby_images(image: Tensor, *, radius: float, n_samples: int, seed: int = 0) -> Tensor:
    """Return noisy copies of an image, each value moved by up to `radius`, evenly, and kept in [0, 1].

    Args:
        image: `(3, H, W)` in [0, 1]; the noise belongs to it and the seed.
        radius: Largest change of a value.
        n_samples: Number of copies R.
        seed: Seed of the run.

    Returns:
        `(R, 3, H, W)`, dtype and device of the image.
    """
    generator = derived_generator(seed, "sensitivity", image_key(image))
    noise = torch.rand(n_samples, *image.shape, generator=generator, dtype=torch.float64)
    return (image + radius * (2 * noise - 1).to(image)).clamp(0, 1)


def largest_change(maps: Tensor, nearby: Tensor) -> Tensor:
    """Return the largest distance of maps to those of nearby images, relative to their length.

    Args:
        maps: `(K, H, W)`.
        nearby: `(R, K, H, W)`.

    Returns:
        `(K,)`, float64, 0 for a map that never changes. The length of a zero map counts as 1. NaN where a map has
        NaN or infinity.
    """
    original, others = in_float64(maps).flatten(1), in_float64(nearby).flatten(2)
    norm = original.norm(dim=-1)
    return ((others - original).norm(dim=-1) / torch.where(norm == 0, 1.0, norm)).amax(0)


@register_metric(
    MetricInfo(
        name="sensitivity",
        preset="max",
        stimulus="single",
        needs=("model", "explainer"),
        direction="lower",
        low=0.0,
        high=float("inf"),
        chance=None,
        source="Yeh et al. 2019, max-sensitivity; captum@faac087 metrics/_core/sensitivity.py, in pixel space",
        defaults={"radius": DEFAULT_RADIUS, "n_samples": DEFAULT_N_SAMPLES},
        # The maps of nearby images come from the explainer: a map scored alone cannot be rescaled.
        scale_invariant=False,
        expensive=True,
    ),
    recommended=True,
)
def _score(batch: Batch, *, radius: Positive, n_samples: Count) -> Scored:
    """Score the largest relative change of the map over noisy copies of the image.

    Noise is added to pixels and the result encoded, so that a B-cos network sees valid input; all targets and
    explainers of an image see the same noise. A map that ignores image and network (`uniform`) scores a perfect 0:
    read the score beside one of faithfulness. A zero map and a map with NaN or infinity score NaN, and so
    do targets whose map of a noisy copy has NaN or infinity.
    """
    explained = batch.model
    values = torch.stack(
        [
            largest_change(
                batch.maps[b].cpu(),
                _explain_each(
                    explained,
                    nearby_images(image, radius=radius, n_samples=n_samples, seed=batch.seed),
                    batch.targets[b],
                ),
            )
            for b, image in enumerate(batch.images)
        ]
    )
    zero = is_zero(batch.maps).cpu()
    nonfinite = is_nonfinite(batch.maps).cpu() | ~values.isfinite()
    statuses = map_statuses(batch.maps.cpu(), {Status.ZERO_MAP: zero, Status.NONFINITE: nonfinite})
    return Scored(values.masked_fill(zero | nonfinite, torch.nan), statuses, unknown_chance(values))


def _explain_each(explained: ExplainedModel, images: Tensor, targets: Tensor) -> Tensor:
    return torch.cat([explained.explain(image[None], targets[None]).cpu() for image in images])
