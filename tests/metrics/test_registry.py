from __future__ import annotations

import itertools
import math
import re
from types import SimpleNamespace

import pytest
import torch

from bcos_eval.metrics import DEFAULT_PRESETS, METRICS, MetricInfo, Status, get_metric, register_metric

from .conftest import LinearSigmoid


def _info(name="grid_pg", preset="bcos_v2"):
    return MetricInfo(
        name=name,
        preset=preset,
        stimulus="grid",
        direction="higher",
        low=0.0,
        high=1.0,
        chance=None,
        source="a test",
    )


def test_a_plain_name_is_the_recommended_preset():
    assert get_metric("grid_pg") is get_metric("grid_pg/bcos_v2")
    assert get_metric("pointing_game").info.preset == "default"
    assert get_metric("pixel_perturbation").info.preset == "default"
    assert get_metric("relevance_mass").info.preset == "absolute"


def test_an_unknown_metric_is_answered_with_near_matches():
    message = "unknown metric 'grid_gp'; did you mean grid_pg"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        get_metric("grid_gp")


def test_an_unknown_metric_like_no_other_is_answered_with_the_command_that_lists_them():
    message = "unknown metric '42'; see `bcos-eval list metrics`."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        get_metric("42")


def test_a_key_cannot_be_registered_twice():
    message = "metric 'grid_pg/bcos_v2' is registered already; a different number needs another preset."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        register_metric(_info())


def test_a_name_recommends_one_preset():
    message = "metric 'grid_pg' already recommends preset 'bcos_v2'; recommend one only."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        register_metric(_info(preset="mine"), recommended=True)


def test_the_decorator_enters_the_function_and_returns_it(monkeypatch):
    monkeypatch.setattr("bcos_eval.contract.metric.METRICS", table := {})
    monkeypatch.setattr("bcos_eval.contract.metric.DEFAULT_PRESETS", presets := {})

    def function(batch):
        raise NotImplementedError

    assert register_metric(_info("new", "one"), recommended=True)(function) is function
    assert table["new/one"].info.name == "new"
    assert presets == {"new": "one"}


def test_an_unknown_parameter_is_refused_with_the_known_ones(map_v, score):
    message = "metric 'pointing_game/default' has no parameter 'radius'; it has: tolerance, ties"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("pointing_game", map_v, radius=3)


def test_a_parameter_of_the_wrong_type_is_refused(map_v, score):
    message = "grid_pg/bcos_v2.smoothing=15 is not allowed; it takes a value of type int"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("grid_pg", map_v, smoothing="15")


def test_a_whole_number_serves_as_a_float_parameter(map_v, score):
    assert score("pointing_game", map_v, tolerance=2).values.item() == 1


def test_regions_of_another_shape_are_refused(map_v, score):
    message = "regions have shape (1, 1, 2, 2), maps (1, 1, 4, 4); give one region per map."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("grid_pg", map_v, torch.ones(1, 1, 2, 2, dtype=torch.bool))


def test_maps_with_channels_are_refused(map_v, score):
    message = "maps have shape (4, 4); give (B, K, H, W), channels summed."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        get_metric("grid_pg").score(map_v[0, 0], map_v, map_v, map_v)


def test_regions_that_are_numbers_are_refused(map_v, score):
    message = "regions are torch.float64; give torch.bool, True inside."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("grid_pg", map_v, map_v)


def test_images_of_another_size_are_refused(map_v, score):
    message = "images have shape (1, 3, 8, 8); give (1, 3, 4, 4) for these maps."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("grid_pg", map_v, images=torch.zeros(1, 3, 8, 8))


def test_targets_of_another_number_are_refused(map_v, score):
    message = "targets have shape (1, 2); give (1, 1) for these maps."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("grid_pg", map_v, targets=torch.zeros(1, 2, dtype=torch.int64))


SIDE = 32  # large enough for the blur and for the 1000 pixels of the top-K intersection
CORNER = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
CORNER[..., :8, :9] = True


