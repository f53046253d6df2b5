from __future__ import annotations

import numpy as np
import pytest
import torch

from bcos_eval.metrics import Status
from bcos_eval.metrics.faithfulness.pixel_perturbation import idsds_counts

SIDE = 16


class Inverse:
    """A toy B-cos model: six channels, and a probability that this metric must not use."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randn(3, 6 * SIDE * SIDE, generator=generator, dtype=torch.float64) / SIDE

    def encode(self, images):
        return torch.cat([images, 1 - images], dim=1).double()

    def logits(self, encoded):
        return encoded.flatten(1) @ self.weights.T

    def probability(self, logits):
        raise NotImplementedError


def test_the_fractions_are_32_and_leave_the_last_out():
    counts = idsds_counts(224 * 224)
    assert len(counts) == 32
    assert counts[:2] == (0, 1568)
    assert counts[-1] == 31 * 1568


@pytest.mark.parametrize(("preset", "sign"), [("idsds", 1), ("idsds_descending", -1)])
def test_the_score_is_the_mean_softmax_probability_on_blackened_images(preset, sign, score):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(1, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    maps = torch.randn(1, 1, SIDE, SIDE, generator=generator)
    predict, values = Inverse(), []
    order = np.argsort(sign * maps.flatten().numpy(), kind="stable")
    for step in range(32):
        removed = images.clone()
        for pixel in order[: int(step / 32 * SIDE * SIDE)]:
            removed[..., pixel // SIDE, pixel % SIDE] = 0
        values.append(predict.logits(predict.encode(removed)).softmax(-1)[0, 0].item())
    scored = score(f"incremental_deletion/{preset}", maps, images=images, predict=predict)
    np.testing.assert_allclose(scored.curves[0, 0].numpy(), values, rtol=0, atol=1e-9)
    assert scored.values.item() == pytest.approx(sum(values) / 32, abs=1e-9)


def test_a_zero_map_has_no_score(score):
    scored = score("incremental_deletion", torch.zeros(1, 1, SIDE, SIDE), predict=Inverse())
    assert scored.values.isnan().all()
    assert scored.status == ((Status.ZERO_MAP,),)
