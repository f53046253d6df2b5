"""Input gradients of constant filters against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bcos_eval.bcos.frozen.convolution import Filters


@pytest.mark.parametrize("channels", [6, 12])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 23)])
@pytest.mark.parametrize(
    "sizes",
    [
        {"kernel_size": 7, "stride": 2, "padding": 3},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 4, "stride": 4},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 2, "stride": 3, "padding": 1},
        {"kernel_size": 5, "stride": 3, "padding": 4},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 1, "padding": 2},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
        {"kernel_size": 3, "padding": 1, "groups": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
def test_output_and_input_gradient_are_those_of_the_convolution(
    channels: int, height: int, width: int, sizes: dict[str, int], dtype: torch.dtype, tolerance: float
):
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(channels, 12, **sizes, bias=False).to(dtype)
    conv.weight.data = torch.randn(conv.weight.shape, generator=generator, dtype=dtype)
    x = torch.randn(2, channels, height, width, generator=generator, dtype=dtype).requires_grad_()
    filters = Filters(conv.weight.detach(), conv)
    out = conv(x)
    probe = torch.randn(out.shape, generator=generator, dtype=dtype)
    (expected,) = torch.autograd.grad(out, x, probe)
    torch.testing.assert_close(
        filters(x.detach()), out.detach(), rtol=0, atol=tolerance * float(out.detach().abs().max())
    )
    gradient = filters.input_gradient(probe.contiguous(memory_format=torch.channels_last), x.shape)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def test_padding_by_name_is_refused():
    conv = nn.Conv2d(6, 8, 3, padding="same")
    with pytest.raises(ValueError, match=r"^padding 'same' cannot be frozen; give it in pixels$"):
        Filters(conv.weight.detach(), conv)
