"""Datasets and the stimuli made from them."""

from __future__ import annotations

from .registry import DATASETS, DatasetInfo, load_dataset
from .sample import Dataset, Sample
from .stimulus import Stimulus

__all__ = ["DATASETS", "Dataset", "DatasetInfo", "Sample", "Stimulus", "load_dataset"]
