"""Networks of several forms, trained and scored by one call."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import pytest
import torch
from PIL import Image

from bcos_eval import series
from bcos_eval.cli import main
from bcos_eval.models.form import BcosForm
from bcos_eval.series import SeriesRequest, run_series
from bcos_eval.training import TrainingRequest, default_recipe

FORMS = [BcosForm(b=1.0, max_out=2), BcosForm(b=2.0, norm="layer", max_out=2)]


@pytest.fixture
def request_of_two(tmp_path):
    """Two forms of a network for two classes of noisy pictures, one epoch each."""
    generator = torch.Generator().manual_seed(0)
    for split, n_images in (("train", 8), ("val", 4)):
        for name, level in (("bright", 200), ("dark", 50)):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for index in range(n_images):
                pixels = level + torch.randint(-30, 30, (64, 64, 3), generator=generator)
                Image.fromarray(pixels.to(torch.uint8).numpy()).save(folder / f"{index}.png")
    recipe = replace(default_recipe(is_bcos=True, dataset="folder"), epochs=1, batch_size=8, precision="float32")
    training = TrainingRequest(
        "bcos_resnet18", "folder", tmp_path / "data", recipe, tmp_path / "out", compiled=False, size=64
    )
    return SeriesRequest(training, FORMS, ("sparseness", "entropy"), 4)


def rows_of(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_a_row_per_network_and_metric(request_of_two, monkeypatch):
    path = run_series(request_of_two)
    assert path == request_of_two.training.out / "scores.csv"
    rows = rows_of(path)
    assert [(row["b"], row["norm"], row["max_out"], row["metric"]) for row in rows] == [
        ("1", "batch_uncentred", "2", "entropy/positive"),
        ("1", "batch_uncentred", "2", "sparseness/positive"),
        ("2", "layer", "2", "entropy/positive"),
        ("2", "layer", "2", "sparseness/positive"),
    ]
    for row in rows:
        assert math.isfinite(float(row["mean"]))
        assert {"low", "high"} <= row.keys()  # four images are too few for an interval
        assert 0 <= float(row["val_top1"]) <= 1
        assert row["n"] == "4"

    # What is there is not trained again; another recipe is.
    trained = []
    monkeypatch.setattr(series, "train", lambda asked: trained.append(asked.recipe.form))
    assert rows_of(run_series(request_of_two)) == rows
    assert trained == []
    longer = replace(request_of_two.training.recipe, epochs=2)
    with pytest.raises(AttributeError):  # the stand-in makes no weights
        run_series(replace(request_of_two, training=replace(request_of_two.training, recipe=longer)))
    assert trained == FORMS[:1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--b", "1,two"], "'1,two' is not a list of numbers such as 1,1.5,2"),
        (["--norm", "batch"], "batch_uncentred"),
        (["--model", "resnet18"], "'resnet18' is no B-cos model"),
        (["--b", "0.5"], "0.5"),
    ],
)
def test_series_that_cannot_be_are_refused(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        main(["series", "--out", str(tmp_path), *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
