"""A CUDA device against the CPU; `bench/gpu.sh` runs these, and on a machine without one tries them on its CPU."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
import torch

from bcos_eval.bench.bare import images_in_passes
from bcos_eval.contract.plugins import find_explainer, find_metric
from bcos_eval.contract.precision import reference_precision
from bcos_eval.data import load_dataset
from bcos_eval.engine.batch import BatchLimit, explains_together
from bcos_eval.engine.choice import choose
from bcos_eval.engine.progress import Progress
from bcos_eval.engine.request import RunRequest
from bcos_eval.engine.run import run
from bcos_eval.engine.scoring import score_batch
from bcos_eval.models import load_model
from bcos_eval.reports.tables.leaderboard import stored_units
from bcos_eval.stimuli.grids.compose import grid_stimulus
from bcos_eval.stimuli.single import SingleKind

pytestmark = pytest.mark.gpu

# What localisation scores, shares in [0, 1], may differ by: sums of float32 in another order.
TOLERANCE = 1e-4
# A convolutional and a vision transformer pair, each explained by what exists for it.
PAIRS = [
    ("bcos_resnet18", "bcos"),
    ("bcos_resnet18", "gradcam"),
    ("bcos_resnet18", "ixg"),
    ("resnet18", "gradcam"),
    ("resnet18", "ixg"),
    ("bcos_vitc_ti_patch1_14", "bcos"),
    ("bcos_vitc_ti_patch1_14", "gradcam"),
    ("bcos_vitc_ti_patch1_14", "ixg"),
    ("vitc_ti_patch1_14", "gradcam"),
    ("vitc_ti_patch1_14", "ixg"),
]


@pytest.fixture(scope="module")
def device():
    name = os.environ.get("BCOS_EVAL_TEST_DEVICE", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(name)


@pytest.fixture(scope="module")
def grids(device):
    n_grids, n_cells = (10, 9) if device.type == "cuda" else (2, 4)  # on a CPU the tests themselves are tried
    dataset = load_dataset("shapes")
    return [
        grid_stimulus(f"grid/{g}", [dataset[9 * g + i] for i in range(n_cells)], placement="row_major")
        for g in range(n_grids)
    ]


def scores(network, method, grids, device, batch=None):
    """The scores `(grid, cell)` of a method, in batches of a size, or of the device's own."""
    scored = []
    with reference_precision():
        for part in BatchLimit(batch, device).batches(grids):
            scored += score_batch(
                network,
                choose(find_explainer(method), []),
                [choose(find_metric("grid_pg"), [])],
                part,
                seed=0,
                device=device,
                kind=SingleKind(),
            )
    return np.array([entry.scores[0].values for entry in scored])


@pytest.mark.parametrize(("model", "method"), PAIRS)
def test_scores_are_those_of_the_cpu(model, method, grids, device):
    cpu = torch.device("cpu")
    expected = scores(load_model(model), method, grids, cpu)
    found = scores(load_model(model, device=device), method, grids, device)
    difference = np.abs(found - expected).max()
    print(f"{model} {method}: {difference:.1e}")  # noqa: T201 - what bench/gpu.sh reports
    assert difference <= TOLERANCE


@pytest.mark.parametrize(("model", "method"), PAIRS)
def test_scores_do_not_depend_on_how_many_share_a_pass(model, method, grids, device):
    network = load_model(model, device=device)
    expected = scores(network, method, grids, device, batch=1)
    for batch in (3, len(grids)):
        assert np.abs(scores(network, method, grids, device, batch) - expected).max() <= TOLERANCE


def test_a_batch_shares_a_pass(grids, device):
    network = load_model("resnet18", device=device)
    passes = images_in_passes(network, lambda: scores(network, "ixg", grids, device, batch=4))
    assert passes == ([4, 4, 2] if explains_together(device) else [1] * len(grids))


def test_a_run_has_the_rows_and_scores_of_one_on_the_cpu(device, tmp_path):
    def units(place):
        request = RunRequest(
            models=("bcos_resnet18",),
            metrics=("energy_pg", "pointing_game", *(("grid_pg",) if device.type == "cuda" else ())),
            methods=("bcos", "gradcam", "ixg", "intgrad"),
            n_samples=4,
            settings=("intgrad.n_steps=4",),
            device=place,
        )
        found = stored_units(run(request, tmp_path / place, progress=Progress(quiet=True)).shards)
        return found.drop(columns=["seconds", "cell"])

    pd.testing.assert_frame_equal(units(str(device)), units("cpu:0"), rtol=0, atol=TOLERANCE)
