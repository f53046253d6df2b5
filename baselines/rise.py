"""RISE: the mean of random masks, weighted by the probability of the masked image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Count, OpenFraction, PassSize, Range
from bcos_eval.seeding import derived_generator, image_key

from .batching import FORWARD_BATCH_PIXELS, batches


@register_explainer(
    "rise",
    source="Petsiuk et al., BMVC 2018; 500 masks, 8 × 8 cells, p = 0.1, as in the B-cos papers",
    family="perturbation",
    style=Style("#AA4499", "-."),
    expensive=True,
    passes_grow_with="n_masks",
)
def rise(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    seed: int = 0,
    n_masks: Count = 500,
    n_cells: Annotated[int, Range(low=2)] = 8,
    keep_probability: OpenFraction = 0.1,
    batch_pixels: PassSize = FORWARD_BATCH_PIXELS,
) -> Tensor:
    """Return `Σ probability · mask / (n_masks · keep_probability)` for each target, `(B, K, H, W)`, not negative.

    The masks multiply the network input, whose zero is the fill. Each masked image is evaluated once for all
    targets, and masks exist one batch at a time.

    Args:
        model: The network to explain.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        seed: Seed of the masks; every image has its own (the B-cos code: the same masks for all images).
        n_masks: Masks per image.
        n_cells: Cells per side of a mask before upsampling, at least 2.
        keep_probability: Chance of a cell to be kept, in (0, 1].
        batch_pixels: Pixels that go through the network at once on a CPU; on CUDA, for every 4 GiB of the card.
    """
    maps = []
    with torch.no_grad():
        for image, wanted in zip(images, targets, strict=True):
            generator = derived_generator(seed, "rise", image_key(image))
            draws = draw_masks(n_masks, n_cells, keep_probability, image.shape[-2:], generator)
            total = _weighted_masks(model, model.encode(image[None])[0], wanted, draws, batch_pixels)
            maps.append(total / (n_masks * keep_probability))
    return torch.stack(maps)


@dataclass(frozen=True, slots=True)
class MaskDraws:
    """Everything random about a set of masks, small enough to be kept.

    Attributes:
        cells: 1 where a cell is kept, `(n, cells, cells)` float32.
        tops: Row shift of each mask, `(n,)`.
        lefts: Column shift of each mask, `(n,)`.
        rows: Interpolation from cells to rows before the shift, `(H', cells)`.
        columns: The same for columns, `(W', cells)`.
        size: Height and width of the masks.
    """

    cells: Tensor
    tops: Tensor
    lefts: Tensor
    rows: Tensor
    columns: Tensor
    size: torch.Size

    def masks(self, part: slice) -> Tensor:
        """Return masks `(n, H, W)` in [0, 1]."""
        height, width = self.size
        return torch.stack(
            [
                self.rows[top : top + height] @ cells @ self.columns[left : left + width].T
                for cells, top, left in zip(self.cells[part], self.tops[part], self.lefts[part], strict=True)
            ]
        )


def draw_masks(
    n_masks: int, n_cells: int, keep_probability: float, size: torch.Size, generator: torch.Generator
) -> MaskDraws:
    """Draw masks: random cells, linearly upsampled to one cell more than the image, cropped at a random shift."""
    cell_height, cell_width = (-(-side // n_cells) for side in size)
    return MaskDraws(
        cells=(torch.rand(n_masks, n_cells, n_cells, generator=generator) < keep_probability).float(),
        tops=torch.randint(cell_height, (n_masks,), generator=generator),
        lefts=torch.randint(cell_width, (n_masks,), generator=generator),
        rows=linear_interpolation(n_cells, (n_cells + 1) * cell_height),
        columns=linear_interpolation(n_cells, (n_cells + 1) * cell_width),
        size=size,
    )


def linear_interpolation(n_from: int, n_to: int) -> Tensor:
    """Return the matrix `(n_to, n_from)` of linear resizing between pixel centres, mirrored at the first and last.

    Source: skimage.transform.resize with order 1 and mode "reflect", which the RISE code uses.
    """
    positions = (torch.arange(n_to, dtype=torch.float64) + 0.5) * n_from / n_to - 0.5
    mirrored = positions.abs()
    mirrored = (n_from - 1) - ((n_from - 1) - mirrored).abs()
    distances = (mirrored[:, None] - torch.arange(n_from)).abs()
    return (1 - distances).clamp(min=0).float()


def _weighted_masks(
    model: Network, encoded: Tensor, targets: Tensor, draws: MaskDraws, batch_pixels: int
) -> Tensor:
    """Return the sum of the masks weighted by the targets' probabilities, `(K, H, W)`."""
    total = encoded.new_zeros(len(targets), *encoded.shape[1:])
    for part in batches(len(draws.cells), encoded, batch_pixels):
        masks = draws.masks(part).to(encoded)
        probabilities = model.probability(model(masks[:, None] * encoded))[:, targets]
        total += torch.einsum("nk,nhw->khw", probabilities, masks)
    return total
