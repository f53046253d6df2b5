"""The images that all models of a run classify correctly and confidently, so that all get the same grids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy import stats
from torch import Tensor

from .grids.bcos import MIN_LOGIT
from .pool import Pool


def shared_pool(pools: Sequence[Pool]) -> Pool:
    """Return one pool from those of several models, in the same dataset order.

    An image is in it if every model classifies it correctly with a largest logit above 0, the eligibility of one
    model (protocols.md section 3.2) for all of them. Logits of different networks have different scales, so images
    are ordered by their mean rank: each model ranks the eligible images by its largest logit, equal logits share
    their mean rank. With a single pool the order is that of its logits.

    Args:
        pools: One pool per model, at least one, all of the same dataset.

    Returns:
        `max_logits` is the mean rank, at least 1, for eligible images and −∞ for the others; `correct` is True
        for eligible images; `label_probability` is the smallest of all models'.
    """
    logits = torch.stack([pool.max_logits for pool in pools])  # (M, N)
    eligible = (torch.stack([pool.correct for pool in pools]).bool() & (logits > MIN_LOGIT)).all(0)
    order = torch.full(eligible.shape, -torch.inf, dtype=torch.float64)
    order[eligible] = _mean_ranks(logits[:, eligible])
    return Pool(
        max_logits=order,
        correct=eligible,
        label_probability=torch.stack([pool.label_probability for pool in pools]).amin(0),
        unreadable={name: reason for pool in pools for name, reason in pool.unreadable.items()},
    )


def _mean_ranks(logits: Tensor) -> Tensor:
    """Ranks from 1 (least sure) within each row of `(M, n)`, averaged over rows, `(n,)`."""
    return torch.from_numpy(stats.rankdata(logits.double().numpy(), axis=1)).mean(0)
