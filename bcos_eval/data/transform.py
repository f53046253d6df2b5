"""The ImageNet evaluation transform, for images and for the regions drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from bcos_eval.errors import InputError

from .image_file import MAX_ASPECT_RATIO

DEFAULT_RESIZE = 256
DEFAULT_CROP = 224

Box = tuple[float, float, float, float]
Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True, slots=True)
class EvaluationTransform:
    """Shorter side to `resize` (with antialiasing), then the central square of side `crop`.

    Equal to torchvision's `Resize(resize)` and `CenterCrop(crop)` on Pillow images.

    Attributes:
        resize: Side in pixels that the shorter side is scaled to.
        crop: Side in pixels of the square that is kept, at most `resize`.
        interpolation: How pixels are scaled.
    """

    resize: int = DEFAULT_RESIZE
    crop: int = DEFAULT_CROP
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        """Refuse sides that leave no image or a border."""
        if not 1 <= self.crop <= self.resize:
            raise InputError(
                f"resize={self.resize} and crop={self.crop} do not fit; 1 ≤ crop ≤ resize is needed, for "
                f"example resize={DEFAULT_RESIZE} and crop={DEFAULT_CROP}."
            )

    @classmethod
    def for_size(
        cls, size: int | None, resize: int | None = None, interpolation: Interpolation = "bilinear"
    ) -> EvaluationTransform:
        """The transform that yields images of side `size`, by default with ImageNet's 256 : 224 margin."""
        crop = DEFAULT_CROP if size is None else size
        return cls(crop * DEFAULT_RESIZE // DEFAULT_CROP if resize is None else resize, crop, interpolation)

    @classmethod
    def for_network(cls, network: object) -> EvaluationTransform:
        """The transform that a network's weights were made for, as far as the network says.

        Training, accuracy, pools and stimuli all go by it. It is read from the network's `preprocessing`, or for
        networks of one's own from `input_size`, and is 224 of 256 pixels for a network that says nothing.
        """
        wanted = getattr(network, "preprocessing", network)
        return cls.for_size(
            getattr(wanted, "input_size", None),
            getattr(wanted, "resize_size", None),
            getattr(wanted, "interpolation", "bilinear"),
        )

    def image(self, image: Image.Image) -> Image.Image:
        """The square that a model sees, `crop` × `crop`, same mode.

        Raises:
            InputError: If one side is more than `MAX_ASPECT_RATIO` times the other.
        """
        width, height = self._resized(*image.size)
        top, left = self._corner(width, height)
        resized = image.resize((width, height), Image.Resampling[self.interpolation.upper()])
        return resized.crop((left, top, left + self.crop, top + self.crop))

    def region_of_boxes(self, boxes: Sequence[Box], width: int, height: int) -> Tensor:
        """Where the union of boxes lies in the square.

        Args:
            boxes: `(xmin, ymin, xmax, ymax)` in pixels of the original image, both ends inside the box.
            width: Width of the original image.
            height: Height of the original image.

        Returns:
            True where a pixel's centre falls into a box, `(crop, crop)` bool; all False where every box was
            cropped away.
        """
        rows, columns = self._source_pixels(width, height)
        region = torch.zeros(self.crop, self.crop, dtype=torch.bool)
        for xmin, ymin, xmax, ymax in boxes:
            inside_rows = (rows >= ymin) & (rows < ymax + 1)
            inside_columns = (columns >= xmin) & (columns < xmax + 1)
            region |= inside_rows[:, None] & inside_columns[None, :]
        return region

    def region(self, region: Tensor) -> Tensor:
        """A region `(H, W)` bool of the original image in the square, `(crop, crop)` bool (nearest pixel)."""
        rows, columns = self._source_pixels(region.shape[1], region.shape[0])
        return region[rows.long()][:, columns.long()]

    def _source_pixels(self, width: int, height: int) -> tuple[Tensor, Tensor]:
        """Where the square's pixel centres lie in the original: row and column coordinates, float64."""
        new_width, new_height = self._resized(width, height)
        top, left = self._corner(new_width, new_height)
        centres = torch.arange(self.crop, dtype=torch.float64) + 0.5
        return (centres + top) * (height / new_height), (centres + left) * (width / new_width)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        short, long = sorted((width, height))
        if long > MAX_ASPECT_RATIO * short:
            raise InputError(
                f"an image of {width}×{height} pixels cannot be scaled to a shorter side of {self.resize}; "
                f"one side may be at most {MAX_ASPECT_RATIO} times the other: crop it."
            )
        scaled = int(self.resize * long / short)  # torchvision cuts the fraction off
        return (self.resize, scaled) if width <= height else (scaled, self.resize)

    def _corner(self, width: int, height: int) -> tuple[int, int]:
        # Rounds half to even, as torchvision does.
        return round((height - self.crop) / 2), round((width - self.crop) / 2)
