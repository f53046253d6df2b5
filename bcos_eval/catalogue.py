"""What is registered: the rows of `bcos-eval list`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bcos_eval.plugins import default_presets, explainers, metrics

Row = dict[str, Any]


def list_models() -> list[Row]:
    """Return the models, with the datasets that weights are shipped for and their validation accuracy."""
    from bcos_eval.models import MODELS, shipped_card, shipped_weights

    return [
        {
            "name": info.name,
            "family": info.family,
            "bcos": info.is_bcos,
            "shipped": {
                dataset: shipped_card(path)["val_top1"] for dataset, path in shipped_weights(info.name).items()
            },
            "small_variant": info.small_note,
            "source": info.source,
        }
        for info in MODELS.values()
    ]


def list_methods() -> list[Row]:
    """Return the explainers."""
    infos = [explainer.info for explainer in explainers().values()]
    return [
        {
            "name": info.name,
            "bcos_only": info.needs_bcos,
            "stochastic": info.stochastic,
            "params": dict(info.defaults),
            "source": info.source,
        }
        for info in infos
    ]


def list_metrics() -> list[Row]:
    """Return the metrics with all presets; `recommended` is what the plain name stands for."""
    presets = default_presets()
    infos = [metric.info for metric in metrics().values()]
    return [
        {
            "name": f"{info.name}/{info.preset}",
            "recommended": presets.get(info.name) == info.preset,
            "stimulus": info.stimulus,
            "direction": info.direction,
            "chance": info.chance,
            "params": dict(info.defaults),
            "source": info.source,
        }
        for info in infos
    ]


def list_datasets() -> list[Row]:
    """Return the datasets and what files they need."""
    from bcos_eval.data import DATASETS

    return [
        {"name": info.name, "embedded": info.embedded, "needs": info.needs, "summary": info.summary}
        for info in DATASETS.values()
    ]


CATALOGUE: Mapping[str, Callable[[], list[Row]]] = {
    "models": list_models,
    "methods": list_methods,
    "metrics": list_metrics,
    "datasets": list_datasets,
}


def as_text(rows: Sequence[Row]) -> str:
    """Return rows as columns of text with a heading."""
    if not rows:
        return "none\n"
    cells = [[str(key) for key in rows[0]], *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "".join(line.rstrip() + "\n" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items()) or "–"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value)) or "–"
    return "–" if value in (None, "") else str(value)
