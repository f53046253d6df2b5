"""Recipes that made the shipped weights."""

from .recipe import Recipe, default_recipe
from .train import TrainingRequest, train, weights_path

__all__ = ["Recipe", "TrainingRequest", "default_recipe", "train", "weights_path"]
