"""LIME against the `lime` package's algorithm written out, and linear networks."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.baselines.lime import lime_weights, mean_colours, presence_samples, superpixels, top_superpixels
from bcos_eval.errors import InputError


def generator():
    return torch.Generator().manual_seed(5)


def ridge_with_intercept(x, y, weights, ridge):
    """Minimise `Σ w (y − x·β − b)² + ridge·|β|²` over (β, b) by its normal equations."""
    design = np.column_stack([x, np.ones(len(x))])
    penalty = ridge * np.eye(design.shape[1])
    penalty[-1, -1] = 0
    gram = design.T @ np.diag(weights) @ design + penalty
    return np.linalg.solve(gram, design.T @ (weights * y))[:-1]


def test_weights_solve_the_normal_equations_of_the_lime_package():
    keep = presence_samples(60, 9, generator())
    responses = torch.rand(60, 2, generator=generator(), dtype=torch.float64)
    x = keep.double().numpy()
    distances = np.array([cosine(row, x[0]) if row.any() else 1.0 for row in x])
    kernel = np.sqrt(np.exp(-(distances**2) / 0.25**2))
    weights = lime_weights(keep, responses)
    for k in range(2):
        expected = ridge_with_intercept(x, responses[:, k].numpy(), kernel, 1.0)
        np.testing.assert_allclose(weights[k].numpy(), expected, rtol=1e-9, atol=1e-12)


def test_a_sample_without_any_superpixel_is_at_distance_one():
    keep = torch.tensor([[True, True], [False, False], [True, False], [False, True]])
    responses = torch.tensor([[1.0], [0.0], [0.5], [0.5]], dtype=torch.float64)
    x = keep.double().numpy()
    distances = np.array([0.0, 1.0, 1 - 0.5**0.5, 1 - 0.5**0.5])
    expected = ridge_with_intercept(x, responses[:, 0].numpy(), np.exp(-(distances**2) / 0.125), 1.0)
    np.testing.assert_allclose(lime_weights(keep, responses)[0].numpy(), expected, rtol=1e-9)


def test_weights_of_a_linear_response_are_recovered():
    keep = presence_samples(4000, 6, generator())
    truth = torch.tensor([3.0, -2.0, 0.5, 0.0, 1.0, -4.0], dtype=torch.float64)
    responses = keep.double() @ truth[:, None] + 7
    # The ridge penalty of 1 shrinks the weights of 4000 samples by little.
    torch.testing.assert_close(lime_weights(keep, responses)[0], truth, rtol=0.01, atol=0.01)


def test_samples_start_with_the_whole_image_and_keep_half_of_the_others():
    keep = presence_samples(2001, 50, generator())
    assert keep[0].all()
    assert keep[1:].double().mean().item() == pytest.approx(0.5, abs=5 * 0.5 / 100_000**0.5)


def test_the_map_shows_what_a_linear_network_loses_without_each_superpixel(linear, images):
    targets = torch.tensor([[0, 3]])
    maps = EXPLAINERS["lime"](linear, images[:1], targets, map="weights", n_samples=3000, kernel_size=1)[0]
    encoded = linear.encode(images[:1])[0]
    segments = superpixels(encoded, encoded[:3], kernel_size=1)
    fill = mean_colours(encoded, segments)
    difference = linear.linear.weight.detach().view(-1, 3, 24, 24) * (encoded - fill)
    for k, target in enumerate(targets[0].tolist()):
        for segment in range(int(segments.max()) + 1):
            inside = segments == segment
            expected = difference[target].sum(0)[inside].sum().item()
            assert maps[k][inside].unique().numel() == 1
            assert maps[k][inside][0].item() == pytest.approx(expected, rel=0.05, abs=0.005)


def test_the_default_map_is_the_union_of_the_five_highest_positive_superpixels(linear, images, targets):
    signed = EXPLAINERS["lime"](linear, images, targets, map="weights", n_samples=60, kernel_size=1)
    marked = EXPLAINERS["lime"](linear, images, targets, n_samples=60, kernel_size=1)
    for b in range(3):
        for k in range(3):
            levels = sorted(set(signed[b, k].flatten().tolist()), reverse=True)
            highest = [level for level in levels[:5] if level > 0]
            expected = torch.zeros(24, 24)
            for level in highest:
                expected[signed[b, k] == level] = 1
            assert torch.equal(marked[b, k], expected)


def test_only_positive_superpixels_are_marked():
    weights = torch.tensor([[0.3, -1.0, 0.0, 0.1], [-1.0, -2.0, -3.0, -4.0]])
    assert top_superpixels(weights).tolist() == [[1, 0, 0, 1], [0, 0, 0, 0]]


def test_of_equal_superpixels_the_first_are_marked():
    assert top_superpixels(torch.ones(1, 7)).tolist() == [[1, 1, 1, 1, 1, 0, 0]]


def test_probabilities_are_explained(standard, images, targets):
    ours = EXPLAINERS["lime"](standard, images, targets, map="weights", n_samples=40, kernel_size=1)
    standard.probability = lambda logits: 3 * logits.softmax(-1)
    tripled = EXPLAINERS["lime"](standard, images, targets, map="weights", n_samples=40, kernel_size=1)
    torch.testing.assert_close(tripled, 3 * ours)


def test_each_perturbed_image_is_evaluated_once_for_all_targets(standard, images, targets):
    seen = []
    handle = standard.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    EXPLAINERS["lime"](standard, images, targets, n_samples=20, batch_pixels=8 * 24 * 24)
    handle.remove()
    assert seen == [8, 8, 4] * 3


def test_superpixels_are_removed_in_the_space_of_the_network_input(bcos, images, targets):
    """A perturbed B-cos input is still an encoded image: its channels and their inverses sum to one."""
    inputs = []
    handle = bcos.register_forward_hook(lambda _module, args, _output: inputs.append(args[0]))
    EXPLAINERS["lime"](bcos, images, targets, n_samples=5)
    handle.remove()
    encoded = torch.cat(inputs)
    torch.testing.assert_close(encoded[:, :3] + encoded[:, 3:], torch.ones_like(encoded[:, :3]))


def test_too_few_samples_are_refused(standard, images, targets):
    with pytest.raises(InputError, match=f"^{re.escape('lime.n_samples=1 is not allowed; use 2 or more')}$"):
        EXPLAINERS["lime"](standard, images, targets, n_samples=1)
