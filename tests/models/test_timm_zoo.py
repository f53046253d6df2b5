"""Timm's networks by name, against timm's own forward passes and its own preprocessing."""

from __future__ import annotations

import re

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import bcos_eval
from bcos_eval.cli.main import main
from bcos_eval.data.image_file import to_tensor
from bcos_eval.data.transform import EvaluationTransform
from bcos_eval.errors import InputError
from bcos_eval.models import load_model, model_info, timm_zoo
from bcos_eval.models.classifier import Classifier

timm = pytest.importorskip("timm", reason="timm is not installed")

# A ConvNeXt, an EfficientNet, a Swin (channels last), a mixer (tokens with places) and two ViTs (a token without).
SPLIT = ["convnext_atto", "efficientnet_b0", "swin_tiny_patch4_window7_224", "mixer_s32_224"]
TRANSFORMERS = ["vit_tiny_patch16_224", "deit3_small_patch16_224"]


def network(name: str) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model_info(f"timm:{name}").build("imagenet", 11).eval().requires_grad_(False)


def randomised(model: Classifier) -> Classifier:
    """Fresh networks of timm may begin as constants: weights that say something instead."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
    return model


@pytest.mark.parametrize("name", [*SPLIT, *TRANSFORMERS])
def test_logits_are_timm_s_and_maps_say_something(name):
    model = randomised(network(name))
    images = torch.rand(1, 3, model.input_size, model.input_size, generator=torch.Generator().manual_seed(1))
    encoded = model.encode(images)
    logits = model(encoded)
    assert logits.shape == (1, 11)
    torch.testing.assert_close(logits, model.network(encoded), rtol=0, atol=1e-6)
    maps = bcos_eval.explain(model, images, torch.tensor([[0, 10]]), method="gradcam")
    assert maps.shape == (1, 2, *images.shape[-2:])
    assert maps.isfinite().all()
    assert (maps != 0).any()
    assert bcos_eval.explain(model, images, torch.tensor([[3]]), method="grad").abs().sum() > 0


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_attention_fused_by_timm_has_rules(name):
    model = randomised(network(name))
    images = torch.rand(1, 3, model.input_size, model.input_size, generator=torch.Generator().manual_seed(1))
    maps = bcos_eval.explain(model, images, torch.tensor([[0, 10]]), method="attnlrp")
    assert maps.isfinite().all()
    assert not torch.equal(maps[0, 0], maps[0, 1])


@pytest.mark.parametrize("name", SPLIT)
def test_features_are_the_last_map_with_positions(name):
    """A change of one corner of the features changes nothing else of them, and the head sees all places alike."""
    model = randomised(network(name))
    encoded = model.encode(torch.rand(1, 3, model.input_size, model.input_size))
    features = model.features(encoded)
    width = model.network.num_features
    assert features.shape[:2] == (1, width)
    assert features.shape[2] == features.shape[3] > 1
    flipped = model.head(features.flip(2, 3))
    # The heads of these networks pool over all places: mirrored features give the same logits.
    torch.testing.assert_close(flipped, model.head(features), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_tokens_go_to_their_grid_and_back(name):
    model = network(name)
    tokens = torch.rand(2, 1 + 14 * 14, 5)
    as_map = model.to_map(tokens)
    assert torch.equal(as_map[:, :, 3, 4], tokens[:, 1 + 3 * 14 + 4])
    assert torch.equal(model.from_map(as_map, tokens), tokens)


def test_registers_have_no_place():
    """A ViT with four registers beside the class token: five tokens come before those with places."""
    model = network("vit_small_patch14_reg4_dinov2")
    assert model.feature_layer
    tokens = torch.rand(1, 5 + 16, 3)
    assert torch.equal(model.to_map(tokens)[:, :, 0, 0], tokens[:, 5])
    assert torch.equal(model.from_map(model.to_map(tokens), tokens), tokens)


@pytest.mark.parametrize(
    "name", ["convnext_tiny", "swin_tiny_patch4_window7_224", "efficientnet_b0", "vit_base_patch16_224"]
)
def test_preprocessing_is_that_of_timm_s_weights(name):
    with torch.device("meta"):
        theirs = timm.create_model(name)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(theirs), is_training=False)
    with torch.device("meta"):
        preprocessing = model_info(f"timm:{name}").build("imagenet", 2).preprocessing
    model = Classifier(is_bcos=False, num_classes=2, preprocessing=preprocessing)
    pixels = torch.randint(0, 256, (480, 640, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    picture = Image.fromarray(pixels.numpy())
    ours = model.encode(to_tensor(EvaluationTransform.for_network(model).image(picture))[None])[0]
    torch.testing.assert_close(ours, transform(picture), rtol=0, atol=1e-5)


def test_weights_load_from_timm_s_keys(tmp_path):
    theirs = timm.create_model("convnext_atto", num_classes=1000).eval()
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    model = load_model("timm:convnext_atto", weights=tmp_path / "weights.safetensors")
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), theirs(x))
    assert model.class_names[0] == "tench"


def test_pretrained_weights_are_timm_s_own(monkeypatch):
    asked = []
    create = timm.create_model

    def without_network(name, **options):
        asked.append(options.pop("pretrained", False))
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", without_network)
    model = load_model("timm:convnext_atto", dataset="imagenet")
    assert True in asked
    assert model.num_classes == len(model.class_names) == 1000
    assert re.fullmatch("[0-9a-f]{16}", model.weights_id)


def test_weights_that_cannot_be_fetched_are_said(monkeypatch):
    def refuse(name, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(InputError) as caught:
        load_model("timm:convnext_atto", dataset="imagenet")
    assert str(caught.value) == (
        "timm cannot give weights for 'timm:convnext_atto' (no route to host); pass --weights with a .pth or "
        ".safetensors file, or 'random'."
    )


def test_unknown_names_get_near_matches():
    with pytest.raises(InputError, match=r"^unknown model 'timm:convnext_ato'; did you mean .*timm:convnext_atto"):
        model_info("timm:convnext_ato")


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(timm_zoo, "find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        model_info("timm:convnext_atto")
    assert str(caught.value) == (
        "model 'timm:convnext_atto' needs timm; install it with `pip install 'bcos-eval[timm]'`."
    )
    assert timm_zoo.timm_names() == ()


def test_all_models_of_timm_are_listed_when_asked_for(capsys):
    with pytest.raises(SystemExit):
        main(["list", "models", "--all"])
    out, err = capsys.readouterr()
    assert "timm:convnext_tiny" in out
    assert "timm:NAME is timm's" in err
