"""Explanations of image files, as `bcos-eval explain` draws them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bcos_eval.bcos import Over, Unit, colour_explanation, contribution_map, linear_summary, unit_summary
from bcos_eval.contract.explainer import Explainer
from bcos_eval.data import load_dataset
from bcos_eval.data.image_file import read_image, to_tensor
from bcos_eval.data.transform import EvaluationTransform
from bcos_eval.engine.choice import Choice, check_settings, choose, parse_setting
from bcos_eval.engine.request import DEFAULT_BCOS_METHODS, DEFAULT_STANDARD_METHODS
from bcos_eval.engine.shard_rows import method_facts
from bcos_eval.errors import IncompatibleError, InputError, unknown_name
from bcos_eval.models import Classifier, load_model
from bcos_eval.reports.figures.explanation_picture import ExplainedImage
from bcos_eval.spelling import is_reference
from bcos_eval.store.facts import MethodFacts
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
    image = _fitting_image(model, path)
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


def unit_named(text: str) -> Unit:
    """Return the unit that `LAYER:CHANNEL` names.

    Raises:
        InputError: If the text has another form.
    """
    layer, colon, channel = text.rpartition(":")
    if not (colon and layer and channel.isdecimal()):
        raise InputError(f"--unit '{text}' is not of the form LAYER:CHANNEL, for example layer4.1:37.")
    return layer, int(channel)


def explain_units(
    model: Classifier | UserModel, path: Path, units: Sequence[str], over: Over
) -> list[ExplainedImage]:
    """Return what the pixels of an image file contribute to hidden units of a B-cos network, a row per unit.

    Args:
        model: The network.
        path: Image file.
        units: Each `LAYER:CHANNEL`.
        over: Whether a unit's activation is its mean over positions or the largest.

    Raises:
        InputError: If the network is none, the image cannot be read, or a unit does not exist.
    """
    if not model.is_bcos:
        raise InputError(f"'{model.name}' is no B-cos network, and units of others have no linear summary.")
    image = _fitting_image(model, path)
    encoded = model.encode(image)
    rows = []
    for text in units:
        row, activation = unit_summary(model, encoded, unit_named(text), over=over)
        rows.append(
            ExplainedImage(
                image=image[0].cpu().numpy(),
                target_name=text,
                probability=None,
                maps={MethodFacts("bcos"): contribution_map(row, encoded)[0].detach().cpu().numpy()},
                colour=colour_explanation(row[0], encoded[0]).detach().cpu().numpy(),
                activation=float(activation[0]),
            )
        )
    return rows


def degenerate_notes(rows: Sequence[ExplainedImage]) -> Iterator[str]:
    """Yield a line for each map that says nothing about where: all its entries are equal, or some undefined."""
    for row in rows:
        for method, values in row.maps.items():
            if not np.isfinite(values).all():
                yield f"note: the map of {method.label} for '{row.target_name}' has undefined entries."
            elif np.ptp(values) == 0 and not method.is_control:
                finer = f"; --param {method.name}.kernel_size=1 makes smaller superpixels"
                hint = finer if "kernel_size" in explainer_named(method.name).info.defaults else ""
                yield f"note: the map of {method.label} for '{row.target_name}' is the same everywhere{hint}."


def _fitting_image(model: Classifier | UserModel, path: Path) -> Tensor:
    """Return an image file `(1, 3, H, W)` at the size the model was made for, on its device."""
    size = EvaluationTransform.for_network(model)
    return to_tensor(size.image(read_image(path)))[None].to(next(model.parameters()).device)


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
