"""A grid of nine 224-pixel cells is explained in less than 4 GB, by every explainer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.baselines.attention import SELF_ATTENTION
from bcos_eval.baselines.attnlrp import OPERATIONS_WITH_RULES

LIMIT = 4 * 1024**3

# Memory is that of one batch; the number of perturbed images only takes time.
FEW = {
    "gradientshap": {"n_samples": 3},
    "intgrad": {"n_steps": 3},
    "smoothgrad": {"n_samples": 3},
    "lime": {"n_samples": 8},
    "kernelshap": {"n_samples": 8},
    "occlusion": {"size": 224, "stride": 224},
    "rise": {"n_masks": 8},
    "extremal": {"n_steps": 2},
}

SCRIPT = """
import json, resource, sys, torch
from bcos_eval.baselines import EXPLAINERS
from bcos_eval.models import load_model

name, model, side, params = json.loads(sys.argv[1])
images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
maps = EXPLAINERS[name](load_model(model, weights="random"), images, torch.arange(9)[None], **params)
assert maps.shape == (1, 9, side, side)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize("name", sorted(EXPLAINERS))
def test_a_grid_of_nine_cells_is_explained_within_four_gigabytes(name):
    info = EXPLAINERS[name].info
    side = 672
    model = "bcos_resnet50" if info.needs_bcos else "resnet50"
    if SELF_ATTENTION in info.needs:
        model = "bcos_vitc_ti_patch1_14"
    if OPERATIONS_WITH_RULES in info.needs:
        model = "vitc_ti_patch1_14"
    if name == "lrp":  # zennit keeps a copy of what enters each layer: 4.6 GB for ResNet-50
        pytest.importorskip("zennit", reason="zennit is not installed")
        model = "resnet18"
    if name == "scorecam":  # one pass for each channel: 512 and not 2048
        model = "resnet18"
    arguments = json.dumps([name, model, side, FEW.get(name, {})])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, arguments], capture_output=True, text=True, check=True, timeout=600
    )
    peak = int(done.stdout)
    sys.stdout.write(f"{name}: {peak / 1024**3:.2f} GB\n")  # shown by -rP
    assert peak < LIMIT
