"""Cross-checks against Quantus, on maps where both mean the same; where they differ, the test says by what."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from bcos_eval.metrics import (
    gini_index,
    mass_entropy,
    pointing_hits,
    region_auc,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)
from bcos_eval.metrics.faithfulness.perturbation import Perturbation, perturbation_curves
from bcos_eval.metrics.ranking import most_first

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    quantus = pytest.importorskip("quantus")

pytestmark = pytest.mark.filterwarnings("ignore")

SIDE = 12
N_UNITS = 16


def _units(seed=0):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(N_UNITS, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    regions = torch.rand(N_UNITS, 1, SIDE, SIDE, generator=generator) < 0.3
    return maps, regions


def _quantus(name, maps, regions, **options):
    """Quantus' scores of maps as they are: not normalised, not made absolute."""
    metric = getattr(quantus, name)(abs=False, normalise=False, disable_warnings=True, **options)
    return metric.evaluate_batch(x_batch=None, a_batch=maps.numpy().copy(), s_batch=regions.numpy())


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("PointingGame", lambda maps, regions: pointing_hits(maps, regions, tolerance=1.0)),
        ("RelevanceRankAccuracy", relevance_rank_accuracy),
        ("RelevanceMassAccuracy", relevance_mass_accuracy),
        ("AUC", region_auc),
    ],
)
def test_localisation_scores_are_those_of_quantus(name, ours):
    maps, regions = _units()
    expected = np.asarray(_quantus(name, maps, regions), dtype=np.float64)
    np.testing.assert_allclose(ours(maps, regions)[:, 0].numpy(), expected, rtol=1e-9, atol=1e-9)


def test_of_several_maxima_quantus_takes_any_and_we_the_first():
    maps, regions = torch.zeros(1, 1, SIDE, SIDE).double(), torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
    regions[..., 5, 5] = True
    assert _quantus("PointingGame", maps, regions).tolist() == [True]
    assert pointing_hits(maps, regions, tolerance=1.0).item() == 0


def test_an_empty_region_is_a_hit_in_quantus_and_undefined_here():
    maps, _ = _units()
    nothing = torch.zeros(maps.shape, dtype=torch.bool)
    # NaN written into a boolean array is True.
    assert _quantus("PointingGame", maps, nothing).all()
    assert pointing_hits(maps, nothing, tolerance=1.0).isnan().all()


def test_the_gini_index_is_quantus_sparseness_without_its_constant():
    maps, regions = _units()
    masses = maps.abs()
    expected = _quantus("Sparseness", masses, regions)
    # Quantus adds 1e-7 to every entry; their mean here is 0.8.
    np.testing.assert_allclose(gini_index(masses)[:, 0].numpy(), expected, rtol=1e-6)
    tiny = 1e-6 * masses
    torch.testing.assert_close(gini_index(tiny), gini_index(masses), rtol=0, atol=1e-9)
    assert np.abs(_quantus("Sparseness", tiny, regions) - expected).min() > 0.01


def test_the_entropy_is_quantus_complexity_up_to_its_constant():
    maps, regions = _units()
    masses = maps.abs()
    expected = _quantus("Complexity", masses, regions)
    # Quantus adds 1e-12 inside the logarithm: 144 entries of 1e-12 each.
    np.testing.assert_allclose(mass_entropy(masses)[:, 0].numpy(), expected, rtol=0, atol=1e-9)


def test_the_entropy_of_one_pixel_is_zero_in_both_and_of_a_zero_map_undefined_in_both():
    maps = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.float64)
    maps[0, 0, 3, 4] = 2.5
    one, nothing = _quantus("Complexity", maps, maps > 0)
    assert one == pytest.approx(0, abs=1e-9)
    assert math.isnan(nothing)
    ours = mass_entropy(maps)[:, 0]
    assert ours[0] == 0
    assert ours[1].isnan()


class _Linear:
    """A model as Quantus calls it, for one input channel; Quantus' own wrapper wants a whole network."""

    def __init__(self, weights):
        self.weights = weights

    def shape_input(self, x, shape, **_):
        return x

    def predict(self, x):
        return self.probability(torch.from_numpy(x)).numpy()

    def probability(self, pictures):
        logit = (pictures * self.weights).flatten(1).sum(1)
        return torch.stack([logit, -logit], 1).softmax(-1)


@pytest.mark.parametrize("features_in_step", [1, 4, 9])
def test_the_deletion_curve_is_quantus_pixel_flipping_with_the_whole_image_in_front(features_in_step):
    maps, _ = _units(1)
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(N_UNITS, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    model = _Linear(torch.randn(1, SIDE, SIDE, generator=generator, dtype=torch.float64))
    targets = torch.randint(2, (N_UNITS, 1), generator=generator)
    flipping = quantus.PixelFlipping(
        features_in_step=features_in_step,
        perturb_baseline="black",
        abs=False,
        normalise=False,
        disable_warnings=True,
    )
    # What Quantus calls black is the smallest value of each image; with a black pixel in it that is 0.
    images[:, 0, 0, 0] = 0.0
    expected = flipping.evaluate_batch(model, images.numpy(), targets[:, 0].numpy(), maps.numpy())
    counts = range(0, SIDE * SIDE + 1, features_in_step)
    ours = perturbation_curves(
        Perturbation(images, torch.zeros_like(images), most_first(maps), counts),
        targets,
        probability=model.probability,
        batch_size=64,
    )
    np.testing.assert_allclose(ours[:, 0, 1:].numpy(), np.asarray(expected), rtol=0, atol=1e-9)
    unperturbed = model.probability(images).gather(1, targets)
    torch.testing.assert_close(ours[:, 0, :1], unperturbed, rtol=0, atol=1e-9)
