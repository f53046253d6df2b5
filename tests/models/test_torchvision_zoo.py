"""Torchvision's networks by name, against torchvision's own forward passes."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models as torchvision_models
from torchvision.transforms.functional import resize, to_pil_image

import bcos_eval
from bcos_eval.errors import InputError
from bcos_eval.metrics.localisation.grid_pg import grid_pointing_game
from bcos_eval.models import MODELS, load_model, model_info, published_weights
from bcos_eval.models.classifier import Classifier
from bcos_eval.models.torchvision_zoo import TorchvisionViT, names_of_weights, torchvision_names

ZOO = [name for name in torchvision_names() if name not in MODELS]
# One of each class of torchvision's, the smallest.
ONE_OF_EACH = [
    "alexnet",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
]
LARGE = ["convnext_small", "efficientnet_v2_s", "maxvit_t", "swin_t", "swin_v2_t", "vgg11", "vit_b_32"]
# Their forward passes take images of one size, or begin to pool below it.
FIXED = ("maxvit", "vit")
SMALL_SIDE = 96


def network(name: str) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model_info(name).build("imagenet", 11).eval().requires_grad_(False)


def side_of(model: Classifier) -> int:
    return model.input_size if model.name.startswith(FIXED) else SMALL_SIDE


def check(name: str) -> None:
    """Logits, features and head, gradients, Grad-CAM and a grid score of one network."""
    model = network(name)
    model.name = name
    side = side_of(model)
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    encoded = model.encode(images)
    logits = model(encoded)
    assert logits.shape == (1, 11)
    assert torch.equal(logits, model.network(encoded))
    targets = torch.tensor([[0, 10]])
    for method in ("grad", "gradcam"):
        maps = bcos_eval.explain(model, images, targets, method=method)
        assert maps.shape == (1, 2, side, side)
        assert maps.isfinite().all()
        # The image is noise, and so is a grid of four of its quarters.
        regions = torch.zeros(1, 2, side, side, dtype=torch.bool)
        regions[0, 0, : side // 2, : side // 2] = regions[0, 1, side // 2 :, side // 2 :] = True
        scores = grid_pointing_game(maps, regions)
        assert ((scores >= 0) & (scores <= 1)).all()
    if not isinstance(model, TorchvisionViT):
        features = model.features(encoded)
        assert features.ndim == 4
        assert torch.equal(model.head(features.clone()), logits)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_networks_are_torchvision_s_and_are_cut_before_their_classifier(name: str):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ZOO if name not in ONE_OF_EACH])
def test_all_other_networks_are_torchvision_s_too(name: str):
    if (model_info(name).n_parameters or 0) > 400e6:
        pytest.skip("needs more memory than small machines have")
    check(name)


def documented():
    """The module behind `docs/networks.csv`."""
    path = Path(__file__).parents[2] / "docs" / "networks.py"
    spec = importlib.util.spec_from_file_location("networks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of_documents():
    with documented().FILE.open(encoding="utf-8", newline="") as opened:
        return {row["network"].strip("`"): row for row in csv.DictReader(opened)}


def test_the_table_of_networks_has_one_of_each_class():
    assert {*ONE_OF_EACH, *LARGE} - {"convnext_small", "vgg11"} <= {*rows_of_documents()}
    assert tuple(rows_of_documents()) == documented().NETWORKS


def test_the_table_of_networks_says_what_works():
    found = documented().row("squeezenet1_1")
    if not importlib.util.find_spec("zennit"):
        del found["`lrp`"]
    assert found.items() <= rows_of_documents()["squeezenet1_1"].items()


@pytest.mark.slow
@pytest.mark.parametrize("name", documented().NETWORKS)
def test_all_of_the_table_of_networks_is_so(name: str):
    pytest.importorskip("zennit", reason="zennit is not installed")
    assert documented().row(name) == rows_of_documents()[name]


def test_every_classification_network_of_torchvision_has_an_entry():
    for name in torchvision_names():
        info = model_info(name)
        assert info.name == name
        assert not info.is_bcos
        assert info.published is not None
        assert info.n_parameters


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_v2_s", "efficientnet_b1", "swin_t", "vit_b_16"])
def test_preprocessing_is_that_of_torchvision_s_weights(name: str):
    """Our picture and encoding against torchvision's own transform, on a photograph-sized picture."""
    from bcos_eval.data.image_file import to_tensor
    from bcos_eval.data.transform import EvaluationTransform

    theirs = torchvision_models.get_model_weights(name).DEFAULT.transforms()
    with torch.device("meta"):
        preprocessing = model_info(name).build("imagenet", 2).preprocessing
    model = Classifier(is_bcos=False, num_classes=2, preprocessing=preprocessing)
    noise = torch.rand(3, 20, 26, generator=torch.Generator().manual_seed(0))
    picture = to_pil_image(resize(noise, [480, 640]).clamp(0, 1))
    ours = model.encode(to_tensor(EvaluationTransform.for_network(model).image(picture))[None])[0]
    torch.testing.assert_close(ours, theirs(picture))


