"""Vision transformers: SimpleViT, and ViT-C with a convolutional stem; standard and with B-cos transforms.

Sources: Beyer et al., Better plain ViT baselines (2022); Xiao et al., Early convolutions help transformers see
better (NeurIPS 2021); Böhle et al., TPAMI 2024, section 3.3 and table 4. State-dict keys equal the official ones.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from bcos_eval.bcos import (
    BcosConv2d,
    BcosLinear,
    GroupNorm2d,
    LayerNorm,
    LogitLayer,
    SelfAttention,
    default_logit_bias,
    explanation_mode,
    target_gradients,
)
from bcos_eval.errors import InputError

from .classifier import Classifier
from .published import official_file
from .registry import Released, register_pair

_POSITION_TEMPERATURE = 10_000


@dataclass(frozen=True, slots=True)
class ViTLayout:
    """The shape of a vision transformer.

    Attributes:
        dim: Channels of a token.
        heads: Attention heads.
        depth: Encoder blocks.
        patch: Side of the square patches, in pixels or, after a stem, in positions.
        stem: Output channels of the stem's 3×3 convolutions; those that widen have stride 2.
        input_size: Side in pixels of the images it is made for.
    """

    dim: int
    heads: int
    depth: int
    patch: int = 1
    stem: tuple[int, ...] = ()
    input_size: int = 224

    def small(self) -> ViTLayout:
        """Return a smaller network for 64×64 images: half the stride, half the width, half the depth."""
        patch = self.patch if self.stem else self.patch // 2
        return replace(
            self,
            dim=self.dim // 2,
            depth=(self.depth + 1) // 2,
            patch=patch,
            stem=self.stem[:-1],
            input_size=64,
        )


@dataclass(frozen=True, slots=True)
class ViTLayers:
    """What a vision transformer is made of.

    Attributes:
        in_channels: Channels of the network input.
        linear: Makes a linear layer, from the numbers of its inputs and outputs.
        projection: Makes the linear layer after attention, which has no bias.
        norm: Makes a norm of tokens.
        conv: Makes a convolution of the stem.
        conv_norm: Makes a norm of the stem.
        activation: Makes an activation.
    """

    in_channels: int
    linear: Callable[[int, int], nn.Module]
    projection: Callable[[int, int], nn.Module]
    norm: Callable[[int], nn.Module]
    conv: Callable[..., nn.Module]
    conv_norm: Callable[[int], nn.Module]
    activation: Callable[[], nn.Module]


STANDARD_LAYERS = ViTLayers(
    in_channels=3,
    linear=nn.Linear,
    projection=partial(nn.Linear, bias=False),
    norm=nn.LayerNorm,
    conv=nn.Conv2d,
    conv_norm=partial(nn.GroupNorm, 1),
    activation=nn.GELU,
)


def bcos_layers(b: float) -> ViTLayers:
    """Return B-cos transforms for every linear layer, norms without bias, no activations."""
    return ViTLayers(
        in_channels=6,
        linear=partial(BcosLinear, b=b),
        projection=partial(BcosLinear, b=b),
        norm=LayerNorm,
        conv=partial(BcosConv2d, b=b),
        conv_norm=partial(GroupNorm2d, 1),
        activation=nn.Identity,
    )


class SimpleViT(Classifier):
    """Transformer encoder with sine-cosine position codes and mean pooling; takes any number of patches.

    Args:
        layout: Its shape.
        num_classes: Number of logits.
        layers: Its modules.
        is_bcos: Whether they are B-cos modules.
    """

    def __init__(
        self,
        layout: ViTLayout,
        num_classes: int,
        layers: ViTLayers = STANDARD_LAYERS,
        *,
        is_bcos: bool = False,
    ) -> None:
        super().__init__(is_bcos=is_bcos, num_classes=num_classes, input_size=layout.input_size)
        embedding = OrderedDict[str, nn.Module]()
        if layout.stem:
            embedding["conv_stem"] = _conv_stem(layout.stem, layers)
        n_channels = layout.stem[-1] if layout.stem else layers.in_channels
        embedding["patches"] = Patches(layout.patch)
        embedding["linear"] = layers.linear(layout.patch**2 * n_channels, layout.dim)
        self.to_patch_embedding = nn.Sequential(embedding)
        self.transformer = nn.Sequential(
            OrderedDict((f"encoder_{index}", Encoder(layout, layers)) for index in range(layout.depth))
        )
        self.linear_head = nn.Sequential(
            OrderedDict(norm=layers.norm(layout.dim), linear=layers.linear(layout.dim, num_classes))
        )

    def embed(self, encoded: Tensor) -> Tensor:
        """Map network input to tokens without position codes `(B, h, w, dim)`."""
        return self.to_patch_embedding(encoded)

    def transform(self, tokens: Tensor) -> Tensor:
        """Map tokens with position codes `(B, h, w, dim)` to spatial features `(B, dim, h, w)`."""
        height, width = tokens.shape[1:3]
        return self.transformer(tokens.flatten(1, 2)).mT.unflatten(-1, (height, width))

    def features(self, encoded: Tensor) -> Tensor:
        """Map network input to the tokens of the last block, laid out as `(B, dim, h, w)`."""
        tokens = self.embed(encoded)
        return self.transform(tokens + position_codes(tokens))

    def head(self, features: Tensor) -> Tensor:
        """Pool the tokens, then normalise and classify."""
        return self.linear_head(features.mean((2, 3)))


class BcosSimpleViT(Classifier):
    """B-cos vision transformer.

    The position codes are added to the tokens and thus keep a share of every logit that belongs to no pixel:
    `position_term`.
    """

    def __init__(self, layout: ViTLayout, num_classes: int, *, b: float = 2.0) -> None:
        super().__init__(is_bcos=True, num_classes=num_classes, input_size=layout.input_size)
        # The official files hold a sequence of the network and its logit layer, hence the child's name.
        self.add_module("0", SimpleViT(layout, num_classes, bcos_layers(b), is_bcos=True))
        self.logit_layer = LogitLayer(default_logit_bias(num_classes))

    @property
    def network(self) -> SimpleViT:
        """The transformer before the logit layer."""
        return cast("SimpleViT", self.get_submodule("0"))

    def features(self, encoded: Tensor) -> Tensor:
        """Map network input to the tokens of the last block, laid out as `(B, dim, h, w)`."""
        return self.network.features(encoded)

    def head(self, features: Tensor) -> Tensor:
        """Pool the tokens, then normalise and classify."""
        return self.logit_layer(self.network.head(features))

    def position_term(self, encoded: Tensor, targets: Tensor) -> Tensor:
        """Return what the position codes contribute to each target `(B, K)`, as the linear summary sees it."""
        with torch.no_grad():
            tokens = self.network.embed(encoded)
        codes = position_codes(tokens)
        x = (tokens + codes).requires_grad_()
        with torch.enable_grad(), explanation_mode(self):
            logits = self.head(self.network.transform(x))
        return (target_gradients(logits, x, targets) * codes).sum((2, 3, 4))


class Patches(nn.Module):
    """Cut maps into square patches: `(B, C, H, W)` to `(B, H / side, W / side, side² · C)`, channels last."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, maps: Tensor) -> Tensor:
        """Flatten each patch, row by row.

        Raises:
            InputError: If the patches do not tile the maps.
        """
        if maps.shape[-2] % self.side or maps.shape[-1] % self.side:
            height, width = maps.shape[-2:]
            raise InputError(
                f"images of {height}×{width} pixels cannot be cut into patches of {self.side}×{self.side}; "
                f"resize them to multiples of {self.side}"
            )
        patches = maps.unflatten(-1, (-1, self.side)).unflatten(-3, (-1, self.side))  # (B, C, h, side, w, side)
        return patches.permute(0, 2, 4, 3, 5, 1).flatten(3)


