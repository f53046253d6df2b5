from __future__ import annotations

import shutil

import pytest

from bcos_eval.cli.list import as_text, text_rows
from bcos_eval.cli.registered import list_models
from bcos_eval.models import MODELS, load, load_model, published_weights, shipped_card, shipped_weights
from bcos_eval.models.registry import IMAGENET_SIDE, counted_parameters, n_parameters

WIDEST = 160


@pytest.mark.parametrize("name", MODELS)
def test_the_stated_number_of_parameters_is_the_network_s(name):
    assert n_parameters(MODELS[name]) == counted_parameters(MODELS[name])


def test_published_networks_have_the_stated_input_size():
    import torch

    with torch.device("meta"):
        sizes = {MODELS[name].build("imagenet", 2).input_size for name in ("bcos_resnet18", "vitc_ti_patch1_14")}
    assert sizes == {IMAGENET_SIDE}


def test_a_model_s_row_names_its_weights_with_their_accuracy():
    row = next(row for row in list_models() if row["name"] == "bcos_resnet50")
    found = {weights["dataset"]: weights for weights in row["weights"]}
    assert set(found) == {*shipped_weights("bcos_resnet50"), "imagenet"}
    card = shipped_card(shipped_weights("bcos_resnet50")["shapes"])
    assert found["shapes"]["top1_percent"] == pytest.approx(100 * card["val_top1"])
    assert found["imagenet"]["top1_percent"] == 75.88
    assert found["imagenet"]["from"] == published_weights("bcos_resnet50").url


@pytest.mark.parametrize("name", [name for name in MODELS if shipped_weights(name)])
def test_rows_of_shipped_weights_describe_the_network_that_is_loaded(name):
    (row,) = (row for row in list_models() if row["name"] == name)
    for weights in row["weights"]:
        if weights["from"] != "shipped":
            assert weights["parameters"] == row["parameters"]
            assert weights["input_size"] == row["input_size"]
            continue
        model = load_model(name, dataset=weights["dataset"])
        assert weights["parameters"] == sum(parameter.numel() for parameter in model.parameters())
        assert weights["input_size"] == model.input_size
        assert weights["sha256_prefix"].startswith(model.weights_id)
        assert weights["intact"] is True


def test_damaged_weights_are_listed_as_damaged(tmp_path, monkeypatch):
    path = shipped_weights("bcos_resnet18")["shapes"]
    shutil.copy(path.with_suffix(".json"), tmp_path)
    (tmp_path / path.name).write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(load, "WEIGHTS_DIR", tmp_path)
    rows = {row["name"]: row for row in text_rows("models", list_models())}
    assert rows["bcos_resnet18"]["shapes"] == "damaged"
    assert rows["bcos_resnet50"]["imagenet"] == "75.9 %"


def test_the_table_of_models_fits_a_wide_terminal():
    lines = as_text(text_rows("models", list_models())).splitlines()
    assert max(map(len, lines)) <= WIDEST
    assert lines[0].split()[:6] == ["name", "family", "parameters", "input", "imagenet", "tiny_imagenet20"]
    assert set(lines[0].split()[6:]) == {"shapes", "imagenette", "shapes_trigger"}
    assert len(lines) == len(MODELS) + 1
