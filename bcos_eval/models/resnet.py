"""Residual networks: torchvision's blocks, and the same with B-cos transforms.

Sources: He et al. (CVPR 2016); Xie et al., ResNeXt (CVPR 2017); Böhle et al., TPAMI 2024, table 2.
State-dict keys equal torchvision's for the standard and the official ones for the B-cos networks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn
from torchvision.models import resnet as theirs
from torchvision.models.resnet import BasicBlock, Bottleneck

from bcos_eval.bcos import BcosConv2d, LogitLayer, default_logit_bias

from .classifier import Classifier
from .convert import convert_modules
from .published import LONG_RESIZE, official_file, torchvision_file
from .registry import Released, register_pair


@dataclass(frozen=True, slots=True)
class ResNetLayout:
    """The shape of a residual network.

    Attributes:
        block: Residual block.
        depths: Blocks per stage.
        width: Channels of the first stage (before a bottleneck's expansion); doubled at every stage.
        groups: Groups of the 3×3 convolutions.
        group_width: Width of a group where the first stage has 64 channels.
        small_stem: 3×3 convolution with stride 2 and no pooling, instead of 7×7 with stride 2 and 3×3 pooling.
        input_size: Side in pixels of the images it is made for.
    """

    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, int, int, int]
    width: int = 64
    groups: int = 1
    group_width: int = 64
    small_stem: bool = False
    input_size: int = 224

    def small(self, width: int) -> ResNetLayout:
        """Return the same topology for 64×64 images: small stem, reduced width."""
        return replace(self, width=width, small_stem=True, input_size=64)


class ResNet(Classifier):
    """Standard residual network; equal to torchvision's in the ImageNet layout."""

    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(self, layout: ResNetLayout, num_classes: int, *, is_bcos: bool = False) -> None:
        super().__init__(is_bcos=is_bcos, num_classes=num_classes, input_size=layout.input_size)
        if layout.small_stem:
            self.conv1 = nn.Conv2d(3, layout.width, 3, stride=2, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(3, layout.width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(layout.width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if layout.small_stem else nn.MaxPool2d(3, stride=2, padding=1)
        channels = layout.width
        for stage in range(len(layout.depths)):
            layer, channels = _stage(layout, stage, channels)
            setattr(self, f"layer{stage + 1}", layer)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc: nn.Module = nn.Linear(channels, num_classes)
        _initialise(self)

    def features(self, encoded: Tensor) -> Tensor:
        """Map network input to the output of the fourth stage, stride 32 (16 with the small stem)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(encoded))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def head(self, features: Tensor) -> Tensor:
        """Pool, then classify."""
        return self.fc(self.avgpool(features).flatten(1))


class BcosResNet(ResNet):
    """B-cos residual network: the classifier is a 1×1 B-cos convolution before global pooling."""

    def __init__(self, layout: ResNetLayout, num_classes: int, *, b: float = 2.0) -> None:
        super().__init__(layout, num_classes, is_bcos=True)
        n_features = 8 * layout.width * layout.block.expansion
        convert_modules(self, b=b)
        self.fc = BcosConv2d(n_features, num_classes, 1, b=b)
        self.logit_layer = LogitLayer(default_logit_bias(num_classes))
        _initialise(self)

    def head(self, features: Tensor) -> Tensor:
        """Classify every position, then pool."""
        return self.logit_layer(self.avgpool(self.fc(features)).flatten(1))


def _stage(layout: ResNetLayout, stage: int, channels: int) -> tuple[nn.Sequential, int]:
    """Build one stage; returns it with the number of its output channels."""
    planes = layout.width * 2**stage
    out_channels = planes * layout.block.expansion
    blocks = []
    for index in range(layout.depths[stage]):
        stride = 2 if stage > 0 and index == 0 else 1
        shortcut = None
        if stride != 1 or channels != out_channels:
            shortcut = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        blocks.append(
            layout.block(channels, planes, stride, shortcut, groups=layout.groups, base_width=layout.group_width)
        )
        channels = out_channels
    return nn.Sequential(*blocks), channels


def _initialise(network: nn.Module) -> None:
    """Draw convolutions from He's normal distribution (fan out), as torchvision and the official code do."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _register(name: str, layout: ResNetLayout, small_width: int, standard: Released, bcos: Released) -> None:
    # Small widths are chosen so that the float16 files of the shipped weights stay well below 6 MB.
    register_pair(
        name,
        "ResNet",
        {"imagenet": layout, "small": layout.small(small_width)},
        standard=(ResNet, standard),
        bcos=(BcosResNet, bcos),
        small_note=f"3×3 stem with stride 2, no pooling, first stage {small_width} wide "
        f"(ImageNet: {layout.width})",
        source=f"{'He et al., CVPR 2016' if layout.groups == 1 else 'Xie et al., CVPR 2017'} (torchvision)",
    )


_RESNET50 = ResNetLayout(Bottleneck, (3, 4, 6, 3))
_RESNET152 = ResNetLayout(Bottleneck, (3, 8, 36, 3))

_register(
    "resnet18",
    ResNetLayout(BasicBlock, (2, 2, 2, 2)),
    24,
    Released(11_689_512, torchvision_file(theirs.ResNet18_Weights.IMAGENET1K_V1)),
    Released(11_693_120, official_file("resnet_18-68b4160fff.pth", 68.736, 87.43)),
)
_register(
    "resnet34",
    ResNetLayout(BasicBlock, (3, 4, 6, 3)),
    24,
    Released(21_797_672, torchvision_file(theirs.ResNet34_Weights.IMAGENET1K_V1)),
    Released(21_797_568, official_file("resnet_34-a63425a03e.pth", 72.284, 90.052)),
)
_register(
    "resnet50",
    _RESNET50,
    16,
    Released(25_557_032, torchvision_file(theirs.ResNet50_Weights.IMAGENET1K_V1)),
    Released(25_538_880, official_file("resnet_50-ead259efe4.pth", 75.882, 92.528)),
)
_register(
    "resnet101",
    ResNetLayout(Bottleneck, (3, 4, 23, 3)),
    16,
    Released(44_549_160, torchvision_file(theirs.ResNet101_Weights.IMAGENET1K_V1)),
    Released(44_504_896, official_file("resnet_101-84c3658278.pth", 76.532, 92.538)),
)
_register(
    "resnet152",
    _RESNET152,
    16,
    Released(60_192_808, torchvision_file(theirs.ResNet152_Weights.IMAGENET1K_V1)),
    Released(60_125_504, official_file("resnet_152-42051a77c1.pth", 76.484, 92.398)),
)
_register(
    "resnext50_32x4d",
    ResNetLayout(Bottleneck, (3, 4, 6, 3), groups=32, group_width=4),
    32,
    Released(25_028_904, torchvision_file(theirs.ResNeXt50_32X4D_Weights.IMAGENET1K_V1)),
    Released(25_003_200, official_file("resnext_50_32x4d-57af241ab9.pth", 75.82, 91.81)),
)
# The same networks, trained for longer.
_register(
    "resnet50_long",
    _RESNET50,
    16,
    Released(25_557_032, torchvision_file(theirs.ResNet50_Weights.IMAGENET1K_V2)),
    Released(25_538_880, official_file("resnet_50_long-ef38a88533.pth", 79.468, 94.452, LONG_RESIZE)),
)
_register(
    "resnet152_long",
    _RESNET152,
    16,
    Released(60_192_808, torchvision_file(theirs.ResNet152_Weights.IMAGENET1K_V2)),
    Released(60_125_504, official_file("resnet_152_long-0b4b434939.pth", 80.144, 94.116, LONG_RESIZE)),
)
