"""Metrics of attributions: pure functions of maps, regions and, where needed, a model's predictions."""

from __future__ import annotations

from bcos_eval.plugin_types import Predict

# Importing a metric's module registers its presets.
from . import difull, dipart, incremental_deletion, pixel_deletion, pixel_insertion, sensitivity
from .auc import region_auc
from .completeness import completeness_residual
from .counterfactual_deletion import partial_rank_correlation
from .energy_pg import energy_pointing_game
from .entropy import mass_entropy, normalised_entropy
from .faithfulness_correlation import linear_correlation
from .focus import focus_score
from .grid_pg import grid_pointing_game
from .imputation import linear_imputation
from .infidelity import squared_errors
from .iou import box_iou, thresholded_iou
from .pixel_curve_controls import random_order_areas
from .pixel_perturbation import coda_counts
from .pointing_game import pointing_hits
from .randomisation import covered_fraction, layers_by_use
from .registry import (
    DEFAULT_PRESETS,
    METRICS,
    Explained,
    Metric,
    MetricInfo,
    Scored,
    Status,
    get_metric,
    register_metric,
)
from .relevance_mass import relevance_mass_accuracy
from .relevance_rank import relevance_rank_accuracy
from .road import road_curves
from .single_deletion import rank_correlation
from .sparseness import gini_index
from .top_k import top_k_intersection

__all__ = [
    "DEFAULT_PRESETS",
    "METRICS",
    "Explained",
    "Metric",
    "MetricInfo",
    "Predict",
    "Scored",
    "Status",
    "box_iou",
    "coda_counts",
    "completeness_residual",
    "covered_fraction",
    "difull",
    "dipart",
    "energy_pointing_game",
    "focus_score",
    "get_metric",
    "gini_index",
    "grid_pointing_game",
    "incremental_deletion",
    "layers_by_use",
    "linear_correlation",
    "linear_imputation",
    "mass_entropy",
    "normalised_entropy",
    "partial_rank_correlation",
    "pixel_deletion",
    "pixel_insertion",
    "pointing_hits",
    "random_order_areas",
    "rank_correlation",
    "region_auc",
    "register_metric",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "road_curves",
    "sensitivity",
    "squared_errors",
    "thresholded_iou",
    "top_k_intersection",
]
