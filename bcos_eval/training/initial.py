"""Weights that a training run starts from, and the terms that they and the images bring along."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from bcos_eval.data import DATASETS
from bcos_eval.errors import InputError
from bcos_eval.models.weights_file import card_of, read_weights, respelt

_UNKNOWN_LICENCE = "see the terms of the training images"
_INHERITED = "; initial weights: "


def start_from(model: nn.Module, path: Path) -> None:
    """Copy every tensor of a weights file that fits the model; the rest, usually the classifier, stays random.

    Args:
        model: The network; changed in place.
        path: A `.safetensors` or `.pth` file of the same architecture with any number of classes.

    Raises:
        InputError: If the file cannot be read or belongs to another architecture.
    """
    own = model.state_dict()
    state = respelt(read_weights(path)[0], own)
    fitting = {key: value.to(own[key].dtype) for key, value in state.items() if _fits(key, value, own)}
    foreign = [key for key in (*state, *own) if (key in state) != (key in own)]
    reshaped = [key for key in state if key in own and key not in fitting]
    # The classifier: a weight and a bias, first in the classes that changed.
    if foreign or any(state[key].shape[1:] != own[key].shape[1:] for key in reshaped):
        raise InputError(
            f"--init {path} is of another architecture ({', '.join([*foreign, *reshaped][:3])}); "
            "pass weights of the same --model"
        )
    model.load_state_dict(fitting, strict=False)


def licence_of(dataset: str, initial: Path | None) -> str:
    """Return what the images of `dataset` allow, and those behind the initial weights; each term once."""
    own = DATASETS[dataset].licence or _UNKNOWN_LICENCE
    if initial is None:
        return own
    inherited = card_of(initial).get("licence", _UNKNOWN_LICENCE).split(_INHERITED)
    return _INHERITED.join(dict.fromkeys([own, *inherited]))


def _fits(key: str, value: Tensor, own: dict[str, Tensor]) -> bool:
    return key in own and own[key].shape == value.shape
