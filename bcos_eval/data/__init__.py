"""Datasets and the stimuli made from them."""

from __future__ import annotations

from .registry import DATASETS, DatasetInfo, load_dataset
from .sample import CounterfactualDataset, Dataset, Sample
from .stimulus import Counterfactuals, Stimulus

__all__ = [
    "DATASETS",
    "CounterfactualDataset",
    "Counterfactuals",
    "Dataset",
    "DatasetInfo",
    "Sample",
    "Stimulus",
    "load_dataset",
]
