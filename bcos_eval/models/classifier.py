"""What every network of the suite can do beyond its forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from bcos_eval.bcos import LogitLayer, add_inverse

# Statistics of ImageNet's training images, used by torchvision's models.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Probability = Literal["sigmoid", "softmax"]


class Classifier(nn.Module):
    """An image classifier that knows its input encoding, its classes and where its features end.

    `model(model.encode(images))` gives logits; `model(x)` equals `model.head(model.features(x))`.

    Args:
        is_bcos: Whether the input is `[x, 1 − x]` and a linear summary exists.
        num_classes: Number of logits.
        input_size: Side in pixels of the square images the network was made for.
        probability: The final non-linearity the network was trained with.

    Attributes:
        features: A method, or a child module as in torchvision's DenseNet, that maps network input to the last
            spatial features `(B, F, h, w)`.
        name: Registered name.
        class_names: One name per class.
        weights_id: Says which weights are loaded; part of every stored result.
    """

    features: Callable[[Tensor], Tensor]
    # So that no run has to try whether grids fit.
    takes_any_size = True

    def __init__(
        self, *, is_bcos: bool, num_classes: int, input_size: int, probability: Probability | None = None
    ) -> None:
        super().__init__()
        self.is_bcos = is_bcos
        self.num_classes = num_classes
        self.input_size = input_size
        self.final_nonlinearity: Probability = probability or ("sigmoid" if is_bcos else "softmax")
        self.name = type(self).__name__
        self.class_names: tuple[str, ...] = tuple(str(index) for index in range(num_classes))
        self.weights_id = "random"
        self._mean: Tensor
        self._std: Tensor
        # Not persistent: official checkpoints have no such keys.
        self.register_buffer("_mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("_std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

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

    def forward(self, encoded: Tensor) -> Tensor:
        """Map network input to logits `(B, C)`."""
        return self.head(self.features(encoded))
