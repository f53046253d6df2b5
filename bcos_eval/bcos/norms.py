"""Normalisation layers without bias that keep a B-cos network dynamic linear.

Their input-dependent factor is one over the standard deviation. *Uncentred* norms do not subtract the mean, so
that they only scale their input (TPAMI 2024, section 3.2.2 and appendix on normalisation); *centred* ones
subtract it, which is linear too. None of them adds a bias, so that every logit is explained completely.

All of them divide by the *centred* standard deviation, whether or not they subtract the mean: that is what the
official checkpoints were trained with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .explanation_mode import DynamicLinear


class BatchNormUncentred2d(DynamicLinear, nn.BatchNorm2d):
    """Batch norm that divides by the standard deviation and does not subtract the mean.

    `running_mean` is kept for the sake of the official checkpoints' keys and is never used. Running variances
    are biased batch variances, as in the official code.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        """Scale `(N, C, H, W)` per channel."""
        variance = self.running_var
        if self.training:
            fixed = x.detach() if self.explaining else x
            variance = fixed.var(dim=(0, 2, 3), unbiased=False)
            _update_running_variance(self, variance)
        return x * _inverse_deviation(self, variance)[:, None, None]


class BatchNormCentred2d(nn.BatchNorm2d):
    """Batch norm without bias; in evaluation mode a fixed affine map, hence only approximately complete."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.register_parameter("bias", None)


class _StatisticsNorm(DynamicLinear):
    """Norms whose statistics come from each input alone, over `_dims` of a view of the input."""

    def __init__(self, num_features: int, *, eps: float = 1e-5, centred: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.centred = centred
        self.weight = nn.Parameter(torch.ones(num_features))

    def _normalise(self, x: Tensor, dims: tuple[int, ...]) -> Tensor:
        variance, mean = torch.var_mean(x, dim=dims, unbiased=False, keepdim=True)
        if self.explaining:
            variance = variance.detach()
        centred = x - mean if self.centred else x
        return centred / (variance + self.eps).sqrt()

    def extra_repr(self) -> str:
        """Show the size and which kind of norm this is."""
        return f"{self.weight.numel()}, eps={self.eps:g}, centred={self.centred}"


class LayerNorm(_StatisticsNorm):
    """Layer norm over the last dimension of `(*, C)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each token."""
        return self._normalise(x, (-1,)) * self.weight


class PositionNorm2d(_StatisticsNorm):
    """Layer norm over the channels of every position of `(N, C, H, W)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position."""
        return self._normalise(x, (1,)) * self.weight[:, None, None]


class GroupNorm2d(_StatisticsNorm):
    """Group norm of `(N, C, H, W)`; one group is the layer norm of CNNs, C groups the instance norm.

    Raises:
        ValueError: If the channels cannot be split evenly.
    """

    def __init__(self, num_groups: int, num_channels: int, *, eps: float = 1e-5, centred: bool = True) -> None:
        super().__init__(num_channels, eps=eps, centred=centred)
        if num_channels % num_groups:
            raise ValueError(f"{num_channels} channels cannot be split into {num_groups} equal groups")
        self.num_groups = num_groups

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each group of channels over all positions."""
        groups = x.unflatten(1, (self.num_groups, -1))  # (N, G, C / G, H, W)
        return self._normalise(groups, (2, 3, 4)).flatten(1, 2) * self.weight[:, None, None]


class AllNormUncentred2d(DynamicLinear, nn.BatchNorm3d):
    """Batch norm with one statistic for all channels and positions of a batch; never subtracts the mean."""

    def __init__(self, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(1, eps=eps, momentum=momentum)
        self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        """Scale `(N, C, H, W)` by one number."""
        variance = self.running_var
        if self.training:
            fixed = x.detach() if self.explaining else x
            variance = fixed.var(unbiased=False).reshape(1)
            _update_running_variance(self, variance)
        return x * _inverse_deviation(self, variance)


def _update_running_variance(norm: nn.BatchNorm2d | nn.BatchNorm3d, variance: Tensor) -> None:
    if norm.running_var is not None and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        norm.running_var.lerp_(variance.detach().to(norm.running_var.dtype), norm.momentum or 0.0)


def _inverse_deviation(norm: nn.BatchNorm2d | nn.BatchNorm3d, variance: Tensor | None) -> Tensor:
    if variance is None:
        raise ValueError("uncentred batch norm needs running statistics in evaluation mode")
    return norm.weight / torch.sqrt(variance + norm.eps)
