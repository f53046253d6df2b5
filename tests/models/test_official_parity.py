"""Our networks against the official implementation: keys, shapes, logits, contribution maps, colour images."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bcos_eval.bcos import colour_explanation, contribution_maps, linear_summary
from bcos_eval.metrics.grid_pg import grid_pointing_game
from bcos_eval.models import load_model

pytestmark = pytest.mark.data

ENTRIES = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d"]
GOLDEN = ["resnet18", "resnet50"]
# float32 on other hardware; the golden float32 and float64 runs differ by less than 1e-6.
TOLERANCE = 1e-5


def relative_error(ours: torch.Tensor, golden: np.ndarray) -> float:
    return float(np.abs(ours.numpy() - golden).max() / np.abs(golden).max())


@pytest.fixture(scope="module", params=GOLDEN)
def case(request, recipe: ModuleType, reference_dir: Path):
    model = load_model(f"bcos_{request.param}", weights="random")
    model.load_state_dict(recipe.fill(model.state_dict()))
    return model, np.load(reference_dir / "golden" / f"{request.param}.npz")


@pytest.mark.parametrize("entry", ENTRIES)
def test_state_dict_has_the_official_keys_in_order_with_their_shapes(entry: str, reference_dir: Path):
    inventory = json.loads((reference_dir / "state_dicts" / f"{entry}.json").read_text())
    state = load_model(f"bcos_{entry}", weights="random").state_dict()
    assert [(key, list(value.shape)) for key, value in state.items()] == list(inventory.items())


def test_logits_equal_the_official_ones(case, recipe: ModuleType):
    model, golden = case
    with torch.no_grad():
        logits = model(model.encode(recipe.image_batch(2)))
    assert relative_error(logits, golden["logits"]) <= TOLERANCE
    assert logits.argmax(1).tolist() == golden["predicted"].tolist()


def test_contribution_map_and_colour_image_equal_the_official_ones(case, recipe: ModuleType):
    model, golden = case
    encoded = model.encode(recipe.image_batch(2))
    weights = linear_summary(model, encoded, torch.from_numpy(golden["explained_class"])[:, None])
    maps = contribution_maps(weights, encoded)
    assert relative_error(F.avg_pool2d(maps, 8)[:, 0], golden["contribution_28"]) <= TOLERANCE
    rgba = torch.stack([colour_explanation(w[0], x) for w, x in zip(weights, encoded, strict=True)])
    assert relative_error(F.avg_pool2d(rgba, 8), golden["explanation_rgba_28"]) <= TOLERANCE


@pytest.mark.parametrize("n", [2, 3])
def test_grid_maps_and_scores_equal_the_official_ones(case, recipe: ModuleType, n: int):
    model, golden = case
    items = recipe.grid_items()
    side = recipe.GRID_CELL_SIZE
    for g, chosen in enumerate(golden[f"grid{n}_items"]):
        encoded = torch.zeros(1, 6, n * side, n * side)
        regions = torch.zeros(1, n * n, n * side, n * side, dtype=torch.bool)
        for cell, item in enumerate(chosen):
            rows = slice(cell % n * side, (cell % n + 1) * side)
            columns = slice(cell // n * side, (cell // n + 1) * side)
            encoded[0, :, rows, columns] = items[item][0]
            regions[0, cell, rows, columns] = True
        targets = torch.from_numpy(golden[f"grid{n}_targets"][g])[None]
        maps = contribution_maps(linear_summary(model, encoded, targets), encoded)
        pooled = F.avg_pool2d(maps, 8 if n == 2 else 16)[0]
        assert relative_error(pooled, golden[f"grid{n}_attributions"][g]) <= TOLERANCE
        for smoothing, name in ((1, "smooth0"), (15, "smooth15")):
            scores = grid_pointing_game(maps, regions, smoothing=smoothing)[0]
            assert relative_error(scores, golden[f"grid{n}_scores_{name}"][g]) <= TOLERANCE
