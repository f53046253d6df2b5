"""Every network against the installed official library, with weights that the tests make."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bcos_eval.bcos import colour_explanation, contribution_map, linear_summary
from bcos_eval.metrics.localisation.grid_pg import grid_pointing_game
from bcos_eval.models import load_model

pretrained = pytest.importorskip("bcos.models.pretrained", reason="the official code is part of the dev extra")

ENTRIES = sorted(set(pretrained.__all__) - {"list_available"})
# An image side that keeps the comparison quick, and a batch large enough for norms to be fitted to.
SIDE, N_IMAGES = 96, 4
# Logits in float32: sums in another order.
TOLERANCE = 1e-5
# Maps in float64, where nothing but the computation can differ: in maps of random weights so much cancels that
# float32 alone makes up to 2e-5 of the largest entry. The official transformers keep float32 position codes.
MAP_TOLERANCE = 1e-6

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # warnings are the official code's own


def our_name(entry):
    return entry.removeprefix("standard_") if entry.startswith("standard_") else f"bcos_{entry}"


def relative_error(ours, official):
    return float((ours - official).abs().max() / official.abs().max())


def pair(entry, made_again, side=SIDE):
    """Our network and the official one with the same weights, and their input."""
    ours = load_model(our_name(entry), weights="random")
    encoded = ours.encode(made_again.image_batch(N_IMAGES, side))
    official = made_again.fill(getattr(pretrained, entry)(pretrained=False), encoded)
    ours.load_state_dict(official.state_dict())
    return ours, official, encoded


def official_map(official, encoded, target):
    """The official contributions of a class, and the weights of its linear summary."""
    x = encoded.clone().requires_grad_()
    with official.explanation_mode():
        official(x)[:, target].sum().backward()
    return (x.grad * encoded).sum(1), x.grad


@pytest.mark.parametrize("entry", ENTRIES)
def test_logits_maps_and_colours_equal_the_official_ones(entry, made_again):
    ours, official, encoded = pair(entry, made_again)
    with torch.no_grad():
        logits, expected = ours(encoded), official(encoded)
    bias = float(getattr(ours, "logit_bias", 0.0))
    assert relative_error(logits - bias, expected - bias) <= TOLERANCE
    assert ((expected[0] - expected[1]).abs().max() / (expected - bias).abs().max()) > 0.01  # no signal has faded
    if not ours.is_bcos:
        return
    target = int(expected[0].argmax())
    ours, official, encoded = ours.double(), official.double(), encoded.double()
    contributions, weights = official_map(official, encoded[:1], target)
    found = linear_summary(ours, encoded[:1], torch.tensor([[target]]))
    assert relative_error(contribution_map(found, encoded[:1, None])[:, 0], contributions) <= MAP_TOLERANCE
    # Of the same weights: each pixel is divided by its largest weight, be it as small as rounding.
    colours = official.gradient_to_image(encoded[0], weights[0])
    ours_of_them = colour_explanation(weights[0], encoded[0]).movedim(0, -1).numpy()
    assert np.abs(ours_of_them - colours).max() <= TOLERANCE


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("entry", ["resnet18", "densenet121", "vgg11_bnu"])
def test_grid_scores_equal_those_of_the_official_maps(entry, n, made_again):
    ours, official, cells = (part.double() for part in pair(entry, made_again, side=64))
    places = [(row, column) for row in range(n) for column in range(n)]
    grid = torch.zeros(1, 6, 64 * n, 64 * n, dtype=torch.float64)
    regions = torch.zeros(1, n * n, 64 * n, 64 * n, dtype=torch.bool)
    for k, (row, column) in enumerate(places):
        rows, columns = slice(64 * row, 64 * row + 64), slice(64 * column, 64 * column + 64)
        grid[0, :, rows, columns] = cells[k % N_IMAGES]
        regions[0, k, rows, columns] = True
    targets = torch.arange(n * n)[None] * 37 + 11
    maps = contribution_map(linear_summary(ours, grid, targets), grid[:, None])
    expected = [official_map(official, grid, int(target))[0][0] for target in targets[0]]
    scores = grid_pointing_game(maps, regions, smoothing=1)[0]
    for k, of_class in enumerate(expected):
        positive = of_class.clamp_min(0).double()
        assert scores[k].item() == pytest.approx(
            (positive[regions[0, k]].sum() / positive.sum()).item(), abs=MAP_TOLERANCE
        )
