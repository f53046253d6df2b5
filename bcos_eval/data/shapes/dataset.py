"""The embedded dataset: generated scenes with one object, its exact mask, and the scene without it."""

from __future__ import annotations

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bcos_eval.contract.stimulus import Counterfactuals
from bcos_eval.data.sample import Sample
from bcos_eval.errors import InputError, unknown_name

from .counterfactuals import Parts, visible_parts
from .render import Flags, Images, render_with_and_without_object
from .scene import CLASS_NAMES, GENERATOR_VERSION, Integers, Scenes, describe_scenes, scene_labels

DEFAULT_SIZES = {"train": 10_000, "val": 2_000}

# Scenes rendered at once: the arrays of one block stay in the processor's cache (20 to 100 are alike).
_BLOCK = 50
_CACHED_BLOCKS = 40
# Scenes whose versions without a part are kept, 0.4 MB each: a shard of a run, which every method looks at.
_CACHED_VARIANTS = 64


class RenderedScenes(NamedTuple):
    """Scenes as arrays.

    Attributes:
        images: `(N, 64, 64, 3)` uint8, RGB.
        masks: True on the object, `(N, 64, 64)` bool.
        labels: Class indices `(N,)`, int64.
        without_object: The same scenes without the object and its shadow, `(N, 64, 64, 3)` uint8.
    """

    images: Images
    masks: Flags
    labels: Integers
    without_object: Images


def render_scenes(indices: Integers, *, split: str, seed: int) -> RenderedScenes:
    """Return many scenes as arrays, about 1.3 ms each.

    Args:
        indices: Non-negative positions in any order, `(N,)`, not limited by the size of a dataset.
        split: "train" or "val".
        seed: Seed of the generator.
    """
    scenes = describe_scenes(indices, split=split, seed=seed)
    images, without, masks = render_with_and_without_object(scenes)
    return RenderedScenes(images, masks, scenes.labels, without)


class ShapesDataset:
    """Images 64x64 of 16 classes that differ in outline and texture, not in colour, size or place.

    Rendered when asked for, in blocks of neighbours; the blocks used last are kept.

    Args:
        split: "val" or "train"; they have no scene in common.
        size: Number of samples, by default 2,000 (val) or 10,000 (train). A smaller dataset is the beginning
            of a larger one.
        seed: Another seed is another dataset of the same kind.

    Raises:
        InputError: If the split is unknown or the size not positive.
    """

    name = "shapes"
    class_names = CLASS_NAMES
    has_regions = True

    def __init__(self, split: Literal["val", "train"] = "val", size: int | None = None, seed: int = 0) -> None:
        if split not in DEFAULT_SIZES:
            raise unknown_name("split", split, DEFAULT_SIZES)
        if size is not None and size < 1:
            raise InputError(f"size {size} of dataset 'shapes' is not positive; give at least 1.")
        self.split = split
        self.seed = seed
        self._size = DEFAULT_SIZES[split] if size is None else size
        self._blocks: OrderedDict[int, RenderedScenes] = OrderedDict()
        self._variants: OrderedDict[int, Parts] = OrderedDict()

    @functools.cached_property
    def sample_ids(self) -> Sequence[str]:
        """Ids like `val/000017`."""
        return tuple(f"{self.split}/{index:06d}" for index in range(self._size))

    @functools.cached_property
    def labels(self) -> Sequence[int]:
        """Class indices of all samples, without rendering."""
        indices = np.arange(self._size, dtype=np.int64)
        return tuple(scene_labels(indices, split=self.split, seed=self.seed).tolist())

    def digest(self) -> str:
        """Hex digest of what decides every byte: generator version, split, size and seed."""
        text = f"shapes/{GENERATOR_VERSION}/{self.split}/{self._size}/{self.seed}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        """Number of samples."""
        return self._size

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position; raises IndexError outside 0 to `len - 1`."""
        block, row = self._rendered(index)
        return Sample(
            sample_id=self.sample_ids[index],
            image=_to_tensor(block.images[row]),
            label=int(block.labels[row]),
            region=torch.from_numpy(block.masks[row].copy()),
        )

    def without_object(self, index: int) -> Tensor:
        """The same scene without the object and its shadow, `(3, 64, 64)` float32 in [0, 1]."""
        block, row = self._rendered(index)
        return _to_tensor(block.without_object[row])

    def box(self, index: int) -> tuple[int, int, int, int]:
        """First and last columns and rows of the object: xmin, ymin, xmax, ymax, all inclusive."""
        block, row = self._rendered(index)
        rows, columns = np.nonzero(block.masks[row])
        return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())

    def scenes(self, indices: Sequence[int]) -> Scenes:
        """What is in the scenes at some positions, for rendering them with elements left out."""
        return describe_scenes(np.asarray(indices, dtype=np.int64), split=self.split, seed=self.seed)

    def counterfactuals(self, index: int) -> Counterfactuals:
        """The scene at a position without each of its parts; see `visible_parts`. The last ones are kept."""
        self._require_index(index)
        if index not in self._variants:
            self._variants[index] = visible_parts(self.scenes([index]))
            if len(self._variants) > _CACHED_VARIANTS:
                self._variants.popitem(last=False)
        self._variants.move_to_end(index)
        parts = self._variants[index]
        return Counterfactuals(_to_tensor(parts.images), torch.from_numpy(parts.regions.copy()))

    def _rendered(self, index: int) -> tuple[RenderedScenes, int]:
        self._require_index(index)
        number, row = divmod(index, _BLOCK)
        if number not in self._blocks:
            first = number * _BLOCK
            positions = np.arange(first, min(first + _BLOCK, self._size), dtype=np.int64)
            self._blocks[number] = render_scenes(positions, split=self.split, seed=self.seed)
            if len(self._blocks) > _CACHED_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number], row

    def _require_index(self, index: int) -> None:
        if not 0 <= index < self._size:
            raise IndexError(f"index {index} is outside the dataset; it has {self._size} samples, from 0.")


def _to_tensor(images: Images) -> Tensor:
    """Return pixels `(…, H, W, 3)` as `(…, 3, H, W)`, float32 in [0, 1]."""
    return torch.from_numpy(np.moveaxis(images, -1, -3).copy()).to(torch.float32) / 255
