"""VGG-11 with batch norm: torchvision's, and the same with B-cos transforms and uncentred norms ("bnu").

Sources: Simonyan and Zisserman (ICLR 2015); Böhle et al., TPAMI 2024, table 2.
State-dict keys equal torchvision's for the standard and the official ones for the B-cos network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import VGG11_BN_Weights, make_layers

from bcos_eval.bcos import BcosConv2d, LogitLayer, default_logit_bias

from .classifier import Classifier
from .convert import convert_modules
from .published import official_file, torchvision_file
from .registry import Released, register_pair

_POOL = "M"
# Positions along a side that the classifier sees at once.
_WINDOW = 7


@dataclass(frozen=True, slots=True)
class VGGLayout:
    """The shape of a VGG network.

    Attributes:
        plan: Output channels of each 3×3 convolution; "M" is 2×2 pooling.
        hidden: Units of the two hidden layers of the classifier.
        input_size: Side in pixels of the images it is made for.
    """

    plan: tuple[int | str, ...]
    hidden: int = 4096
    input_size: int = 224

    @property
    def n_features(self) -> int:
        """Channels of the last convolution."""
        return int(self.plan[-2])

    def small(self) -> VGGLayout:
        """Return the same topology for 64×64 images: no first pooling, a quarter of the width."""
        narrow = [entry // 4 if isinstance(entry, int) else entry for entry in self.plan]
        narrow.remove(_POOL)
        return replace(self, plan=tuple(narrow), hidden=self.hidden // 16, input_size=64)


class VGG(Classifier):
    """Standard VGG network; equal to torchvision's in the ImageNet layout."""

    def __init__(self, layout: VGGLayout, num_classes: int) -> None:
        super().__init__(is_bcos=False, num_classes=num_classes, input_size=layout.input_size)
        self.features = make_layers(list(layout.plan), batch_norm=True)
        self.avgpool = nn.AdaptiveAvgPool2d(_WINDOW)
        self.classifier = nn.Sequential(
            nn.Linear(layout.n_features * _WINDOW**2, layout.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(layout.hidden, layout.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(layout.hidden, num_classes),
        )
        _initialise(self)

    def head(self, features: Tensor) -> Tensor:
        """Pool to 7×7 positions, then classify all of them together."""
        return self.classifier(self.avgpool(features).flatten(1))


class BcosVGG(Classifier):
    """B-cos VGG network: fully convolutional, the first classifier layer sees 7×7 positions around each."""

    def __init__(self, layout: VGGLayout, num_classes: int, *, b: float = 2.0) -> None:
        super().__init__(is_bcos=True, num_classes=num_classes, input_size=layout.input_size)
        layers = make_layers(list(layout.plan), batch_norm=True)
        convert_modules(layers, b=b)
        self.features = nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))
        self.classifier = nn.Sequential(
            BcosConv2d(layout.n_features, layout.hidden, _WINDOW, padding=_WINDOW // 2, b=b),
            BcosConv2d(layout.hidden, layout.hidden, 1, b=b),
            BcosConv2d(layout.hidden, num_classes, 1, b=b),
        )
        self.logit_layer = LogitLayer(default_logit_bias(num_classes))
        _initialise(self)

    def head(self, features: Tensor) -> Tensor:
        """Classify every position, then pool."""
        return self.logit_layer(F.adaptive_avg_pool2d(self.classifier(features), 1).flatten(1))


def _initialise(network: nn.Module) -> None:
    """Draw weights as torchvision and the official code do."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


_VGG11 = VGGLayout((64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"))
_SMALL_VGG11 = _VGG11.small()

register_pair(
    "vgg11_bnu",
    "VGG",
    {"imagenet": _VGG11, "small": _SMALL_VGG11},
    standard=(VGG, Released(132_868_840, torchvision_file(VGG11_BN_Weights.IMAGENET1K_V1))),
    bcos=(BcosVGG, Released(132_855_872, official_file("vgg_11_bnu-34036029f0.pth", 69.31, 88.388))),
    small_note=f"first pooling left out, a quarter of the width, {_SMALL_VGG11.hidden} hidden units "
    f"(ImageNet: {_VGG11.hidden})",
    source="Simonyan and Zisserman, ICLR 2015 (torchvision's vgg11_bn)",
)
