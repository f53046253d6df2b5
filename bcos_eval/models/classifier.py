"""What every network of the suite can do beyond its forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from bcos_eval.bcos import LogitLayer, add_inverse
from bcos_eval.errors import InputError

# Statistics of ImageNet's training images, used by torchvision's models.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Probability = Literal["sigmoid", "softmax"]
Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a network wants photographs: what everything that shows it pictures goes by.

    Attributes:
        input_size: Side in pixels of the square images.
        resize_size: Side to which the shorter side of a photograph is scaled before the centre crop; None for
            ImageNet's ratio, `input_size · 256 / 224`.
        interpolation: How photographs are scaled.
        mean: Of each colour, subtracted by standard networks.
        std: Of each colour, by which standard networks divide. B-cos networks take `[x, 1 − x]` instead.
    """

    input_size: int = 224
    resize_size: int | None = None
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


class Classifier(nn.Module):
    """An image classifier that knows its input encoding, its classes and where its features end.

    `model(model.encode(images))` gives logits; `model(x)` equals `model.head(model.features(x))`.

    Args:
        is_bcos: Whether the input is `[x, 1 − x]` and a linear summary exists.
        num_classes: Number of logits.
        input_size: Side in pixels of the square images the network was made for; for `preprocessing` left out.
        preprocessing: How it wants photographs.
        probability: The final non-linearity the network was trained with.

    Attributes:
        features: A method, or a child module as in torchvision's DenseNet, that maps network input to the last
            spatial features `(B, F, h, w)`.
        name: Registered name.
        class_names: One name per class.
        weights_id: Says which weights are loaded; part of every stored result.
        feature_layer: Name of the module that gives the last features with positions, for networks that cannot be
            split there into `features` and `head`; empty for the others. What it gives becomes a map by `to_map`.
    """

    features: Callable[[Tensor], Tensor]
    # So that no run has to try whether grids fit.
    takes_any_size = True
    feature_layer: str = ""
    # Beginnings of keys that a weights file may have and the network does without.
    optional_keys: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        is_bcos: bool,
        num_classes: int,
        input_size: int = 224,
        preprocessing: Preprocessing | None = None,
        probability: Probability | None = None,
    ) -> None:
        super().__init__()
        self.is_bcos = is_bcos
        self.num_classes = num_classes
        self.preprocessing = preprocessing or Preprocessing(input_size)
        self.final_nonlinearity: Probability = probability or ("sigmoid" if is_bcos else "softmax")
        self.name = type(self).__name__
        self.class_names: tuple[str, ...] = tuple(str(index) for index in range(num_classes))
        self.weights_id = "random"
        self._mean: Tensor
        self._std: Tensor
        # Not persistent: official checkpoints have no such keys.
        self.register_buffer("_mean", torch.tensor(self.preprocessing.mean)[:, None, None], persistent=False)
        self.register_buffer("_std", torch.tensor(self.preprocessing.std)[:, None, None], persistent=False)

    @property
    def input_size(self) -> int:
        """Side in pixels of the square images the network was made for."""
        return self.preprocessing.input_size

    @input_size.setter
    def input_size(self, side: int) -> None:
        # Another size is another margin: only ImageNet's ratio carries over.
        kept = self.preprocessing.resize_size if side == self.preprocessing.input_size else None
        self.preprocessing = replace(self.preprocessing, input_size=side, resize_size=kept)

    @property
    def logit_bias(self) -> float:
        """The constant in every logit that no pixel accounts for: −ln(C − 1), or 0 for standard networks."""
        layer = self._modules.get("logit_layer")
        return layer.bias if isinstance(layer, LogitLayer) else 0.0

    def encode(self, images: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` in [0, 1] to network input: `[x, 1 − x]`, or mean and standard deviation."""
        if self.is_bcos:
            return add_inverse(images)
        return (images - self._mean) / self._std

    def probability(self, logits: Tensor) -> Tensor:
        """Map logits `(..., C)` to probabilities, by the non-linearity the network was trained with."""
        return logits.sigmoid() if self.final_nonlinearity == "sigmoid" else logits.softmax(-1)

    def position_term(self, encoded: Tensor, targets: Tensor) -> Tensor:
        """Return the share of each target's logit that position codes hold `(B, K)`; 0 where there are none.

        For B-cos networks, the sum of the contribution map, this and `logit_bias` is the logit.

        Args:
            encoded: Network input `(B, C, H, W)`.
            targets: Class indices `(B, K)`, int64.
        """
        return encoded.new_zeros(targets.shape)

    def head(self, features: Tensor) -> Tensor:
        """Map spatial features `(B, F, h, w)` to logits `(B, C)`."""
        raise NotImplementedError

    def to_map(self, tokens: Tensor) -> Tensor:
        """Return tokens `(B, 1 + N, D)`, the first of which has no place, on their square grid `(B, D, h, w)`."""
        n_places = tokens.shape[1] - 1
        side = math.isqrt(n_places)
        if side * side != n_places:
            raise InputError(f"{n_places} tokens do not make a square; give {self.name} square images.")
        return tokens[:, 1:].mT.unflatten(-1, (side, side))

    def from_map(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Return tokens with those that have a place replaced by a map, the inverse of `to_map`."""
        return torch.cat([tokens[:, :1], features.flatten(2).mT], 1)

    def forward(self, encoded: Tensor) -> Tensor:
        """Map network input to logits `(B, C)`."""
        return self.head(self.features(encoded))
