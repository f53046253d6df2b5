"""Post-hoc explainers and controls: all targets of an image in one call."""

from __future__ import annotations

from bcos_eval.contract.explainer import EXPLAINERS, Explainer, ExplainerInfo, get_explainer, register_explainer
from bcos_eval.contract.plugins import import_modules

__all__ = ["EXPLAINERS", "Explainer", "ExplainerInfo", "get_explainer", "register_explainer"]

import_modules(__name__, __path__)