def test_inception_normalises_once():
    theirs = torchvision_models.inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    model = model_info("inception_v3").build("imagenet", 1000).eval()
    state = {key: value for key, value in theirs.state_dict().items() if not key.startswith("AuxLogits.")}
    model.network.load_state_dict(state)
    images = torch.rand(2, 3, 96, 96)
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        torch.testing.assert_close(model(model.encode(images)), theirs((images - mean) / std))


def test_weights_load_from_torchvision_s_keys_and_without_auxiliary_classifiers(tmp_path: Path):
    theirs = torchvision_models.googlenet(weights=None, init_weights=False, aux_logits=True)
    path = tmp_path / "googlenet.safetensors"
    save_file(theirs.state_dict(), path)
    model = load_model("googlenet", weights=path)
    assert model.class_names[1] == "goldfish"
    assert torch.equal(model.network.fc.weight, theirs.fc.weight)


def test_weights_of_another_network_are_refused(tmp_path: Path):
    path = tmp_path / "other.pth"
    torch.save(torchvision_models.squeezenet1_0(weights=None).state_dict(), path)
    with pytest.raises(InputError, match=r"^.*other\.pth does not fit squeezenet1_1: .*of another shape"):
        load_model("squeezenet1_1", weights=path)


def test_published_weights_are_called_by_torchvision_s_names(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def no_network(url: str, _: str) -> Path:
        asked.append(url.rsplit("/", 1)[-1])
        raise InputError("offline")

    monkeypatch.setattr("bcos_eval.models.load.fetch", no_network)
    for name, weights in (
        ("mobilenet_v2", None),
        ("mobilenet_v2", "IMAGENET1K_V1"),
        ("mobilenet_v2", "MobileNet_V2_Weights.IMAGENET1K_V2"),
        ("resnet50", "IMAGENET1K_V2"),
    ):
        with pytest.raises(InputError, match="offline"):
            load_model(name, weights=weights)
    assert asked == [
        "mobilenet_v2-7ebf99e0.pth",
        "mobilenet_v2-b0353104.pth",
        "mobilenet_v2-7ebf99e0.pth",
        "resnet50-11ad3fa6.pth",
    ]
    assert names_of_weights("vit_b_16") == [
        "IMAGENET1K_V1",
        "IMAGENET1K_SWAG_E2E_V1",
        "IMAGENET1K_SWAG_LINEAR_V1",
    ]
    assert published_weights("mobilenet_v2").top1_percent == 72.154


def test_a_misspelt_network_gets_near_matches_of_all_names():
    with pytest.raises(InputError) as caught:
        load_model("mobilenet_v22")
    assert str(caught.value).startswith("unknown model 'mobilenet_v22'; did you mean mobilenet_v2 or ")


def test_grad_cam_of_a_vit_weights_the_patch_tokens_that_enter_the_last_attention():
    model = network("vit_b_32")
    model.name = "vit_b_32"
    nn.init.normal_(model.network.heads.head.weight)  # torchvision's is zero
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    kept = []
    last = model.network.encoder.layers[-1].ln_1

    def keep(_module, _inputs, output):
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    handle = last.register_forward_hook(keep)
    logit = model(model.encode(images))[0, 4]
    handle.remove()
    (gradient,) = torch.autograd.grad(logit, kept[0])
    patches, gradients = kept[0][0, 1:], gradient[0, 1:]
    expected = (patches * gradients.sum(0)).sum(1).relu().reshape(7, 7).detach()
    maps = bcos_eval.explain(model, images, torch.tensor([4]), method="gradcam")[0, 0]
    assert expected.max() > 0
    torch.testing.assert_close(maps[16::32, 16::32], expected, rtol=1e-4, atol=1e-6 * float(expected.max()))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("name", "at_least"), [("mobilenet_v2", 0.6), ("squeezenet1_1", 0.5)])
def test_real_weights_recognise_photographs(name: str, at_least: float, data_dir: Path):
    from bcos_eval.data import load_dataset

    weights = data_dir.parent / "weights" / f"{name}-imagenet.safetensors"
    if not weights.is_file():
        pytest.skip("needs real weights beside the data")
    model = load_model(name, weights=weights)
    dataset = load_dataset("imagenet", data_dir / "imagenet-val", size=224, resize=224)
    samples = [dataset[index] for index in range(0, len(dataset), 3)]
    with torch.no_grad():
        hits = [int(model(model.encode(one.image[None])).argmax()) == one.label for one in samples]
    assert sum(hits) / len(hits) >= at_least
