"""What is explained: networks with usable weights, and a grid of scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bcos_eval.contract.params import Param
from bcos_eval.contract.pass_size import images_per_pass
from bcos_eval.contract.plugins import find_explainer
from bcos_eval.data import load_dataset
from bcos_eval.errors import InputError
from bcos_eval.models import Classifier, load_model
from bcos_eval.seeding import derived_generator

from .random_weights import condition

_RANDOM = "random"
# Statistics of fewer positions in the last layers come out so small that they blow up rounding errors.
_N_SCENES = 8
_LEAST_SIDE = 128


@dataclass(frozen=True, slots=True)
class Case:
    """One explainer's task, the same for both sides.

    Attributes:
        explainer: Registered name.
        network: The network to explain, frozen.
        image: `(1, 3, H, W)` in [0, 1].
        targets: `(1, K)`, int64.
        seed: Seed of explainers that draw.
        params: Every parameter of the explainer with the value taken.
    """

    explainer: str
    network: Classifier
    image: Tensor
    targets: Tensor
    seed: int
    params: Mapping[str, Param]

    @property
    def encoded(self) -> Tensor:
        """The network input `(1, C, H, W)`."""
        return self.network.encode(self.image)

    def integer(self, key: str) -> int:
        """Return a parameter that is a whole number."""
        return int(self.params[key])

    def ours(self) -> Tensor:
        """Return our maps of all targets `(K, H, W)`, from one call."""
        explainer = find_explainer(self.explainer)
        return explainer(self.network, self.image, self.targets, seed=self.seed, **self.params)[0]

    def images_per_pass(self) -> int:
        """Return how many images our explainer sends through the network at once."""
        return images_per_pass(self.image, self.integer("batch_pixels")) if "batch_pixels" in self.params else 1


def network_for_bench(name: str, weights: str, side: int, device: str = "cpu") -> Classifier:
    """Return a frozen network on a device; random weights are conditioned on scenes of `side` pixels, on the CPU.

    Raises:
        InputError: If there is no such model or the weights do not fit.
    """
    network = load_model(name, weights)
    if weights == _RANDOM:
        condition(network, network.encode(scenes(_N_SCENES, max(side, _LEAST_SIDE), seed=0)))
    return network.to(device)


def scene_grid(n_cells: int, cell: int, seed: int) -> Tensor:
    """Return a grid of `n_cells × n_cells` scenes of the embedded dataset, `(1, 3, H, W)` in [0, 1].

    Args:
        n_cells: Cells per side.
        cell: Side of a cell in pixels.
        seed: Which scenes.
    """
    rows = (
        scenes(n_cells**2, cell, seed).unflatten(0, (n_cells, n_cells)).permute(2, 0, 3, 1, 4)
    )  # (3, n, cell, n, cell)
    return rows.reshape(1, 3, n_cells * cell, n_cells * cell).contiguous()


def scenes(n_scenes: int, side: int, seed: int) -> Tensor:
    """Return different scenes of the embedded dataset, `(n_scenes, 3, side, side)` in [0, 1]."""
    dataset = load_dataset("shapes")
    if n_scenes > len(dataset):
        raise InputError(f"the benchmark has {len(dataset)} scenes and {n_scenes} are wanted; give a smaller --n.")
    chosen = torch.randperm(len(dataset), generator=derived_generator(seed, "bench scenes"))[:n_scenes]
    images = torch.stack([dataset[int(index)].image for index in chosen])
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False).clamp(0, 1)


def distinct_targets(n_targets: int, n_classes: int, seed: int) -> Tensor:
    """Return `(1, n_targets)` different classes.

    Raises:
        InputError: If the network has fewer classes.
    """
    if n_targets > n_classes:
        raise InputError(f"--targets {n_targets} is not allowed: the model has {n_classes} classes; give fewer.")
    order = torch.randperm(n_classes, generator=derived_generator(seed, "bench targets"))
    return order[None, :n_targets]
