"""The B-cos method: transform, norms, attention, explanation mode, linear summary, colours, explainers."""

from . import explainers  # noqa: F401 - registers them
from .attention import SelfAttention
from .colour import add_inverse, colour_explanation
from .explanation_mode import DynamicLinear, explanation_mode
from .frozen.fusion import for_gradients
from .linear_summary import (
    contribution_map,
    gradients_by_target,
    linear_summary,
    summary_rows,
    target_gradients,
)
from .norms import (
    AllNormUncentred2d,
    BatchNormCentred2d,
    BatchNormUncentred2d,
    GroupNorm2d,
    LayerNorm,
    PositionNorm2d,
)
from .transform import (
    BcosConv2d,
    BcosLinear,
    LogitLayer,
    UnitNormConv2d,
    UnitNormLinear,
    default_logit_bias,
)
from .units import Over, Unit, unit_activations, unit_summary

__all__ = [
    "AllNormUncentred2d",
    "BatchNormCentred2d",
    "BatchNormUncentred2d",
    "BcosConv2d",
    "BcosLinear",
    "DynamicLinear",
    "GroupNorm2d",
    "LayerNorm",
    "LogitLayer",
    "Over",
    "PositionNorm2d",
    "SelfAttention",
    "Unit",
    "UnitNormConv2d",
    "UnitNormLinear",
    "add_inverse",
    "colour_explanation",
    "contribution_map",
    "default_logit_bias",
    "explanation_mode",
    "for_gradients",
    "gradients_by_target",
    "linear_summary",
    "summary_rows",
    "target_gradients",
    "unit_activations",
    "unit_summary",
]
