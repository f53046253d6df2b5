from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import bcos
import torch
from torch import nn

from bcos_eval.training.clipping import clip_adaptively


def official_clipping() -> ModuleType:
    """The official file alone: its package needs PyTorch Lightning."""
    path = Path(bcos.__file__).parent / "training" / "agc.py"
    spec = importlib.util.spec_from_file_location("official_agc", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_clipped_gradients_equal_the_official_ones():
    torch.manual_seed(0)
    shapes = [(5, 3, 2, 2), (4, 6), (7,), (2, 3, 1, 1)]
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    for a, b in zip(ours, theirs, strict=True):
        a.grad = torch.randn_like(a) * 0.02
        b.grad = a.grad.clone()
    clip_adaptively(ours, 0.01)
    official_clipping().adaptive_clip_grad_(theirs, 0.01)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_parameters_without_gradient_are_left_alone():
    parameter = nn.Parameter(torch.ones(2))
    clip_adaptively([parameter], 0.01)
    assert parameter.grad is None
