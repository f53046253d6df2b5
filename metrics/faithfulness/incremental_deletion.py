"""Incremental deletion of the IDSDS suite: the mean softmax probability while the least important pixels go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from bcos_eval.contract.explained_model import memory_of
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import Count

from ..ranking import least_first, most_first
from .fills import rgb_zero
from .perturbation import Perturbation, perturbation_curves, scored_curves

# idsds@8e84200 incremental_deletion.py: fractions 0/32 … 31/32, the whole image is never removed.
N_FRACTIONS = 32
DEFAULT_BATCH_SIZE = 32


def idsds_counts(n_pixels: int) -> tuple[int, ...]:
    """Return how many pixels are removed at each of the 32 points."""
    return tuple(int(step / N_FRACTIONS * n_pixels) for step in range(N_FRACTIONS))


def _info(preset: str, direction: Literal["higher", "lower"]) -> MetricInfo:
    return MetricInfo(
        name="incremental_deletion",
        preset=preset,
        stimulus="single",
        needs=("model",),
        direction=direction,
        low=0.0,
        high=1.0,
        chance=None,
        source="Hesse et al. 2024, IDSDS; idsds@8e84200 incremental_deletion.py",
        defaults={"batch_size": DEFAULT_BATCH_SIZE},
    )


@register_metric(_info("idsds", "higher"), recommended=True)
def _score_ascending(batch: Batch, *, batch_size: Count) -> Scored:
    """Score the plain mean of the curve, least important pixels first; higher is better.

    The probability is the softmax for every network, as in the source, and removed pixels are 0 in the colour
    channels (`rgb_zero`). A zero map and a map with NaN or infinity score NaN; pixels of a constant map go in
    row-major order.
    """
    return _scored(batch, least_first, batch_size)


@register_metric(_info("idsds_descending", "lower"))
def _score_descending(batch: Batch, *, batch_size: Count) -> Scored:
    """Score as `idsds` does, most important pixels first; lower is better."""
    return _scored(batch, most_first, batch_size)


def _scored(batch: Batch, order_of: Callable[[Tensor], Tensor], batch_size: int) -> Scored:
    model = batch.model
    example = Perturbation(
        model.encode(batch.images),
        rgb_zero(model, batch.images),
        order_of(batch.maps),
        idsds_counts(batch.maps.shape[-2] * batch.maps.shape[-1]),
    )
    curves = perturbation_curves(
        example,
        batch.targets,
        probability=lambda encoded: model.logits(encoded).softmax(-1),
        batch_size=batch_size,
        remember=memory_of(model, "softmax"),
    )
    return scored_curves(batch, curves, curves.mean(-1))
