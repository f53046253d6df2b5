"""Every registered explainer keeps the contract; arguments are checked in one place."""

from __future__ import annotations

import contextlib
import re

import pytest
import torch
from torch import nn

from bcos_eval.baselines import EXPLAINERS, get_explainer, lrp, register_explainer
from bcos_eval.baselines.attention import SELF_ATTENTION
from bcos_eval.baselines.attnlrp import OPERATIONS_WITH_RULES
from bcos_eval.baselines.lrp import LAYERS_WITH_RULES
from bcos_eval.baselines.relu_rules import RELUS
from bcos_eval.errors import IncompatibleError, InputError

BCOS_ONLY = {name for name, explainer in EXPLAINERS.items() if explainer.info.needs_bcos}
NEEDS_ATTENTION = {
    name
    for name, explainer in EXPLAINERS.items()
    if {SELF_ATTENTION, OPERATIONS_WITH_RULES} & {*explainer.info.needs}
}
STANDARD_ONLY = {
    name
    for name, explainer in EXPLAINERS.items()
    if {RELUS, LAYERS_WITH_RULES, OPERATIONS_WITH_RULES} & {*explainer.info.needs}
}

# Few samples keep the tests quick; the contract does not depend on them.
QUICK = {
    "lime": {"n_samples": 20, "kernel_size": 1},
    "gradientshap": {"n_samples": 3},
    "intgrad": {"n_steps": 5},
    "kernelshap": {"n_samples": 20, "kernel_size": 1},
    "smoothgrad": {"n_samples": 5},
    "extremal": {"n_steps": 3},
    "occlusion": {"size": 8, "stride": 5},
    "rise": {"n_masks": 20, "n_cells": 3, "keep_probability": 0.5},
}


@pytest.fixture(params=sorted(EXPLAINERS))
def explainer(request):
    return EXPLAINERS[request.param]


@pytest.fixture(params=["standard", "bcos"])
def model(request, explainer):
    name = explainer.info.name
    if request.param == "standard" and name in BCOS_ONLY:
        pytest.skip("exists for B-cos networks only")
    if request.param == "bcos" and name in STANDARD_ONLY:
        pytest.skip("exists for standard networks only")
    if name == "lrp":
        pytest.importorskip("zennit", reason="zennit is not installed")
    if name in NEEDS_ATTENTION:
        return request.getfixturevalue(f"{request.param}_transformer")
    return request.getfixturevalue(request.param)


def explain(explainer, model, images, targets, **params):
    return explainer(model, images, targets, **QUICK.get(explainer.info.name, {}), **params)


def test_the_explainers_of_the_first_release_are_registered():
    wanted = {"bcos", "ixg", "grad", "gradcam", "intgrad", "lime", "random", "uniform", "center", "edges"}
    assert wanted <= set(EXPLAINERS)


def test_maps_are_finite_float32_of_the_image_size_for_every_target(explainer, model, images, targets):
    maps = explain(explainer, model, images, targets)
    assert maps.shape == (3, 3, 24, 24)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert maps.isfinite().all()


def test_a_batch_gives_the_maps_of_its_images_one_by_one(explainer, model, images, targets):
    maps = explain(explainer, model, images, targets, seed=3)
    for index in range(3):
        alone = explain(explainer, model, images[index : index + 1], targets[index : index + 1], seed=3)
        torch.testing.assert_close(alone[0], maps[index], rtol=1e-5, atol=1e-6)


def test_targets_in_one_call_get_the_maps_they_get_alone(explainer, model, images, targets):
    maps = explain(explainer, model, images, targets)
    for k in range(3):
        alone = explain(explainer, model, images, targets[:, k : k + 1])
        torch.testing.assert_close(alone[:, 0], maps[:, k], rtol=1e-5, atol=1e-6)


def test_non_square_images_are_explained(explainer, model, images, targets):
    assert explain(explainer, model, images[:, :, :16], targets).shape == (3, 3, 16, 24)


