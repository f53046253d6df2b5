from __future__ import annotations

import math
import re
from dataclasses import dataclass

import pytest
import torch
from captum.metrics import sensitivity_max

from bcos_eval.metrics import Status
from bcos_eval.metrics.robustness.sensitivity import largest_change, nearby_images

SIDE = 6


@dataclass
class Explaining:
    """A model of which only the explainer matters: a function of one pixel image."""

    explainer: object

    def explain(self, images, targets):
        assert len(images) == 1
        return torch.stack([self.explainer(images[0], int(target)) for target in targets[0]])[None]


def _images(seed, n=1):
    # Away from 0 and 1, where noise is cut off.
    generator = torch.Generator().manual_seed(seed)
    return 0.1 + 0.8 * torch.rand(n, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)


def _squares(image, target):
    return (target + 1 - image).square().sum(0)


def test_the_score_equals_captums(score):
    images, targets = _images(0), torch.tensor([[0, 1]])
    maps = torch.stack([_squares(images[0], k) for k in (0, 1)])[None]
    scored = score("sensitivity", maps, images=images, targets=targets, predict=Explaining(_squares))

    def explain(inputs, target):
        # Captum hands over a tuple of tensors first and tensors later, and takes apart what is not a tuple.
        pictures = inputs[0] if isinstance(inputs, tuple) else inputs
        return (torch.stack([_squares(image, target) for image in pictures])[:, None],)

    for k in range(2):
        expected = sensitivity_max(
            explain,
            images,
            perturb_func=lambda inputs, radius: nearby_images(images[0], radius=radius, n_samples=10),
            perturb_radius=0.02,
            n_perturb_samples=10,
            target=k,
        )
        assert scored.values[0, k].item() == pytest.approx(expected.item(), abs=1e-9)


def test_the_score_equals_the_definition_in_loops(score):
    images = _images(1)
    maps = torch.stack([_squares(images[0], 1)])[None]
    predict, targets = Explaining(_squares), torch.tensor([[1]])
    scored = score("sensitivity", maps, images=images, targets=targets, predict=predict, radius=0.3, n_samples=4)
    worst = 0.0
    for near in nearby_images(images[0], radius=0.3, n_samples=4):
        change = (_squares(near, 1) - maps[0, 0]).flatten().tolist()
        worst = max(worst, math.hypot(*change) / math.hypot(*maps.flatten().tolist()))
    assert scored.values.item() == pytest.approx(worst, abs=1e-9)


def test_a_map_that_never_changes_scores_zero(score):
    picture = torch.rand(SIDE, SIDE)
    scored = score("sensitivity", picture[None, None], predict=Explaining(lambda image, target: picture))
    assert scored.values.item() == 0


def test_nearby_images_stay_within_the_radius_and_the_range_and_belong_to_the_image():
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    near = nearby_images(image, radius=0.02, n_samples=20)
    assert near.dtype == image.dtype
    assert ((near - image).abs() <= 0.02 + 1e-6).all()
    assert (near.amin(), near.amax()) >= (0, 0)
    assert near.amax() <= 1
    assert torch.equal(near, nearby_images(image, radius=0.02, n_samples=20))
    assert not torch.equal(near, nearby_images(image, radius=0.02, n_samples=20, seed=1))
    moved = (near - image)[:, (image > 0.02) & (image < 0.98)]
    assert moved.std().item() == pytest.approx(0.02 / 3**0.5, rel=0.02)


def test_the_length_of_a_zero_map_counts_as_one():
    nearby = torch.tensor([[[[3.0, 4.0]]], [[[0.0, 1.0]]]])
    assert largest_change(torch.zeros(1, 1, 2), nearby).item() == 5


def test_a_zero_map_has_no_score(score):
    predict = Explaining(lambda image, target: torch.ones(SIDE, SIDE))
    scored = score("sensitivity", torch.zeros(1, 1, SIDE, SIDE), predict=predict)
    assert scored.values.isnan().all()
    assert scored.status == ((Status.ZERO_MAP,),)


@pytest.mark.parametrize("hole", [math.nan, math.inf])
def test_a_hole_in_the_map_of_a_nearby_image_is_nonfinite(hole, score):
    broken = torch.ones(SIDE, SIDE)
    broken[2, 3] = hole
    maps = torch.rand(1, 1, SIDE, SIDE)
    scored = score("sensitivity", maps, predict=Explaining(lambda image, target: broken))
    assert scored.values.isnan().all()
    assert scored.status == ((Status.NONFINITE,),)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"radius": 0.0}, "sensitivity/max.radius=0.0 is not allowed; use a number above 0"),
        ({"radius": math.nan}, "sensitivity/max.radius=nan is not allowed; use a finite number"),
        ({"n_samples": 0}, "sensitivity/max.n_samples=0 is not allowed; use 1 or more"),
    ],
)
def test_no_noise_and_no_copies_are_refused(params, message, score):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("sensitivity", torch.ones(1, 1, SIDE, SIDE), predict=Explaining(_squares), **params)
