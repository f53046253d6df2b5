"""Networks of the suite: architectures, registry, weights."""

from .bcosify import bcosify
from .classifier import Classifier
from .load import load_model, shipped_card, shipped_intact, shipped_weights
from .published import PublishedWeights, published_weights
from .registry import MODELS, ModelInfo, model_info

__all__ = [
    "MODELS",
    "Classifier",
    "ModelInfo",
    "PublishedWeights",
    "bcosify",
    "load_model",
    "model_info",
    "published_weights",
    "shipped_card",
    "shipped_intact",
    "shipped_weights",
]
