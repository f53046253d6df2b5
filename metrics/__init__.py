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

from .complexity.entropy import mass_entropy, normalised_entropy
from .complexity.sparseness import gini_index
from .faithfulness import incremental_deletion, pixel_deletion, pixel_insertion
from .faithfulness.completeness import completeness_residual
from .faithfulness.counterfactual_deletion import partial_rank_correlation
from .faithfulness.faithfulness_correlation import linear_correlation
from .faithfulness.imputation import linear_imputation
from .faithfulness.infidelity import squared_errors
from .faithfulness.pixel_curve_controls import random_order_areas
from .faithfulness.pixel_perturbation import coda_counts
from .faithfulness.road import road_curves
from .faithfulness.single_deletion import rank_correlation
from .localisation import difull, dipart
from .localisation.auc import region_auc
from .localisation.energy_pg import energy_pointing_game
from .localisation.focus import focus_score
from .localisation.grid_pg import grid_pointing_game
from .localisation.iou import box_iou, thresholded_iou
from .localisation.pointing_game import pointing_hits
from .localisation.relevance_mass import relevance_mass_accuracy
from .localisation.relevance_rank import relevance_rank_accuracy
from .localisation.top_k import top_k_intersection
from .randomisation.randomisation import covered_fraction, layers_by_use
from .robustness import sensitivity

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

import_modules(__name__, __path__)
