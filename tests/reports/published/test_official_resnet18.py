"""The published quartiles again, for whoever has ImageNet: official code and weights gave .834, .891 and .932."""

from __future__ import annotations

from pathlib import Path

import pytest

from bcos_eval.data import load_dataset
from bcos_eval.engine.request import RunRequest
from bcos_eval.engine.run import run
from bcos_eval.errors import InputError
from bcos_eval.models import load_model
from bcos_eval.reports.published.check import check
from bcos_eval.reports.published.values import shipped_values

N_IMAGES = 50_000
VALUES = [value for value in shipped_values() if value.model == "bcos_resnet18" and value.dataset == "imagenet"]


@pytest.fixture(scope="module")
def imagenet() -> None:
    """ImageNet's validation photographs and the official weights are at hand."""
    try:
        n_images = len(load_dataset("imagenet"))
    except InputError as error:
        pytest.skip(f"needs ImageNet's {N_IMAGES} validation photographs: {error}")
    if n_images != N_IMAGES:
        pytest.skip(f"needs ImageNet's {N_IMAGES} validation photographs; $BCOS_EVAL_DATA has {n_images}")
    try:
        load_model("bcos_resnet18", dataset="imagenet")
    except InputError as error:
        pytest.skip(f"needs the official weights: {error}")


@pytest.mark.slow
@pytest.mark.data
def test_the_official_resnet18_has_its_published_quartiles(imagenet, tmp_path_factory):
    """Ten to twenty minutes on a GPU, hours on a CPU; the results stay in pytest's folder."""
    out = Path(tmp_path_factory.mktemp("official"))
    request = RunRequest(
        models=("bcos_resnet18",),
        methods=("bcos",),
        metrics=("grid_pg/bcos_v2",),
        dataset="imagenet",
        n_samples=500,
        settings=("grid_pg.smoothing=15",),
    )
    run(request, out)
    answers = check(VALUES, [out])
    assert [answer.reasons for answer in answers] == [()] * 4
    by_quantity = {answer.published.quantity: answer for answer in answers if answer.published.metric == "grid_pg"}
    # The same images, grids and weights: what is left is rounding, and images at the threshold of confidence.
    for answer in by_quantity.values():
        assert answer.sample == ""
        assert answer.value == pytest.approx(answer.published.value, abs=2e-3)
    (accuracy,) = (answer for answer in answers if answer.published.metric == "top1")
    # The reproduction and the official table differ by up to 0.05 points (versions of Pillow and torchvision).
    assert accuracy.value == pytest.approx(accuracy.published.value, abs=1e-3)
