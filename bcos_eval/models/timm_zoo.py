"""Every network of timm as `timm:NAME`, where timm is installed (extra `timm`).

Input size, crop, mean and standard deviation are those of the weights, as timm's metadata state them. The last map
with positions is found by what a network gives before its head: a map, a map with channels last, or tokens.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from bcos_eval.errors import IncompatibleError, InputError, unknown_name

from .classifier import Classifier, Interpolation, Preprocessing
from .registry import ModelInfo, ModelZoo, Variant, register_zoo

PREFIX = "timm:"
_INTERPOLATIONS: tuple[Interpolation, ...] = ("bilinear", "bicubic")

# What `forward_features` gives: (B, F, h, w), (B, h, w, F), tokens that all have a place, or something else.
Layout = Literal["map", "channels last", "tokens", "other"]


class TimmNetwork(Classifier):
    """A network of timm, as it is, whose last features are a map.

    Args:
        network: The network, built by timm.
        num_classes: Number of logits.
        preprocessing: How its weights want images.
        layout: How its features are laid out.
    """

    takes_any_size = False

    def __init__(self, network: nn.Module, num_classes: int, preprocessing: Preprocessing, layout: Layout) -> None:
        super().__init__(is_bcos=False, num_classes=num_classes, preprocessing=preprocessing)
        self.network = network
        self._layout = layout

    def features(self, encoded: Tensor) -> Tensor:
        """Map network input to the last map with positions `(B, F, h, w)`."""
        found = cast("Any", self.network).forward_features(encoded)
        if self._layout == "channels last":
            return cast("Tensor", found.permute(0, 3, 1, 2))
        if self._layout == "tokens":
            side = math.isqrt(found.shape[1])
            return cast("Tensor", found.mT.unflatten(-1, (side, side)))
        return cast("Tensor", found)

    def head(self, features: Tensor) -> Tensor:
        """Pool and classify."""
        if self._layout == "channels last":
            features = features.permute(0, 2, 3, 1)
        elif self._layout == "tokens":
            features = features.flatten(2).mT
        return cast("Tensor", cast("Any", self.network).forward_head(features))


class TimmTransformer(Classifier):
    """A network of timm that cannot be split where its features have places.

    Vision transformers whose classifier reads a token without a place have a `feature_layer`: the tokens that
    enter the attention of the last block. Others have none, and Grad-CAM needs `--param gradcam.layer=`.
    """

    takes_any_size = False

    def __init__(self, network: nn.Module, num_classes: int, preprocessing: Preprocessing) -> None:
        super().__init__(is_bcos=False, num_classes=num_classes, preprocessing=preprocessing)
        self.network = network
        self._n_prefix = int(getattr(network, "num_prefix_tokens", 0) or 0)
        blocks = getattr(network, "blocks", None)
        last = f"blocks.{len(blocks) - 1}.norm1" if isinstance(blocks, nn.Sequential) and len(blocks) else ""
        self.feature_layer = f"network.{last}" if last in dict(network.named_modules()) and last else ""

    def forward(self, encoded: Tensor) -> Tensor:
        """Map network input to logits `(B, C)`."""
        return cast("Tensor", self.network(encoded))

    def to_map(self, tokens: Tensor) -> Tensor:
        """Return tokens `(B, P + N, D)`, the first P of which have no place, on their grid `(B, D, h, w)`."""
        return super().to_map(tokens[:, max(0, self._n_prefix - 1) :])

    def from_map(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Return tokens with those that have a place replaced by a map, the inverse of `to_map`."""
        return torch.cat([tokens[:, : self._n_prefix], features.flatten(2).mT], 1)


def timm_names() -> tuple[str, ...]:
    """Return `timm:NAME` of all networks of the installed timm; none without it."""
    if find_spec("timm") is None:
        return ()
    return tuple(f"{PREFIX}{name}" for name in _timm().list_models())


