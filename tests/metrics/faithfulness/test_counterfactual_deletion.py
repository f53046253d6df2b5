"""Counterfactual deletion on rendered scenes and on toys whose answer is known."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from scipy import stats

from bcos_eval.contract.stimulus import Counterfactuals
from bcos_eval.data import load_dataset
from bcos_eval.metrics import DEFAULT_PRESETS, Status, get_metric, partial_rank_correlation
from bcos_eval.metrics.faithfulness.counterfactual_deletion import own_pixels, wasted_share

PARTIAL, PLAIN, WASTED = (
    f"counterfactual_deletion/{preset}" for preset in ("partial_spearman", "spearman", "wasted")
)
N_SCENES = 6


@pytest.fixture(scope="module")
def dataset():
    return load_dataset("shapes")


class Indicators:
    """A network that is linear in which parts of a scene are there, and sees nothing else."""

    def __init__(self, image, parts, weights):
        self.known = torch.cat([image[None], parts.images])
        self.present = torch.cat([torch.ones(1, len(weights)), 1 - torch.eye(len(weights))]).double()
        self.weights = weights

    def encode(self, images):
        return images

    def logits(self, encoded):
        which = [int((self.known == picture).flatten(1).all(1).nonzero()[0]) for picture in encoded]
        logit = self.present[which] @ self.weights
        return torch.stack([logit, -logit], dim=1)

    def probability(self, logits):
        raise NotImplementedError


def _scene(dataset, index, weights=None):
    """Image, its parts, a network that is linear in them, and the map that explains it."""
    image, parts = dataset[index].image, dataset.counterfactuals(index)
    # As the metric shares overlaps, so that every test below knows the pixels of a part.
    pixels = own_pixels(image, parts)
    kept = pixels.flatten(1).any(1)
    parts = Counterfactuals(parts.images[kept], pixels[kept])
    generator = torch.Generator().manual_seed(index)
    n_parts = len(parts.regions)
    weights = torch.randn(n_parts, generator=generator, dtype=torch.float64) if weights is None else weights(parts)
    sizes = parts.regions.flatten(1).sum(1)
    exact = torch.einsum("r,rhw->hw", weights / sizes, parts.regions.double())
    return image[None], parts, Indicators(image, parts, weights), exact[None, None]


@pytest.mark.parametrize("index", range(N_SCENES))
def test_a_pixel_of_several_regions_belongs_to_the_part_that_changes_it_most(index, dataset):
    """In loops, on the bytes."""
    image, parts = dataset[index].image, dataset.counterfactuals(index)
    pixels = own_pixels(image, parts)
    levels, without = (255 * image).round().long(), (255 * parts.images).round().long()
    assert (parts.regions.sum(0) > 1).any()
    for row, column in np.random.default_rng(index).integers(0, 64, (200, 2)):
        changes = (without[:, :, row, column] - levels[:, row, column]).abs().sum(1)
        owner = [int(changes.argmax())] if changes.any() else []
        assert pixels[:, row, column].nonzero().flatten().tolist() == owner


def test_disjoint_regions_keep_their_pixels_even_where_the_picture_is_the_same():
    regions = torch.zeros(2, 4, 4, dtype=torch.bool)
    regions[0, :2] = regions[1, 2:] = True
    assert torch.equal(
        own_pixels(torch.zeros(3, 4, 4), Counterfactuals(torch.zeros(2, 3, 4, 4), regions)), regions
    )


@pytest.mark.parametrize("index", range(N_SCENES))
@pytest.mark.parametrize("key", [PARTIAL, PLAIN])
def test_a_network_that_is_linear_in_the_parts_is_explained_perfectly_by_its_weights(key, index, dataset, score):
    images, parts, model, exact = _scene(dataset, index)
    scored = score(key, exact, images=images, predict=model, counterfactuals=[parts])
    assert scored.values.item() == pytest.approx(1, abs=1e-9)
    negated = score(key, -exact, images=images, predict=model, counterfactuals=[parts])
    assert negated.values.item() == pytest.approx(-1, abs=1e-9)


def test_the_weights_of_a_linear_network_waste_nothing_and_their_complement_everything(dataset, score):
    # Every second part counts for nothing.
    images, parts, model, exact = _scene(dataset, 0, lambda parts: (torch.arange(len(parts.regions)) % 2).double())
    scored = score(WASTED, exact, images=images, predict=model, counterfactuals=[parts])
    idle = parts.regions[::2].any(0)
    assert scored.values.item() == 0
    held = parts.regions.any(0)
    assert scored.chance.item() == pytest.approx((idle.sum() / held.sum()).item(), abs=1e-7)
    other = score(WASTED, idle.double()[None, None], images=images, predict=model, counterfactuals=[parts])
    assert other.values.item() == 1


@pytest.mark.parametrize(("share", "waste"), [(0.0099, 1.0), (0.0101, 0.0)])
def test_a_part_is_idle_up_to_a_hundredth_of_the_largest_change(share, waste, dataset, score):
    def weights(parts):
        values = torch.full((len(parts.regions),), share, dtype=torch.float64)
        values[-1] = -1
        return values

    images, parts, model, _ = _scene(dataset, 1, weights)
    maps = parts.regions[:-1].any(0).double()[None, None]
    scored = score(WASTED, maps, images=images, predict=model, counterfactuals=[parts])
    assert scored.values.item() == waste


def test_scores_equal_loops_over_the_parts(dataset, score):
    images, parts, model, _ = _scene(dataset, 2)
    maps = torch.randn(1, 2, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([[0, 1]])
    plain = score(
        PLAIN, maps, images=images, targets=targets, predict=model, counterfactuals=[parts], batch_size=4
    )
    partial = score(PARTIAL, maps, images=images, targets=targets, predict=model, counterfactuals=[parts])
    sizes = [int(region.sum()) for region in parts.regions]
    for k in range(2):
        drops, masses = [], []
        for picture, region in zip(parts.images, parts.regions, strict=True):
            drops.append(float(model.logits(images)[0, k] - model.logits(picture[None])[0, k]))
            masses.append(float(maps[0, k][region].sum()))
        assert plain.values[0, k].item() == pytest.approx(stats.spearmanr(masses, drops)[0], abs=1e-9)
        assert plain.chance[0, k].item() == pytest.approx(stats.spearmanr(sizes, drops)[0], abs=1e-9)
        r = np.corrcoef([stats.rankdata(values) for values in (masses, drops, sizes)])
        expected = (r[0, 1] - r[0, 2] * r[1, 2]) / math.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
        assert partial.values[0, k].item() == pytest.approx(expected, abs=1e-9)
    assert partial.chance.tolist() == [[0, 0]]


def test_positive_noise_scores_its_chance_level_on_average(dataset, score):
    excess = {PARTIAL: [], PLAIN: [], WASTED: []}
    generator = torch.Generator().manual_seed(0)

    def larger_counts_more(parts):
        factors = torch.rand(len(parts.regions), generator=generator, dtype=torch.float64) ** 2
        return parts.regions.flatten(1).sum(1) * factors

    for index in range(16):
        images, parts, model, _ = _scene(dataset, index, larger_counts_more)
        maps = torch.rand(1, 30, 64, 64, generator=generator)
        targets = torch.zeros(1, 30, dtype=torch.int64)
        for key, values in excess.items():
            scored = score(key, maps, images=images, targets=targets, predict=model, counterfactuals=[parts])
            values.append((scored.values - scored.chance).nanmean())
    for values in excess.values():
        mean, error = torch.stack(values).mean(), torch.stack(values).std() / math.sqrt(len(values))
        assert abs(mean) < 4 * error
    # Sizes alone would score far above.
    assert torch.stack(excess[PARTIAL]).mean().abs() < 0.05


def test_a_uniform_map_scores_the_chance_level_and_is_undefined_given_the_sizes(dataset, score):
    images, parts, model, _ = _scene(dataset, 3)
    uniform = torch.ones(1, 1, 64, 64)
    given = {"images": images, "predict": model, "counterfactuals": [parts]}
    for key in (PLAIN, WASTED):
        scored = score(key, uniform, **given)
        torch.testing.assert_close(scored.values, scored.chance, rtol=0, atol=1e-9)
        assert scored.status == ((Status.CONSTANT_MAP,),)
    assert math.isnan(score(PARTIAL, uniform, **given).values.item())
    assert score(PARTIAL, uniform, **given).status == ((Status.CONSTANT_MAP,),)


def test_a_network_that_ignores_the_scene_has_no_order_and_wastes_all(dataset, score):
    images, parts, model, _ = _scene(
        dataset, 4, lambda parts: torch.zeros(len(parts.regions), dtype=torch.float64)
    )
    maps = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    given = {"images": images, "predict": model, "counterfactuals": [parts]}
    for key in (PARTIAL, PLAIN):
        scored = score(key, maps, **given)
        assert math.isnan(scored.values.item())
        assert scored.status == ((Status.CONSTANT_MAP,),)
    assert score(WASTED, maps, **given).values.item() == 1
    assert score(WASTED, maps, **given).chance.item() == 1


def test_a_map_without_positive_entries_wastes_no_share(dataset, score):
    images, parts, model, _ = _scene(dataset, 5)
    maps = -torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    scored = score(WASTED, maps, images=images, predict=model, counterfactuals=[parts])
    assert math.isnan(scored.values.item())
    assert scored.status == ((Status.ZERO_MAP,),)


def test_the_known_share_of_four_pixels():
    maps = torch.tensor([[3.0, 1.0], [-5.0, 4.0]])
    assert wasted_share(maps, torch.tensor([[False, True], [True, False]])).item() == 1 / 8
    assert math.isnan(wasted_share(-maps.abs(), torch.ones(2, 2, dtype=torch.bool)).item())


def test_a_third_variable_without_order_leaves_the_plain_correlation():
    first, second = torch.tensor([3.0, 1.0, 4.0, 1.5]), torch.tensor([0.2, 0.1, 0.5, -0.1])
    assert partial_rank_correlation(first, second, torch.ones(4)).item() == pytest.approx(0.8, abs=1e-9)


def test_what_the_third_variable_explains_is_no_correlation():
    sizes = torch.tensor([5.0, 1.0, 3.0, 8.0, 2.0])
    other = torch.tensor([1.0, 2.0, 3.0, 5.0, 4.0])
    assert math.isnan(partial_rank_correlation(2 * sizes, other, sizes).item())
    assert math.isnan(partial_rank_correlation(other, sizes.sqrt(), sizes).item())


def test_the_passes_are_shared_by_all_presets_and_hold_the_batch_size(dataset, score):
    images, parts, model, exact = _scene(dataset, 0)
    asked, known = [], {}

    class Remembering(Indicators):
        def remembered(self, key, make):
            if key not in known:
                known[key] = make()
            return known[key]

        def logits(self, encoded):
            asked.append(len(encoded))
            return super().logits(encoded)

    model = Remembering(images[0], parts, model.weights)
    for key in (PARTIAL, PLAIN, WASTED):
        score(key, exact, images=images, predict=model, counterfactuals=[parts], batch_size=7)
    assert sum(asked) == 1 + len(parts.images)
    assert max(asked) == 7


def test_a_batch_size_below_one_is_refused(score):
    message = "counterfactual_deletion/partial_spearman.batch_size=0 is not allowed; use 1 or more"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("counterfactual_deletion", torch.ones(1, 1, 8, 8), batch_size=0)


def test_scenes_without_their_parts_are_demanded():
    maps = torch.ones(2, 1, 8, 8)
    message = (
        "1 counterfactuals for 2 images; 'counterfactual_deletion/wasted' compares with scenes that lack a part: "
        "pass counterfactuals=…, one entry per image."
    )
    parts = Counterfactuals(torch.zeros(1, 3, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        get_metric(WASTED).score(
            maps,
            torch.zeros(2, 3, 8, 8),
            torch.zeros(2, 1, dtype=torch.int64),
            torch.ones(2, 1, 8, 8, dtype=torch.bool),
            counterfactuals=[parts],
        )


def test_the_plain_name_is_the_correlation_that_sizes_do_not_explain():
    assert DEFAULT_PRESETS["counterfactual_deletion"] == "partial_spearman"
    assert get_metric(WASTED).info.direction == "lower"
