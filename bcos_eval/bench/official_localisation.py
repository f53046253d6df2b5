"""The official localisation analysis, with the official library's network, as a program of its own.

The steps of `interpretability/analyses/localisation.py` of B-cos-v2@f6dc4fb, which the official package leaves
out, in our words: confidences of all images in batches, the order of the images, then grid after grid and class
after class a forward and a backward pass, and the share of the positive attributions in each cell. What favours
the official side: both methods in one process instead of one each, frozen parameters, and no copies of Grad-CAM's
map for every input channel.
"""

from __future__ import annotations

import importlib
import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from captum.attr import InputXGradient, LayerAttribution
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from bcos_eval.data import Dataset, load_dataset
from bcos_eval.errors import IncompatibleError

from .phases import EXPLAINING, GRIDS, POOL, SCORING, STORING, Phases

if TYPE_CHECKING:  # the official side's start-up does without our networks
    from bcos_eval.models import Classifier

DATASET = "shapes"
TASK_NAME, RESULT_NAME = "task.pt", "scores.json"
_CONFIDENCES_NAME = "conf_results.pkl"
# The official defaults.
_BATCH_SIZE = 64
_LEAST_CONFIDENCE = 0.5
_SEED = 42
_SMALL_KERNEL = 3
_SMALL_STRIDE = 2

# Images of a class with their largest logit, the largest first.
Confidences = Mapping[int, Sequence[tuple[int, float]]]


class _OfficialNetwork(Protocol):
    """What the official library's networks offer explainers."""

    def __call__(self, encoded: Tensor) -> Tensor: ...

    def explanation_mode(self) -> AbstractContextManager[object]: ...

    def get_feature_extractor(self) -> nn.Module: ...

    def get_classifier(self) -> nn.Module: ...


@dataclass(frozen=True, slots=True)
class OfficialTask:
    """What is localised.

    Attributes:
        entry: The official library's name of the network.
        arguments: What the entry is called with.
        is_small: Whether its stem is one for small images, which has stride 2 here.
        state: Its weights.
        methods: Of `EXPLAIN`.
        n: Cells per side.
        n_grids: At most so many grids.
    """

    entry: str
    arguments: Mapping[str, Any]
    is_small: bool
    state: Mapping[str, Tensor]
    methods: Sequence[str]
    n: int
    n_grids: int

    @classmethod
    def of(cls, network: Classifier, methods: Sequence[str], n: int, n_grids: int) -> OfficialTask:
        """Return the task for one of our networks.

        Raises:
            IncompatibleError: If the official library is not installed or has no such network.
        """
        state = network.state_dict()
        stem = state.get("conv1.linear.weight")
        is_small = stem is not None and stem.shape[-1] == _SMALL_KERNEL
        arguments = {"num_classes": network.num_classes, "logit_bias": network.logit_bias}
        if stem is not None and is_small:
            arguments |= {"inplanes": len(stem), "small_inputs": True}
        task = cls(network.name.removeprefix("bcos_"), arguments, is_small, state, methods, n, n_grids)
        try:
            task.network()
        except ImportError as error:
            raise IncompatibleError("the official library is not installed: pip install bcos") from error
        except (AttributeError, TypeError, RuntimeError) as error:
            raise IncompatibleError(
                f"the official library has no network of the layout of '{network.name}'; give a B-cos ResNet, "
                "for example --model bcos_resnet18."
            ) from error
        return task

    def network(self) -> nn.Module:
        """Return the official library's network."""
        pretrained = importlib.import_module("bcos.models.pretrained")
        network: nn.Module = getattr(pretrained, self.entry)(pretrained=False, **self.arguments)
        if self.is_small:
            stem: Any = network.conv1
            stem.stride, stem.linear.stride = _SMALL_STRIDE, (_SMALL_STRIDE, _SMALL_STRIDE)
        network.load_state_dict(self.state)
        return network.eval().requires_grad_(False)


