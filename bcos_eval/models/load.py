"""Build a model by name with the weights asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bcos_eval.errors import InputError

from .classifier import Classifier
from .converted import ConvertedNetwork, converted_model
from .download import fetch
from .form import BcosForm, give_form
from .published import PublishedWeights, torchvision_file
from .registry import IMAGENET_CLASSES, MODELS, ModelInfo, Variant, model_info
from .timm_zoo import pretrained
from .torchvision_zoo import model_with, weights_called
from .weights_file import card_of, card_path, file_digest, load_strictly, read_weights, respelt, state_digest

WEIGHTS_DIR = Path(__file__).parent / "weights"
DEFAULT_DATASET = "shapes"
# Enough hexadecimal digits of a digest to tell weights apart in a table.
_ID_DIGITS = 16


def load_model(
    name: str,
    weights: str | Path | None = None,
    dataset: str | None = None,
    device: str | torch.device = "cpu",
) -> Classifier:
    """Return a registered model in evaluation mode, its parameters frozen.

    Args:
        name: Registered name, for example `bcos_resnet50`.
        weights: None for the weights registered for the dataset (packaged, or for `imagenet` the published file,
            which is fetched once); a path to an official `.pth` or one of our `.safetensors` files; torchvision's
            name of published weights, for example `IMAGENET1K_V2`; the name of the dataset that packaged weights
            were trained on, to look at others with them; or "random" for reproducible untrained weights.
        dataset: Name of the dataset the weights were trained on. None means `shapes` for registered weights, or
            `imagenet` where there are none for it, and the published ImageNet network for "random".
        device: Where to put it.

    Raises:
        InputError: (a ValueError) for an unknown name, with near matches; for weights that are not registered,
            missing, damaged or of another architecture; for a published file that cannot be fetched.
    """
    info = model_info(name)
    if weights is None:
        model = _registered(info, dataset or _default_dataset(info))
    elif str(weights) == "random":
        model = _random(info, dataset)
    elif (entry := weights_called(info.name, str(weights))) is not None:
        info = info if info.name in MODELS else model_with(info.name, entry)
        model = _fetched(info, torchvision_file(entry))
    else:
        model = _from_file(info, shipped_weights(info.name).get(str(weights), Path(weights)))
    model.name = info.name
    return model.eval().requires_grad_(False).to(device)


def shipped_weights(name: str) -> dict[str, Path]:
    """Return the packaged weights files of a model, by dataset name."""
    return {path.stem.split("-", 1)[1]: path for path in sorted(WEIGHTS_DIR.glob(f"{name}-*.safetensors"))}


def shipped_card(weights: Path) -> dict[str, Any]:
    """Return the model card of a packaged weights file: recipe, seed, data, accuracy."""
    card: dict[str, Any] = json.loads(card_path(weights).read_text(encoding="utf-8"))
    return card


def shipped_intact(weights: Path) -> bool:
    """Return whether a packaged weights file has the digest that its card states."""
    return file_digest(weights) == shipped_card(weights).get("sha256")


def _default_dataset(info: ModelInfo) -> str:
    has_small_variant = info.name in MODELS or DEFAULT_DATASET in shipped_weights(info.name)
    return DEFAULT_DATASET if has_small_variant else "imagenet"


def _registered(info: ModelInfo, dataset: str) -> Classifier:
    origin = registered_origin(info, dataset)
    if isinstance(origin, Path):
        return _from_file(info, origin)
    if origin is not None:
        return _fetched(info, origin)
    if dataset == "imagenet" and (model := pretrained(info, IMAGENET_CLASSES)) is not None:
        model.class_names = imagenet_class_names()
        model.weights_id = state_digest(model)
        return model
    shipped = shipped_weights(info.name)
    have = [*shipped, *(["imagenet"] if info.published else [])]
    raise InputError(
        f"no weights for model '{info.name}' on dataset '{dataset}' (there are some for: "
        f"{', '.join(have) or 'none'}); pass --weights with a .pth or .safetensors file, or 'random'"
    )


def registered_origin(info: ModelInfo, dataset: str) -> Path | PublishedWeights | None:
    """Return the weights registered for a model on a dataset: a packaged file or a published one."""
    published = info.published if dataset == "imagenet" else None
    return shipped_weights(info.name).get(dataset, published)


def _fetched(info: ModelInfo, published: PublishedWeights) -> Classifier:
    model = _from_file(info, fetch(published.url, published.sha256_prefix))
    # The accuracy was published for photographs scaled to this side.
    model.preprocessing = replace(model.preprocessing, resize_size=published.resize_size)
    return model


def _random(info: ModelInfo, dataset: str | None) -> Classifier:
    variant: Variant = "imagenet" if dataset in (None, "imagenet") else "small"
    num_classes = IMAGENET_CLASSES
    names: tuple[str, ...] | None = None
    if variant == "small":
        names = _class_names(str(dataset))
        num_classes = len(names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = info.build(variant, num_classes)
    if names is not None:
        model.class_names = names
    return model


def _class_names(dataset: str) -> tuple[str, ...]:
    """Return a dataset's classes, from the card of any weights shipped for it, so that no files are needed."""
    from bcos_eval.data import load_dataset

    card = next(iter(sorted(WEIGHTS_DIR.glob(f"*-{dataset}.json"))), None)
    if card is not None:
        return tuple(json.loads(card.read_text(encoding="utf-8"))["class_names"])
    return load_dataset(dataset).class_names


