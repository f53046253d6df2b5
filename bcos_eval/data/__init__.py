"""Datasets and the stimuli made from them."""

from __future__ import annotations

from bcos_eval.contract.stimulus import Counterfactuals, Stimulus

from .arrays import ArrayDataset
from .registry import DATASETS, DatasetInfo, load_dataset
from .sample import CounterfactualDataset, Dataset, Sample

__all__ = [
    "DATASETS",
    "ArrayDataset",
    "CounterfactualDataset",
    "Counterfactuals",
    "Dataset",
    "DatasetInfo",
    "Sample",
    "Stimulus",
    "load_dataset",
]
