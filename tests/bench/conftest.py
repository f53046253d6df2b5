"""Small networks and a small grid that the benchmark's tests share."""

from __future__ import annotations

import pytest

from bcos_eval.bench.case import distinct_targets, scene_grid, scenes
from bcos_eval.bench.explainer_suite import Effort, Scene
from bcos_eval.bench.random_weights import condition
from bcos_eval.models import load_model


@pytest.fixture(scope="session")
def image():
    return scene_grid(2, 32, seed=0)


@pytest.fixture(scope="session")
def networks():
    models = [load_model(name, "random", "shapes") for name in ("bcos_resnet18", "resnet18")]
    for model in models:
        condition(model, model.encode(scenes(8, 64, seed=0)))
    return models


@pytest.fixture(scope="session")
def scene(image, networks):
    return Scene(networks, image, distinct_targets(3, 8, seed=0), seed=0)


@pytest.fixture
def effort():
    return Effort(repeats=1, steps=2, samples=6, extrapolate=False)
