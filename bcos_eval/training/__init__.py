"""Recipes that made the shipped weights."""

from .recipe import Recipe, default_recipe, usual_precision
from .train import TrainingRequest, train, weights_path

__all__ = ["Recipe", "TrainingRequest", "default_recipe", "train", "usual_precision", "weights_path"]