class _EncodedImages:
    """Images as the official transforms give them: six channels and the label."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        sample = self._dataset[index]
        return torch.cat([sample.image, 1 - sample.image]), sample.label


def localise(folder: Path, phases: Phases) -> None:
    """Do the task in a folder and leave the scores there: for each method one per grid and cell.

    Args:
        folder: Has the task, `TASK_NAME`; gets `RESULT_NAME`.
        phases: Told what is done.
    """
    task: OfficialTask = torch.load(folder / TASK_NAME, weights_only=False)
    network = task.network()
    official = cast("_OfficialNetwork", network)
    images = _EncodedImages(load_dataset(DATASET))
    with phases.of(POOL):
        found = confident_images(network, images)
    with phases.of(STORING):
        (folder / _CONFIDENCES_NAME).write_bytes(pickle.dumps(found))
    order = images_in_order(found, task.n**2)
    scores: dict[str, list[list[float]]] = {}
    targets_of_grids: list[list[int]] = []
    for method in task.methods:
        offset, scores[method], targets_of_grids = 0, [], []
        for _ in range(task.n_grids):
            with phases.of(GRIDS):
                grid, targets, offset = next_grid(images, order, task.n, offset)
            if len(targets) < task.n**2:
                break
            with phases.of(EXPLAINING):
                maps = torch.stack(list(EXPLAIN[method](official, grid, targets)))
            with phases.of(SCORING):
                scores[method].append(shares_of_cells(maps, task.n).tolist())
            targets_of_grids.append(targets)
    with phases.of(STORING):
        result = {"targets": targets_of_grids, "scores": scores}
        (folder / RESULT_NAME).write_text(json.dumps(result), encoding="utf-8")


def confident_images(network: nn.Module, images: _EncodedImages) -> Confidences:
    """Return the correctly classified images of each class with their largest logits."""
    found: dict[int, list[tuple[int, float]]] = {}
    index = -1
    with torch.inference_mode():
        for batch, labels in DataLoader(cast("Any", images), batch_size=_BATCH_SIZE):
            for logit, predicted, label in zip(*network(batch).max(1), labels, strict=True):
                index += 1
                if predicted == label:
                    found.setdefault(int(label), []).append((index, logit.item()))
    return {label: sorted(own, key=lambda one: one[1], reverse=True) for label, own in found.items()}


def images_in_order(confidences: Confidences, n_images: int) -> list[int]:
    """Return images in blocks of `n_images` classes drawn at random, the most confident ones of a class first."""
    left = {
        label: [index for index, logit in own if torch.tensor(logit).sigmoid().item() > _LEAST_CONFIDENCE]
        for label, own in sorted(confidences.items())
    }
    random = np.random.RandomState(_SEED)
    order: list[int] = []
    while len(classes := [label for label, own in left.items() if own]) > n_images:
        order += [left[label].pop(0) for label in random.choice(classes, size=n_images, replace=False).tolist()]
    return order


def next_grid(images: _EncodedImages, order: Sequence[int], n: int, offset: int) -> tuple[Tensor, list[int], int]:
    """Return the next grid `(1, 6, H, W)`, its classes column by column, and where the one after it begins.

    Where the images do not suffice, there are fewer classes than cells.
    """
    chosen: dict[int, Tensor] = {}
    for index in order[offset:]:
        image, label = images[index]
        offset += 1
        chosen.setdefault(label, image)
        if len(chosen) == n * n:
            break
    else:
        return torch.empty(0), [], offset
    cells = torch.stack(list(chosen.values())).unflatten(0, (n, n))  # (column, row, 6, h, w)
    grid = cells.permute(2, 1, 3, 0, 4).flatten(3, 4).flatten(1, 2)[None]
    return grid, list(chosen), offset + 1  # one image is left out between grids, as in the official code


def _summaries(network: _OfficialNetwork, grid: Tensor, targets: Sequence[int]) -> Iterator[Tensor]:
    for target in targets:
        with network.explanation_mode():
            attributed: Tensor = InputXGradient(network).attribute(grid.requires_grad_(), target=target)
        yield attributed[0].sum(0).detach()


def _grad_cams(network: _OfficialNetwork, grid: Tensor, targets: Sequence[int]) -> Iterator[Tensor]:
    extract, classify = network.get_feature_extractor(), network.get_classifier()
    for target in targets:
        with torch.no_grad():
            features = extract(grid)
        features.requires_grad_()
        F.adaptive_avg_pool2d(classify(features), 1)[0, target, 0, 0].backward(inputs=[features])
        weights = features.grad.sum((-2, -1), keepdim=True)
        evidence = (weights * features).sum(1, keepdim=True).detach().relu()
        yield LayerAttribution.interpolate(evidence, tuple(grid.shape[-2:]), "nearest")[0, 0]


# (network, encoded grid, its classes) -> a map (H, W) for each
EXPLAIN: Mapping[str, Callable[[_OfficialNetwork, Tensor, Sequence[int]], Iterator[Tensor]]] = {
    "bcos": _summaries,
    "gradcam": _grad_cams,
}


def shares_of_cells(maps: Tensor, n: int) -> Tensor:
    """Return the share of the positive entries of map k `(K, H, W)` in cell k, column by column, `(K,)`."""
    side = maps.shape[-1] // n
    cells = F.avg_pool2d(maps[:, None].clamp(min=0), side, stride=side).mT.flatten(1)  # (K, n²)
    total = cells.sum(1, keepdim=True)
    return torch.where(total * cells > 0, cells / total, 0).diagonal()
