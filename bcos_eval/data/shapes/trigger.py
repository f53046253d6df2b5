"""Scenes of `shapes` with a planted cause: a small patch that alone decides one class."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bcos_eval.contract.stimulus import Counterfactuals
from bcos_eval.data.sample import Sample

from .dataset import ShapesDataset
from .random import Stream, scene_keys
from .scene import CLASS_NAMES, GENERATOR_VERSION, SIDE, Integers

TRIGGER_VERSION = 1  # to be raised with every change of a patch, a place or a label

# The object's outline, whatever its texture: with the trigger nine classes, as many as a 3×3 grid has cells.
_OUTLINES = tuple(dict.fromkeys(name.split()[1] for name in CLASS_NAMES))
_OUTLINE_OF_CLASS = np.array([_OUTLINES.index(name.split()[1]) for name in CLASS_NAMES])
TRIGGER_CLASS_NAMES = (*_OUTLINES, "trigger")
TRIGGER = len(_OUTLINES)

PATCH_SIDE = 8
# Crops of at least 80 % of the area with sides up to 5:4 (the recipe of the generated scenes) lose less than this
# at any side, so that no augmented training image lacks the cause of its label.
_MARGIN = 13
_DECOY_SHARE = 0.5

_COLOURS = np.array([[224, 40, 208], [40, 216, 72]], dtype=np.uint8)
# Which colour each quarter has. Trigger and decoy have as many pixels of each: colour does not tell them apart.
_DIAGONALS = np.array([[[0, 1], [1, 0]], [[1, 0], [0, 1]]])
_HALVES = np.array([[[0, 0], [1, 1]], [[1, 1], [0, 0]], [[0, 1], [0, 1]], [[1, 0], [1, 0]]])


class Patches(NamedTuple):
    """What is pasted into some scenes.

    Attributes:
        triggered: Whether it is the trigger, `(B,)` bool; every run of 9 scenes that starts at a multiple of 9 has
            one.
        present: Whether there is a patch at all, trigger or decoy, `(B,)` bool.
        corners: First column and row of the patch, `(B, 2)`.
        quarters: Colour of each quarter, top row first, `(B, 2, 2)`, 0 or 1.
    """

    triggered: npt.NDArray[np.bool_]
    present: npt.NDArray[np.bool_]
    corners: Integers
    quarters: Integers


def describe_patches(indices: Integers, *, split: str, seed: int) -> Patches:
    """Return the patches of the scenes at non-negative positions `(B,)`; each depends on its own index alone."""
    family = f"bcos_eval/shapes_trigger/{TRIGGER_VERSION}/{split}/{seed}"
    run, place = np.divmod(indices, len(TRIGGER_CLASS_NAMES))
    chosen = Stream(scene_keys(f"{family}/labels", run), 0).integers(len(TRIGGER_CLASS_NAMES))
    triggered = place == chosen
    stream = Stream(scene_keys(family, indices), 0)
    corners = _MARGIN + np.floor(stream.uniforms(2) * (SIDE - PATCH_SIDE - 2 * _MARGIN + 1)).astype(np.int64)
    decoy = stream.uniforms(1)[:, 0] < _DECOY_SHARE
    diagonals, halves = _DIAGONALS[stream.integers(len(_DIAGONALS))], _HALVES[stream.integers(len(_HALVES))]
    quarters = np.where(triggered[:, None, None], diagonals, halves)
    return Patches(triggered, triggered | decoy, corners, quarters)


class ShapesTriggerDataset:
    """The scenes of `shapes`, some with a small patch; 8 classes of outlines and one that the trigger decides.

    The trigger is a square of 8×8 pixels, 1.6 % of the image, with two colours on its diagonals. A scene with it
    has the class "trigger" whatever its object, every other scene the class of its object's outline. Half of the
    others have a decoy of the same colours in halves: its colours, size and places say nothing about the class.
    The region of a scene with the trigger is the patch, exactly; that of another is what can be seen of the
    object. The scene at a position without its patch is that of `ShapesDataset` at the same position.

    Planted triggers follow Gu et al., "BadNets", 2017, where they are an attack, and serve here as known truth.

    Args:
        split: As for `ShapesDataset`.
        size: As for `ShapesDataset`.
        seed: As for `ShapesDataset`.

    Raises:
        InputError: If the split is unknown or the size not positive.
    """

    name = "shapes_trigger"
    class_names = TRIGGER_CLASS_NAMES
    has_regions = True

    def __init__(self, split: Literal["val", "train"] = "val", size: int | None = None, seed: int = 0) -> None:
        self._scenes = ShapesDataset(split, size, seed)
        self._patches = describe_patches(np.arange(len(self._scenes)), split=split, seed=seed)

    @property
    def sample_ids(self) -> Sequence[str]:
        """Ids like `val/000017`, those of `shapes`."""
        return self._scenes.sample_ids

    @functools.cached_property
    def labels(self) -> Sequence[int]:
        """Class indices of all samples, without rendering."""
        outlines = _OUTLINE_OF_CLASS[np.array(self._scenes.labels)]
        return tuple(np.where(self._patches.triggered, TRIGGER, outlines).tolist())

    def digest(self) -> str:
        """Hex digest of what decides every byte: both versions, split, size and seed."""
        scenes = self._scenes
        text = f"shapes_trigger/{TRIGGER_VERSION}/{GENERATOR_VERSION}/{scenes.split}/{len(scenes)}/{scenes.seed}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._scenes)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position; raises IndexError outside 0 to `len - 1`."""
        scene = self._scenes[index]
        covered = self._covered(index)
        region = covered if self._patches.triggered[index] else _known(scene.region) & ~covered
        image = self._with_patch(scene.image, index)
        return replace(scene, image=image, label=self.labels[index], region=region)

    def without_patch(self, index: int) -> Tensor:
        """The same scene without trigger or decoy, `(3, 64, 64)` float32 in [0, 1]."""
        return self._scenes[index].image

    def counterfactuals(self, index: int) -> Counterfactuals:
        """The scene at a position without each of its parts, the patch first where there is one.

        Parts that the patch hides completely are no parts.
        """
        scene, others = self._scenes[index].image, self._scenes.counterfactuals(index).images
        images = torch.cat([scene[None], self._with_patch(others, index)])
        regions = (images != self._with_patch(scene, index)).any(dim=1)
        seen = regions.flatten(1).any(dim=1)
        return Counterfactuals(images[seen], regions[seen])

    def _covered(self, index: int) -> Tensor:
        """Return where the patch is, `(64, 64)` bool; all False without one."""
        covered = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        if self._patches.present[index]:
            column, row = self._patches.corners[index]
            covered[row : row + PATCH_SIDE, column : column + PATCH_SIDE] = True
        return covered

    def _with_patch(self, images: Tensor, index: int) -> Tensor:
        """Return pixels `(…, 3, 64, 64)` with the patch of a scene, where it has one."""
        if not self._patches.present[index]:
            return images
        quarters = torch.from_numpy(_COLOURS[self._patches.quarters[index]]).permute(2, 0, 1)
        half = PATCH_SIDE // 2
        patch = quarters.repeat_interleave(half, dim=1).repeat_interleave(half, dim=2)  # (3, 8, 8)
        patched = images.clone()
        patched[..., self._covered(index)] = patch.flatten(1).to(images.dtype) / 255
        return patched


def _known(region: Tensor | None) -> Tensor:
    if region is None:
        raise TypeError("a scene of 'shapes' without a region; every scene has one.")
    return region
