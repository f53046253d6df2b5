"""Explanations of image files, as `bcos-eval explain` draws them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from bcos_eval.bcos import colour_explanation, linear_summary
from bcos_eval.contract.explainer import Explainer
from bcos_eval.data import load_dataset
from bcos_eval.data.image_file import read_image, to_tensor
from bcos_eval.data.transform import EvaluationTransform
from bcos_eval.engine.choice import Choice, check_settings, choose, parse_setting
from bcos_eval.engine.request import DEFAULT_BCOS_METHODS, DEFAULT_STANDARD_METHODS
from bcos_eval.engine.shard_rows import method_facts
from bcos_eval.errors import IncompatibleError, unknown_name
from bcos_eval.models import Classifier, load_model
from bcos_eval.reports.figures.explanation_picture import ExplainedImage
from bcos_eval.spelling import is_reference
from bcos_eval.user_code.model import load_user_model
from bcos_eval.user_code.network import UserModel
from bcos_eval.user_code.plugins import explainer_named

_TOP = re.compile(r"top([1-9]\d*)")


def load_explained_model(
    name: str,
    weights: str | None,
    dataset: str,
    data_dir: Path | None,
    device: torch.device,
    note: Callable[[str], None],
) -> Classifier | UserModel:
    """Return a registered model, or the one that `FILE.py:FACTORY` makes, which runs the file.

    Args:
        name: Registered name, or file and factory.
        weights: Weights file, or `random`; None for those registered.
        dataset: Dataset whose weights are loaded, and whose images have the size of a model that does not say.
        data_dir: Folder of that dataset, where it needs one.
        device: Where to put it.
        note: Told what was assumed of a model of the user's own.

    Raises:
        InputError: If it cannot be loaded.
    """
    if not is_reference(name):
        return load_model(name, weights, dataset, device)
    return load_user_model(
        name,
        weights=weights,
        image_side=lambda: load_dataset(dataset, data_dir)[0].image.shape[-1],
        device=device,
        note=note,
    )


def methods_for(
    model: Classifier | UserModel, asked: Sequence[str], settings: Sequence[str], note: Callable[[str], None]
) -> tuple[Choice[Explainer], ...]:
    """Return the methods asked for with their parameters, or the usual ones for this kind of model that fit it.

    Args:
        model: The model.
        asked: Names of methods; empty for the usual ones.
        settings: Parameters, each `METHOD.KEY=VALUE`.
        note: Told which of the usual ones do not fit.

    Raises:
        InputError: If one asked for is unknown or does not fit this model, none fits, or a parameter is wrong.
    """
    usual = DEFAULT_BCOS_METHODS if model.is_bcos else DEFAULT_STANDARD_METHODS
    parsed = [parse_setting(text) for text in settings]
    choices = tuple(choose(explainer_named(name), parsed) for name in tuple(asked) or usual)
    check_settings(parsed, choices)
    fitting: list[Choice[Explainer]] = []
    for choice in choices:
        try:
            choice.entry.check(model, choice.params)
        except IncompatibleError as error:
            if asked or (choice is choices[-1] and not fitting):
                raise
            note(f"note: left out: {error}")
        else:
            fitting.append(choice)
    return tuple(fitting)


def explain_image(
    model: Classifier | UserModel,
    path: Path,
    methods: Sequence[Choice[Explainer]],
    targets: Sequence[str],
    seed: int,
) -> list[ExplainedImage]:
    """Return the attributions of one image file for each class asked for, at the size the model was made for.

    Args:
        model: The model.
        path: Image file.
        methods: Explainers with their parameters.
        targets: Names or indices of classes, `top2` for the two most likely; empty for the predicted one.
        seed: Seed of explainers that draw.

    Raises:
        InputError: If the image cannot be read or the class is unknown.
    """
    size = EvaluationTransform.for_network(model)
    image = to_tensor(size.image(read_image(path)))[None].to(next(model.parameters()).device)
    with torch.no_grad():
        probabilities = model.probability(model(model.encode(image)))[0]
    ranked = probabilities.argsort(descending=True, stable=True).tolist()
    named = [index for target in targets or ("top1",) for index in _class_indices(model, target, ranked)]
    indices = list(dict.fromkeys(named))
    classes = torch.tensor([indices], device=image.device)  # (1, K)
    maps = {
        method_facts(method): method.entry(model, image, classes, seed=seed, **method.params)[0].cpu().numpy()
        for method in methods
    }
    return [
        ExplainedImage(
            image=image[0].cpu().numpy(),
            target_name=model.class_names[index],
            probability=float(probabilities[index]),
            maps={method: values[k] for method, values in maps.items()},
            colour=_colour(model, image, classes[:, k : k + 1]).detach().cpu().numpy() if model.is_bcos else None,
        )
        for k, index in enumerate(indices)
    ]


def _class_indices(model: Classifier | UserModel, target: str, ranked: Sequence[int]) -> list[int]:
    top = _TOP.fullmatch(target)
    if top is not None and target not in model.class_names:
        return list(ranked[: int(top[1])])
    return [_class_index(model, target)]


def _class_index(model: Classifier | UserModel, target: str) -> int:
    if target in model.class_names:
        return model.class_names.index(target)
    if target.isdecimal() and int(target) < model.num_classes:
        return int(target)
    raise unknown_name("target", target, model.class_names)


def _colour(model: Classifier | UserModel, image: Tensor, targets: Tensor) -> Tensor:
    encoded = model.encode(image)
    return colour_explanation(linear_summary(model, encoded, targets)[0, 0], encoded[0])
