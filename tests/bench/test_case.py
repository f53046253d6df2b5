from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bcos_eval.bench.case import distinct_targets, network_for_bench, scene_grid, scenes
from bcos_eval.data import load_dataset
from bcos_eval.errors import InputError
from bcos_eval.models import load_model
from bcos_eval.seeding import derived_generator


def test_every_cell_of_the_grid_is_a_scene():
    image = scene_grid(2, 64, seed=3)
    assert image.shape == (1, 3, 128, 128)
    cells = F.unfold(image, 64, stride=64)[0].T.reshape(4, 3, 64, 64)
    assert torch.equal(cells, scenes(4, 64, seed=3))


def test_scenes_are_different_images_of_the_embedded_dataset():
    dataset = load_dataset("shapes")
    chosen = torch.randperm(len(dataset), generator=derived_generator(2, "bench scenes"))[:3].tolist()
    assert len(set(chosen)) == 3
    assert torch.equal(scenes(3, 64, seed=2), torch.stack([dataset[index].image for index in chosen]))


def test_more_scenes_than_there_are_are_refused():
    n_scenes = len(load_dataset("shapes"))
    message = rf"^the benchmark has {n_scenes} scenes and {n_scenes + 1} are wanted; give a smaller --n\.$"
    with pytest.raises(InputError, match=message):
        scenes(n_scenes + 1, 8, seed=0)


def test_the_seed_chooses_the_scenes():
    assert torch.equal(scene_grid(1, 32, seed=1), scene_grid(1, 32, seed=1))
    assert not torch.equal(scene_grid(1, 32, seed=1), scene_grid(1, 32, seed=2))


def test_given_weights_are_not_calibrated(tmp_path):
    network = load_model("resnet18", "random")
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    loaded = network_for_bench("resnet18", str(path), 32)
    assert torch.equal(loaded.bn1.running_var, network.bn1.running_var)


def test_targets_are_distinct_classes():
    targets = distinct_targets(9, 10, seed=0)
    assert targets.shape == (1, 9)
    assert len(set(targets[0].tolist())) == 9


def test_more_targets_than_classes_are_refused():
    with pytest.raises(InputError, match=r"^--targets 9 is not allowed: the model has 8 classes; give fewer\.$"):
        distinct_targets(9, 8, seed=0)
