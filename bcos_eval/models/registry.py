"""Every model by name: how to build it, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bcos_eval.errors import unknown_name

from .classifier import Classifier
from .resnet import RESNET_LAYOUTS, BcosResNet, ResNet

# "imagenet" is the published network for 224×224 images, "small" the same topology for 64×64 images with a
# small stem and reduced width.
Variant = Literal["imagenet", "small"]

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


def _register_resnets(architecture: str) -> None:
    layout = RESNET_LAYOUTS[architecture]
    width = _SMALL_RESNET_WIDTHS.get(architecture, _SMALL_RESNEXT_WIDTH)
    layouts = {"imagenet": layout, "small": layout.small(width)}
    note = f"3×3 stem with stride 2, no pooling, first stage {width} wide (ImageNet: {layout.width})"
    source = _RESNEXT_SOURCE if architecture.startswith("resnext") else _RESNET_SOURCE

    def standard(variant: Variant, num_classes: int) -> Classifier:
        return ResNet(layouts[variant], num_classes)

    def bcos(variant: Variant, num_classes: int) -> Classifier:
        return BcosResNet(layouts[variant], num_classes)

    register_model(ModelInfo(architecture, "ResNet", False, standard, note, source))
    register_model(ModelInfo(f"bcos_{architecture}", "ResNet", True, bcos, note, _BCOS_SOURCE))


for _architecture in RESNET_LAYOUTS:
    _register_resnets(_architecture)
