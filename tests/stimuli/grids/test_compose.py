from __future__ import annotations

import pytest
import torch

from bcos_eval.data.sample import Sample
from bcos_eval.stimuli.grids.compose import (
    cell_position,
    cell_regions,
    compose_grid,
    grid_stimuli,
    grid_stimulus,
    rescaled,
)


def random_samples(count, height=4, width=5):
    generator = torch.Generator().manual_seed(count)
    return [
        Sample(f"image{k}", torch.rand(3, height, width, generator=generator), label=10 + k) for k in range(count)
    ]


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("placement", ["row_major", "column_major"])
def test_each_image_lies_in_its_own_region(n, placement):
    samples = random_samples(n * n)
    stimulus = grid_stimulus("g", samples, placement=placement)
    assert stimulus.image.shape == (3, 4 * n, 5 * n)
    assert stimulus.regions.shape == (n * n, 4 * n, 5 * n)
    for k, sample in enumerate(samples):
        cell = stimulus.image[:, stimulus.regions[k]].reshape(3, 4, 5)
        assert torch.equal(cell, sample.image)
        assert stimulus.targets[k] == sample.label
        assert stimulus.sample_ids[k] == sample.sample_id


@pytest.mark.parametrize("n", [2, 3])
def test_column_major_places_the_tth_image_at_row_t_mod_n(n):
    images = [torch.full((1, 1, 1), float(t)) for t in range(n * n)]
    grid = compose_grid(images, placement="column_major")[0]
    for t in range(n * n):
        assert grid[t % n, t // n] == t
        assert cell_position(t, n, "column_major") == (t % n, t // n)


@pytest.mark.parametrize("n", [2, 3])
def test_row_major_places_the_tth_image_at_row_t_div_n(n):
    images = [torch.full((1, 1, 1), float(t)) for t in range(n * n)]
    grid = compose_grid(images, placement="row_major")[0]
    for t in range(n * n):
        assert grid[t // n, t % n] == t
        assert cell_position(t, n, "row_major") == (t // n, t % n)


@pytest.mark.parametrize("placement", ["row_major", "column_major"])
def test_cells_tile_the_grid(placement):
    regions = cell_regions(3, 4, 5, placement=placement)
    assert (regions.sum(0) == 1).all()
    assert (regions.sum((1, 2)) == 20).all()


def test_stimuli_are_named_by_their_number():
    samples = random_samples(8)
    stimuli = list(grid_stimuli(samples, [(0, 1, 2, 3), (7, 6, 5, 4)], placement="column_major", first=3))
    assert [stimulus.stimulus_id for stimulus in stimuli] == ["grid2x2/000003", "grid2x2/000004"]
    assert stimuli[1].targets.tolist() == [17, 16, 15, 14]
    assert stimuli[1].targets.dtype == torch.int64


@pytest.mark.parametrize("count", [0, 3, 5])
def test_number_of_images_must_be_a_square(count):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        compose_grid([torch.zeros(3, 2, 2)] * count, placement="row_major")
    assert str(caught.value) == f"a grid of {count} images is not square; give 4, 9, 16, … images."


def test_images_must_have_one_shape():
    images = [torch.zeros(3, 2, 2)] * 3 + [torch.zeros(3, 2, 4)]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        compose_grid(images, placement="row_major")
    assert str(caught.value) == (
        "the images of a grid have the shapes [(3, 2, 2), (3, 2, 4)]; all must have the same."
    )


def test_rescaled_cells_average_blocks():
    image = torch.zeros(3, 8, 8)
    image[:, :, 4:] = 1
    region = torch.zeros(8, 8, dtype=torch.bool)
    region[:, 4:] = True
    small = rescaled(Sample("a", image, 0, region), 4)
    assert small.image.shape == (3, 4, 4)
    assert small.region is not None
    assert small.region.tolist() == [[False, False, True, True]] * 4
    assert small.image.mean().item() == pytest.approx(0.5, abs=1e-6)  # float32 interpolation weights
    assert rescaled(Sample("a", image, 0), 4).region is None
