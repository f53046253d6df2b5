"""Metrics of attributions: pure functions of maps, regions and, where needed, a model's predictions."""

from __future__ import annotations

from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.contract.metric import (
    DEFAULT_PRESETS,
    METRICS,
    Metric,
    MetricInfo,
    Scored,
    get_metric,
    register_metric,
)
from bcos_eval.contract.plugins import import_modules
from bcos_eval.contract.statuses import Status

from .complexity.concentration import gini_index, mass_entropy, normalised_entropy
from .faithfulness.completeness import completeness_residual
from .faithfulness.counterfactual_deletion import partial_rank_correlation
from .faithfulness.pixel_deletion import random_order_areas
from .faithfulness.pixel_perturbation import coda_counts
from .faithfulness.random_removal import linear_correlation, squared_errors
from .faithfulness.road import linear_imputation, road_curves
from .localisation.grid_pg import grid_pointing_game
from .localisation.iou import box_iou, thresholded_iou
from .localisation.pointing_game import pointing_hits
from .localisation.region_mass import energy_pointing_game, focus_score, relevance_mass_accuracy
from .localisation.region_ranks import region_auc, relevance_rank_accuracy, top_k_intersection
from .randomisation.randomisation import covered_fraction, layers_by_use
from .ranking import rank_correlation

__all__ = [
    "DEFAULT_PRESETS",
    "METRICS",
    "ExplainedModel",
    "Metric",
    "MetricInfo",
    "Scored",
    "Status",
    "box_iou",
    "coda_counts",
    "completeness_residual",
    "covered_fraction",
    "energy_pointing_game",
    "focus_score",
    "get_metric",
    "gini_index",
    "grid_pointing_game",
    "layers_by_use",
    "linear_correlation",
    "linear_imputation",
    "mass_entropy",
    "normalised_entropy",
    "partial_rank_correlation",
    "pointing_hits",
    "random_order_areas",
    "rank_correlation",
    "region_auc",
    "register_metric",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "road_curves",
    "squared_errors",
    "thresholded_iou",
    "top_k_intersection",
]

import_modules(__name__, __path__)