class Encoder(nn.Module):
    """Self-attention, then a two-layer perceptron, each with a residual connection around it."""

    def __init__(self, layout: ViTLayout, layers: ViTLayers) -> None:
        super().__init__()
        dim = layout.dim
        self.attn = SelfAttention(layers.norm(dim), layers.projection(dim, dim), dim=dim, heads=layout.heads)
        self.ff = FeedForward(dim, layers)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens `(B, N, dim)` to `(B, N, dim)`."""
        tokens = self.attn(tokens) + tokens
        return self.ff(tokens) + tokens


class FeedForward(nn.Module):
    """The perceptron of an encoder block, four times as wide inside."""

    def __init__(self, dim: int, layers: ViTLayers) -> None:
        super().__init__()
        self.net = nn.Sequential(
            OrderedDict(
                norm=layers.norm(dim),
                linear1=layers.linear(dim, 4 * dim),
                act=layers.activation(),
                linear2=layers.linear(4 * dim, dim),
            )
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens `(B, N, dim)` to `(B, N, dim)`."""
        return self.net(tokens)


def position_codes(tokens: Tensor) -> Tensor:
    """Return sine-cosine codes of the columns and rows `(h, w, dim)` for tokens `(B, h, w, dim)`.

    The first half encodes the column, the second the row; computed in float32 whatever the tokens' type.
    """
    height, width, dim = tokens.shape[1:]
    exponents = torch.arange(dim // 4, device=tokens.device) / (dim // 4 - 1)
    frequencies = 1 / _POSITION_TEMPERATURE**exponents
    rows = torch.arange(height, device=tokens.device)[:, None] * frequencies
    columns = torch.arange(width, device=tokens.device)[:, None] * frequencies
    row_codes = torch.cat([rows.sin(), rows.cos()], 1)[:, None].expand(-1, width, -1)
    column_codes = torch.cat([columns.sin(), columns.cos()], 1)[None].expand(height, -1, -1)
    return torch.cat([column_codes, row_codes], 2).to(tokens.dtype)


def _conv_stem(widths: tuple[int, ...], layers: ViTLayers) -> nn.Sequential:
    modules: list[nn.Module] = []
    before = layers.in_channels
    for width in widths:
        stride = 2 if width > before else 1
        modules += [layers.conv(before, width, 3, stride, 1), layers.conv_norm(width), layers.activation()]
        before = width
    return nn.Sequential(*modules)


def _register(name: str, layout: ViTLayout, standard: Released, bcos: Released) -> None:
    small = layout.small()
    register_pair(
        name,
        "ViT-C" if layout.stem else "SimpleViT",
        {"imagenet": layout, "small": small},
        standard=(SimpleViT, standard),
        bcos=(BcosSimpleViT, bcos),
        small_note=f"patches of 8×8 pixels (ImageNet: 16×16), {small.dim} channels ({layout.dim}), "
        f"{small.depth} blocks ({layout.depth})",
        source="Xiao et al., NeurIPS 2021" if layout.stem else "Beyer et al., 2022",
    )


_register(
    "simple_vit_ti_patch16_224",
    ViTLayout(192, 3, 12, patch=16),
    Released(5_670_184, official_file("standard_simple_vit_ti_patch16_224-2ae8c65a39.pth", 70.23, 89.38)),
    Released(5_800_128, official_file("bcos_simple_vit_ti_patch16_224-4b0824b1c1.pth", 59.96, 81.838)),
)
_register(
    "simple_vit_s_patch16_224",
    ViTLayout(384, 6, 12, patch=16),
    Released(21_956_200, official_file("standard_simple_vit_s_patch16_224-f2934fcdcf.pth", 74.47, 91.226)),
    Released(22_217_088, official_file("bcos_simple_vit_s_patch16_224-75e99d1f73.pth", 69.246, 88.096)),
)
_register(
    "simple_vit_b_patch16_224",
    ViTLayout(768, 12, 12, patch=16),
    Released(86_378_728, official_file("standard_simple_vit_b_patch16_224-87074200ed.pth", 75.3, 91.026)),
    Released(86_901_504, official_file("bcos_simple_vit_b_patch16_224-1fc4750806.pth", 74.408, 91.156)),
)
_register(
    "simple_vit_l_patch16_224",
    ViTLayout(1024, 16, 14, patch=16),
    Released(178_104_296, official_file("standard_simple_vit_l_patch16_224-62dc536e03.pth", 75.71, 90.05)),
    Released(178_787_328, official_file("bcos_simple_vit_l_patch16_224-9613b2ad0a.pth", 75.06, 91.378)),
)
# A stem counts as one block: the ViT-C have one encoder block less.
_B_AND_L_STEM = (64, 128, 128, 256, 256, 512)
_register(
    "vitc_ti_patch1_14",
    ViTLayout(192, 3, 11, stem=(24, 48, 96, 192)),
    Released(5_334_952, official_file("standard_vitc_ti_patch1_14-a5d6bded37.pth", 72.59, 90.788)),
    Released(5_318_712, official_file("bcos_vitc_ti_patch1_14-ddd6193a77.pth", 67.26, 86.774)),
)
_register(
    "vitc_s_patch1_14",
    ViTLayout(384, 6, 11, stem=(48, 96, 192, 384)),
    Released(20_910_184, official_file("standard_vitc_s_patch1_14-34ecd7288e.pth", 75.756, 91.994)),
    Released(20_878_704, official_file("bcos_vitc_s_patch1_14-cf55c88f0c.pth", 74.504, 91.288)),
)
_register(
    "vitc_b_patch1_14",
    ViTLayout(768, 12, 11, stem=_B_AND_L_STEM),
    Released(81_388_648, official_file("standard_vitc_b_patch1_14-4d374b0220.pth", 76.79, 92.024)),
    Released(81_326_016, official_file("bcos_vitc_b_patch1_14-a13c46397b.pth", 77.152, 92.926)),
)
_register(
    "vitc_l_patch1_14",
    ViTLayout(1024, 16, 13, stem=_B_AND_L_STEM),
    Released(167_541_352, official_file("standard_vitc_l_patch1_14-560e48f246.pth", 77.866, 92.298)),
    Released(167_444_160, official_file("bcos_vitc_l_patch1_14-8739e18b8d.pth", 77.782, 92.966)),
)
