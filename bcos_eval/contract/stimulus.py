"""What a model is shown, with what a perfect attribution would point at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Counterfactuals:
    """One scene again and again, each time without one of its parts.

    Attributes:
        images: The scene without part r, `(R, 3, H, W)`, float32 in [0, 1].
        regions: True where the scene without part r looks different, `(R, H, W)` bool; none empty. Regions of
            neighbours, shadows and what shows through may overlap.
    """

    images: Tensor
    regions: Tensor


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One composed image with its K targets.

    Attributes:
        stimulus_id: Unique within its kind, for example `single/val_17.JPEG` or `grid3x3/000004`.
        image: Pixels `(3, H, W)`, float32 in [0, 1].
        targets: Class indices to explain, `(K,)` int64.
        regions: True where the target's evidence is, `(K, H, W)` bool; all False where unknown.
        sample_ids: The sample behind each target, length K.
        counterfactuals: Renders the image without each of its parts; None where nobody can.
    """

    stimulus_id: str
    image: Tensor
    targets: Tensor
    regions: Tensor
    sample_ids: tuple[str, ...]
    counterfactuals: Callable[[], Counterfactuals] | None = None
