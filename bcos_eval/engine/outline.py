"""What a run would do, from names alone: nothing is computed, and nothing loaded but files of the user's own."""

from __future__ import annotations

from collections.abc import Iterator

from bcos_eval.contract.plugins import find_explainer, find_metric
from bcos_eval.data import DATASETS
from bcos_eval.errors import unknown_name
from bcos_eval.models import model_info
from bcos_eval.user_code.file import parse_reference
from bcos_eval.user_code.model import is_bcos_module, make_module

from .request import RunRequest, resolve


def outline(request: RunRequest) -> str:
    """Return one line per model, method and metric, and what each is measured on.

    Raises:
        InputError: For unknown names, keys and values.
    """
    if request.dataset not in DATASETS:
        raise unknown_name("dataset", request.dataset, DATASETS)
    lines = list(_lines(request))
    return (
        "\n".join([*lines, f"{len(lines)} rows of the leaderboard on {request.dataset}, seed {request.seed}"])
        + "\n"
    )


def _is_bcos(request: RunRequest, model: str) -> bool:
    if model in request.model_files:
        return is_bcos_module(make_module(parse_reference(request.model_files[model])))
    return model_info(model).is_bcos


def _lines(request: RunRequest) -> Iterator[str]:
    choices = resolve(request)
    for model in request.models:
        is_bcos = _is_bcos(request, model)
        for method in choices.methods_for(is_bcos):
            if find_explainer(method.name).info.needs_bcos and not is_bcos:
                continue
            for metric in choices.metrics:
                kind = find_metric(metric.name).info.stimulus
                stimuli = {"grid": "grids", "mosaic": "mosaics", "single": "single images"}[kind]
                yield f"{model} × {method.label} × {metric.label}: at most {request.n_samples} {stimuli}"
