from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from bcos_eval import evaluate
from bcos_eval.data import ArrayDataset
from bcos_eval.errors import InputError

PARAMS = {"grid_pg.n": 2}


class Mine(nn.Module):
    """A user's network: it knows nothing of the suite."""

    def __init__(self, toy):
        super().__init__()
        self.weight, self.bias = toy.weight, toy.bias

    def forward(self, images):
        return nn.functional.conv2d(images, self.weight).mean((2, 3)) + self.bias


def test_ones_own_module_scores_as_the_same_network_of_the_suite(toy_network, toy_dataset):
    toy = toy_network(is_bcos=False)
    asked = {"metrics": ("grid_pg", "pixel_perturbation"), "methods": "ixg", "n_samples": 6, "params": PARAMS}
    suite = evaluate(toy, dataset=toy_dataset(), **asked)
    mine = evaluate(
        {"mine": Mine(toy)},
        dataset=toy_dataset(),
        encode=lambda images: images,
        probability="softmax",
        **asked,
    )
    columns = ["metric", "stimulus", "target", "unit", "score", "status"]
    pd.testing.assert_frame_equal(mine.units[columns], suite.units[columns])
    assert set(mine.leaderboard["model"]) == {"mine"}
    assert set(suite.leaderboard["model"]) == {"toy"}


def test_changed_weights_are_not_mistaken_for_the_stored_ones(toy_network, toy_dataset, tmp_path):
    toy = toy_network(is_bcos=False)
    asked = {"metrics": "energy_pg", "methods": "ixg", "dataset": toy_dataset(), "n_samples": 6, "out": tmp_path}
    before = evaluate(toy, **asked)
    with torch.no_grad():
        toy.weight[:, 0] *= -1
    after = evaluate(toy, **asked)
    assert before.leaderboard["weights"].item() != after.leaderboard["weights"].item()
    assert before.leaderboard["mean"].item() != after.leaderboard["mean"].item()


def test_what_a_plain_module_does_not_say_is_assumed_with_a_note(toy_network, toy_dataset):
    found = evaluate(
        Mine(toy_network(is_bcos=False)), "energy_pg", "ixg", dataset=toy_dataset(), n_samples=6, seed=np.int64(0)
    )
    assert found.notes == (
        "Mine has no encode(images); it is shown images in [0, 1] as they are.",
        "Mine has no probability(logits); softmax is taken.",
    )
    assert found.leaderboard["n"].tolist() == [6]


def test_an_unknown_name_is_refused_with_near_matches(toy_dataset):
    with pytest.raises(ValueError, match=r"^unknown model 'bcos_resnet51'; did you mean bcos_resnet50 or "):
        evaluate("bcos_resnet51", "energy_pg", dataset=toy_dataset())


def test_results_are_kept_where_asked(toy_network, toy_dataset, tmp_path):
    evaluate(toy_network(), "energy_pg", dataset=toy_dataset(), n_samples=6, out=tmp_path / "mine")
    assert (tmp_path / "mine" / "manifest.json").is_file()


@pytest.mark.parametrize("as_numpy", [False, True])
def test_tensors_and_arrays_score_as_the_dataset_they_come_from(toy_network, toy_dataset, as_numpy):
    toy, dataset = toy_network(is_bcos=False), toy_dataset()
    samples = [dataset[index] for index in range(len(dataset))]
    arrays = (
        torch.stack([sample.image for sample in samples]),
        torch.tensor([sample.label for sample in samples]),
        torch.stack([sample.region for sample in samples]),
    )
    given = tuple(array.numpy() for array in arrays) if as_numpy else arrays
    asked = {"metrics": "energy_pg", "methods": "ixg", "n_samples": 6}
    scores = evaluate(toy, dataset=given, **asked).units["score"]
    pd.testing.assert_series_equal(scores, evaluate(toy, dataset=dataset, **asked).units["score"])


def test_tuples_of_another_length_are_refused(toy_network):
    message = r"^dataset has 1 entries; give \(images, labels\) or \(images, labels, masks\)\.$"
    with pytest.raises(InputError, match=message):
        evaluate(toy_network(is_bcos=False), metrics="energy_pg", methods="ixg", dataset=(torch.rand(1, 3, 8, 8),))


def part_of(names):
    """Images of seven classes, the last three without any."""
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return ArrayDataset(images, [2, 0, 1, 2], torch.ones(4, 16, 16), class_names=[*names, "d", "e", "f", "g"])


def test_a_network_of_some_of_the_classes_is_evaluated_on_their_images_with_a_note(toy_network):
    toy = toy_network(is_bcos=False)
    toy.class_names = ("n02012849", "tench", "d", "e", "f", "g")
    dataset = part_of(["n01440764", "cat", "crane bird"])
    result = evaluate(toy, "energy_pg", "ixg", dataset=dataset, n_samples=9)
    images = result.units.sort_values("sample_id")
    assert list(images["sample_id"]) == ["000000", "000001", "000003"]
    assert list(images["target"]) == [0, 1, 0]
    assert result.notes[0] == (
        "model 'toy' knows 6 of the 7 classes of dataset 'arrays': it is evaluated on 3 of the 4 images of "
        "dataset 'arrays', those of its classes."
    )


def test_networks_that_know_different_parts_of_the_classes_are_not_shown_different_images(toy_network):
    networks = {"ab": toy_network(is_bcos=False), "bc": toy_network(is_bcos=False)}
    for names, toy in networks.items():
        toy.class_names = (*names, "d", "e", "f", "g")
    with pytest.raises(InputError) as caught:
        evaluate(networks, "energy_pg", "ixg", dataset=part_of("abc"), n_samples=3)
    assert str(caught.value) == (
        "model 'bc' knows the classes of 3 of the 4 images of dataset 'arrays', other models of the run those of "
        "others; choose a dataset whose classes they all know, or evaluate them in runs of their own."
    )
