"""Densely connected networks: torchvision's, and the same with B-cos transforms.

Sources: Huang et al. (CVPR 2017); Böhle et al., TPAMI 2024, table 2.
State-dict keys equal torchvision's for the standard and the official ones for the B-cos networks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import densenet as theirs

from bcos_eval.bcos import BcosConv2d, LogitLayer, default_logit_bias

from .classifier import Classifier
from .convert import convert_modules
from .published import LONG_RESIZE, official_file, torchvision_file
from .registry import Released, register_pair


@dataclass(frozen=True, slots=True)
class DenseNetLayout:
    """The shape of a densely connected network.

    Attributes:
        growth: Channels that every layer adds.
        depths: Layers per block.
        stem_width: Channels of the stem.
        small_stem: 3×3 convolution instead of 7×7, both with stride 2 and followed by 3×3 pooling.
        input_size: Side in pixels of the images it is made for.
    """

    growth: int
    depths: tuple[int, int, int, int]
    stem_width: int
    small_stem: bool = False
    input_size: int = 224

    @property
    def n_features(self) -> int:
        """Channels after the last block; every block but the last is followed by a transition that halves them."""
        channels = self.stem_width
        for depth in self.depths[:-1]:
            channels = (channels + depth * self.growth) // 2
        return channels + self.depths[-1] * self.growth

    def small(self) -> DenseNetLayout:
        """Return a smaller network for 64×64 images: small stem, half the width and half the depth."""
        first, second, third, fourth = (depth // 2 for depth in self.depths)
        return replace(
            self,
            growth=self.growth // 2,
            depths=(first, second, third, fourth),
            stem_width=self.growth,
            small_stem=True,
            input_size=64,
        )


class DenseNet(Classifier):
    """Standard densely connected network; equal to torchvision's in the ImageNet layout."""

    def __init__(self, layout: DenseNetLayout, num_classes: int, *, is_bcos: bool = False) -> None:
        super().__init__(is_bcos=is_bcos, num_classes=num_classes, input_size=layout.input_size)
        network = theirs.DenseNet(layout.growth, layout.depths, layout.stem_width, num_classes=num_classes)
        if layout.small_stem:
            network.features.conv0 = nn.Conv2d(3, layout.stem_width, 3, stride=2, padding=1, bias=False)
        self.features = network.features
        # A module where torchvision calls a function: methods that change rectifiers have to see all of them.
        self.relu: nn.Module = nn.ReLU()
        self.classifier: nn.Module = network.classifier

    def head(self, features: Tensor) -> Tensor:
        """Rectify and pool, then classify."""
        return self.classifier(F.adaptive_avg_pool2d(self.relu(features), 1).flatten(1))


class BcosDenseNet(DenseNet):
    """B-cos DenseNet: no rectifiers, the classifier is a 1×1 B-cos convolution before global pooling."""

    def __init__(self, layout: DenseNetLayout, num_classes: int, *, b: float = 2.0) -> None:
        super().__init__(layout, num_classes, is_bcos=True)
        convert_modules(self, b=b)
        self.classifier = BcosConv2d(layout.n_features, num_classes, 1, b=b)
        self.logit_layer = LogitLayer(default_logit_bias(num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def head(self, features: Tensor) -> Tensor:
        """Classify every position, then pool."""
        return self.logit_layer(F.adaptive_avg_pool2d(self.classifier(features), 1).flatten(1))


def _register(name: str, layout: DenseNetLayout, standard: Released, bcos: Released) -> None:
    small = layout.small()
    register_pair(
        name,
        "DenseNet",
        {"imagenet": layout, "small": small},
        standard=(DenseNet, standard),
        bcos=(BcosDenseNet, bcos),
        small_note=f"3×3 stem, growth {small.growth} (ImageNet: {layout.growth}), {sum(small.depths)} layers "
        f"({sum(layout.depths)})",
        source="Huang et al., CVPR 2017 (torchvision)",
    )


_DENSENET121 = DenseNetLayout(32, (6, 12, 24, 16), 64)

_register(
    "densenet121",
    _DENSENET121,
    Released(7_978_856, torchvision_file(theirs.DenseNet121_Weights.IMAGENET1K_V1)),
    Released(7_945_440, official_file("densenet_121-b8daf96afb.pth", 73.612, 91.106)),
)
_register(
    "densenet161",
    DenseNetLayout(48, (6, 12, 36, 24), 96),
    Released(28_681_000, torchvision_file(theirs.DenseNet161_Weights.IMAGENET1K_V1)),
    Released(28_584_144, official_file("densenet_161-9e9ea51353.pth", 76.622, 92.554)),
)
_register(
    "densenet169",
    DenseNetLayout(32, (6, 12, 32, 32), 64),
    Released(14_149_480, torchvision_file(theirs.DenseNet169_Weights.IMAGENET1K_V1)),
    Released(14_078_688, official_file("densenet_169-7037ee0604.pth", 75.186, 91.786)),
)
_register(
    "densenet201",
    DenseNetLayout(32, (6, 12, 48, 32), 64),
    Released(20_013_928, torchvision_file(theirs.DenseNet201_Weights.IMAGENET1K_V1)),
    Released(19_907_808, official_file("densenet_201-00ac87066f.pth", 75.48, 91.992)),
)
# The same network, trained for longer; torchvision has no longer recipe.
_register(
    "densenet121_long",
    _DENSENET121,
    Released(7_978_856, torchvision_file(theirs.DenseNet121_Weights.IMAGENET1K_V1)),
    Released(7_945_440, official_file("densenet_121_long-5175461597.pth", 77.302, 93.234, LONG_RESIZE)),
)
