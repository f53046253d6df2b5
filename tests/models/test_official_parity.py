"""Our networks against stored outputs of the official implementation; see also `test_installed_official_code`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bcos_eval.bcos import colour_explanation, contribution_map, linear_summary
from bcos_eval.metrics.localisation.grid_pg import grid_pointing_game
from bcos_eval.models import Classifier, load_model

pytestmark = pytest.mark.data

# The 34 official entry points; "standard_" marks those that are not B-cos networks.
CNNS = [
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "vgg11_bnu",
    "convnext_tiny",
    "convnext_base",
    "convnext_tiny_bnu",
    "convnext_base_bnu",
    "densenet121_long",
    "resnet50_long",
    "resnet152_long",
]
VITS = [
    f"{standard}{architecture}"
    for standard in ("", "standard_")
    for architecture in (
        *(f"simple_vit_{size}_patch16_224" for size in ("ti", "s", "b", "l")),
        *(f"vitc_{size}_patch1_14" for size in ("ti", "s", "b", "l")),
    )
]
QUICK = ["resnet18", "simple_vit_ti_patch16_224", "vitc_ti_patch1_14"]
GOLDEN = [
    *QUICK,
    *(
        pytest.param(entry, marks=pytest.mark.slow)
        for entry in ("resnet50", "densenet121", "vgg11_bnu", "convnext_tiny", "convnext_tiny_bnu")
    ),
]
GRIDS = [
    pytest.param(entry, n, marks=pytest.mark.slow)
    for entry in ("resnet18", "resnet50", "densenet121", "convnext_tiny", *QUICK[1:])
    for n in ((2,) if "vit" in entry else (2, 3))
]
# float32 on other hardware; the golden float32 and float64 runs differ by less than 1e-6.
TOLERANCE = 1e-5


def our_name(entry: str) -> str:
    return entry.removeprefix("standard_") if entry.startswith("standard_") else f"bcos_{entry}"


def relative_error(ours: Tensor, golden: np.ndarray) -> float:
    return float(np.abs(ours.numpy() - golden).max() / np.abs(golden).max())


@cache
def filled(entry: str, recipe: ModuleType) -> Classifier:
    """Our network with the recipe's weights; kept, since filling takes longer than a forward pass."""
    model = load_model(our_name(entry), weights="random")
    model.load_state_dict(recipe.fill(model.state_dict()))
    return model


@pytest.fixture
def golden(request, recipe: ModuleType, reference_dir: Path):
    return filled(request.param, recipe), np.load(reference_dir / "golden" / f"{request.param}.npz")


@pytest.mark.parametrize("entry", CNNS + VITS)
def test_state_dict_has_the_official_keys_in_order_with_their_shapes(entry: str, reference_dir: Path):
    inventory = json.loads((reference_dir / "state_dicts" / f"{entry}.json").read_text())
    with torch.device("meta"):
        state = load_model(our_name(entry), weights="random", device="meta").state_dict()
    assert [(key, list(value.shape)) for key, value in state.items()] == list(inventory.items())


def test_every_official_entry_point_is_tested(reference_dir: Path):
    official = json.loads((reference_dir / "official_models.json").read_text())["models"]
    assert set(CNNS + VITS) == set(official)


@pytest.mark.parametrize("golden", [*GOLDEN, "standard_vitc_ti_patch1_14"], indirect=True)
def test_logits_equal_the_official_ones(golden, recipe: ModuleType):
    model, expected = golden
    with torch.no_grad():
        logits = model(model.encode(recipe.image_batch(2)))
    assert relative_error(logits, expected["logits"]) <= TOLERANCE
    assert logits.argmax(1).tolist() == expected["predicted"].tolist()


@pytest.mark.parametrize("golden", GOLDEN, indirect=True)
def test_map_and_colour_image_equal_the_official_ones_and_with_the_position_term_the_logit(
    golden, recipe: ModuleType
):
    model, expected = golden
    encoded = model.encode(recipe.image_batch(2))
    targets = torch.from_numpy(expected["explained_class"])[:, None]
    weights = linear_summary(model, encoded, targets)
    maps = contribution_map(weights, encoded[:, None])
    assert relative_error(F.avg_pool2d(maps, 8)[:, 0], expected["contribution_28"]) <= TOLERANCE
    rgba = torch.stack([colour_explanation(w[0], x) for w, x in zip(weights, encoded, strict=True)])
    assert relative_error(F.avg_pool2d(rgba, 8), expected["explanation_rgba_28"]) <= TOLERANCE
    explained = maps.double().sum((2, 3)) + model.position_term(encoded, targets) + model.logit_bias
    logits = torch.from_numpy(expected["logits_f64"]).gather(1, targets)
    torch.testing.assert_close(explained, logits, rtol=TOLERANCE, atol=0)


@pytest.mark.parametrize(("golden", "n"), GRIDS, indirect=["golden"])
def test_grid_maps_and_scores_equal_the_official_ones(golden, recipe: ModuleType, n: int):
    model, expected = golden
    items = recipe.grid_items()
    side = recipe.GRID_CELL_SIZE
    for g, chosen in enumerate(expected[f"grid{n}_items"]):
        encoded = torch.zeros(1, 6, n * side, n * side)
        regions = torch.zeros(1, n * n, n * side, n * side, dtype=torch.bool)
        for cell, item in enumerate(chosen):
            rows = slice(cell % n * side, (cell % n + 1) * side)
            columns = slice(cell // n * side, (cell // n + 1) * side)
            encoded[0, :, rows, columns] = items[item][0]
            regions[0, cell, rows, columns] = True
        targets = torch.from_numpy(expected[f"grid{n}_targets"][g])[None]
        maps = contribution_map(linear_summary(model, encoded, targets), encoded[:, None])
        pooled = F.avg_pool2d(maps, 8 if n == 2 else 16)[0]
        assert relative_error(pooled, expected[f"grid{n}_attributions"][g]) <= TOLERANCE
        for smoothing, name in ((1, "smooth0"), (15, "smooth15")):
            scores = grid_pointing_game(maps, regions, smoothing=smoothing)[0]
            assert relative_error(scores, expected[f"grid{n}_scores_{name}"][g]) <= TOLERANCE
