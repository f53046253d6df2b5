from __future__ import annotations

import re

import pytest
import torch

from bcos_eval.metrics.perturbation import Perturbation, normalised_area, perturbation_curves


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
    perturbation_curves(
        example, targets, probability=lambda frames: seen.append(frames) or _class_of_sum(frames), batch_size=64
    )
    frames = torch.cat(seen).reshape(2, 3, 4, 3, 4, 5)
    assert torch.equal(frames[:, :, 0], example.start[:, None].expand(2, 3, 3, 4, 5))
    assert torch.equal(frames[:, :, -1], example.end[:, None].expand(2, 3, 3, 4, 5))


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_no_forward_pass_exceeds_the_batch_size_and_the_result_does_not_depend_on_it(batch_size):
    example, targets = _example()
    sizes = []
    curves = perturbation_curves(
        example,
        targets,
        probability=lambda frames: sizes.append(len(frames)) or _class_of_sum(frames),
        batch_size=batch_size,
    )
    assert max(sizes) <= batch_size
    assert sum(sizes) == 24
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
