"""Networks of the suite: architectures, registry, weights."""

# A family registers its networks when it is imported: a new one is a new file and its name in the next line.
from . import converted, convnext, densenet, resnet, timm_zoo, torchvision_zoo, vgg, vit  # noqa: F401 - for the registration
from .bcosify import bcosify
from .classifier import Classifier, Preprocessing
from .load import load_model, shipped_card, shipped_intact, shipped_weights
from .published import PublishedWeights
from .registry import MODELS, ZOOS, ModelInfo, model_info, published_weights

__all__ = [
    "MODELS",
    "ZOOS",
    "Classifier",
    "ModelInfo",
    "Preprocessing",
    "PublishedWeights",
    "bcosify",
    "load_model",
    "model_info",
    "published_weights",
    "shipped_card",
    "shipped_intact",
    "shipped_weights",
]
