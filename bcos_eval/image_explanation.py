"""Explanations of image files, as `bcos-eval explain` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from bcos_eval.attribution import explain
from bcos_eval.bcos import colour_explanation, linear_summary
from bcos_eval.data.image_file import read_image, to_tensor
from bcos_eval.data.transform import EvaluationTransform
from bcos_eval.engine.request import DEFAULT_BCOS_METHODS, DEFAULT_STANDARD_METHODS
from bcos_eval.errors import unknown_name
from bcos_eval.models import Classifier
from bcos_eval.plugins import find_explainer
from bcos_eval.reports.explanation_picture import ExplainedImage


def methods_for(model: Classifier, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the methods asked for, or the usual ones for this kind of model.

    Raises:
        InputError: If one is unknown or does not exist for this model.
    """
    usual = DEFAULT_BCOS_METHODS if model.is_bcos else DEFAULT_STANDARD_METHODS
    methods = tuple(asked) or usual
    for method in methods:
        find_explainer(method).check(model, {})
    return methods


def explain_image(
    model: Classifier, path: Path, methods: Sequence[str], target: str | None, seed: int
) -> ExplainedImage:
    """Return the attributions of one image file for one class, at the size the model was made for.

    Args:
        model: The model.
        path: Image file.
        methods: Explainers.
        target: Name or index of the class; None for the predicted one.
        seed: Seed of explainers that draw.

    Raises:
        InputError: If the image cannot be read or the class is unknown.
    """
    size = EvaluationTransform.for_size(model.input_size)
    image = to_tensor(size.image(read_image(path)))[None].to(next(model.parameters()).device)
    with torch.no_grad():
        probabilities = model.probability(model(model.encode(image)))[0]
    index = int(probabilities.argmax()) if target is None else _class_index(model, target)
    targets = torch.tensor([[index]], device=image.device)
    return ExplainedImage(
        image=image[0],
        target_name=model.class_names[index],
        probability=float(probabilities[index]),
        maps={method: explain(model, image, targets, method, seed=seed)[0, 0] for method in methods},
        colour=_colour(model, image, targets) if model.is_bcos else None,
    )


def _class_index(model: Classifier, target: str) -> int:
    if target in model.class_names:
        return model.class_names.index(target)
    if target.isdecimal() and int(target) < model.num_classes:
        return int(target)
    raise unknown_name("target", target, model.class_names)


def _colour(model: Classifier, image: Tensor, targets: Tensor) -> Tensor:
    encoded = model.encode(image)
    return colour_explanation(linear_summary(model, encoded, targets)[0, 0], encoded[0])
