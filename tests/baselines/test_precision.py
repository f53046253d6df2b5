from __future__ import annotations

import pytest
import torch

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.baselines.attention import SELF_ATTENTION
from bcos_eval.baselines.attnlrp import OPERATIONS_WITH_RULES
from bcos_eval.engine.request import RunRequest, resolve
from bcos_eval.errors import InputError

FEW = {
    "gradientshap": {"n_samples": 3},
    "intgrad": {"n_steps": 3},
    "smoothgrad": {"n_samples": 3},
    "lime": {"n_samples": 20, "kernel_size": 1, "map": "weights"},
    "kernelshap": {"n_samples": 20, "kernel_size": 1},
    "occlusion": {"size": 6, "stride": 6},
    "rise": {"n_masks": 20},
    "extremal": {"n_steps": 3, "areas": "0.3"},
}
WITHOUT_PASSES = ("random", "uniform", "center")
# Differences of nearly equal logits keep few of bfloat16's eight bits.
OF_DIFFERENCES = ("occlusion", "lime", "kernelshap")


@pytest.fixture
def network_of(standard, bcos, standard_transformer, bcos_transformer):
    """The toy network that an explainer can explain."""

    def chosen(name):
        info = EXPLAINERS[name].info
        if OPERATIONS_WITH_RULES in info.needs:
            return standard_transformer
        return bcos if info.needs_bcos else bcos_transformer if SELF_ATTENTION in info.needs else standard

    return chosen


@pytest.mark.parametrize("name", sorted(EXPLAINERS))
def test_bfloat16_gives_nearly_the_same_maps_in_float32(name, network_of, images, targets):
    if name == "lrp":
        pytest.importorskip("zennit", reason="zennit is not installed")
    model, params = network_of(name), FEW.get(name, {})
    exact = EXPLAINERS[name](model, images, targets, **params)
    rounded = EXPLAINERS[name](model, images, targets, precision="bfloat16", **params)
    assert rounded.dtype == torch.float32
    # Where gradients jump, single pixels differ more.
    errors = (rounded - exact).abs() / exact.abs().amax((2, 3), keepdim=True)
    assert float(errors.mean()) < (0.3 if name in OF_DIFFERENCES else 0.05)
    assert (float(errors.max()) == 0) == (name in WITHOUT_PASSES)


def test_nothing_of_it_stays(standard, images, targets):
    before = EXPLAINERS["ixg"](standard, images, targets)
    EXPLAINERS["ixg"](standard, images, targets, precision="bfloat16")
    assert not torch.is_autocast_enabled("cpu")
    assert torch.equal(EXPLAINERS["ixg"](standard, images, targets, precision="float32"), before)


def test_other_formats_are_refused(standard, images, targets):
    with pytest.raises(InputError, match=r"^ixg\.precision=float16 is not allowed; use float32 or bfloat16$"):
        EXPLAINERS["ixg"](standard, images, targets, precision="float16")


def test_a_run_names_the_precision_only_where_it_is_not_float32():
    def chosen(*settings):
        request = RunRequest(models=("resnet18",), metrics=("grid_pg",), methods=("ixg",), settings=settings)
        return resolve(request).methods_for(is_bcos=False)[0]

    assert chosen("ixg.precision=bfloat16").label == "ixg(precision=bfloat16)"
    assert chosen("ixg.precision=float32") == chosen()
    assert chosen().label == "ixg"
