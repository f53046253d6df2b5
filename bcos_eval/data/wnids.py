"""Which class of ImageNet a name means: WordNet ids, English names, and names that two classes share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

# All 1000 ids in sorted order, which is the order of ImageNet's class numbers.
# Source: timm 1.0.31, data/_info/imagenet_synsets.txt.
_WNIDS = Path(__file__).with_name("imagenet_wnids.txt")
# torchvision tells two classes by names of its own, which others call as their neighbours: see `shared_name`.
_SHARED_NAMES = {"crane bird": "crane", "maillot tank suit": "maillot"}


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """Return the WordNet ids of ImageNet's classes, by class number."""
    return tuple(_WNIDS.read_text(encoding="ascii").split())


def wnids_of(names: Sequence[str]) -> tuple[str | None, ...]:
    """Return the WordNet id of every class that is certainly one of ImageNet's, by its id or its English name.

    Two classes each are called crane, maillot and cardigan: such a name says nothing, except by its place in the
    complete list of ImageNet's names.

    Args:
        names: The classes of a network or a dataset.

    Example:
        >>> wnids_of(["English_springer", "n01440764", "crane", "my cat"])
        ('n02102040', 'n01440764', None, None)
    """
    if names_imagenet(names):
        return imagenet_wnids()
    known = _wnids_of_names()
    return tuple(known.get(plain_name(name)) for name in names)


def names_imagenet(names: Sequence[str]) -> bool:
    """Return whether names are the complete list of ImageNet's, in order."""
    return len(names) == len(imagenet_wnids()) and [shared_name(name) for name in names] == _shared_names()


def plain_name(name: str) -> str:
    """Return a name without case, synonyms after a comma, and differences in spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]+", " ", name.partition(",")[0]).strip().casefold()


def shared_name(name: str) -> str:
    """Return the plain name by which a class of ImageNet goes where lists do not tell it from another."""
    plain = plain_name(name)
    return _SHARED_NAMES.get(plain, plain)


@cache
def _plain_names() -> list[str]:
    from torchvision.models import ResNet18_Weights

    return [plain_name(name) for name in ResNet18_Weights.DEFAULT.meta["categories"]]


@cache
def _shared_names() -> list[str]:
    return [shared_name(name) for name in _plain_names()]


@cache
def _wnids_of_names() -> dict[str, str]:
    """WordNet id by plain name, of the names that one class has, and by the id itself."""
    n_classes, wnids = Counter(_shared_names()), imagenet_wnids()
    by_name = {name: wnid for name, wnid in zip(_plain_names(), wnids, strict=True) if n_classes[name] <= 1}
    return {**by_name, **{wnid: wnid for wnid in wnids}}
