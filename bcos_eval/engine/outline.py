"""What a run would do, from names alone: nothing is loaded and nothing computed."""

from __future__ import annotations

from collections.abc import Iterator

from bcos_eval.data import DATASETS
from bcos_eval.errors import unknown_name
from bcos_eval.models import model_info
from bcos_eval.plugins import find_explainer, find_metric

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


def _lines(request: RunRequest) -> Iterator[str]:
    choices = resolve(request)
    for model in request.models:
        is_bcos = model_info(model).is_bcos
        for method in choices.methods_for(is_bcos):
            if find_explainer(method.name).info.needs_bcos and not is_bcos:
                continue
            for metric in choices.metrics:
                kind = find_metric(metric.name).info.stimulus
                stimuli = "grids" if kind == "grid" else "single images"
                yield f"{model} × {method.label} × {metric.label}: at most {request.n_samples} {stimuli}"