def timm_model(name: str) -> ModelInfo | None:
    """Return the entry of `timm:NAME` or `timm:NAME.TAG`; None for other names.

    Raises:
        InputError: If timm is not installed, knows no such network, or shows it images that are not square.
    """
    if not name.startswith(PREFIX):
        return None
    if find_spec("timm") is None:
        raise InputError(f"model '{name}' needs timm; install it with `pip install 'bcos-eval[timm]'`.")
    return _entry_of(name)


def pretrained(info: ModelInfo, num_classes: int) -> Classifier | None:
    """Return a network of timm with the weights that timm fetches for ImageNet; None for other networks.

    Raises:
        InputError: If they cannot be fetched.
    """
    if not isinstance(info.build, _Builder):
        return None
    try:
        return info.build.built(num_classes, pretrained=True)
    except Exception as error:  # whatever timm, its hub or the network raise
        raise InputError(
            f"timm cannot give weights for '{info.name}' ({error}); pass --weights with a .pth or .safetensors "
            "file, or 'random'."
        ) from error


def _timm() -> Any:  # noqa: ANN401 - a module without types, and only there with the extra
    return importlib.import_module("timm")


@cache
def _entry_of(name: str) -> ModelInfo:
    timm = _timm()
    called = name.removeprefix(PREFIX)
    if not timm.is_model(called):
        raise unknown_name("model", name, timm_names())
    builder = _Builder(called, _preprocessing(name, _configuration(called)))
    note = "the network as it is, whatever the size of the images"
    side = builder.preprocessing.input_size
    return ModelInfo(name, "timm", False, builder, note, f"timm {timm.__version__}", input_size=side)


def _configuration(called: str) -> dict[str, Any]:
    stated = _timm().get_pretrained_cfg(called)
    data = importlib.import_module("timm.data")
    return dict(data.resolve_data_config({}, pretrained_cfg=stated.to_dict() if stated is not None else {}))


def _preprocessing(name: str, configuration: dict[str, Any]) -> Preprocessing:
    _, height, width = configuration["input_size"]
    if height != width:
        raise IncompatibleError(f"model '{name}' wants images of {height}×{width}; give one for square images.")
    # timm's own evaluation scales by whatever it is told; "random" is for training.
    stated = configuration["interpolation"]
    interpolation: Interpolation = next((one for one in _INTERPOLATIONS if one == stated), "bicubic")
    return Preprocessing(
        input_size=width,
        resize_size=math.floor(width / configuration["crop_pct"]),
        interpolation=interpolation,
        mean=tuple(configuration["mean"]),
        std=tuple(configuration["std"]),
    )


@cache
def _layout(called: str, side: int) -> Layout:
    """Return how a network lays out its features, found without computing anything."""
    with torch.device("meta"):
        network = _timm().create_model(called)
        try:
            found = network.forward_features(torch.zeros(1, 3, side, side))
        except Exception:  # networks that cannot be tried this way, or have no such method
            return "other"
    if not isinstance(found, Tensor) or not hasattr(network, "forward_head"):
        return "other"
    if found.ndim == 4:
        is_last = getattr(network, "output_fmt", "") == "NHWC"
        return "channels last" if is_last else "map"
    n_prefix = getattr(network, "num_prefix_tokens", 0) or 0
    is_square = found.ndim == 3 and math.isqrt(found.shape[1]) ** 2 == found.shape[1]
    return "tokens" if is_square and not n_prefix else "other"


@dataclass(frozen=True, slots=True)
class _Builder:
    """Builds one network of timm: `build` of a `ModelInfo`."""

    called: str
    preprocessing: Preprocessing

    def __call__(self, variant: Variant, num_classes: int) -> Classifier:
        return self.built(num_classes, pretrained=False)

    def built(self, num_classes: int, *, pretrained: bool) -> Classifier:
        network = _timm().create_model(self.called, pretrained=pretrained, num_classes=num_classes)
        layout = _layout(self.called, self.preprocessing.input_size)
        if layout == "other":
            return TimmTransformer(network, num_classes, self.preprocessing)
        return TimmNetwork(network, num_classes, self.preprocessing, layout)


register_zoo(ModelZoo("timm's networks", timm_model, timm_names, is_fixed=False))
