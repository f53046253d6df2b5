"""Every classification network of torchvision that has no file of its own here, under torchvision's name.

Input size, resizing, mean and standard deviation are those of the weights, as torchvision states them. Networks
are cut before their classifier by role: `features` ends with the last map that has positions, before pooling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models as torchvision_models
from torchvision.models import WeightsEnum

from .classifier import Classifier, Preprocessing
from .published import torchvision_file
from .registry import ModelInfo, ModelZoo, Variant, register_zoo

# Their networks normalise once more inside, by their `transform_input`, which amounts to these numbers.
_INCEPTION_MEAN = (0.5, 0.5, 0.5)
# Only these classes take the constructor's argument, and warn where it is left out.
_WITH_AUXILIARY = ("googlenet", "inception_v3")
# The names of the children before the classifier and of those after, per class of torchvision. Pooling and
# flattening are done where `_POOL` and `_FLATTEN` stand.
_POOL, _FLATTEN = "<pool>", "<flatten>"
_GOOGLENET_BODY = (
    *("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3"),
    *(f"inception4{letter}" for letter in "abcde"),
    *("maxpool4", "inception5a", "inception5b"),
)
_INCEPTION_BODY = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    *(f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")),
)
_CONV_BODY = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
_PARTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "AlexNet": (("features",), ("avgpool", _FLATTEN, "classifier")),
    "ConvNeXt": (("features",), ("avgpool", "classifier")),
    "EfficientNet": (("features",), ("avgpool", _FLATTEN, "classifier")),
    "GoogLeNet": (_GOOGLENET_BODY, ("avgpool", _FLATTEN, "dropout", "fc")),
    "Inception3": (_INCEPTION_BODY, ("avgpool", "dropout", _FLATTEN, "fc")),
    "MNASNet": (("layers",), (_POOL, "classifier")),
    "MaxVit": (("stem", "blocks"), ("classifier",)),
    "MobileNetV2": (("features",), (_POOL, "classifier")),
    "MobileNetV3": (("features",), ("avgpool", _FLATTEN, "classifier")),
    "RegNet": (("stem", "trunk_output"), ("avgpool", _FLATTEN, "fc")),
    "ResNet": (_CONV_BODY, ("avgpool", _FLATTEN, "fc")),
    "ShuffleNetV2": (("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"), (_POOL, "fc")),
    "SqueezeNet": (("features",), ("classifier", _FLATTEN)),
    # Its maps have channels last until `permute`.
    "SwinTransformer": (("features", "norm", "permute"), ("avgpool", "flatten", "head")),
    "VGG": (("features",), ("avgpool", _FLATTEN, "classifier")),
}
# Classifiers that help in training alone; the files have them and evaluation does not.
_TRAINING_ONLY = ("AuxLogits.", "aux1.", "aux2.")


class TorchvisionNetwork(Classifier):
    """A network of torchvision, as it is, with its own preprocessing.

    Some take images of any size and some do not: grids are tried.

    Args:
        network: The network, built by torchvision.
        num_classes: Number of logits.
        preprocessing: How its weights want images.
    """

    takes_any_size = False

    def __init__(self, network: nn.Module, num_classes: int, preprocessing: Preprocessing) -> None:
        super().__init__(is_bcos=False, num_classes=num_classes, preprocessing=preprocessing)
        self.network = network
        self.optional_keys = _TRAINING_ONLY
        self._body, self._tail = _PARTS[type(network).__name__]

    def features(self, encoded: Tensor) -> Tensor:
        """Map network input to the last map with positions `(B, F, h, w)`."""
        return self._run(self._body, encoded)

    def head(self, features: Tensor) -> Tensor:
        """Pool and classify."""
        return self._run(self._tail, features)

    def _run(self, names: tuple[str, ...], x: Tensor) -> Tensor:
        for name in names:
            if name == _POOL:
                x = x.mean((2, 3)) if type(self.network).__name__ != "MobileNetV2" else _pooled(x)
            elif name == _FLATTEN:
                x = x.flatten(1)
            else:
                child = self.network.get_submodule(name)
                # MaxViT keeps its blocks in a list.
                for module in child if isinstance(child, nn.ModuleList) else (child,):
                    x = module(x)
        return x


class TorchvisionViT(Classifier):
    """A vision transformer of torchvision; its classifier reads a token that belongs to no place.

    That is why it has no `features` and `head`. Its `feature_layer` gives the tokens that enter the attention of
    the last block, as usual for Grad-CAM on such networks: those after it no longer touch the class token.
    """

    takes_any_size = False

    def __init__(self, network: nn.Module, num_classes: int, preprocessing: Preprocessing) -> None:
        super().__init__(is_bcos=False, num_classes=num_classes, preprocessing=preprocessing)
        self.network = network
        blocks = network.get_submodule("encoder.layers")
        last = [name for name, _ in blocks.named_children()][-1]
        self.feature_layer = f"network.encoder.layers.{last}.ln_1"

    def forward(self, encoded: Tensor) -> Tensor:
        """Map network input to logits `(B, C)`."""
        return self.network(encoded)


def _pooled(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, (1, 1)).flatten(1)


def torchvision_names() -> tuple[str, ...]:
    """Return the names of torchvision's classification networks."""
    return tuple(torchvision_models.list_models(module=torchvision_models))


