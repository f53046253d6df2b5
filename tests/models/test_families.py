"""What holds for every registered network."""

from __future__ import annotations

import re

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import densenet
from torchvision.models.convnext import CNBlock

from bcos_eval.bcos import contribution_map, linear_summary
from bcos_eval.models import MODELS, Classifier, load_model
from bcos_eval.models.registry import model_info
from bcos_eval.models.vit import Encoder

TRAINED_SMALL = [
    prefix + name
    for prefix in ("", "bcos_")
    for name in ("resnet18", "resnet50", "densenet121", "convnext_tiny", "vitc_ti_patch1_14")
]
ONE_PER_FAMILY = [
    "resnet18",
    "densenet121",
    "vgg11_bnu",
    "convnext_tiny",
    "convnext_tiny_bnu",
    "vitc_ti_patch1_14",
]

# Hundreds of modules, slow to build.
DEEP = re.compile("101|152|161|169|201")


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("densenet121", "densenet121"),
        pytest.param("densenet161", "densenet161", marks=pytest.mark.slow),
        pytest.param("densenet169", "densenet169", marks=pytest.mark.slow),
        pytest.param("densenet201", "densenet201", marks=pytest.mark.slow),
        pytest.param("vgg11_bnu", "vgg11_bn", marks=pytest.mark.slow),
        ("convnext_tiny", "convnext_tiny"),
        pytest.param("convnext_base", "convnext_base", marks=pytest.mark.slow),
        pytest.param("convnext_base_bnu", "convnext_base", marks=pytest.mark.slow),
    ],
)
def test_standard_networks_equal_torchvisions(name: str, reference: str):
    theirs = getattr(torchvision.models, reference)(weights=None).eval()
    model = load_model(name, weights="random")
    assert list(model.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(model.state_dict())
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), theirs(x))
        assert torch.equal(model(x), model.head(model.features(x)))


def test_every_network_has_its_counterpart():
    bcos = {name.removeprefix("bcos_") for name, info in MODELS.items() if info.is_bcos}
    assert bcos == {name for name, info in MODELS.items() if not info.is_bcos}


def on_meta(name: str, variant: str) -> Classifier:
    with torch.device("meta"):
        return model_info(name).build(variant, 20).eval()


def types_of(model: Classifier) -> set[type]:
    return {type(module) for module in model.modules()} - {nn.Identity}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if DEEP.search(name) else ()) for name in sorted(MODELS)],
)
def test_small_variant_is_made_for_images_of_64_pixels_and_of_the_same_modules(name: str):
    small, full = on_meta(name, "small"), on_meta(name, "imagenet")
    assert (small.input_size, full.input_size) == (64, 224)
    assert small.is_bcos == full.is_bcos == model_info(name).is_bcos
    assert types_of(full) - types_of(small) <= {nn.MaxPool2d, nn.AvgPool2d}  # small stems may do without
    assert types_of(small) <= types_of(full)
    features = small.features(small.encode(torch.rand(3, 3, 64, 64, device="meta")))
    assert small.head(features).shape == (3, 20)
    assert features.shape[2] == features.shape[3] > 1  # positions, for CAM and for cells of a grid


# What a small variant's note counts, and the convolution or linear layer whose width it states.
NOTED = {
    "DenseNet": (densenet._DenseLayer, "layers", "features.denseblock1.denselayer1.conv2"),
    "ConvNeXt": (CNBlock, "blocks", "features.0"),
    "SimpleViT": (Encoder, "blocks", "to_patch_embedding.linear"),
    "ViT-C": (Encoder, "blocks", "to_patch_embedding.linear"),
}


def width_of(model: Classifier, module: str) -> int:
    """Output channels of a module, whatever it wraps its weights in."""
    state = {key.removeprefix("0."): value for key, value in model.state_dict().items()}
    return next(value.shape[0] for key, value in state.items() if key.startswith(f"{module}."))


@pytest.mark.parametrize("name", sorted(name for name in MODELS if MODELS[name].family in NOTED))
def test_note_of_a_small_variant_states_its_width_and_depth_beside_the_published_ones(name: str):
    info = model_info(name)
    block, word, module = NOTED[info.family]
    small, full = on_meta(name, "small"), on_meta(name, "imagenet")
    depths = [sum(isinstance(part, block) for part in model.modules()) for model in (small, full)]
    widths = [width_of(model, module) for model in (small, full)]
    assert f"{depths[0]} {word} ({depths[1]})" in info.small_note
    stated = info.small_note.replace("(ImageNet: ", "(").replace("wide ", "").replace("channels ", "")
    assert f" {widths[0]} ({widths[1]})" in stated
    assert depths[0] <= depths[1] / 2 + 2  # one more per stage where the depth is odd
    assert widths[0] <= widths[1] / 2


@pytest.mark.parametrize("name", sorted(name for name in MODELS if "vit" in name))
def test_small_transformers_cut_images_of_64_pixels_into_8_by_8_patches(name: str):
    small, full = on_meta(name, "small"), on_meta(name, "imagenet")
    assert small.features(small.encode(torch.rand(1, 3, 64, 64, device="meta"))).shape[2:] == (64 // 8, 64 // 8)
    assert full.features(full.encode(torch.rand(1, 3, 224, 224, device="meta"))).shape[2:] == (14, 14)


@pytest.mark.parametrize("name", TRAINED_SMALL)
def test_small_variants_that_are_trained_fit_six_megabytes_in_float16(name: str):
    # As the file holds them: matrices in float16, vectors in float32.
    sizes = [
        value.numel() * (2 if value.ndim >= 2 else 4) for value in on_meta(name, "small").state_dict().values()
    ]
    assert sum(sizes) <= 5_900_000


@pytest.mark.parametrize("name", ONE_PER_FAMILY)
def test_linear_summary_of_small_networks_is_complete(name: str):
    torch.manual_seed(0)
    model = model_info(f"bcos_{name}").build("small", 7).double()
    encoded = model.encode(torch.rand(2, 3, 64, 64, dtype=torch.float64))
    with torch.no_grad():  # running variances as after training, so that the signal does not fade
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model.train()(encoded)
    model.eval()
    targets = torch.tensor([[0, 3], [5, 6]])
    maps = contribution_map(linear_summary(model, encoded, targets), encoded[:, None])
    with torch.no_grad():
        evidence = model(encoded).gather(1, targets) - model.logit_bias
    explained = maps.sum((2, 3)) + model.position_term(encoded, targets)
    torch.testing.assert_close(explained, evidence, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["densenet121", "resnet18", "vgg11_bnu"])
def test_every_rectifier_of_a_relu_network_is_a_module(name: str, monkeypatch: pytest.MonkeyPatch):
    model = load_model(name, weights="random", dataset="shapes")
    inside = []
    plain = nn.ReLU.forward

    def counted(self, x):
        inside.append(True)
        try:
            return plain(self, x)
        finally:
            inside.pop()

    def only_in_modules(x, *_, **__):
        assert inside, "a rectifier is called outside its module"
        return x.clamp(min=0)

    monkeypatch.setattr(nn.ReLU, "forward", counted)
    monkeypatch.setattr(nn.functional, "relu", only_in_modules)
    model(model.encode(torch.rand(1, 3, 64, 64)))
