"""A whole training run on a handful of pictures."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import models as torchvision_models

from bcos_eval.bcos import BcosConv2d, linear_summary
from bcos_eval.cli import main
from bcos_eval.data import load_dataset
from bcos_eval.data.transform import EvaluationTransform
from bcos_eval.errors import InputError
from bcos_eval.models import load_model
from bcos_eval.models.form import BcosForm, set_exponent
from bcos_eval.training import TrainingRequest, default_recipe, loop, train, usual_precision
from bcos_eval.training.images import read_all, top1_accuracy

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}


@pytest.fixture
def photographs(tmp_path):
    """Two classes of noisy pictures, wider than high, in the folders of both splits."""
    generator = torch.Generator().manual_seed(0)
    for split, n_images in (("train", 8), ("val", 4)):
        for name, colour in COLOURS.items():
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for index in range(n_images):
                noise = torch.randint(-30, 30, (60, 80, 3), generator=generator)
                pixels = (torch.tensor(colour) + noise).clamp(0, 255).to(torch.uint8)
                Image.fromarray(pixels.numpy()).save(folder / f"{index}.png")
    return tmp_path / "data"


def request(photographs, tmp_path, model="resnet18", **options):
    recipe = default_recipe(is_bcos=model.startswith("bcos"), dataset="folder", is_converted=":" in model)
    recipe = replace(recipe, epochs=2, batch_size=8, precision="float32")
    return TrainingRequest(model, "folder", photographs, recipe, tmp_path / "out", compiled=False, **options)


@pytest.mark.parametrize("size", [None, 96])
def test_training_and_evaluation_see_the_same_picture(photographs, tmp_path, size):
    path = train(request(photographs, tmp_path, size=size))
    card = json.loads(path.with_suffix(".json").read_text())
    model = load_model("resnet18", weights=path)
    shown = EvaluationTransform.for_network(model)
    side = size or 64
    assert (card["input_size"], card["resize_size"]) == (shown.crop, shown.resize) == (side, side * 256 // 224)
    assert card["preprocessing"].startswith(
        f"shorter side to {shown.resize} (bilinear), central {side}×{side}, values in [0, 1], then (x − (0.485, "
    )
    dataset = load_dataset("folder", photographs, transform=shown)
    assert dataset[0].image.shape == (3, side, side)
    assert dataset.digest() == card["val_digest"]
    assert top1_accuracy(model, read_all(dataset)) == card["val_top1"]


def test_a_network_of_one_size_is_trained_at_it(photographs, tmp_path):
    path = train(request(photographs, tmp_path, model="squeezenet1_1"))
    assert load_model("squeezenet1_1", weights=path).input_size == 224


def test_a_converted_network_starts_from_weights_while_b_rises(photographs, tmp_path, monkeypatch):
    torch.manual_seed(0)
    standard = torchvision_models.mobilenet_v2(num_classes=7)
    save_file(standard.state_dict(), tmp_path / "standard.safetensors")
    seen = []

    def watched(network, b):
        seen.append(b)
        set_exponent(network, b)

    monkeypatch.setattr(loop, "set_exponent", watched)
    asked = request(photographs, tmp_path, "bcos:mobilenet_v2", size=64, initial=tmp_path / "standard.safetensors")
    path = train(asked)
    # Four steps: B rises over the first half of them.
    assert seen == [1.0, 1.5, 2.0, 2.0, 2.0]
    assert path.name == "bcos_mobilenet_v2-folder.safetensors"
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["conversion"] == {"b": 2.0, "norm": "batch_uncentred", "max_out": 1}
    assert card["initial_weights"] == "standard"
    model = load_model("bcos:mobilenet_v2", weights=path)
    dataset = load_dataset("folder", photographs, transform=EvaluationTransform.for_network(model))
    assert top1_accuracy(model, read_all(dataset)) == card["val_top1"]


def test_a_converted_network_has_the_directions_of_its_weights(photographs, tmp_path):
    torch.manual_seed(0)
    standard = torchvision_models.mobilenet_v2(num_classes=7)
    save_file(standard.state_dict(), tmp_path / "standard.safetensors")
    asked = request(photographs, tmp_path, "bcos:mobilenet_v2", size=64, initial=tmp_path / "standard.safetensors")
    path = train(replace(asked, recipe=replace(asked.recipe, learning_rate=1e-12)))
    model = load_model("bcos:mobilenet_v2", weights=path)
    carried = model.features.get_submodule("network.features.5.conv.0.0").linear.weight
    original = standard.features[5].conv[0][0].weight
    assert torch.nn.functional.cosine_similarity(carried.flatten(1), original.flatten(1)).min() > 0.999


def test_splits_of_different_classes_are_refused(photographs, tmp_path):
    (photographs / "val" / "blue").rename(photographs / "val" / "green")
    message = (
        "dataset 'folder' has 2 classes to train on and 2 to validate on (only in one of them: blue, green, …); "
        "give both splits a folder for every class."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        train(request(photographs, tmp_path))


def test_weights_of_another_network_are_refused_for_a_conversion(photographs, tmp_path):
    save_file(torchvision_models.squeezenet1_1().state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"^--init .*other\.safetensors is of another architecture \("):
        train(request(photographs, tmp_path, "bcos:mobilenet_v2", initial=tmp_path / "other.safetensors", size=64))


@pytest.mark.parametrize(
    "form", [BcosForm(b=1.0, max_out=2), BcosForm(b=1.5, norm="batch_centred"), BcosForm(norm="layer", max_out=2)]
)
def test_weights_of_another_form_load_as_what_was_trained(photographs, tmp_path, form):
    asked = request(photographs, tmp_path, "bcos_resnet18", size=64)
    path = train(replace(asked, recipe=replace(asked.recipe, form=form)))
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["conversion"] == form.as_dict()
    model = load_model("bcos_resnet18", weights=path)
    layers = [module for module in model.modules() if isinstance(module, BcosConv2d)]
    assert {layer.b for layer in layers} == {form.b}
    assert [layer.max_out for layer in layers] == [form.max_out] * (len(layers) - 1) + [1]
    table = read_all(load_dataset("folder", photographs, transform=EvaluationTransform.for_network(model)))
    assert top1_accuracy(model, table) == card["val_top1"]
    # Complete at any exponent: norms that subtract a fixed mean add a constant, all others nothing.
    if form.norm != "batch_centred":
        image = table.images[:1].float() / 255
        contributions = model.encode(image) * linear_summary(model, model.encode(image), torch.tensor([[1]]))[:, 0]
        logit = model(model.encode(image))[0, 1] - model.logit_layer.bias
        assert float(contributions.sum()) == pytest.approx(float(logit), rel=1e-4)


@pytest.mark.parametrize(
    ("device", "capability", "precision"),
    [("cpu", "AVX2", "float32"), ("cpu", "AVX512", "bfloat16"), ("cuda:0", "AVX2", "bfloat16")],
)
def test_processors_that_emulate_bfloat16_train_in_single_precision(monkeypatch, device, capability, precision):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert usual_precision(device) == precision


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["resnet18", "--b", "1.5", "--max-out", "2"],
            "--b, --max-out is for B-cos networks, and 'resnet18' is none",
        ),
        (["bcos_resnet18", "--norm", "batch"], "batch_uncentred"),
        (["bcos_resnet18", "--max-out", "99"], "a whole number from 1 to 16"),
    ],
)
def test_forms_that_a_network_cannot_have_are_refused(capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        main(["train", "--model", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_number_of_images_is_for_generated_ones(photographs):
    assert len(load_dataset("shapes", split="train", n_images=12_345)) == 12_345
    with pytest.raises(InputError) as caught:
        load_dataset("folder", photographs, n_images=3)
    assert (
        str(caught.value) == "dataset 'folder' has the images that its files hold; a number is for generated ones."
    )
