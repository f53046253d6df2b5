"""Weights on disk: our `.safetensors` with a card, and official `.pth` files; data, never code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bcos_eval.errors import InputError

# Wrappers under which training scripts save a state dict, and prefixes they put before every key.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "ema")
_PREFIXES = ("module.", "model.", "_orig_mod.")
# The official vision transformers were saved, with this prefix, from a sequence with their logit layer.
_SEQUENCE_PREFIX = "0."
# torchvision's DenseNet files were written when module names could hold dots.
_DOTTED_DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
# Not in files written before PyTorch 0.4.1; without meaning in evaluation mode.
_OPTIONAL_SUFFIX = ".num_batches_tracked"
_N_KEYS_SHOWN = 3
# The name of a function or class in torch's refusal to read a file as data.
_REFUSED_NAME = re.compile(r"GLOBAL ([\w.]+)")
_LONGEST_REASON = 120


def card_path(weights: Path) -> Path:
    """Return where the model card of a weights file lies."""
    return weights.with_suffix(".json")


def round_weights(model: nn.Module) -> None:
    """Round, in place, tensors with two or more dimensions to what float16 can hold."""
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            parameter.data = parameter.data.half().float()


def save_weights(model: nn.Module, path: Path, card: Mapping[str, Any]) -> None:
    """Write a state dict whole or not at all; matrices as float16, which `round_weights` made exact."""
    state = {
        key: (value.half() if value.ndim >= 2 else value).detach().cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    identity = {key: card[key] for key in ("model", "dataset", "variant", "num_classes", "class_names")}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(state, temporary, metadata={"bcos_eval": json.dumps(identity)})
    os.replace(temporary, path)  # noqa: PTH105 - one atomic call, as the name says


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state dict of a file and what the file says of itself (empty for foreign files).

    Raises:
        InputError: If the file is missing, damaged, or holds anything but tensors.
    """
    if not path.is_file():
        raise InputError(f"no weights file at {path}; pass a .pth or .safetensors file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _unwrap(_read_torch(path), path), {}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a state dict whose keys and shapes must equal the model's.

    Spellings that older files and sequences use for the same keys are understood.

    Raises:
        InputError: If they do not, naming the first few differences.
    """
    own = model.state_dict()
    state = respelt(state, own)
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    reshaped = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or unexpected or reshaped:
        parts = [
            f"{len(keys)} {what} ({', '.join(keys[:_N_KEYS_SHOWN])}{', …' if len(keys) > _N_KEYS_SHOWN else ''})"
            for keys, what in (
                (missing, "missing"),
                (unexpected, "unexpected"),
                (reshaped, "of another shape"),
            )
            if keys
        ]
        name = getattr(model, "name", type(model).__name__)
        raise InputError(
            f"{path} does not fit {name}: {'; '.join(parts)}; pass the --model that these weights belong to"
        )
    model.load_state_dict({key: value.to(own[key].dtype) for key, value in state.items()})


def respelt(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with its keys spelt as the model spells them."""
    found = {_DOTTED_DENSE_LAYER.sub(r"\1\2.", key): value for key, value in state.items()}
    wanted = all(key.startswith(_SEQUENCE_PREFIX) for key in own)
    given = all(key.startswith(_SEQUENCE_PREFIX) for key in found)
    if given and not wanted:
        found = {key.removeprefix(_SEQUENCE_PREFIX): value for key, value in found.items()}
    if wanted and not given:
        found = {_SEQUENCE_PREFIX + key: value for key, value in found.items()}
    return {key: value for key, value in own.items() if key.endswith(_OPTIONAL_SUFFIX)} | found


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as stream:
            identity = json.loads((stream.metadata() or {}).get("bcos_eval", "{}"))
            return {key: stream.get_tensor(key) for key in stream.keys()}, identity  # noqa: SIM118 - not a dict
    except (SafetensorError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}); fetch it again") from error


def _read_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():  # what matters of torch's warnings about odd files is an error here
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # arbitrary bytes, run as a pickle's instructions, raise almost anything
        raise InputError(
            f"{path} cannot be read as weights ({_reason(error)}); it is damaged or holds more than tensors: "
            "fetch it again or save its state dict alone"
        ) from error


def _reason(error: Exception) -> str:
    """Return what in a file was refused, without torch's advice to read it as code after all."""
    text = str(error)
    if (refused := _REFUSED_NAME.search(text)) is not None:
        return f"it names {refused[1]}, which is code"
    if not text:
        return type(error).__name__
    if isinstance(error, pickle.UnpicklingError):
        return "not a file of tensors"
    return text.splitlines()[0].split(". ")[0][:_LONGEST_REASON]


def _unwrap(content: object, path: Path) -> dict[str, Tensor]:
    """Return the state dict inside a checkpoint, without wrappers and common prefixes."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path} holds no state dict; save model.state_dict() into it")
    state = dict(content)
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(
            f"{path} holds more than tensors under the state dict's keys; save model.state_dict() into it"
        )
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key[len(prefix) :]: value for key, value in state.items()}
    return state