@pytest.mark.parametrize("key", sorted(METRICS))
class TestEveryMetric:
    def test_its_key_and_its_description_agree(self, key):
        info = METRICS[key].info
        assert info.key == key
        assert info.low < info.high
        assert info.source
        assert DEFAULT_PRESETS[info.name] in {k.split("/")[1] for k in METRICS if k.startswith(f"{info.name}/")}

    def test_a_map_with_a_hole_is_nonfinite_and_scores_nan(self, key, score, linear_sigmoid):
        predict = linear_sigmoid(torch.ones(3, SIDE, SIDE))
        for hole in (math.nan, math.inf, -math.inf):
            maps = torch.rand(1, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
            maps[0, 1, 3, 2] = hole
            regions = torch.zeros(1, 2, SIDE, SIDE, dtype=torch.bool)
            regions[..., :8, :9] = True
            images = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
            scored = score(key, maps, regions, images=images, predict=predict)
            assert scored.status == ((Status.OK, Status.NONFINITE),)
            assert scored.values[0].isnan().tolist() == [False, True]

    def test_scores_come_in_float64_on_the_cpu_and_within_the_range(self, key, score, linear_sigmoid):
        generator = torch.Generator().manual_seed(0)
        maps = torch.randn(3, 2, SIDE, SIDE, generator=generator)
        regions = torch.rand(3, 2, SIDE, SIDE, generator=generator) < 0.3
        images = torch.rand(3, 3, SIDE, SIDE, generator=generator)
        predict = linear_sigmoid(torch.randn(3, SIDE, SIDE, generator=generator) / 10)
        scored = score(key, maps, regions, images=images, predict=predict)
        info = METRICS[key].info
        assert scored.values.dtype == scored.chance.dtype == torch.float64
        assert scored.values.shape == scored.chance.shape == (3, 2)
        assert scored.status == ((Status.OK,) * 2,) * 3
        assert ((scored.values >= info.low) & (scored.values <= info.high)).all()
        assert scored.chance.isnan().all() == (info.chance is None)

    def test_a_batch_scores_as_its_units_one_by_one(self, key, score, linear_sigmoid):
        generator = torch.Generator().manual_seed(2)
        maps = torch.randn(2, 3, SIDE, SIDE, generator=generator)
        regions = torch.rand(2, 3, SIDE, SIDE, generator=generator) < 0.3
        images = torch.rand(2, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
        targets = torch.tensor([[0, 1, 0], [1, 1, 0]])
        predict = linear_sigmoid(torch.randn(3, SIDE, SIDE, generator=generator, dtype=torch.float64) / 10)
        together = score(key, maps, regions, images=images, targets=targets, predict=predict)
        for b in range(2):
            for k in range(3):
                alone = score(
                    key,
                    maps[b : b + 1, k : k + 1],
                    regions[b : b + 1, k : k + 1],
                    images=images[b : b + 1],
                    targets=targets[b : b + 1, k : k + 1],
                    predict=predict,
                )
                torch.testing.assert_close(alone.values[0, 0], together.values[b, k], rtol=0, atol=1e-9)

    def test_it_leaves_its_arguments_alone(self, key, score, linear_sigmoid):
        generator = torch.Generator().manual_seed(3)
        maps = torch.randn(1, 2, SIDE, SIDE, generator=generator, dtype=torch.float64)
        images = torch.rand(1, 3, SIDE, SIDE, generator=generator)
        regions = torch.rand(1, 2, SIDE, SIDE, generator=generator) < 0.3
        before = maps.clone(), images.clone(), regions.clone()
        score(key, maps, regions, images=images, predict=linear_sigmoid(torch.ones(3, SIDE, SIDE)))
        assert all(torch.equal(a, b) for a, b in zip(before, (maps, images, regions), strict=True))

    def test_positive_scaling_changes_nothing_where_it_is_claimed(self, key, score, linear_sigmoid):
        generator = torch.Generator().manual_seed(4)
        maps = torch.randn(2, 2, SIDE, SIDE, generator=generator, dtype=torch.float64)
        images = torch.rand(2, 3, SIDE, SIDE, generator=generator)
        regions = torch.rand(2, 2, SIDE, SIDE, generator=generator) < 0.3
        predict = linear_sigmoid(torch.ones(3, SIDE, SIDE) / 200)
        scores = [
            score(key, factor * maps, regions, images=images, predict=predict).values for factor in (1, 1e-3, 50)
        ]
        for scaled in scores[1:]:
            equal = torch.allclose(scaled, scores[0], rtol=0, atol=1e-9)
            assert equal == METRICS[key].info.scale_invariant

    def test_a_zero_map_is_marked(self, key, score, linear_sigmoid):
        predict = linear_sigmoid(torch.ones(3, SIDE, SIDE))
        scored = score(key, torch.zeros(1, 1, SIDE, SIDE), CORNER, predict=predict)
        assert scored.status == ((Status.ZERO_MAP,),)

    def test_a_constant_map_is_marked(self, key, score, linear_sigmoid):
        predict = linear_sigmoid(torch.ones(3, SIDE, SIDE))
        scored = score(key, torch.full((1, 1, SIDE, SIDE), 0.5), CORNER, predict=predict)
        assert scored.status == ((Status.CONSTANT_MAP,),)

    def test_its_model_is_demanded_where_needed(self, key, score):
        if "model" not in METRICS[key].info.needs:
            score(key, torch.ones(1, 1, SIDE, SIDE))
            return
        message = "no model was given; this metric runs it: pass an ExplainedModel as model=…"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            score(key, torch.ones(1, 1, SIDE, SIDE))

    def test_its_explainer_is_asked_only_where_it_declared_the_need(self, key, score, linear_sigmoid):
        model = linear_sigmoid(torch.ones(3, SIDE, SIDE))
        alone = SimpleNamespace(encode=model.encode, logits=model.logits, probability=model.probability)
        if "explainer" not in METRICS[key].info.needs:
            score(key, torch.ones(1, 1, SIDE, SIDE), predict=alone)
            return
        with pytest.raises(AttributeError):
            score(key, torch.ones(1, 1, SIDE, SIDE), predict=alone)

    def test_a_score_that_is_not_finite_is_never_ok(self, key, score):
        class Broken(LinearSigmoid):
            def logits(self, encoded):
                return super().logits(encoded) * math.nan

            def explain(self, images, targets):
                return super().explain(images, targets) * math.nan

        images = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
        maps = torch.randn(2, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(6))
        regions = torch.rand(2, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(7)) < 0.3
        scored = score(key, maps, regions, images=images, predict=Broken(torch.ones(3, SIDE, SIDE)))
        for value, status in zip(scored.values.flatten(), itertools.chain(*scored.status), strict=True):
            assert math.isfinite(value) == (status == Status.OK)
        needs_finite = set(METRICS[key].info.needs) & {"model", "explainer"}
        # Whether the target has the largest of NaN probabilities is false, and no NaN.
        assert scored.values.isfinite().all() == (not needs_finite or key == "road/accuracy")
