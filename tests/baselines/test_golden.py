"""The explainers on torchvision's ResNet-18 give the reference maps, computed through Captum."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.models import resnet18

from bcos_eval.baselines import EXPLAINERS

# Method → the arrays' name in the reference file.
REFERENCES = {
    "intgrad": "int_grad",
    "ixg": "input_x_gradient",
    "grad": "gradient",
    "gradcam": "grad_cam",
    "gb": "guided_backprop",
    "deeplift": "deep_lift",
}


@pytest.fixture(scope="module")
def recipe(reference_dir):
    spec = importlib.util.spec_from_file_location("reference_recipe", reference_dir / "recipe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def network(recipe):
    model = resnet18(weights=None).eval()
    model.load_state_dict(recipe.fill(model.state_dict()))
    model.encode = recipe.standard_input
    model.probability = lambda logits: logits.softmax(-1)
    return model


@pytest.fixture(scope="module")
def golden(reference_dir):
    return np.load(reference_dir / "golden" / "baseline_explainers.npz")


@pytest.mark.data
@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=pytest.mark.slow) if m == "intgrad" else m for m in REFERENCES]
)
def test_maps_equal_the_reference(method, recipe, network, golden):
    targets = torch.from_numpy(golden["targets"])[None]
    params = {"layer": "layer4"} if method == "gradcam" else {}
    maps = EXPLAINERS[method](network, recipe.image(0)[None], targets, **params)[0]
    expected = torch.from_numpy(golden[f"{REFERENCES[method]}_28"])
    largest = expected.abs().max()
    torch.testing.assert_close(F.avg_pool2d(maps, 8) / largest, expected / largest, rtol=0, atol=1e-5)
    sums = torch.from_numpy(golden[f"{REFERENCES[method]}_sum"])
    # Much cancels in the sum: the error is relative to what does.
    scale = maps.double().abs().sum((-2, -1)).clamp_min(1)
    torch.testing.assert_close(maps.double().sum((-2, -1)) / scale, sums / scale, rtol=0, atol=1e-5)