def test_maps_do_not_depend_on_how_many_pixels_go_through_at_once(explainer, model, images, targets):
    if "batch_pixels" not in explainer.info.defaults:
        pytest.skip("does not evaluate perturbed images")
    one_at_a_time = explain(explainer, model, images, targets, batch_pixels=1)
    all_at_once = explain(explainer, model, images, targets)
    torch.testing.assert_close(one_at_a_time, all_at_once, rtol=1e-5, atol=1e-6)


def test_only_stochastic_explainers_depend_on_the_seed_and_none_on_the_global_one(
    explainer, model, images, targets
):
    before = torch.get_rng_state()
    first = explain(explainer, model, images, targets, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(explain(explainer, model, images, targets, seed=1), first)
    if not explainer.info.stochastic:
        assert torch.equal(explain(explainer, model, images, targets, seed=2), first)


def test_the_caller_may_have_switched_gradients_off(explainer, model, images, targets):
    with torch.no_grad():
        maps = explain(explainer, model, images, targets)
        assert not torch.is_grad_enabled()
    torch.testing.assert_close(maps, explain(explainer, model, images, targets))


def snapshot(model):
    modules = [
        (m.training, getattr(m, "explaining", None), len(m._forward_hooks), len(m._backward_hooks))
        for m in model.modules()
    ]
    parameters = [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    return modules, parameters, {key: value.clone() for key, value in model.state_dict().items()}


def assert_unchanged(model, before):
    modules, parameters, state = snapshot(model)
    assert modules == before[0]
    for (requires_grad, grad), (old_requires_grad, old_grad) in zip(parameters, before[1], strict=True):
        assert requires_grad == old_requires_grad
        assert (grad is None) == (old_grad is None)
        assert grad is None or torch.equal(grad, old_grad)
    assert all(torch.equal(value, before[2][key]) for key, value in state.items())


def make_it_awkward(model):
    model.train()
    next(module for module in model.modules() if not list(module.children())).eval()
    first, second, *_ = model.parameters()
    first.requires_grad_(False)
    second.grad = torch.ones_like(second)


def test_the_model_is_left_as_it_was(explainer, model, images, targets):
    make_it_awkward(model)
    before = snapshot(model)
    explain(explainer, model, images, targets)
    assert_unchanged(model, before)


def test_the_model_is_left_as_it_was_after_an_exception(explainer, model, images, targets, monkeypatch):
    make_it_awkward(model)
    before = snapshot(model)

    def fail(*_args):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model, "head", fail)
    # Controls never run the network.
    with contextlib.suppress(RuntimeError):
        explain(explainer, model, images, targets)
    assert_unchanged(model, before)


def test_the_images_are_not_changed(explainer, model, images, targets):
    before = images.clone()
    explain(explainer, model, images, targets)
    assert torch.equal(images, before)


def test_a_model_in_training_mode_is_explained_as_in_evaluation_mode(explainer, model, images, targets):
    expected = explain(explainer, model, images, targets)
    model.train()
    torch.testing.assert_close(explain(explainer, model, images, targets), expected)


def test_every_explainer_says_where_it_comes_from(explainer):
    assert explainer.info.source
    assert explainer.attribute.__doc__


def test_defaults_are_those_of_the_signature():
    assert EXPLAINERS["intgrad"].info.defaults["n_steps"] == 50
    assert EXPLAINERS["lime"].info.defaults["n_samples"] == 500
    assert EXPLAINERS["lime"].info.limits.choices == {"map": ("top5", "weights")}
    assert EXPLAINERS["gradcam"].info.defaults == {"layer": "", "upsample": "nearest"}
    assert "seed" not in EXPLAINERS["lime"].info.defaults


def raises(kind, message):
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


def test_a_name_is_given_once():
    with raises(ValueError, "explainer 'ixg' is registered twice; every explainer needs its own name"):
        register_explainer("ixg", source="here")(lambda model, images, targets: images)


def test_an_unknown_name_gets_near_matches():
    with raises(InputError, "unknown method 'unifrm'; did you mean uniform?"):
        get_explainer("unifrm")


def test_the_linear_summary_of_a_standard_network_is_refused(standard, images, targets):
    message = (
        "method 'bcos' needs a B-cos model and 'ToyNetwork' is none; "
        "use ixg, intgrad, gradcam or another post-hoc method"
    )
    with raises(IncompatibleError, message):
        EXPLAINERS["bcos"](standard, images, targets)


def test_a_network_without_features_is_refused_by_the_cam_family(linear, images, targets):
    message = (
        "method 'gradcam' needs the last spatial features and 'LinearNetwork' has no features() and head(); "
        "name a layer with --param gradcam.layer=NAME"
    )
    with raises(IncompatibleError, message):
        EXPLAINERS["gradcam"](linear, images, targets)


def test_a_network_without_relu_is_refused_by_guided_backprop(bcos, images, targets):
    message = "method 'gb' changes how gradients pass ReLUs and 'ToyBcosNetwork' has none; use grad or ixg"
    with raises(IncompatibleError, message):
        EXPLAINERS["gb"](bcos, images, targets)


def test_lrp_without_zennit_says_what_to_install(standard, images, targets, monkeypatch):
    monkeypatch.setattr(lrp, "find_spec", lambda _name: None)
    message = "method 'lrp' needs zennit, which is not installed; install it with `pip install \"bcos-eval[lrp]\"`"
    with raises(IncompatibleError, message):
        EXPLAINERS["lrp"](standard, images, targets)


def test_an_unknown_parameter_is_refused(standard, images, targets):
    with raises(InputError, "method 'intgrad' has no parameter 'steps'; it has: n_steps, batch_pixels, precision"):
        EXPLAINERS["intgrad"](standard, images, targets, steps=3)
    with raises(InputError, "method 'ixg' has no parameter 'steps'; it has: precision"):
        EXPLAINERS["ixg"](standard, images, targets, steps=3)


def test_a_value_that_is_no_choice_is_refused(standard, images, targets):
    with raises(InputError, "gradcam.upsample=cubic is not allowed; use nearest or bilinear"):
        EXPLAINERS["gradcam"](standard, images, targets, upsample="cubic")


def test_a_value_of_another_type_is_refused(standard, images, targets):
    with raises(InputError, "intgrad.n_steps=many is not allowed; it takes a value of type int"):
        EXPLAINERS["intgrad"](standard, images, targets, n_steps="many")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_steps": 0}, "intgrad.n_steps=0 is not allowed; use 1 or more"),
        ({"batch_pixels": 0}, "intgrad.batch_pixels=0 is not allowed; use 1 or more"),
    ],
)
def test_values_out_of_range_are_refused(standard, images, targets, params, message):
    with raises(InputError, message):
        EXPLAINERS["intgrad"](standard, images, targets, **params)


