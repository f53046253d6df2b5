"""ConvNeXt: torchvision's, and the same with B-cos transforms and two choices of norm.

Sources: Liu et al. (CVPR 2022); Böhle et al., TPAMI 2024, tables 2 and 3 (position norm, and batch norm
uncentred, "bnu"). State-dict keys equal torchvision's for the standard and the official ones for the B-cos
networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import convnext as theirs
from torchvision.models.convnext import CNBlock, CNBlockConfig

from bcos_eval.bcos import BatchNormUncentred2d, BcosConv2d, LogitLayer, PositionNorm2d, default_logit_bias

from .classifier import Classifier
from .published import LONG_RESIZE, official_file, torchvision_file
from .registry import Released, register_pair

# ConvNeXt's own constant beside a variance; batch norms keep PyTorch's.
_LAYER_NORM_EPS = 1e-6
_INITIAL_DEVIATION = 0.02
# Pixels along a side of the stem's patches, as published.
_PATCH = 4
_INITIAL_LAYER_SCALE = 1e-6


@dataclass(frozen=True, slots=True)
class ConvNeXtLayout:
    """The shape of a ConvNeXt.

    Attributes:
        width: Channels of the first stage; doubled at every stage.
        depths: Blocks per stage.
        stochastic_depth: Probability of dropping the last block in training; earlier ones less.
        uncentred_batch_norm: In the B-cos network, batch norm uncentred instead of position norm.
        input_size: Side in pixels of the images it is made for.
    """

    width: int
    depths: tuple[int, int, int, int]
    stochastic_depth: float
    uncentred_batch_norm: bool = False
    input_size: int = 224

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.width * 2**stage for stage in range(len(self.depths)))

    def small(self) -> ConvNeXtLayout:
        """Return a smaller network for 64×64 images: a third of the width, half the depth."""
        first, second, third, fourth = ((depth + 1) // 2 for depth in self.depths)
        return replace(self, width=self.width // 3, depths=(first, second, third, fourth), input_size=64)


class ConvNeXt(Classifier):
    """Standard ConvNeXt; equal to torchvision's in the ImageNet layout."""

    def __init__(self, layout: ConvNeXtLayout, num_classes: int) -> None:
        super().__init__(is_bcos=False, num_classes=num_classes, input_size=layout.input_size)
        stages = [
            CNBlockConfig(width, following, depth)
            for width, following, depth in zip(
                layout.widths, (*layout.widths[1:], None), layout.depths, strict=True
            )
        ]
        network = theirs.ConvNeXt(stages, layout.stochastic_depth, num_classes=num_classes)
        self.features = network.features
        self.avgpool = network.avgpool
        self.classifier = network.classifier

    def head(self, features: Tensor) -> Tensor:
        """Pool, then normalise and classify."""
        return self.classifier(self.avgpool(features))


class BcosConvNeXt(Classifier):
    """B-cos ConvNeXt: no GELU, no bias, and a 1×1 B-cos classifier before global pooling."""

    def __init__(self, layout: ConvNeXtLayout, num_classes: int, *, b: float = 2.0) -> None:
        super().__init__(is_bcos=True, num_classes=num_classes, input_size=layout.input_size)
        norm = BatchNormUncentred2d if layout.uncentred_batch_norm else _position_norm
        layers: list[nn.Module] = [
            BcosConv2d(6, layout.width, _PATCH, _PATCH, b=b),
            norm(layout.width),
        ]
        last = sum(layout.depths) - 1
        drops = iter([layout.stochastic_depth * index / last for index in range(last + 1)])
        for stage, (width, depth) in enumerate(zip(layout.widths, layout.depths, strict=True)):
            if stage > 0:
                layers.append(nn.Sequential(norm(width // 2), BcosConv2d(width // 2, width, 2, 2, b=b)))
            layers.append(nn.Sequential(*(_bcos_block(width, next(drops), norm, b) for _ in range(depth))))
        self.features = nn.Sequential(*layers)
        n_features = layout.widths[-1]
        self.classifier = nn.Sequential(norm(n_features), BcosConv2d(n_features, num_classes, 1, b=b))
        self.logit_layer = LogitLayer(default_logit_bias(num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=_INITIAL_DEVIATION)

    def head(self, features: Tensor) -> Tensor:
        """Normalise and classify every position, then pool."""
        return self.logit_layer(F.adaptive_avg_pool2d(self.classifier(features), 1).flatten(1))


def _position_norm(width: int) -> PositionNorm2d:
    return PositionNorm2d(width, eps=_LAYER_NORM_EPS)


def _bcos_block(width: int, drop: float, norm: Callable[[int], nn.Module], b: float) -> CNBlock:
    """Return torchvision's block (residual, layer scale, stochastic depth) around B-cos transforms."""
    block = CNBlock(width, _INITIAL_LAYER_SCALE, drop)
    block.block = nn.Sequential(
        BcosConv2d(width, width, 7, padding=3, groups=width, b=b),
        norm(width),
        BcosConv2d(width, 4 * width, 1, b=b),
        BcosConv2d(4 * width, width, 1, b=b),
    )
    return block


def _register(name: str, layout: ConvNeXtLayout, standard: Released, bcos: Released) -> None:
    small = layout.small()
    register_pair(
        name,
        "ConvNeXt",
        {"imagenet": layout, "small": small},
        standard=(ConvNeXt, standard),
        bcos=(BcosConvNeXt, bcos),
        small_note=f"first stage {small.width} wide (ImageNet: {layout.width}), {sum(small.depths)} blocks "
        f"({sum(layout.depths)})",
        source="Liu et al., CVPR 2022 (torchvision)",
    )


_TINY = ConvNeXtLayout(96, (3, 3, 9, 3), stochastic_depth=0.1)
_BASE = ConvNeXtLayout(128, (3, 3, 27, 3), stochastic_depth=0.5)

_register(
    "convnext_tiny",
    _TINY,
    Released(28_589_128, torchvision_file(theirs.ConvNeXt_Tiny_Weights.IMAGENET1K_V1)),
    Released(28_543_392, official_file("convnext_tiny_pn-539b1bfb37.pth", 77.488, 93.192, LONG_RESIZE)),
)
_register(
    "convnext_base",
    _BASE,
    Released(88_591_464, torchvision_file(theirs.ConvNeXt_Base_Weights.IMAGENET1K_V1)),
    Released(88_466_304, official_file("convnext_base_pn-b0495852c6.pth", 79.65, 94.614, LONG_RESIZE)),
)
_register(
    "convnext_tiny_bnu",
    replace(_TINY, uncentred_batch_norm=True),
    Released(28_589_128, torchvision_file(theirs.ConvNeXt_Tiny_Weights.IMAGENET1K_V1)),
    Released(28_543_392, official_file("convnext_tiny_bnu-dbd7f5ef9d.pth", 76.826, 93.09, LONG_RESIZE)),
)
_register(
    "convnext_base_bnu",
    replace(_BASE, uncentred_batch_norm=True),
    Released(88_591_464, torchvision_file(theirs.ConvNeXt_Base_Weights.IMAGENET1K_V1)),
    Released(88_466_304, official_file("convnext_base_bnu-7c32a704b3.pth", 80.142, 94.834, LONG_RESIZE)),
)
