from __future__ import annotations

import pytest
import torch

from bcos_eval.contract.plugins import metrics
from bcos_eval.errors import IncompatibleError, InputError
from bcos_eval.stimuli import Material, Unreadable, stimulus_kind
from bcos_eval.stimuli.grids.kind import GridKind
from bcos_eval.stimuli.mosaic import MosaicKind
from bcos_eval.stimuli.pool import Pool
from bcos_eval.stimuli.single import SingleKind


def pool_of(labels, probability=1.0, logit=1.0):
    n = len(labels)
    return Pool(torch.full((n,), logit), torch.ones(n, dtype=torch.bool), torch.full((n,), probability), {})


def made(kind, dataset, n_samples, pools=()):
    return kind.source(Material(dataset, n_samples, seed=0, pools=lambda: list(pools)))


@pytest.mark.parametrize("name", sorted(metrics()))
def test_every_metric_is_measured_on_a_kind_of_stimulus(name):
    info = metrics()[name].info
    kind = stimulus_kind(info, info.defaults)
    assert kind.name == info.stimulus


def test_metrics_with_the_same_parameters_share_stimuli():
    info = metrics()["grid_pg/bcos_v2"].info
    smoothed = stimulus_kind(info, {**info.defaults, "smoothing": 15})
    assert smoothed == stimulus_kind(info, info.defaults) == GridKind("bcos_v2", 3)
    assert stimulus_kind(info, {**info.defaults, "n": 2}) == GridKind("bcos_v2", 2)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n": 1}, "grid_pg.n=1 is not allowed; a grid has 2 or more cells per side."),
        (
            {"rule": "mine"},
            "grid_pg.rule=mine is not allowed; known: aloe, bcos_v2, bcos_v2_blockwise, "
            "how_to_probe, rao2022, rao2022_repeat_corners.",
        ),
    ],
)
def test_grids_that_cannot_be_made_are_refused(params, message):
    info = metrics()["grid_pg/bcos_v2"].info
    with pytest.raises(InputError) as caught:
        stimulus_kind(info, {**info.defaults, **params})
    assert str(caught.value) == message


def test_single_images_are_balanced_and_an_unreadable_one_keeps_its_place(toy_dataset):
    source = made(SingleKind(), toy_dataset(unreadable=(2,)), 8)
    entries = list(source.read(0, len(source)))
    assert len(entries) == len(source) == 8
    assert entries[2] == Unreadable("image_2.png", 2, "'image_2.png' is damaged; replace it.")
    assert [entry.targets.item() for entry in entries if entry != entries[2]] == [0, 1, 3, 4, 5, 0, 1]


def test_a_range_holds_the_same_stimuli_as_the_whole(toy_dataset):
    dataset = toy_dataset(n_per_class=12)
    for source in (
        made(SingleKind(), dataset, 9),
        made(GridKind("bcos_v2", 2), dataset, 9, [pool_of(dataset.labels)]),
    ):
        whole = [entry.stimulus_id for entry in source.read(0, len(source))]
        assert [entry.stimulus_id for entry in source.read(3, 5)] == whole[3:5]


def test_rules_give_different_grids(toy_dataset):
    dataset = toy_dataset(n_per_class=12)
    grids = {
        rule: made(GridKind(rule, 2), dataset, 9, [pool_of(dataset.labels)])
        for rule in ("bcos_v2", "bcos_v2_blockwise", "rao2022")
    }
    assert len({tuple(map(tuple, source.grids)) for source in grids.values()}) == 3
    assert [source.placement for source in grids.values()] == ["column_major", "column_major", "row_major"]


def test_the_rule_of_all_models_takes_only_images_that_all_are_sure_of(toy_dataset):
    dataset = toy_dataset(n_per_class=12)
    sure, unsure = pool_of(dataset.labels), pool_of(dataset.labels)
    unsure.label_probability[::2] = 0.5
    assert len(made(GridKind("rao2022", 2), dataset, 3, [sure, sure])) == 3
    with pytest.raises(IncompatibleError, match=r"^no 2×2 grid can be filled"):
        made(GridKind("rao2022", 2), dataset, 3, [sure, unsure])


def test_single_is_a_kind_without_a_rule():
    assert SingleKind().as_json() == {"name": "single", "rule": "", "n": 1}
    assert SingleKind().label == "single"
    assert GridKind("rao2022", 2).label == "grid2x2-rao2022"


def test_cells_of_how_to_probe_have_8_bits_and_those_of_other_rules_what_they_had(toy_dataset):
    dataset = toy_dataset(n_per_class=12)
    for rule, is_rounded in (("how_to_probe", True), ("rao2022", False), ("aloe", False)):
        (grid,) = made(GridKind(rule, 2), dataset, 1, [pool_of(dataset.labels)]).read(0, 1)
        steps = grid.image * 255
        assert torch.allclose(steps, steps.round(), atol=1e-4) == is_rounded


def test_how_to_probe_takes_a_probability_at_its_threshold_and_aloe_only_above(toy_dataset):
    dataset = toy_dataset(n_per_class=12)
    at_threshold = pool_of(dataset.labels, probability=0.95)
    assert len(made(GridKind("how_to_probe", 2), dataset, 3, [at_threshold])) == 3
    with pytest.raises(IncompatibleError, match=r"^no 2×2 grid can be filled"):
        made(GridKind("aloe", 2), dataset, 3, [at_threshold])


def test_a_rescaled_grid_has_the_size_of_one_image_and_the_cells_of_the_whole_grid(toy_dataset):
    dataset = toy_dataset(n_per_class=12)
    whole, small = (
        made(GridKind("bcos_v2", 2, view=view), dataset, 1, [pool_of(dataset.labels)])
        for view in ("plain", "rescaled")
    )
    (large_grid,), (small_grid,) = whole.read(0, 1), small.read(0, 1)
    assert small_grid.image.shape == dataset[0].image.shape
    assert torch.equal(small_grid.targets, large_grid.targets)
    assert torch.equal(small_grid.regions, large_grid.regions[:, ::2, ::2])


@pytest.mark.parametrize("view", ["difull", "dipart"])
def test_disconnected_cells_are_explained_in_the_corners_only(toy_dataset, view):
    dataset = toy_dataset(n_per_class=12)
    kind = GridKind("rao2022", 3, view=view)
    with pytest.raises(IncompatibleError, match=r"^no 3×3 grid can be filled"):
        made(kind, dataset, 1, [pool_of(dataset.labels)])
    (grid,) = made(GridKind("rao2022", 2, view=view), dataset, 1, [pool_of(dataset.labels)]).read(0, 1)
    side = dataset[0].image.shape[-1]
    assert grid.targets.shape == (2,)
    assert grid.regions[0, :side, :side].all()
    assert grid.regions[1, side:, side:].all()
    assert grid.regions.sum().item() == 2 * side * side


def test_a_mosaic_with_an_unreadable_image_keeps_its_place(toy_dataset):
    whole = list(made(MosaicKind(), toy_dataset(), 8).read(0, 8))
    damaged = list(made(MosaicKind(), toy_dataset(unreadable=tuple(range(6))), 8).read(0, 8))
    skipped = [isinstance(entry, Unreadable) for entry in damaged]
    assert any(skipped)
    assert not all(skipped)
    assert [entry.stimulus_id for entry in damaged] == [entry.stimulus_id for entry in whole]