def torchvision_model(name: str) -> ModelInfo | None:
    """Return the entry of a network of torchvision's; None for other names."""
    return _entry_of(name) if name in torchvision_names() else None


def weights_called(name: str, weights: str) -> WeightsEnum | None:
    """Return weights of a network by the name that torchvision gives them, with or without their class.

    Args:
        name: Name of the network.
        weights: For example `IMAGENET1K_V2` or `ResNet50_Weights.IMAGENET1K_V2`.
    """
    if name not in torchvision_names():
        return None
    return next((entry for entry in _entries(name) if weights in (entry.name, str(entry))), None)


def names_of_weights(name: str) -> list[str]:
    """Return what torchvision calls the weights of a network, the default first; nothing for other names."""
    return [entry.name for entry in _entries(name)] if name in torchvision_names() else []


def model_with(name: str, entry: WeightsEnum) -> ModelInfo:
    """Return the entry of a network that is built for certain weights: their input size and preprocessing."""
    build = _Builder(name, _preprocessing(name, entry))
    return ModelInfo(
        name,
        "torchvision",
        False,
        build,
        "the network as it is, whatever the size of the images",
        "torchvision",
        entry.meta["num_params"],
        torchvision_file(entry),
        build.preprocessing.input_size,
    )


@cache
def _entry_of(name: str) -> ModelInfo:
    return model_with(name, _entries(name)[0])


def _entries(name: str) -> list[WeightsEnum]:
    """Return the weights of a network that classify ImageNet's 1000 classes, the default first."""
    found = [entry for entry in torchvision_models.get_model_weights(name) if entry.meta["categories"] is not None]
    default = torchvision_models.get_model_weights(name).DEFAULT
    return sorted(found, key=lambda entry: entry is not default)


def _preprocessing(name: str, entry: WeightsEnum) -> Preprocessing:
    transform = entry.transforms()
    is_inception = name in _WITH_AUXILIARY
    return Preprocessing(
        input_size=transform.crop_size[0],
        resize_size=transform.resize_size[0],
        interpolation=transform.interpolation.value,
        mean=_INCEPTION_MEAN if is_inception else tuple(transform.mean),
        std=_INCEPTION_MEAN if is_inception else tuple(transform.std),
    )


@dataclass(frozen=True, slots=True)
class _Builder:
    """Builds one network of torchvision: `build` of a `ModelInfo`."""

    name: str
    preprocessing: Preprocessing

    def __call__(self, variant: Variant, num_classes: int) -> Classifier:
        options: dict[str, Any] = {"num_classes": num_classes}
        if self.name in _WITH_AUXILIARY:
            options |= {"aux_logits": False, "init_weights": False, "transform_input": False}
        if self.name.startswith("vit_"):
            options["image_size"] = self.preprocessing.input_size
        network = torchvision_models.get_model(self.name, weights=None, **options)
        kind: Callable[..., Classifier] = TorchvisionNetwork
        if isinstance(network, torchvision_models.VisionTransformer):
            kind = TorchvisionViT
        return kind(network, num_classes, self.preprocessing)


register_zoo(ModelZoo("torchvision's classification networks", torchvision_model, torchvision_names))