def test_a_target_that_is_no_class_is_refused(standard, images):
    with raises(InputError, "target 5 is not a class of 'ToyNetwork'; its classes are 0 to 4"):
        EXPLAINERS["ixg"](standard, images[:1], torch.tensor([[1, 5]]))
    with raises(InputError, "target -1 is not a class of 'ToyNetwork'; its classes are 0 to 4"):
        EXPLAINERS["ixg"](standard, images[:1], torch.tensor([[1, -1]]))


def test_wrong_shapes_are_refused(standard, images, targets):
    with raises(ValueError, "images must have shape (B, 3, H, W), got (3, 24, 24)"):
        EXPLAINERS["ixg"](standard, images[0], targets)
    with raises(ValueError, "targets must have shape (B, K) with B = 3 images, got (2, 3)"):
        EXPLAINERS["ixg"](standard, images, targets[:2])
    with raises(ValueError, "targets must be class indices of type int64, got torch.float32"):
        EXPLAINERS["ixg"](standard, images, targets.float())


def test_a_users_plain_network_needs_no_more_than_encode_and_probability(linear, images, targets):
    assert isinstance(linear, nn.Module)
    for name in ("ixg", "grad", "intgrad", "lime"):
        assert EXPLAINERS[name](linear, images, targets, **QUICK.get(name, {})).shape == (3, 3, 24, 24)
