from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import bcos
import pytest
import torch
from bcos.modules.losses import UniformOffLabelsBCEWithLogitsLoss
from torch import nn

from bcos_eval.bcos import BcosConv2d
from bcos_eval.errors import InputError
from bcos_eval.models.classifier import Classifier
from bcos_eval.training.images import ImageTable, augmented
from bcos_eval.training.loop import Trainer, bce_with_off_labels, clip_adaptively
from bcos_eval.training.recipe import Recipe

RECIPE = Recipe(loss="bce_off_labels", epochs=3, batch_size=4, precision="float32", learning_rate=0.02)


class Tiny(Classifier):
    def __init__(self) -> None:
        super().__init__(is_bcos=True, num_classes=2, input_size=8)
        self.conv = BcosConv2d(6, 2, 3, padding=1)

    def features(self, encoded):
        return encoded

    def head(self, features):
        return self.conv(features).mean((2, 3))


def tiny() -> Classifier:
    torch.manual_seed(0)
    return Tiny()


def bright_or_dark(n: int = 16) -> ImageTable:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    noise = torch.randint(0, 100, (n, 3, 8, 8), generator=generator)
    return ImageTable((noise + 150 * labels[:, None, None, None]).to(torch.uint8), labels)


def trained(folder: Path, recipe: Recipe = RECIPE, *, interrupt_after: int | None = None) -> Classifier:
    def stop(epoch: int, _: float) -> None:
        if epoch == interrupt_after:
            raise KeyboardInterrupt

    trainer = Trainer(tiny(), bright_or_dark(), recipe, checkpoint=folder / "c.pt", compiled=False)
    return trainer.run(stop)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_training_lowers_the_loss(tmp_path: Path):
    losses: list[float] = []
    trainer = Trainer(
        tiny(), bright_or_dark(), replace(RECIPE, epochs=12), checkpoint=tmp_path / "c.pt", compiled=False
    )
    trainer.run(lambda _, loss: losses.append(loss))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path: Path, ema_decay: float):
    recipe = replace(RECIPE, ema_decay=ema_decay)
    whole = trained(tmp_path / "whole", recipe)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", recipe, interrupt_after=1)
    assert torch.equal(weights(trained(tmp_path / "parts", recipe)), weights(whole))


def test_a_finished_run_does_nothing_more(tmp_path: Path):
    first = trained(tmp_path)
    trainer = Trainer(tiny(), bright_or_dark(), RECIPE, checkpoint=tmp_path / "c.pt", compiled=False)
    epochs: list[int] = []
    assert torch.equal(weights(trainer.run(lambda epoch, _: epochs.append(epoch))), weights(first))
    assert epochs == []


def test_the_global_generator_is_left_alone(tmp_path: Path):
    model = tiny()
    before = torch.get_rng_state()
    Trainer(model, bright_or_dark(), RECIPE, checkpoint=tmp_path / "c.pt", compiled=False).run()
    assert torch.equal(before, torch.get_rng_state())


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path):
    trained(tmp_path)
    with pytest.raises(InputError) as caught:
        trained(tmp_path, replace(RECIPE, epochs=5))
    assert str(caught.value) == (
        f"{tmp_path / 'c.pt'} was made by another recipe; delete it to start again, "
        "or pass the options it was started with"
    )


def test_fewer_images_than_a_batch_are_refused(tmp_path: Path):
    with pytest.raises(InputError) as caught:
        Trainer(tiny(), bright_or_dark(2), RECIPE, checkpoint=tmp_path / "c.pt", compiled=False)
    assert str(caught.value) == "2 training images do not fill one batch of 4; pass a smaller --batch-size"


def test_the_learning_rate_rises_then_falls_to_zero(tmp_path: Path):
    trainer = Trainer(tiny(), bright_or_dark(), RECIPE, checkpoint=tmp_path / "c.pt", compiled=False)
    factors = [trainer._learning_rate_factor(step) for step in range(13)]
    assert factors[0] == 1.0  # one step of warm-up
    assert factors[1] == 1.0
    assert factors == sorted(factors, reverse=True)
    assert factors[12] == pytest.approx(0, abs=1e-12)


def test_loss_equals_the_official_one():
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 2])
    torch.testing.assert_close(
        bce_with_off_labels(logits, labels), UniformOffLabelsBCEWithLogitsLoss()(logits, labels)
    )


def official_clipping() -> ModuleType:
    """The official file alone: its package needs PyTorch Lightning."""
    path = Path(bcos.__file__).parent / "training" / "agc.py"
    spec = importlib.util.spec_from_file_location("official_agc", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_clipped_gradients_equal_the_official_ones():
    torch.manual_seed(0)
    shapes = [(5, 3, 2, 2), (4, 6), (7,), (2, 3, 1, 1)]
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    for a, b in zip(ours, theirs, strict=True):
        a.grad = torch.randn_like(a) * 0.02
        b.grad = a.grad.clone()
    clip_adaptively(ours, 0.01)
    official_clipping().adaptive_clip_grad_(theirs, 0.01)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_parameters_without_gradient_are_left_alone():
    parameter = nn.Parameter(torch.ones(2))
    clip_adaptively([parameter], 0.01)
    assert parameter.grad is None


def test_crops_are_parts_of_the_image():
    # A picture whose red is the column and whose green is the row says where each crop lies.
    side, n_images = 32, 400
    places = (torch.arange(side) + 0.5) / side
    picture = torch.stack([places.expand(side, side), places[:, None].expand(side, side), torch.ones(side, side)])
    torch.manual_seed(0)
    crops = augmented(picture.expand(n_images, 3, side, side), replace(RECIPE, crop_scale_min=0.5))
    middle = crops[:, :2, side // 4 : -side // 4, side // 4 : -side // 4]  # away from the border's half pixels
    step_x = middle[:, 0].diff(dim=2)
    step_y = middle[:, 1].diff(dim=1)
    width, height = step_x.mean((1, 2)) * side, step_y.mean((1, 2)) * side
    assert step_x.std((1, 2)).max() < 1e-5  # bilinear enlargement of a plane is a plane
    area = width.abs() * height
    assert width.abs().max() <= 1 + 1e-5
    assert height.max() <= 1 + 1e-5
    assert 0.4 < area.min() < 0.55
    assert area.mean() == pytest.approx(0.73, abs=0.03)
    ratio = width.abs() / height
    assert 0.8 - 1e-4 < ratio.min() < 0.83
    assert 1.2 < ratio.max() < 1.25 + 1e-4
    assert 0.4 < (width < 0).float().mean() < 0.6
    assert crops[:, 2].min() == pytest.approx(1)  # nothing from beyond the border


def test_crops_of_whole_images_are_the_images():
    image = torch.rand(5, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    crops = augmented(image, replace(RECIPE, crop_scale_min=1, flip=False))
    # One side may be shorter for the aspect ratio; the mean colour stays close.
    assert crops.shape == image.shape
    assert (crops.mean((2, 3)) - image.mean((2, 3))).abs().max() < 0.1
