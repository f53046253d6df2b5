"""A dataset: this file, as `bcos_eval/data/ramps.py`, and a few lines in `bcos_eval/data/registry.py`."""

from __future__ import annotations

import torch

from .sample import Sample

SIDE = 32


class RampsDataset:
    """Grey ramps that brighten to the right or downwards; nobody says where the evidence is."""

    name = "ramps"
    class_names = ("right", "down")
    has_regions = False

    def __init__(self, n: int = 8) -> None:
        self.labels = tuple(index % 2 for index in range(n))
        self.sample_ids = tuple(f"ramp_{index}" for index in range(n))

    def digest(self) -> str:
        """Identity of the images; another one forgets stored results."""
        return f"ramps-1-{len(self)}"

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        """Make an image."""
        ramp = torch.linspace(0, 1, SIDE).expand(3, SIDE, SIDE) * (1 + index) / (len(self) + 1)
        image = ramp if self.labels[index] == 0 else ramp.transpose(1, 2)
        return Sample(self.sample_ids[index], image.contiguous(), self.labels[index], None)
