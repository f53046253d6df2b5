"""What trained weights may be used for, as far as their training images decide."""

from __future__ import annotations

from pathlib import Path

from .initial import card_of

# A dataset of the user's own is theirs to judge.
_LICENCES = {
    "shapes": "Apache-2.0 (generated images)",
    "tiny_imagenet20": "non-commercial research and education only (ImageNet's terms for the training images)",
    "imagenette": "non-commercial research and education only (ImageNet's terms for the training images)",
}
_UNKNOWN_LICENCE = "see the terms of the training images"
_INHERITED = "; initial weights: "


def licence_of(dataset: str, initial: Path | None) -> str:
    """Return what the images of `dataset` allow, and those behind the initial weights; each term once."""
    own = _LICENCES.get(dataset, _UNKNOWN_LICENCE)
    if initial is None:
        return own
    inherited = card_of(initial).get("licence", _UNKNOWN_LICENCE).split(_INHERITED)
    return _INHERITED.join(dict.fromkeys([own, *inherited]))
