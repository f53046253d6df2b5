"""What a training run is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from bcos_eval.models.form import USUAL, BcosForm

Precision = Literal["bfloat16", "float32"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyper-parameters of one training run; stored in the model card.

    Attributes:
        loss: Binary cross entropy with off-labels of 1/C (B-cos), or cross entropy (standard).
        epochs: Passes over the training images.
        batch_size: Images per step; an incomplete last batch is left out.
        learning_rate: Peak of the schedule (AdamW).
        weight_decay: Decoupled decay of tensors with two or more dimensions.
        warmup_fraction: Share of all steps with a linearly rising learning rate; then a cosine to zero.
        clipping: Adaptive per-filter clipping, clipping of the global norm, or none.
        clip_factor: Largest ratio of gradient to weight norm (adaptive) or largest global norm.
        crop_scale_min: Smallest area share of a random resized crop.
        flip: Whether images are mirrored at random.
        ema_decay: Decay per step of an exponential moving average of the weights; 0 for none.
        precision: Autocast type of the training steps; weights and evaluation are float32.
        seed: Of initial weights, order and augmentation.
        initial_weights: SHA-256 of the file that training started from; empty for random weights.
        form: Exponent B, norm and MaxOut of a B-cos network.
        b_rise_fraction: Share of all steps over which B rises from 1, for networks converted from a
            standard one; 0 for none.
    """

    loss: Literal["bce_off_labels", "cross_entropy"]
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    warmup_fraction: float = 0.1
    clipping: Literal["adaptive", "norm", "none"] = "adaptive"
    clip_factor: float = 0.01
    crop_scale_min: float = 0.5
    flip: bool = True
    ema_decay: float = 0.0
    precision: Precision = "bfloat16"
    seed: int = 0
    initial_weights: str = ""
    form: BcosForm = USUAL
    b_rise_fraction: float = 0.0


# Crops of a photograph still show the class; the small objects of generated scenes would be cut away.
_SHAPES_CROP_SCALE_MIN = 0.8
_SHAPES_EPOCHS = 24
_GENERATED = ("shapes", "shapes_trigger")


def usual_precision(device: str) -> Precision:
    """Return the type of training steps that a device is fast in: processors without AVX-512 emulate bfloat16."""
    slow = device == "cpu" and not torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return "float32" if slow else "bfloat16"


def default_recipe(*, is_bcos: bool, dataset: str, is_converted: bool = False) -> Recipe:
    """Return the recipe of the shipped weights.

    B-cos networks follow the official configuration: off-labels of 1/C, adaptive clipping, no weight decay
    (the scale of a unit-norm weight has no effect). Standard networks get cross entropy and weight decay.

    Args:
        is_bcos: Whether the network is a B-cos network.
        dataset: Registered dataset name.
        is_converted: Whether it is made from the weights of a standard network (B-cosification).
    """
    if is_bcos and is_converted:
        # It is trained already: fewer passes, smaller steps, B at its value after half of them.
        return Recipe(loss="bce_off_labels", epochs=10, learning_rate=5e-4, b_rise_fraction=0.5)
    if is_bcos:
        recipe = Recipe(loss="bce_off_labels")
    else:
        recipe = Recipe(loss="cross_entropy", weight_decay=0.05, clipping="norm", clip_factor=1.0)
    if dataset in _GENERATED:
        return replace(recipe, epochs=_SHAPES_EPOCHS, crop_scale_min=_SHAPES_CROP_SCALE_MIN)
    return recipe
