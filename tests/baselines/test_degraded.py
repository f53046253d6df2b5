"""Maps made worse on purpose: a share of their values at random places."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.errors import IncompatibleError, InputError
from bcos_eval.reports.comparison.known_order import DEGRADED

DEGRADE = partial(EXPLAINERS["degraded"], of="ixg")


def test_reports_know_it_by_its_registered_name():
    assert DEGRADED in EXPLAINERS
    assert {"of", "noise"} <= {*EXPLAINERS[DEGRADED].info.defaults}


def test_without_noise_maps_are_those_of_the_explainer(standard, images, targets):
    for of, params in (("ixg", {}), ("gradcam", {}), ("random", {"seed": 3})):
        expected = EXPLAINERS[of](standard, images, targets, **params)
        assert torch.equal(EXPLAINERS["degraded"](standard, images, targets, of=of, noise=0.0, **params), expected)


def test_pure_noise_has_the_same_values_in_another_order(standard, images, targets):
    clean, noisy = (DEGRADE(standard, images, targets, noise=noise).flatten(2) for noise in (0.0, 1.0))
    assert torch.equal(noisy.sort(-1).values, clean.sort(-1).values)
    # Of 576 values, about one keeps its place.
    assert (noisy == clean).float().mean() < 0.02


def test_noise_between_lies_on_the_straight_path(standard, images, targets):
    clean, noisy = (DEGRADE(standard, images, targets, noise=noise) for noise in (0.0, 1.0))
    quarter = DEGRADE(standard, images, targets, noise=0.25)
    torch.testing.assert_close(quarter, 0.75 * clean + 0.25 * noisy)


def test_another_seed_is_another_order(standard, images, targets):
    one, other = (DEGRADE(standard, images, targets, seed=seed) for seed in (0, 1))
    assert not torch.equal(one, other)


def test_energy_of_pure_noise_in_a_region_is_the_region_s_share(standard, images, targets):
    """Over 2,000 seeds of one map: three standard errors."""
    clean = EXPLAINERS["gradcam"](standard, images[:1], targets[:1, :1]).clamp(min=0)
    shares = torch.stack(
        [
            maps[..., :8, :].sum() / maps.sum()
            for seed in range(2000)
            for maps in [EXPLAINERS["degraded"].attribute(standard, images[:1], targets[:1, :1], seed=seed)]
        ]
    )
    assert clean.sum() > 0
    assert abs(float(shares.mean()) - 1 / 3) < 3 * float(shares.std()) / 2000**0.5


def test_what_its_explainer_cannot_do_it_cannot(standard, images, targets):
    message = (
        "method 'degraded' makes maps of 'bcos' worse, which needs a B-cos model and 'ToyNetwork' is none; use "
        "ixg, intgrad, gradcam or another post-hoc method"
    )
    with pytest.raises(IncompatibleError, match=f"^{re.escape(message)}$"):
        EXPLAINERS["degraded"](standard, images, targets, of="bcos")


def test_unknown_explainers_and_itself_are_refused(standard, images, targets):
    with pytest.raises(InputError, match=r"^unknown method 'gradcm'; did you mean "):
        EXPLAINERS["degraded"](standard, images, targets, of="gradcm")
    with pytest.raises(InputError, match=r"^degraded\.of=degraded is not allowed; name the explainer whose maps "):
        EXPLAINERS["degraded"](standard, images, targets, of="degraded")
    with pytest.raises(InputError, match=r"^degraded\.noise=1\.5 is not allowed; use a number from 0 to 1$"):
        EXPLAINERS["degraded"](standard, images, targets, noise=1.5)