def _from_file(info: ModelInfo, path: Path) -> Classifier:
    state, identity = read_weights(path)
    info, form = _in_stated_form(info, identity, path)
    variant: Variant = identity.get("variant", "imagenet")
    rows = _classifier_rows(info, state)
    if rows is not None and identity.get("num_classes", rows) != rows:
        raise InputError(
            f"{path} says num_classes = {identity['num_classes']} and its classifier has {rows}; fetch it again"
        )
    # Never the number that the file states: it costs nothing to state a billion.
    model = info.build(variant, IMAGENET_CLASSES if rows is None else rows)
    model.name = info.name
    if info.is_bcos and not isinstance(info.build, ConvertedNetwork):  # which is built in its form
        give_form(model, form)
    load_strictly(model, state, path)
    if "class_names" in identity:
        model.class_names = tuple(identity["class_names"])
    elif variant == "imagenet" and model.num_classes == IMAGENET_CLASSES:
        model.class_names = imagenet_class_names()
    # Weights of before this was part of the file say it in the card beside it.
    stated = identity.get("input_size") or card_of(path).get("input_size")
    model.input_size = stated if isinstance(stated, int) and stated > 0 else model.input_size
    model.weights_id = file_digest(path)[:_ID_DIGITS]
    return model


def _in_stated_form(info: ModelInfo, identity: dict[str, Any], path: Path) -> tuple[ModelInfo, BcosForm]:
    """Return the form that a weights file states, and what builds a converted network in it."""
    try:
        form = BcosForm.stated(identity.get("conversion"))
        return converted_model(info.name, form) or info, form
    except InputError as error:
        raise InputError(f"{path} states a form that is none ({error}); fetch it again") from error


def imagenet_class_names() -> tuple[str, ...]:
    """Return the 1000 class names in index order, as torchvision ships them."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def _classifier_rows(info: ModelInfo, state: dict[str, Tensor]) -> int | None:
    """Return the rows of the classifier's weights, None without any; a file's order of keys says nothing."""
    with torch.device("meta"):
        own = info.build("imagenet", IMAGENET_CLASSES).state_dict()
    classifier = [key for key, value in own.items() if value.ndim >= 2][-1]
    found = respelt(state, own).get(classifier)
    return None if found is None or found.ndim == 0 else found.shape[0]
