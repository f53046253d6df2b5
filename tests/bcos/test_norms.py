from __future__ import annotations

import pytest
import torch
from bcos.modules import norms as official
from torch import nn

from bcos_eval.bcos import (
    AllNormUncentred2d,
    BatchNormUncentred2d,
    GroupNorm2d,
    LayerNorm,
    PositionNorm2d,
    explanation_mode,
)

PAIRS = {
    "batch": (lambda: BatchNormUncentred2d(6), lambda: official.NoBias(official.BatchNormUncentered2d)(6)),
    "all": (AllNormUncentred2d, lambda: official.NoBias(official.AllNormUncentered2d)(6)),
    "layer": (lambda: LayerNorm(6), lambda: official.NoBias(official.DetachableLayerNorm)(6)),
    "position": (lambda: PositionNorm2d(6), lambda: official.NoBias(official.DetachablePositionNorm2d)(6)),
    "position uncentred": (
        lambda: PositionNorm2d(6, centred=False),
        lambda: official.NoBias(official.PositionNormUncentered2d)(6),
    ),
    "group": (lambda: GroupNorm2d(2, 6), lambda: official.NoBias(official.DetachableGroupNorm2d)(2, 6)),
    "group uncentred": (
        lambda: GroupNorm2d(3, 6, centred=False),
        lambda: official.NoBias(official.GroupNormUncentered2d)(3, 6),
    ),
    "one group": (lambda: GroupNorm2d(1, 6), lambda: official.NoBias(official.DetachableGNLayerNorm2d)(6)),
}


def built(name: str) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    ours, theirs = (make() for make in PAIRS[name])
    with torch.no_grad():
        ours.weight.copy_(torch.rand_like(ours.weight) + 0.5)
        if getattr(ours, "running_var", None) is not None:
            ours.running_var.copy_(torch.rand_like(ours.running_var) + 0.5)
    theirs.load_state_dict(ours.state_dict())
    shape = (4, 5, 6) if name == "layer" else (4, 6, 3, 5)
    return ours, theirs, (torch.randn(shape) + 1).requires_grad_()


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("explaining", [False, True])
def test_norm_and_its_gradient_equal_the_official_layer(name: str, training: bool, explaining: bool):
    ours, theirs, x = built(name)
    ours.train(training)
    theirs.train(training)
    ours.explaining = explaining
    theirs.set_explanation_mode(explaining)
    out, expected = ours(x), theirs(x)
    torch.testing.assert_close(out, expected)
    probe = torch.randn_like(out)
    (gradient,) = torch.autograd.grad(out, x, probe)
    (official_gradient,) = torch.autograd.grad(expected, x, probe)
    torch.testing.assert_close(gradient, official_gradient, atol=1e-5, rtol=1e-5)
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value)


@pytest.mark.parametrize("name", PAIRS)
def test_in_explanation_mode_input_times_gradient_sums_to_the_output(name: str):
    ours, _, x = built(name)
    ours.eval()
    with explanation_mode(ours):
        out = ours(x)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close((gradient * x).sum(), out.sum(), atol=1e-4, rtol=1e-5)


def test_uneven_groups_are_refused():
    with pytest.raises(ValueError, match=r"^7 channels cannot be split into 2 equal groups$"):
        GroupNorm2d(2, 7)
