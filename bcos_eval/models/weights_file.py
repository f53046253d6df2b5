"""Weights on disk: our `.safetensors` with a card, and official `.pth` files; data, never code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bcos_eval.errors import InputError

# Of the digest of a network in memory.
_STATE_DIGITS = 16

# Names under which training scripts save a state dict, the most telling first, and prefixes that wrappers (of
# several processes, of compiled networks, of Lightning) put before every key, in any order.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module", "ema")
_PREFIXES = ("module.", "model.", "_orig_mod.")
# Checkpoints nest a level or two; one that contains itself nests for ever.
_DEEPEST_NESTING = 8
# torchvision's DenseNet files were written when module names could hold dots.
_DOTTED_DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
# Not in files written before PyTorch 0.4.1; without meaning in evaluation mode.
_OPTIONAL_SUFFIX = ".num_batches_tracked"
_N_KEYS_SHOWN = 3
# The name of a function or class in torch's refusal to read a file as data.
_REFUSED_NAME = re.compile(r"GLOBAL ([\w.]+)")
_LONGEST_REASON = 120
# What a file of ours says of itself, beside its tensors.
_IDENTITY = (
    "model",
    "dataset",
    "variant",
    "num_classes",
    "class_names",
    "input_size",
    "resize_size",
    "conversion",
)
_LARGEST_SIDE = 4096


def card_path(weights: Path) -> Path:
    """Return where the model card of a weights file lies."""
    return weights.with_suffix(".json")


def card_of(weights: Path) -> dict[str, Any]:
    """Return the model card beside a weights file; nothing where there is none, or none that can be read."""
    try:
        card = json.loads(card_path(weights).read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


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
    identity = {key: card[key] for key in _IDENTITY if card.get(key) is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(state, temporary, metadata={"bcos_eval": json.dumps(identity)})
    os.replace(temporary, path)  # noqa: PTH105 - one atomic call, as the name says


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state dict of a file and what the file says of itself (empty for foreign files).

    What our own files say: `model`, `dataset`, `variant`, `num_classes`, `class_names`, `input_size`,
    `resize_size` and `conversion`, as far as they are known.

    Raises:
        InputError: If the file is missing, damaged, or holds anything but tensors; if what it says is impossible.
    """
    if not path.exists() or path.is_dir():
        raise InputError(f"no weights file at {path}; pass a .pth or .safetensors file")
    if path.suffix == ".safetensors":
        state, identity = _read_safetensors(path)
        _check_identity(identity, path)
    else:
        state, identity = _unwrap(_read_torch(path), path), {}
    for key, value in state.items():
        _check_tensor(key, value, path)
    return state, identity


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def state_digest(network: nn.Module) -> str:
    """Return a digest of all parameters and buffers."""
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:_STATE_DIGITS]


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a state dict whose keys and shapes must equal the model's.

    Spellings that older files and sequences use for the same keys are understood.

    Raises:
        InputError: If they do not, naming the first few differences.
    """
    own = model.state_dict()
    optional = tuple(getattr(model, "optional_keys", ()))
    state = respelt({key: value for key, value in state.items() if not key.startswith(optional)}, own)
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
    # A wrapper's name before every key: the official vision transformers were saved from a sequence with their
    # logit layer ("0."), Lightning has the attribute's name.
    while own.keys().isdisjoint(found) and (first := _common_first(found)) is not None:
        found = {key.removeprefix(first): value for key, value in found.items()}
    if own.keys().isdisjoint(found) and (first := _common_first(own)) is not None:
        with_first = {first + key: value for key, value in found.items()}
        found = found if own.keys().isdisjoint(with_first) else with_first
    return {key: value for key, value in own.items() if key.endswith(_OPTIONAL_SUFFIX)} | found


def _common_first(keys: Iterable[str]) -> str | None:
    """Return the first part of dotted keys, with its dot, if all of them have the same."""
    firsts = {first + dot for first, dot, _ in (key.partition(".") for key in keys)}
    first = firsts.pop() if len(firsts) == 1 else ""
    return first if first.endswith(".") else None


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as stream:
            identity = json.loads((stream.metadata() or {}).get("bcos_eval", "{}"))
            return {key: stream.get_tensor(key) for key in stream.keys()}, identity  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, RecursionError, ValueError) as error:
        raise InputError(
            f"{path} is not a readable safetensors file ({_reason(error)}); fetch it again"
        ) from error


def _check_identity(identity: object, path: Path) -> None:
    """Refuse what no file of ours says of itself.

    Raises:
        InputError: If it is no mapping, or a value is of another kind.
    """
    if not isinstance(identity, dict):
        raise InputError(f"{path} says of itself {str(identity)[:_LONGEST_REASON]!r}; fetch it again")
    names = identity.get("class_names", [])
    wrong = {
        "variant": identity.get("variant", "small") not in ("imagenet", "small"),
        "num_classes": not _is_count(identity.get("num_classes", 1), sys.maxsize),
        "class_names": not isinstance(names, list) or not all(isinstance(name, str) for name in names),
        "input_size": not _is_count(identity.get("input_size", 1), _LARGEST_SIDE),
        "resize_size": not _is_count(identity.get("resize_size", 1), _LARGEST_SIDE),
        "conversion": not isinstance(identity.get("conversion", {}), dict),
    }
    for key, is_wrong in wrong.items():
        if is_wrong:
            raise InputError(f"{path} says {key} = {str(identity[key])[:_LONGEST_REASON]!r}; fetch it again")
    if names and len(names) != identity.get("num_classes", len(names)):
        raise InputError(
            f"{path} names {len(names)} classes and says num_classes = {identity['num_classes']}; fetch it again"
        )


def _is_count(value: object, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= largest


def _check_tensor(key: str, value: Tensor, path: Path) -> None:
    """Refuse tensors that claim more numbers than the file holds, and kinds that no network here has.

    Raises:
        InputError: If it is one.
    """
    plain = value.layout is torch.strided and not value.is_quantized and not value.is_complex()
    if not plain or value.device.type != "cpu":
        kind = value.device.type if plain else str(value.dtype if value.layout is torch.strided else value.layout)
        raise InputError(f"{path}: {key} is not a plain tensor but {kind}; save a plain state dict")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        shape = "×".join(map(str, value.shape))
        raise InputError(
            f"{path}: {key} is said to be {shape} and holds {value.untyped_storage().nbytes()} bytes; save "
            "contiguous tensors"
        )


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
    for _ in range(_DEEPEST_NESTING):
        inner = None
        if isinstance(content, Mapping):
            inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path} holds no state dict; save model.state_dict() into it")
    state = dict(content)
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()):
        raise InputError(
            f"{path} holds more than tensors under the state dict's keys; save model.state_dict() into it"
        )
    while (prefix := next((name for name in _PREFIXES if all(key.startswith(name) for key in state)), "")) != "":
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state
