from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.transforms import functional as tv

from bcos_eval import evaluate, explain
from bcos_eval.errors import InputError

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 3])
NO_LOGITS = "{} for one image; it must give logits (B, C)"
ALONE = ": return them alone, without what is around them"


class Net(nn.Module):
    """A small network that says all the suite asks for."""

    input_size = 16

    def __init__(self, n_logits=4):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(n_logits, 3, 3, 3, generator=generator))

    def encode(self, images):
        return images

    def probability(self, logits):
        return logits.softmax(-1)

    def forward(self, encoded):
        return nn.functional.conv2d((encoded - 0.5) / 0.25, self.weight).relu().mean((2, 3))


class InPlace(Net):
    def encode(self, images):
        return images.mul_(1)

    def forward(self, encoded):
        return super().forward(encoded.sub_(0.5).div_(0.25).mul_(0.25).add_(0.5))


def net(forward=None, encode=None):
    """A network whose output or encoding is another."""
    own = Net()
    plain = own.forward
    if forward is not None:
        own.forward = lambda encoded: forward(plain(encoded))
    if encode is not None:
        own.encode = encode
    return own


def refusal(function, *arguments, **named):
    with pytest.raises(InputError) as caught:
        function(*arguments, **named)
    return str(caught.value)


@pytest.mark.parametrize(
    ("forward", "found"),
    [
        (
            lambda logits: (logits, logits),
            NO_LOGITS.format("a tuple of 2") + ": return them alone",
        ),
        (
            lambda logits: {"logits": logits},
            NO_LOGITS.format("a dict with logits") + ALONE,
        ),
        (
            lambda logits: SimpleNamespace(logits=logits),
            NO_LOGITS.format("SimpleNamespace") + ALONE,
        ),
        (
            lambda logits: logits.squeeze(),
            "(4,) for one image; it must give logits (B, C), also for one image and for one logit: do not squeeze "
            "them",
        ),
        (
            lambda logits: logits[:, :, None, None],
            "(1, 4, 1, 1) for one image; it must give logits (B, C): average or flatten them",
        ),
        (
            lambda logits: logits.argmax(),
            "() for one image; it must give logits (B, C), also for one image and for "
            "one logit: do not squeeze them",
        ),
    ],
)
def test_outputs_that_are_no_logits_are_refused_with_what_to_return(forward, found):
    wanted = f"the network of 'Net' gives {found}."
    assert refusal(explain, net(forward), IMAGES, TARGETS, "rise", n_masks=2) == wanted
    assert refusal(evaluate, net(forward), "energy_pg", "ixg", n_samples=2) == wanted


@pytest.mark.parametrize(
    "encode",
    [
        lambda images: tv.center_crop(tv.resize(images, [20, 20]), [16, 16]),
        lambda images: images.flip(-1),
        lambda images: images.roll(5, -1),
    ],
)
def test_encodings_that_move_pixels_are_refused(encode):
    assert refusal(explain, net(encode=encode), IMAGES, TARGETS, "grad") == (
        "encode of 'Net' crops or moves the image, so that attributions would not lie on it; resize and crop the "
        "images before, and let encode normalise alone."
    )


def test_encodings_of_another_size_are_refused():
    message = refusal(explain, net(encode=lambda images: tv.resize(images, [32, 32])), IMAGES, TARGETS, "grad")
    assert message == (
        "encode of 'Net' makes 32×32 of an image of 16×16, on which no attribution would lie; resize and crop the "
        "images before, and let encode normalise alone."
    )


@pytest.mark.parametrize(
    "encode",
    [
        lambda images: (images - images.mean((1, 2, 3), keepdim=True)) / images.std((1, 2, 3), keepdim=True),
        lambda images: tv.gaussian_blur(images, [3, 3]),
        lambda images: images.mean(1, keepdim=True).expand(-1, 3, -1, -1),
    ],
)
def test_encodings_that_leave_pixels_in_place_are_taken(encode):
    assert explain(net(encode=encode), IMAGES, TARGETS, "grad").shape == (2, 1, 16, 16)


@pytest.mark.parametrize("method", ["grad", "ixg", "lime", "rise", "occlusion"])
def test_code_that_works_in_place_changes_neither_images_nor_maps(method):
    given = IMAGES.clone()
    settings = {"lime": {"n_samples": 8}, "rise": {"n_masks": 4}}.get(method, {})
    maps = explain(InPlace(), given, TARGETS, method, **settings)
    assert torch.equal(given, IMAGES)
    torch.testing.assert_close(maps, explain(Net(), IMAGES, TARGETS, method, **settings), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("forward", [lambda logits: logits.detach(), lambda logits: logits.round().int().float()])
def test_networks_without_gradients_are_told_what_works(forward):
    message = refusal(explain, net(forward), IMAGES, TARGETS, "ixg")
    assert message == (
        "method 'ixg' needs the gradient by the input and 'Net' gives none (an operation detaches it, rounds to "
        "integers or works under no_grad); use lime, rise or occlusion"
    )
    assert explain(net(forward), IMAGES, TARGETS, "occlusion").shape == (2, 1, 16, 16)


def test_features_and_head_that_do_not_make_the_logits_are_not_used():
    class Split(Net):
        def features(self, encoded):
            return nn.functional.conv2d(encoded, self.weight)

        def head(self, features):
            return features.mean((2, 3))

    message = refusal(explain, Split(), IMAGES, TARGETS, "gradcam")
    assert message.startswith("method 'gradcam' needs the last spatial features and 'Split' has no features() and")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_networks_of_other_precisions_are_explained(dtype):
    maps = explain(Net().to(dtype), IMAGES, TARGETS, "grad")
    expected = explain(Net(), IMAGES, TARGETS, "grad")
    assert maps.dtype == torch.float32
    # bfloat16 has three significant digits, and a ReLU may switch.
    assert (maps - expected).abs().max() < 0.1 * expected.abs().max()


def test_a_default_of_float64_is_put_back_and_changes_nothing():
    expected = explain(Net(), IMAGES, TARGETS, "smoothgrad", n_samples=2)
    own = Net()
    torch.set_default_dtype(torch.float64)
    try:
        maps = explain(own, IMAGES, TARGETS, "smoothgrad", n_samples=2)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(maps, expected)


def test_a_changed_head_is_looked_at_again():
    own = Net()
    explain(own, IMAGES, TARGETS, "grad")
    own.weight = nn.Parameter(own.weight.detach()[:2])
    assert (
        refusal(explain, own, IMAGES, TARGETS, "grad")
        == "target 3 is not a class of 'Net'; its classes are 0 to 1"
    )
