"""Noisy linear imputation: removed pixels are filled in from their neighbours."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu
from torch import Tensor

from bcos_eval.contract.exactness import in_float64

# Rong et al. 2022: what a direct and what a diagonal neighbour weighs.
DIRECT_WEIGHT = 1 / 6
DIAGONAL_WEIGHT = 1 / 12
_NEIGHBOURS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]

Floats = NDArray[np.float64]


def linear_imputation(image: Tensor, removed: Tensor) -> Tensor:
    """Return the image with every removed pixel the weighted mean of its eight neighbours.

    The means of all removed pixels hold at once; neighbours outside the image do not count.

    Args:
        image: `(C, H, W)`, any range.
        removed: True on the pixels to fill in, `(H, W)` bool.

    Returns:
        `(C, H, W)`, float64, on the CPU. Known pixels are unchanged, imputed ones within their range.

    Raises:
        ValueError: If all pixels are removed, which leaves nothing to impute from.

    Source: Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution Methods, section 4.2.
    """
    if removed.all():
        height, width = removed.shape
        raise ValueError(f"all {height}×{width} pixels are removed; keep at least one to impute from.")
    filled = in_float64(image).cpu().clone()
    if removed.any():
        values = _solve(filled.numpy(), removed.cpu().numpy())
        filled[:, removed.cpu()] = torch.from_numpy(values.T.copy())
    return filled


def _solve(image: Floats, removed: NDArray[np.bool_]) -> Floats:
    """Return the values of the removed pixels in row-major order, `(M, C)`."""
    height, width = removed.shape
    rows, columns = np.nonzero(removed)
    n_unknown = len(rows)
    place = np.full(removed.shape, -1)
    place[rows, columns] = np.arange(n_unknown)
    total_weight, known = np.zeros(n_unknown), np.zeros((n_unknown, len(image)))
    entries: list[tuple[Floats, NDArray[np.int64], NDArray[np.int64]]] = []
    for down, right in _NEIGHBOURS:
        row, column = rows + down, columns + right
        pixel = np.flatnonzero((row >= 0) & (row < height) & (column >= 0) & (column < width))
        weight = DIAGONAL_WEIGHT if down and right else DIRECT_WEIGHT
        neighbour = place[row[pixel], column[pixel]]
        unknown = neighbour >= 0
        total_weight[pixel] += weight
        entries.append((np.full(unknown.sum(), -weight), pixel[unknown], neighbour[unknown]))
        given = pixel[~unknown]
        known[given] += weight * image[:, row[given], column[given]].T
    entries.append((total_weight, np.arange(n_unknown), np.arange(n_unknown)))
    values, i, j = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    system = csc_array((values, (i, j)), shape=(n_unknown, n_unknown))
    # Symmetric and positive definite: no pivots needed.
    factors = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solution: Floats = factors.solve(known)
    return solution
