"""The B-cos method: transform, norms, attention, explanation mode, linear summary, colour explanation."""

from .attention import SelfAttention
from .colour import colour_explanation
from .encoding import add_inverse
from .explanation_mode import DynamicLinear, explanation_mode
from .frozen.fusion import FrozenTwin, for_gradients, frozen_twin
from .linear_summary import (
    contribution_maps,
    gradients_by_target,
    linear_summary,
    summary_rows,
    target_gradients,
)
from .logit_layer import LogitLayer, default_logit_bias
from .norms import (
    AllNormUncentred2d,
    BatchNormCentred2d,
    BatchNormUncentred2d,
    GroupNorm2d,
    LayerNorm,
    PositionNorm2d,
)
from .transform import BcosConv2d, BcosLinear, UnitNormConv2d, UnitNormLinear

__all__ = [
    "AllNormUncentred2d",
    "BatchNormCentred2d",
    "BatchNormUncentred2d",
    "BcosConv2d",
    "BcosLinear",
    "DynamicLinear",
    "FrozenTwin",
    "GroupNorm2d",
    "LayerNorm",
    "LogitLayer",
    "PositionNorm2d",
    "SelfAttention",
    "UnitNormConv2d",
    "UnitNormLinear",
    "add_inverse",
    "colour_explanation",
    "contribution_maps",
    "default_logit_bias",
    "explanation_mode",
    "for_gradients",
    "frozen_twin",
    "gradients_by_target",
    "linear_summary",
    "summary_rows",
    "target_gradients",
]
