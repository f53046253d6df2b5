"""Every model by name: how to build it, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from bcos_eval.errors import unknown_name

from .classifier import Classifier
from .convnext import CONVNEXT_LAYOUTS, BcosConvNeXt, ConvNeXt
from .densenet import DENSENET_LAYOUTS, BcosDenseNet, DenseNet
from .resnet import RESNET_LAYOUTS, BcosResNet, ResNet
from .vgg import VGG, VGG_LAYOUTS, BcosVGG
from .vit import VIT_LAYOUTS, BcosSimpleViT, SimpleViT

# "imagenet" is the published network for 224×224 images, "small" one of the same family for 64×64 images; what it
# leaves out is in `ModelInfo.small_note`.
Variant = Literal["imagenet", "small"]

_Layout = TypeVar("_Layout")

_BCOS_SOURCE = "Böhle et al., TPAMI 2024"
_RESNET_SOURCE = "He et al., CVPR 2016 (torchvision)"
_RESNEXT_SOURCE = "Xie et al., CVPR 2017 (torchvision)"

# Chosen so that the float16 files of the shipped weights stay well below 6 MB.
_SMALL_RESNET_WIDTHS = {"resnet18": 24, "resnet34": 24, "resnet50": 16, "resnet101": 16, "resnet152": 16}
_SMALL_RESNEXT_WIDTH = 32


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A registered model.

    Attributes:
        name: Registered name.
        family: Architecture family.
        is_bcos: Whether it is a B-cos network.
        build: Builds the network with fresh weights: `build(variant, num_classes)`.
        small_note: What the small variant changes, for tables and model cards.
        source: Paper.
    """

    name: str
    family: str
    is_bcos: bool
    build: Callable[[Variant, int], Classifier]
    small_note: str
    source: str


MODELS: dict[str, ModelInfo] = {}


def register_model(info: ModelInfo) -> ModelInfo:
    """Add a model to the registry.

    Raises:
        ValueError: If the name is taken.
    """
    if info.name in MODELS:
        raise ValueError(f"model '{info.name}' is registered twice")
    MODELS[info.name] = info
    return info


def model_info(name: str) -> ModelInfo:
    """Return the registry entry of a name.

    Raises:
        InputError: If the name is unknown, with near matches.
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    return MODELS[name]


def _register_pair(
    architecture: str,
    family: str,
    layouts: Mapping[Variant, _Layout],
    classes: tuple[Callable[[_Layout, int], Classifier], Callable[[_Layout, int], Classifier]],
    *,
    small_note: str,
    source: str,
) -> None:
    """Register the standard network and its B-cos counterpart; `classes` in that order."""
    standard, bcos = classes

    def build_standard(variant: Variant, num_classes: int) -> Classifier:
        return standard(layouts[variant], num_classes)

    def build_bcos(variant: Variant, num_classes: int) -> Classifier:
        return bcos(layouts[variant], num_classes)

    register_model(ModelInfo(architecture, family, False, build_standard, small_note, source))
    register_model(ModelInfo(f"bcos_{architecture}", family, True, build_bcos, small_note, _BCOS_SOURCE))


def _register_resnets() -> None:
    for name, layout in RESNET_LAYOUTS.items():
        width = _SMALL_RESNET_WIDTHS.get(name.removesuffix("_long"), _SMALL_RESNEXT_WIDTH)
        _register_pair(
            name,
            "ResNet",
            {"imagenet": layout, "small": layout.small(width)},
            (ResNet, BcosResNet),
            small_note=f"3×3 stem with stride 2, no pooling, first stage {width} wide (ImageNet: {layout.width})",
            source=_RESNEXT_SOURCE if name.startswith("resnext") else _RESNET_SOURCE,
        )


def _register_densenets() -> None:
    for name, layout in DENSENET_LAYOUTS.items():
        small = layout.small()
        _register_pair(
            name,
            "DenseNet",
            {"imagenet": layout, "small": small},
            (DenseNet, BcosDenseNet),
            small_note=f"3×3 stem, growth {small.growth} (ImageNet: {layout.growth}), {sum(small.depths)} layers "
            f"({sum(layout.depths)})",
            source="Huang et al., CVPR 2017 (torchvision)",
        )


def _register_vggs() -> None:
    for name, layout in VGG_LAYOUTS.items():
        small = layout.small()
        _register_pair(
            name,
            "VGG",
            {"imagenet": layout, "small": small},
            (VGG, BcosVGG),
            small_note=f"first pooling left out, a quarter of the width, {small.hidden} hidden units "
            f"(ImageNet: {layout.hidden})",
            source="Simonyan and Zisserman, ICLR 2015 (torchvision's vgg11_bn)",
        )


def _register_convnexts() -> None:
    for name, layout in CONVNEXT_LAYOUTS.items():
        small = layout.small()
        _register_pair(
            name,
            "ConvNeXt",
            {"imagenet": layout, "small": small},
            (ConvNeXt, BcosConvNeXt),
            small_note=f"first stage {small.width} wide (ImageNet: {layout.width}), {sum(small.depths)} blocks "
            f"({sum(layout.depths)})",
            source="Liu et al., CVPR 2022 (torchvision)",
        )


def _register_vits() -> None:
    for name, layout in VIT_LAYOUTS.items():
        small = layout.small()
        _register_pair(
            name,
            "ViT-C" if layout.stem else "SimpleViT",
            {"imagenet": layout, "small": small},
            (SimpleViT, BcosSimpleViT),
            small_note=(
                f"patches of 8×8 pixels (ImageNet: 16×16), {small.dim} channels ({layout.dim}), "
                f"{small.depth} blocks ({layout.depth})"
            ),
            source="Xiao et al., NeurIPS 2021" if layout.stem else "Beyer et al., 2022",
        )


_register_resnets()
_register_densenets()
_register_vggs()
_register_convnexts()
_register_vits()
