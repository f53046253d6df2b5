from __future__ import annotations

import re
import weakref

import pytest
import torch

from bcos_eval.metrics.faithfulness.perturbation import Perturbation, normalised_area, perturbation_curves


def _class_of_sum(pictures):
    """Two classes: the sum of the picture and its negative."""
    total = pictures.flatten(1).sum(1)
    return torch.stack([total, -total], dim=1)


def _example():
    generator = torch.Generator().manual_seed(0)
    start, end = (torch.rand(2, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    order = torch.stack([torch.randperm(20, generator=generator) for _ in range(6)]).reshape(2, 3, 20)
    return Perturbation(start, end, order, (0, 1, 7, 20)), torch.tensor([[0, 1, 0], [1, 1, 0]])


def test_the_curve_equals_replacing_one_pixel_after_the_other():
    example, targets = _example()
    curves = perturbation_curves(example, targets, probability=_class_of_sum, batch_size=5)
    for b in range(2):
        for k in range(3):
            picture, values = example.start[b].clone(), []
            for step in range(21):
                if step in example.counts:
                    values.append(_class_of_sum(picture[None])[0, targets[b, k]])
                if step < 20:
                    i, j = divmod(int(example.order[b, k, step]), 5)
                    picture[:, i, j] = example.end[b, :, i, j]
            torch.testing.assert_close(curves[b, k], torch.stack(values), rtol=0, atol=1e-9)


def test_the_ends_of_the_curve_are_the_two_pictures_untouched():
    example, targets = _example()
    seen = []
    curves = perturbation_curves(
        example, targets, probability=lambda frames: seen.append(frames) or _class_of_sum(frames), batch_size=64
    )
    for b in range(2):
        for point, picture in ((0, example.start[b]), (-1, example.end[b])):
            assert sum(len(frames) == 1 and torch.equal(frames[0], picture) for frames in seen) == 3
            assert torch.equal(curves[b, :, point], _class_of_sum(picture[None])[0, targets[b]])


class Recorder:
    """A memory, and a model that is asked through it."""

    def __init__(self):
        self.results, self.n_pictures = {}, 0

    def remember(self, key, make):
        if key not in self.results:
            self.results[key] = make()
        return self.results[key]

    def probability(self, frames):
        self.n_pictures += len(frames)
        return _class_of_sum(frames)


def test_curves_with_a_memory_are_those_without_to_the_last_bit():
    example, targets = _example()
    model = Recorder()
    plain = perturbation_curves(example, targets, probability=_class_of_sum, batch_size=2)
    for _ in range(2):
        curves = perturbation_curves(
            example, targets, probability=model.probability, batch_size=2, remember=model.remember
        )
        assert torch.equal(curves, plain)
    # Two pictures between the ends on six curves, and two ends of two images.
    assert model.n_pictures == 6 * 2 + 2 * 2


def test_a_curve_and_its_reverse_share_every_pass_and_every_bit():
    example, targets = _example()
    counts = (0, 5, 15, 20)
    deletion = Perturbation(example.start, example.end, example.order, counts)
    insertion = Perturbation(example.end, example.start, example.order.flip(-1), counts)
    model = Recorder()
    ways = [
        perturbation_curves(way, targets, probability=model.probability, batch_size=9, remember=model.remember)
        for way in (deletion, insertion)
    ]
    assert torch.equal(ways[0], ways[1].flip(-1))
    assert model.n_pictures == 6 * 2 + 2 * 2


def test_what_two_pictures_have_in_common_is_all_that_they_share():
    example, targets = _example()
    model = Recorder()
    for counts, batch_size in (((0, 10), 4), ((0, 11), 4), ((0, 11), 5)):
        one = Perturbation(example.start, example.end, example.order, counts)
        curves = perturbation_curves(
            one, targets, probability=model.probability, batch_size=batch_size, remember=model.remember
        )
        anew = perturbation_curves(one, targets, probability=_class_of_sum, batch_size=batch_size)
        assert torch.equal(curves, anew)
    assert model.n_pictures == 3 * 6 + 2


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_no_forward_pass_exceeds_the_batch_size(batch_size):
    example, targets = _example()
    sizes = []
    perturbation_curves(
        example,
        targets,
        probability=lambda frames: sizes.append(len(frames)) or _class_of_sum(frames),
        batch_size=batch_size,
    )
    assert max(sizes) <= batch_size
    assert sum(sizes) == 24


def test_memory_does_not_grow_with_the_number_of_points():
    example, targets = _example()
    counts = tuple(range(21))
    held = []

    def look(frames):
        held.append(weakref.ref(frames))
        assert sum(ref() is not None for ref in held) <= 2
        assert frames.untyped_storage().nbytes() <= 2 * example.start[0].numel() * 8
        return _class_of_sum(frames)

    perturbation_curves(
        Perturbation(example.start, example.end, example.order, counts), targets, probability=look, batch_size=2
    )
    assert len(held) == 6 * (2 + 10)


def test_passes_on_a_cpu_are_small_and_of_nearly_equal_size(monkeypatch):
    monkeypatch.setattr("bcos_eval.metrics.faithfulness.perturbation._CPU_PIXELS_PER_PASS", 8 * 20)
    example, _ = _example()
    sizes = []
    perturbation_curves(
        Perturbation(example.start[:1], example.end[:1], example.order[:1, :1], tuple(range(20))),
        torch.tensor([[0]]),
        probability=lambda frames: sizes.append(len(frames)) or _class_of_sum(frames),
        batch_size=100,
    )
    assert sorted(sizes) == [1, 5, 7, 7]


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_batch_size_changes_no_curve_by_more_than_rounding(batch_size):
    example, targets = _example()
    curves = perturbation_curves(example, targets, probability=_class_of_sum, batch_size=batch_size)
    reference = perturbation_curves(example, targets, probability=_class_of_sum, batch_size=24)
    torch.testing.assert_close(curves, reference, rtol=0, atol=1e-12)


def test_it_computes_no_gradient():
    example, targets = _example()
    weight = torch.ones((), requires_grad=True, dtype=torch.float64)
    curves = perturbation_curves(
        example, targets, probability=lambda frames: weight * _class_of_sum(frames), batch_size=8
    )
    assert not curves.requires_grad


def test_a_batch_size_below_one_is_refused():
    example, targets = _example()
    message = "batch_size is 0; give at least 1."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        perturbation_curves(example, targets, probability=_class_of_sum, batch_size=0)


def test_the_area_of_a_constant_is_the_constant_and_of_a_line_its_middle():
    assert normalised_area(torch.full((5,), 0.3, dtype=torch.float64)).item() == pytest.approx(0.3, abs=1e-12)
    assert normalised_area(torch.linspace(1, 0, 11, dtype=torch.float64)).item() == pytest.approx(0.5, abs=1e-12)
    assert normalised_area(torch.tensor([1.0, 0.0])).item() == 0.5


def test_a_curve_of_one_point_has_no_area():
    message = "a curve of 1 point has no area; give at least two points."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        normalised_area(torch.ones(3, 1))
