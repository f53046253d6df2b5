"""What is registered: the rows of `bcos-eval list`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bcos_eval.contract.plugins import default_presets, explainers, metrics

if TYPE_CHECKING:
    from bcos_eval.models import ModelInfo

Row = dict[str, Any]

_MILLION = 1e6


# What a reader of the table, unlike a program, is not told by the rows.
NOTES: Mapping[str, str] = {
    "models": (
        "Parameters and input are those of the networks for ImageNet, whose weights are fetched when first used; "
        "weights for other datasets are shipped, and are of smaller networks (--json says how small)."
    ),
}


def list_models() -> list[Row]:
    """Return the models; parameters and input size are those of the published ImageNet network."""
    from bcos_eval.models import MODELS
    from bcos_eval.models.registry import IMAGENET_SIDE, n_parameters

    return [
        {
            "name": info.name,
            "family": info.family,
            "bcos": info.is_bcos,
            "parameters": n_parameters(info),
            "input_size": IMAGENET_SIDE,
            "weights": [*_shipped_weights_of(info), *_published_weights_of(info)],
            "small_variant": info.small_note,
            "source": info.source,
        }
        for info in MODELS.values()
    ]


def _shipped_weights_of(info: ModelInfo) -> list[Row]:
    """Return the datasets that weights are shipped for, with accuracy and whether the file is its card's."""
    from bcos_eval.models import shipped_card, shipped_intact, shipped_weights
    from bcos_eval.models.registry import SMALL_SIDE

    files = shipped_weights(info.name)
    cards = {dataset: shipped_card(path) for dataset, path in files.items()}
    return [
        {
            "dataset": dataset,
            "top1_percent": round(100 * card["val_top1"], 2),
            "parameters": card["parameters"],
            "input_size": SMALL_SIDE,
            "from": "shipped",
            "licence": card["licence"],
            "sha256_prefix": card.get("sha256"),
            "intact": shipped_intact(files[dataset]),
        }
        for dataset, card in cards.items()
    ]


def _published_weights_of(info: ModelInfo) -> list[Row]:
    from bcos_eval.models import published_weights
    from bcos_eval.models.registry import IMAGENET_SIDE, n_parameters

    published = published_weights(info.name)
    if published is None:
        return []
    return [
        {
            "dataset": "imagenet",
            "top1_percent": round(published.top1_percent, 2),
            "parameters": n_parameters(info),
            "input_size": IMAGENET_SIDE,
            "from": published.url,
            "licence": published.licence,
            "sha256_prefix": published.sha256_prefix,
            "intact": None,
        }
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
            "note": info.note,
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


def text_rows(kind: str, rows: Sequence[Row]) -> Sequence[Row]:
    """Return rows as they are printed for people: models get a column of accuracies per dataset."""
    if kind != "models":
        return rows
    datasets = dict.fromkeys(weights["dataset"] for row in rows for weights in row["weights"])
    return [
        {
            "name": row["name"],
            "family": row["family"],
            "parameters": f"{row['parameters'] / _MILLION:.1f} M",
            "input": row["input_size"],
            **{dataset: _accuracy(row["weights"], dataset) for dataset in datasets},
            "source": row["source"],
        }
        for row in rows
    ]


def _accuracy(weights: Sequence[Row], dataset: str) -> str:
    found = [entry for entry in weights if entry["dataset"] == dataset]
    # What is fetched is verified then, and by `bcos-eval doctor`.
    return "".join("damaged" if entry["intact"] is False else f"{entry['top1_percent']:.1f} %" for entry in found)


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
