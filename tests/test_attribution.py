from __future__ import annotations

import pytest
import torch
from torch import nn

from bcos_eval import evaluate, explain
from bcos_eval.contract.plugins import find_explainer
from bcos_eval.errors import IncompatibleError, InputError

IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_one_target_per_image_gives_one_map_per_image(toy_network):
    model = toy_network()
    single = explain(model, IMAGES, torch.tensor([0, 3]), "ixg")
    assert single.shape == (2, 1, 8, 8)
    assert single.dtype == torch.float32
    several = explain(model, IMAGES, torch.tensor([[0, 5], [2, 3]]), "ixg")
    assert several.shape == (2, 2, 8, 8)
    assert torch.equal(single[0, 0], several[0, 0])
    assert torch.equal(single[1, 0], several[1, 1])


def test_the_maps_are_the_explainers(toy_network):
    model = toy_network()
    expected = find_explainer("bcos")(model, IMAGES, torch.tensor([[0], [3]]))
    assert torch.equal(explain(model, IMAGES, torch.tensor([0, 3])), expected)


def test_the_seed_reaches_the_explainer(toy_network):
    model, targets = toy_network(), torch.tensor([0, 1])
    one, two = (explain(model, IMAGES, targets, "random", seed=seed) for seed in (0, 1))
    assert not torch.equal(one, two)
    assert torch.equal(one, explain(model, IMAGES, targets, "random"))


@pytest.mark.parametrize(
    ("images", "targets", "message"),
    [
        (IMAGES[0], torch.tensor([0]), "images have shape (3, 8, 8); give (B, 3, H, W)."),
        (IMAGES[:, :2], torch.tensor([0, 0]), "images have shape (2, 2, 8, 8); give (B, 3, H, W)."),
        (
            (IMAGES * 255).byte(),
            torch.tensor([0, 0]),
            "images have type torch.uint8; give floating point pixels in [0, 1].",
        ),
        (
            IMAGES[:0],
            torch.tensor([0])[:0],
            "images have shape (0, 3, 8, 8); give at least one image with pixels.",
        ),
        (
            torch.full((1, 3, 8, 8), 2.0),
            torch.tensor([0]),
            "images have values from 2 to 2; give pixels in [0, 1], not normalised.",
        ),
        (
            torch.full((1, 3, 8, 8), float("nan")),
            torch.tensor([0]),
            "images have values from nan to nan; give pixels in [0, 1], not normalised.",
        ),
        (
            IMAGES,
            torch.tensor([0.0, 1.0]),
            "targets have type torch.float32; give class indices, an integer type.",
        ),
        (
            IMAGES,
            torch.tensor([True, False]),
            "targets have type torch.bool; give class indices, an integer type.",
        ),
        (IMAGES, torch.tensor([0]), "targets have shape (1,); for 2 images give (2,) or (2, K)."),
        (IMAGES, torch.tensor(0), "targets have shape (); for 2 images give (2,) or (2, K)."),
        (IMAGES, torch.zeros(2, 0).long(), "targets have shape (2, 0); for 2 images give (2,) or (2, K)."),
        (IMAGES, torch.tensor([0, 6]), "target 6 is not a class of 'bcos_toy'; its classes are 0 to 5"),
        (IMAGES, torch.tensor([-1, 0]), "target -1 is not a class of 'bcos_toy'; its classes are 0 to 5"),
    ],
)
def test_wrong_images_and_targets_are_refused(toy_network, images, targets, message):
    with pytest.raises(InputError) as caught:
        explain(toy_network(), images, targets, "ixg")
    assert str(caught.value) == message


def test_an_unknown_parameter_is_refused(toy_network):
    with pytest.raises(ValueError, match=r"^method 'ixg' has no parameter 'n_steps'; it has: precision$"):
        explain(toy_network(), IMAGES, torch.tensor([0, 0]), "ixg", n_steps=3)


def test_the_linear_summary_of_a_standard_model_is_refused(toy_network):
    with pytest.raises(IncompatibleError, match=r"^method 'bcos' needs a B-cos model and 'toy' is none; "):
        explain(toy_network(is_bcos=False), IMAGES, torch.tensor([0, 0]))


def test_a_module_that_gives_no_logits_is_refused():
    with pytest.raises(InputError) as caught:
        explain(nn.Conv2d(3, 4, 1), IMAGES, torch.tensor([0, 0]), "ixg")
    assert str(caught.value) == (
        "the network of 'Conv2d' gives (1, 4, 8, 8) for one image; it must give logits (B, C): average or flatten "
        "them."
    )


def test_what_a_plain_module_does_not_say_is_assumed_with_a_warning():
    plain = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    with pytest.warns(UserWarning, match=r"^Sequential has no ") as caught:
        maps = explain(plain, IMAGES, [0, 3], "grad")
    assert [str(warning.message) for warning in caught] == [
        "Sequential has no encode(images); it is shown images in [0, 1] as they are.",
        "Sequential has no probability(logits); softmax is taken.",
    ]
    rows = plain[1].weight.detach()[[0, 3]].reshape(2, 3, 8, 8).sum(1)
    torch.testing.assert_close(maps[:, 0], rows)


def test_seeds_below_0_are_refused(toy_network):
    model = toy_network()
    with pytest.raises(InputError, match=r"^seed=-1 is not allowed; give 0 or more\.$"):
        explain(model, IMAGES, torch.tensor([0, 1]), "random", seed=-1)
    with pytest.raises(InputError, match=r"^--seed -1 is not allowed; give 0 or more\.$"):
        evaluate(model, "energy_pg", "random", seed=-1)
