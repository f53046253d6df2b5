"""Post-hoc explainers and controls: all targets of an image in one call."""

from . import (  # noqa: F401 - they register
    attention_gradients,
    bcos_relative,
    controls,
    deeplift,
    extremal,
    gradcam,
    gradients,
    guided,
    intgrad,
    kernelshap,
    lime,
    linear_summary,
    occlusion,
    rise,
    rollout,
    scorecam,
    smoothgrad,
)
from .precision import COMMON_PARAMS
from .registry import EXPLAINERS, Explainer, ExplainerInfo, get_explainer, register_explainer

__all__ = ["COMMON_PARAMS", "EXPLAINERS", "Explainer", "ExplainerInfo", "get_explainer", "register_explainer"]
