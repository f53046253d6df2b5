from __future__ import annotations

import math
import re

import pytest
import torch
from captum.metrics import infidelity as captum_infidelity

from bcos_eval.metrics import Status, squared_errors
from bcos_eval.metrics.faithfulness.random_removal import best_scale, random_patches

SIDE = 12


def _grey_picture(seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(1, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    weights = torch.randn(1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    maps = torch.randn(1, 2, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return images, weights, maps


def test_the_known_error_of_one_perturbation():
    rows = [[0.5, -1.0, 2.0], [0.1, 0.2, -0.3], [0.5, -0.4, 0.7]]
    attribution, perturbation, weights = torch.tensor(rows, dtype=torch.float64)
    predicted, drop = (attribution * perturbation).sum()[None], (weights * perturbation).sum()[None]
    assert squared_errors(predicted, drop).item() == pytest.approx(0.2601, abs=1e-9)


@pytest.mark.parametrize("preset", ["default", "normalised"])
def test_the_score_equals_captums(preset, score, linear_sigmoid):
    images, weights, maps = _grey_picture(0)
    # The square makes the model non-linear, so that no map is perfect.
    predict = linear_sigmoid(weights)
    predict = type("Squared", (), {
        "encode": staticmethod(lambda x: x.square()),
        "logits": staticmethod(predict.logits),
    })()  # fmt: skip
    patches = random_patches(images[0], n_samples=10)[:, None]

    def perturb(inputs):
        return patches.double(), torch.where(patches, 0.0, inputs)

    scored = score(f"infidelity/{preset}", maps, images=images, targets=torch.tensor([[0, 1]]), predict=predict)
    for k in range(2):
        expected = captum_infidelity(
            lambda x: predict.logits(predict.encode(x)),
            perturb,
            images,
            maps[:, k : k + 1],
            target=k,
            n_perturb_samples=10,
            normalize=preset == "normalised",
        )
        assert scored.values[0, k].item() == pytest.approx(expected.item(), abs=1e-9)


def test_the_contributions_of_a_linear_model_score_zero(score, linear_sigmoid):
    images, weights, _ = _grey_picture(1)
    maps = (images * weights).sum(1, keepdim=True)
    maps = torch.cat([maps, 3 * maps, -maps], 1)
    predict = linear_sigmoid(weights)
    exact = score("infidelity", maps, images=images, predict=predict).values[0]
    assert exact[0].item() == pytest.approx(0, abs=1e-9)
    assert exact[2] == pytest.approx(exact[1].item(), abs=1e-9)  # off by twice the contribution, either way
    assert exact[1] > 0.01
    scaled = score("infidelity/normalised", maps, images=images, predict=predict).values[0]
    assert scaled.tolist() == pytest.approx([0, 0, 0], abs=1e-9)


def test_the_best_scale_is_the_least_squares_solution():
    generator = torch.Generator().manual_seed(2)
    predicted, drops = torch.randn(2, 4, 10, generator=generator, dtype=torch.float64)
    for row in range(4):
        expected = torch.linalg.lstsq(predicted[row][:, None], drops[row][:, None]).solution.item()
        assert best_scale(predicted, drops)[row].item() == pytest.approx(expected, abs=1e-9)
    assert best_scale(torch.zeros(10), torch.ones(10)).item() == 0


def test_patches_are_squares_inside_the_image_that_belong_to_it():
    images, _, _ = _grey_picture(3)
    patches = random_patches(images[0], n_samples=50)
    for patch in patches:
        rows, columns = patch.any(1).nonzero(), patch.any(0).nonzero()
        assert patch.sum() == 9
        assert rows.max() - rows.min() == columns.max() - columns.min() == 2
    assert random_patches(images[0], n_samples=1000).any(0).all()
    assert torch.equal(patches, random_patches(images[0], n_samples=50))
    assert not torch.equal(patches, random_patches(images[0], n_samples=50, seed=1))
    assert not torch.equal(patches, random_patches(images[0] / 2, n_samples=50))


def test_a_zero_map_has_no_score_and_a_constant_one_has(score, linear_sigmoid):
    images, weights, maps = _grey_picture(4)
    maps = torch.stack([torch.zeros_like(maps[0, 0]), torch.ones_like(maps[0, 0])])[None]
    for preset in ("default", "normalised"):
        scored = score(f"infidelity/{preset}", maps, images=images, predict=linear_sigmoid(weights))
        assert scored.values.isnan().tolist() == [[True, False]]
        assert scored.status == ((Status.ZERO_MAP, Status.CONSTANT_MAP),)


def test_attribution_outside_all_patches_does_not_count(score, linear_sigmoid):
    images, weights, _ = _grey_picture(5)
    outside = ~random_patches(images[0], n_samples=2).any(0)
    maps = outside.double()[None, None]
    values = score("infidelity", maps, images=images, predict=linear_sigmoid(weights * 0), n_samples=2).values
    assert values.item() == 0
    normalised = score("infidelity/normalised", maps, images=images, predict=linear_sigmoid(weights), n_samples=2)
    assert math.isfinite(normalised.values.item())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_samples": 0}, "infidelity/default.n_samples=0 is not allowed; use 1 or more"),
        ({"batch_size": 0}, "infidelity/default.batch_size=0 is not allowed; use 1 or more"),
    ],
)
def test_no_patches_and_empty_batches_are_refused(params, message, map_v, score, linear_sigmoid):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("infidelity", map_v, predict=linear_sigmoid(torch.ones(3, 4, 4)), **params)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_does_not_matter(batch_size, score, linear_sigmoid):
    images, weights, maps = _grey_picture(6)
    predict = linear_sigmoid(weights)
    expected = score("infidelity", maps, images=images, predict=predict).values
    values = score("infidelity", maps, images=images, predict=predict, batch_size=batch_size).values
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-9)
