"""What a model is shown, with what a perfect attribution would point at."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One composed image with its K targets.

    Attributes:
        stimulus_id: Unique within its kind, for example `single/val_17.JPEG` or `grid3x3/000004`.
        image: Pixels `(3, H, W)`, float32 in [0, 1].
        targets: Class indices to explain, `(K,)` int64.
        regions: True where the target's evidence is, `(K, H, W)` bool; all False where unknown.
        sample_ids: The sample behind each target, length K.
    """

    stimulus_id: str
    image: Tensor
    targets: Tensor
    regions: Tensor
    sample_ids: tuple[str, ...]
