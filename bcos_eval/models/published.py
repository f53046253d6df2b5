"""Weights that others have published for ImageNet: where they lie, their digest and their accuracy."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torchvision.models import WeightsEnum

_BCOS_RELEASE = "https://github.com/B-cos/B-cos-v2/releases/download/v0.0.1-weights"
_BCOS_SOURCE = "B-cos v2, model table (release v0.0.1-weights)"
_BCOS_LICENCE = "Apache-2.0 (trained on ImageNet: its terms apply)"
_TORCHVISION_LICENCE = "BSD-3-Clause (trained on ImageNet: its terms apply)"
_DEFAULT_RESIZE = 256
# Longer recipes were validated on images resized to this side.
LONG_RESIZE = 232
# Both projects put the first digits of a file's SHA-256 into its name.
_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.pth$")


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


def official_file(
    name: str, top1_percent: float, top5_percent: float, resize_size: int = _DEFAULT_RESIZE
) -> PublishedWeights:
    """Return a file of the official B-cos release."""
    url = f"{_BCOS_RELEASE}/{name}"
    digest = _digest_in(url)
    return PublishedWeights(url, digest, top1_percent, top5_percent, resize_size, _BCOS_SOURCE, _BCOS_LICENCE)


def torchvision_file(entry: WeightsEnum) -> PublishedWeights:
    """Return a file of torchvision's, with the facts that torchvision states of it."""
    accuracy = entry.meta["_metrics"]["ImageNet-1K"]
    return PublishedWeights(
        entry.url,
        _digest_in(entry.url),
        accuracy["acc@1"],
        accuracy["acc@5"],
        entry.transforms.keywords.get("resize_size", _DEFAULT_RESIZE),
        f"torchvision, {type(entry).__name__}.{entry.name}",
        _TORCHVISION_LICENCE,
    )


def _digest_in(url: str) -> str:
    match = _DIGEST_IN_NAME.search(url)
    if match is None:
        raise ValueError(f"no digest in the file name of {url}")
    return match[1]
