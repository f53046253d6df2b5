"""How long a prediction lasts while the least important pixels go: pixel perturbation and incremental deletion."""

from __future__ import annotations

from dataclasses import replace

import torch

from bcos_eval.contract.explained_model import memory_of
from bcos_eval.contract.metric import Batch, CurveAxes, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import PassSize
from bcos_eval.errors import InputError

from ..ranking import First, Ties, pixel_order
from .fills import rgb_zero
from .perturbation import (
    Perturbation,
    encoded_probability,
    normalised_area,
    perturbation_curves,
    scored_curves,
)

# CoDA-Nets@32c829f pixel_configs.py: a quarter of the pixels, one point every 1/128 of them.
CODA_FRACTION = 0.25
CODA_N_STEPS = 128
CODA_BATCH_SIZE = 64
# idsds@8e84200 incremental_deletion.py: fractions 0/32 … 31/32, the whole image is never removed.
IDSDS_N_FRACTIONS = 32
IDSDS_BATCH_SIZE = 32


def coda_counts(n_pixels: int) -> tuple[int, ...]:
    """Return how many pixels are removed at each point of the curve, from 0 up to a quarter of them.

    The distance of the points is a whole number of pixels, so 129 points result where 512 divides the number
    of pixels, and a few more elsewhere. The reference does not work below 512 pixels; here each pixel is then
    a step.

    Raises:
        InputError: If there are fewer than 4 pixels, of which a quarter is none.
    """
    n_removed = int(CODA_FRACTION * n_pixels)
    if n_removed < 1:
        raise InputError(f"an image of {n_pixels} pixels has no quarter to remove; give at least 4 pixels.")
    return tuple(range(0, n_removed + 1, max(1, n_removed // CODA_N_STEPS)))


def idsds_counts(n_pixels: int) -> tuple[int, ...]:
    """Return how many pixels are removed at each of the 32 points."""
    return tuple(int(step / IDSDS_N_FRACTIONS * n_pixels) for step in range(IDSDS_N_FRACTIONS))


_CODA = MetricInfo(
    name="pixel_perturbation",
    preset="coda",
    stimulus="single",
    needs=("model",),
    direction="higher",
    low=0.0,
    high=1.0,
    chance=None,
    source="Böhle et al. 2021, CoDA-Nets; CoDA-Nets@32c829f interpretability/analyses/pixel_removal.py",
    defaults={"batch_size": CODA_BATCH_SIZE, "ties": "index"},
    curve=CurveAxes("pixels removed in %", "probability of target", 0, 100 * CODA_FRACTION),
)
_PERTURBATION = _CODA.variant(
    "default",
    source="Böhle et al. 2021, CoDA-Nets, equal entries in random order",
    defaults={"batch_size": CODA_BATCH_SIZE, "ties": "random"},
    headline=True,
    images="correct",
)


@register_metric(_PERTURBATION, recommended=True)
@register_metric(_CODA)
def _score_least_first(batch: Batch, *, batch_size: PassSize, ties: Ties) -> Scored:
    """Score how well the target's probability survives the removal of the least important pixels.

    Removed pixels are 0 in every channel of the *encoded* image, which is no colour for a B-cos network. The
    papers plot the mean curve over images and have no scalar; the score here is the area below the unit's curve
    divided by its width. A zero map and a map with NaN or infinity score NaN, along the curve too; pixels of a
    constant map go in the order of ties.
    """
    return _perturbed(batch, "least", batch_size, ties)


@register_metric(_CODA.variant("coda_most", direction="lower"))
def _score_most_first(batch: Batch, *, batch_size: PassSize, ties: Ties) -> Scored:
    """Score as `coda` does, while the most important pixels are removed; lower is better."""
    return _perturbed(batch, "most", batch_size, ties)


def _perturbed(batch: Batch, first: First, batch_size: int, ties: Ties) -> Scored:
    encoded = batch.model.encode(batch.images)
    counts = coda_counts(batch.maps.shape[-2] * batch.maps.shape[-1])
    curves = perturbation_curves(
        Perturbation(encoded, torch.zeros_like(encoded), pixel_order(batch, first, ties), counts),
        batch.targets,
        probability=encoded_probability(batch.model),
        batch_size=batch_size,
        remember=memory_of(batch.model, "encoded"),
    )
    return scored_curves(batch, curves, normalised_area(curves))


_IDSDS = replace(
    _CODA,
    name="incremental_deletion",
    preset="idsds",
    source="Hesse et al. 2024, IDSDS; idsds@8e84200 incremental_deletion.py",
    defaults={"batch_size": IDSDS_BATCH_SIZE, "ties": "index"},
    curve=CurveAxes("pixels removed in %", "softmax probability of target", 0, 100 * (1 - 1 / IDSDS_N_FRACTIONS)),
)
_INCREMENTAL = _IDSDS.variant(
    "default",
    source="Hesse et al. 2024, IDSDS, equal entries in random order",
    defaults={"batch_size": IDSDS_BATCH_SIZE, "ties": "random"},
    images="correct",
)


@register_metric(_INCREMENTAL, recommended=True)
@register_metric(_IDSDS)
def _score_ascending(batch: Batch, *, batch_size: PassSize, ties: Ties) -> Scored:
    """Score the plain mean of the curve, least important pixels first; higher is better.

    The probability is the softmax for every network, as in the source, and removed pixels are 0 in the colour
    channels (`rgb_zero`). A zero map and a map with NaN or infinity score NaN; pixels of a constant map go in the
    order of ties.
    """
    return _incremental(batch, "least", batch_size, ties)


@register_metric(_IDSDS.variant("idsds_descending", direction="lower"))
def _score_descending(batch: Batch, *, batch_size: PassSize, ties: Ties) -> Scored:
    """Score as `idsds` does, most important pixels first; lower is better."""
    return _incremental(batch, "most", batch_size, ties)


def _incremental(batch: Batch, first: First, batch_size: int, ties: Ties) -> Scored:
    model = batch.model
    counts = idsds_counts(batch.maps.shape[-2] * batch.maps.shape[-1])
    curves = perturbation_curves(
        Perturbation(
            model.encode(batch.images), rgb_zero(model, batch.images), pixel_order(batch, first, ties), counts
        ),
        batch.targets,
        probability=lambda encoded: model.logits(encoded).softmax(-1),
        batch_size=batch_size,
        remember=memory_of(model, "softmax"),
    )
    return scored_curves(batch, curves, curves.mean(-1))
