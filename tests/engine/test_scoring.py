from __future__ import annotations

import pytest
import torch

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.data import load_dataset
from bcos_eval.data.single import single_stimuli
from bcos_eval.engine.choice import Choice
from bcos_eval.engine.scoring import score_batch
from bcos_eval.models import load_model


@pytest.mark.parametrize("method", ["bcos", "ixg", "gradcam"])
def test_attributions_are_the_same_to_the_last_bit_in_any_batch(method: str):
    # Input × gradient has many nearly equal pixels: rounding that depended on the batch reordered them and
    # moved a perturbation score by 4e-5.
    model = load_model("bcos_resnet18")
    stimuli = list(single_stimuli(load_dataset("shapes"), range(5)))

    def maps(size: int) -> torch.Tensor:
        scored = []
        for first in range(0, len(stimuli), size):
            scored += score_batch(
                model,
                Choice(method, dict(EXPLAINERS[method].info.defaults)),
                [Choice("energy_pg/default", {"smoothing": 1})],
                stimuli[first : first + size],
                seed=0,
                device=torch.device("cpu"),
                n_maps=1,
            )
        return torch.stack([entry.maps for entry in scored])

    assert torch.equal(maps(1), maps(5))
    assert torch.equal(maps(1), maps(2))
