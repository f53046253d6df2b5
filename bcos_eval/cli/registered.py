"""The rows of `bcos-eval list`, from the registries themselves: slow, since they load torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bcos_eval.contract.plugins import default_presets, explainers, metrics

if TYPE_CHECKING:
    from bcos_eval.models import ModelInfo

Row = dict[str, Any]


def list_models() -> list[Row]:
    """Return the models; parameters and input size are those of the published ImageNet network."""
    from bcos_eval.models import MODELS
    from bcos_eval.models.registry import IMAGENET_SIDE

    return [_model_row(info, IMAGENET_SIDE) for info in MODELS.values()]


def list_other_models() -> list[Row]:
    """Return the networks that are known by name and stand in no table: those of `ZOOS`."""
    from bcos_eval.models import MODELS, ZOOS, model_info
    from bcos_eval.models.registry import IMAGENET_SIDE

    names = sorted({name for zoo in ZOOS if zoo.is_fixed for name in zoo.names()} - set(MODELS))
    infos = [model_info(name) for name in names]
    return [_model_row(info, info.input_size or IMAGENET_SIDE) for info in infos]


def _model_row(info: ModelInfo, input_size: int) -> Row:
    from bcos_eval.models.registry import n_parameters

    return {
        "name": info.name,
        "family": info.family,
        "bcos": info.is_bcos,
        "parameters": n_parameters(info),
        "input_size": input_size,
        "weights": [*_shipped_weights_of(info), *_published_weights_of(info, input_size)],
        "small_variant": info.small_note,
        "source": info.source,
    }


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
            "input_size": card.get("input_size", SMALL_SIDE),
            "from": "shipped",
            "licence": card["licence"],
            "sha256_prefix": card.get("sha256"),
            "intact": shipped_intact(files[dataset]),
        }
        for dataset, card in cards.items()
    ]


def _published_weights_of(info: ModelInfo, input_size: int) -> list[Row]:
    from bcos_eval.models import published_weights
    from bcos_eval.models.registry import n_parameters

    published = published_weights(info.name)
    if published is None:
        return []
    return [
        {
            "dataset": "imagenet",
            "top1_percent": round(published.top1_percent, 2),
            "parameters": n_parameters(info),
            "input_size": input_size,
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
            "family": info.family,
            "bcos_only": info.needs_bcos,
            "stochastic": info.stochastic,
            "expensive": info.expensive,
            "params": dict(info.defaults),
            "source": info.source,
            "needs": [need.summary for need in info.needs],
            "aliases": list(info.aliases),
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
            "images": info.images,
            "target": info.target,
            "direction": info.direction,
            "chance": info.chance,
            "headline": info.headline,
            "needs": list(info.needs),
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


REGISTERED: Mapping[str, Callable[[], list[Row]]] = {
    "models": list_models,
    "other_models": list_other_models,
    "methods": list_methods,
    "metrics": list_metrics,
    "datasets": list_datasets,
}
