"""Weights that others have published for ImageNet: where they lie, their digest and their accuracy."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torchvision.models import get_weight

_BCOS_RELEASE = "https://github.com/B-cos/B-cos-v2/releases/download/v0.0.1-weights"
_BCOS_SOURCE = "B-cos v2, model table (release v0.0.1-weights)"
_BCOS_LICENCE = "Apache-2.0 (trained on ImageNet: its terms apply)"
_TORCHVISION_LICENCE = "BSD-3-Clause (trained on ImageNet: its terms apply)"
_DEFAULT_RESIZE = 256
# Longer recipes were validated on images resized to this side.
_LONG_RESIZE = 232
_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.pth$")

# File, top-1 and top-5 accuracy in percent, side images are resized to before the 224×224 crop.
_OFFICIAL = {
    "bcos_resnet18": ("resnet_18-68b4160fff.pth", 68.736, 87.43, _DEFAULT_RESIZE),
    "bcos_resnet34": ("resnet_34-a63425a03e.pth", 72.284, 90.052, _DEFAULT_RESIZE),
    "bcos_resnet50": ("resnet_50-ead259efe4.pth", 75.882, 92.528, _DEFAULT_RESIZE),
    "bcos_resnet101": ("resnet_101-84c3658278.pth", 76.532, 92.538, _DEFAULT_RESIZE),
    "bcos_resnet152": ("resnet_152-42051a77c1.pth", 76.484, 92.398, _DEFAULT_RESIZE),
    "bcos_resnext50_32x4d": ("resnext_50_32x4d-57af241ab9.pth", 75.82, 91.81, _DEFAULT_RESIZE),
    "bcos_densenet121": ("densenet_121-b8daf96afb.pth", 73.612, 91.106, _DEFAULT_RESIZE),
    "bcos_densenet161": ("densenet_161-9e9ea51353.pth", 76.622, 92.554, _DEFAULT_RESIZE),
    "bcos_densenet169": ("densenet_169-7037ee0604.pth", 75.186, 91.786, _DEFAULT_RESIZE),
    "bcos_densenet201": ("densenet_201-00ac87066f.pth", 75.48, 91.992, _DEFAULT_RESIZE),
    "bcos_vgg11_bnu": ("vgg_11_bnu-34036029f0.pth", 69.31, 88.388, _DEFAULT_RESIZE),
    "bcos_convnext_tiny": ("convnext_tiny_pn-539b1bfb37.pth", 77.488, 93.192, _LONG_RESIZE),
    "bcos_convnext_base": ("convnext_base_pn-b0495852c6.pth", 79.65, 94.614, _LONG_RESIZE),
    "bcos_convnext_tiny_bnu": ("convnext_tiny_bnu-dbd7f5ef9d.pth", 76.826, 93.09, _LONG_RESIZE),
    "bcos_convnext_base_bnu": ("convnext_base_bnu-7c32a704b3.pth", 80.142, 94.834, _LONG_RESIZE),
    "bcos_densenet121_long": ("densenet_121_long-5175461597.pth", 77.302, 93.234, _LONG_RESIZE),
    "bcos_resnet50_long": ("resnet_50_long-ef38a88533.pth", 79.468, 94.452, _LONG_RESIZE),
    "bcos_resnet152_long": ("resnet_152_long-0b4b434939.pth", 80.144, 94.116, _LONG_RESIZE),
    "bcos_simple_vit_ti_patch16_224": (
        "bcos_simple_vit_ti_patch16_224-4b0824b1c1.pth",
        59.96,
        81.838,
        _DEFAULT_RESIZE,
    ),
    "bcos_simple_vit_s_patch16_224": (
        "bcos_simple_vit_s_patch16_224-75e99d1f73.pth",
        69.246,
        88.096,
        _DEFAULT_RESIZE,
    ),
    "bcos_simple_vit_b_patch16_224": (
        "bcos_simple_vit_b_patch16_224-1fc4750806.pth",
        74.408,
        91.156,
        _DEFAULT_RESIZE,
    ),
    "bcos_simple_vit_l_patch16_224": (
        "bcos_simple_vit_l_patch16_224-9613b2ad0a.pth",
        75.06,
        91.378,
        _DEFAULT_RESIZE,
    ),
    "bcos_vitc_ti_patch1_14": ("bcos_vitc_ti_patch1_14-ddd6193a77.pth", 67.26, 86.774, _DEFAULT_RESIZE),
    "bcos_vitc_s_patch1_14": ("bcos_vitc_s_patch1_14-cf55c88f0c.pth", 74.504, 91.288, _DEFAULT_RESIZE),
    "bcos_vitc_b_patch1_14": ("bcos_vitc_b_patch1_14-a13c46397b.pth", 77.152, 92.926, _DEFAULT_RESIZE),
    "bcos_vitc_l_patch1_14": ("bcos_vitc_l_patch1_14-8739e18b8d.pth", 77.782, 92.966, _DEFAULT_RESIZE),
    "simple_vit_ti_patch16_224": (
        "standard_simple_vit_ti_patch16_224-2ae8c65a39.pth",
        70.23,
        89.38,
        _DEFAULT_RESIZE,
    ),
    "simple_vit_s_patch16_224": (
        "standard_simple_vit_s_patch16_224-f2934fcdcf.pth",
        74.47,
        91.226,
        _DEFAULT_RESIZE,
    ),
    "simple_vit_b_patch16_224": (
        "standard_simple_vit_b_patch16_224-87074200ed.pth",
        75.3,
        91.026,
        _DEFAULT_RESIZE,
    ),
    "simple_vit_l_patch16_224": (
        "standard_simple_vit_l_patch16_224-62dc536e03.pth",
        75.71,
        90.05,
        _DEFAULT_RESIZE,
    ),
    "vitc_ti_patch1_14": ("standard_vitc_ti_patch1_14-a5d6bded37.pth", 72.59, 90.788, _DEFAULT_RESIZE),
    "vitc_s_patch1_14": ("standard_vitc_s_patch1_14-34ecd7288e.pth", 75.756, 91.994, _DEFAULT_RESIZE),
    "vitc_b_patch1_14": ("standard_vitc_b_patch1_14-4d374b0220.pth", 76.79, 92.024, _DEFAULT_RESIZE),
    "vitc_l_patch1_14": ("standard_vitc_l_patch1_14-560e48f246.pth", 77.866, 92.298, _DEFAULT_RESIZE),
}

# Where torchvision has two recipes, "_long" names the longer one.
_TORCHVISION = {
    "resnet18": "ResNet18_Weights.IMAGENET1K_V1",
    "resnet34": "ResNet34_Weights.IMAGENET1K_V1",
    "resnet50": "ResNet50_Weights.IMAGENET1K_V1",
    "resnet101": "ResNet101_Weights.IMAGENET1K_V1",
    "resnet152": "ResNet152_Weights.IMAGENET1K_V1",
    "resnext50_32x4d": "ResNeXt50_32X4D_Weights.IMAGENET1K_V1",
    "resnet50_long": "ResNet50_Weights.IMAGENET1K_V2",
    "resnet152_long": "ResNet152_Weights.IMAGENET1K_V2",
    "densenet121": "DenseNet121_Weights.IMAGENET1K_V1",
    "densenet121_long": "DenseNet121_Weights.IMAGENET1K_V1",
    "densenet161": "DenseNet161_Weights.IMAGENET1K_V1",
    "densenet169": "DenseNet169_Weights.IMAGENET1K_V1",
    "densenet201": "DenseNet201_Weights.IMAGENET1K_V1",
    "vgg11_bnu": "VGG11_BN_Weights.IMAGENET1K_V1",
    "convnext_tiny": "ConvNeXt_Tiny_Weights.IMAGENET1K_V1",
    "convnext_tiny_bnu": "ConvNeXt_Tiny_Weights.IMAGENET1K_V1",
    "convnext_base": "ConvNeXt_Base_Weights.IMAGENET1K_V1",
    "convnext_base_bnu": "ConvNeXt_Base_Weights.IMAGENET1K_V1",
}


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """A file that a model's authors published.

    Attributes:
        url: Where to fetch it.
        sha256_prefix: First hexadecimal digits of its SHA-256, as published in its name.
        top1_percent: Published top-1 accuracy on ImageNet's validation images.
        top5_percent: Published top-5 accuracy.
        resize_size: Side to which images were resized, before the central 224×224 crop, to get this accuracy.
        source: Who published it.
        licence: Its licence.
    """

    url: str
    sha256_prefix: str
    top1_percent: float
    top5_percent: float
    resize_size: int
    source: str
    licence: str

    @property
    def file_name(self) -> str:
        """The last part of the URL."""
        return self.url.rsplit("/", 1)[-1]


def published_weights(name: str) -> PublishedWeights | None:
    """Return the ImageNet weights published for a registered model; None where there are none."""
    if name in _OFFICIAL:
        file, top1, top5, resize = _OFFICIAL[name]
        url = f"{_BCOS_RELEASE}/{file}"
        return PublishedWeights(url, _digest_in(file), top1, top5, resize, _BCOS_SOURCE, _BCOS_LICENCE)
    if name in _TORCHVISION:
        return _torchvision_weights(_TORCHVISION[name])
    return None


def _torchvision_weights(enum: str) -> PublishedWeights:
    entry = get_weight(enum)
    accuracy = entry.meta["_metrics"]["ImageNet-1K"]
    return PublishedWeights(
        entry.url,
        _digest_in(entry.url),
        accuracy["acc@1"],
        accuracy["acc@5"],
        entry.transforms.keywords.get("resize_size", _DEFAULT_RESIZE),
        f"torchvision, {enum}",
        _TORCHVISION_LICENCE,
    )


def _digest_in(file: str) -> str:
    match = _DIGEST_IN_NAME.search(file)
    if match is None:
        raise ValueError(f"no digest in the file name of {file}")
    return match[1]
