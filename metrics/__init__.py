"""Metrics of attributions: pure functions of maps, regions and, where needed, a model's predictions."""

from __future__ import annotations

# Importing a metric's module registers its presets.
from . import incremental_deletion, pixel_deletion, pixel_insertion
from .auc import region_auc
from .energy_pg import energy_pointing_game
from .entropy import mass_entropy, normalised_entropy
from .grid_pg import grid_pointing_game
from .iou import thresholded_iou
from .pixel_perturbation import coda_counts
from .pointing_game import pointing_hits
from .registry import (
    DEFAULT_PRESETS,
    METRICS,
    Metric,
    MetricInfo,
    Predict,
    Scored,
    Status,
    get_metric,
    register_metric,
)
from .relevance_mass import relevance_mass_accuracy
from .relevance_rank import relevance_rank_accuracy
from .single_deletion import rank_correlation
from .sparseness import gini_index
from .top_k import top_k_intersection

__all__ = [
    "DEFAULT_PRESETS",
    "METRICS",
    "Metric",
    "MetricInfo",
    "Predict",
    "Scored",
    "Status",
    "coda_counts",
    "energy_pointing_game",
    "get_metric",
    "gini_index",
    "grid_pointing_game",
    "incremental_deletion",
    "mass_entropy",
    "normalised_entropy",
    "pixel_deletion",
    "pixel_insertion",
    "pointing_hits",
    "rank_correlation",
    "region_auc",
    "register_metric",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "thresholded_iou",
    "top_k_intersection",
]
