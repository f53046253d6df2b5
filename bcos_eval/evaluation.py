"""Whole evaluations from Python: the function behind `bcos_eval.evaluate`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Param
from bcos_eval.data import ArrayDataset, Dataset, load_dataset
from bcos_eval.data.transform import EvaluationTransform
from bcos_eval.engine.choice import ParamSetting
from bcos_eval.engine.progress import Progress
from bcos_eval.engine.request import DEFAULT_DATASET, DEFAULT_N_SAMPLES, Executor, RunRequest
from bcos_eval.engine.run import run
from bcos_eval.errors import InputError
from bcos_eval.reports.tables.leaderboard import leaderboard, stored_units
from bcos_eval.spelling import split_names
from bcos_eval.store.manifest import planned_units
from bcos_eval.user_code.model import models_named
from bcos_eval.user_code.network import Encode, Probability, UserModel, choose_device
from bcos_eval.user_code.plugins import GivenNames, given_explainers, given_metrics

Names = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        leaderboard: One row per model, method and metric, in the columns of `leaderboard.csv`.
        units: One row per scored target of a stimulus.
        notes: What was skipped or fell short.
    """

    leaderboard: pd.DataFrame
    units: pd.DataFrame
    notes: tuple[str, ...]


def evaluate(
    model: Names | nn.Module | Mapping[str, nn.Module],
    metrics: GivenNames,
    methods: GivenNames = (),
    *,
    dataset: str | Dataset | tuple[Any, ...] = DEFAULT_DATASET,
    data_dir: Path | str | None = None,
    n_samples: int = DEFAULT_N_SAMPLES,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    out: Path | str | None = None,
    params: Mapping[str, Param] | None = None,
    encode: Encode | None = None,
    probability: str | Probability | None = None,
    executor: Executor = "local",
    quiet: bool = True,
) -> Evaluation:
    """Score attributions of one or several models, as `bcos-eval run` does.

    Args:
        model: Registered names, `FILE.py:FACTORY`, your own module, or modules by the name they get in the tables.
        metrics: Metrics: names, `name` or `name/preset`; `FILE.py:NAME`; functions of your own
            `(maps, images, targets, regions, predict) -> scores (B, K)` that take as many of these as they need; a
            list of such; or functions by the name they get, `{"mine": function}`.
        methods: Explainers, likewise; functions are `(model, images, targets, *, seed, …) -> maps (B, K, H, W)`.
            None stands for `bcos` on B-cos models and `gradcam`, `intgrad`, `lime` on others.
        dataset: A registered name; a dataset of your own; or arrays or tensors `(images, labels)` or
            `(images, labels, masks)`, see `bcos_eval.data.ArrayDataset`.
        data_dir: Folder of a named dataset.
        n_samples: At most so many stimuli of each kind.
        seed: Seed of every random draw.
        device: `auto`, `cpu`, `cuda`, …
        batch_size: Stimuli per batch; None chooses.
        out: Folder of results, where a repeated call finds them; None keeps nothing. Scores by functions that
            are handed over are computed in each call; those named `FILE.py:NAME` until the file changes.
        params: Parameters, `{"grid_pg.n": 2}`.
        encode: For your own modules: maps images in [0, 1] to network input; None takes the module's `encode`.
        probability: For your own modules: "softmax", "sigmoid" or a function; None takes the module's.
        executor: Who computes.
        quiet: Whether to leave out progress bars.

    Raises:
        ValueError: For anything that the command line would refuse.
    """
    own = _own_modules(model)
    names, model_files = ((*own,), {}) if own else models_named(_names(model))
    data = _dataset(dataset, data_dir, own)
    networks = {
        name: _wrapped(module, name, data, encode, probability, device) for name, module in own.items() if data
    }
    with tempfile.TemporaryDirectory(prefix="bcos-eval-") as scratch:
        request = RunRequest(
            models=names,
            model_files=model_files,
            metrics=tuple(given_metrics(metrics)),
            methods=tuple(given_explainers(methods)),
            dataset=dataset if isinstance(dataset, str) else str(data and data.name),
            data_dir=None if data_dir is None else Path(data_dir),
            n_samples=n_samples,
            seed=seed,
            device=device,
            batch_size=batch_size,
            executor=executor,
            settings=tuple(_setting(path, value) for path, value in (params or {}).items()),
        )
        root = Path(scratch) if out is None else Path(out)
        result = run(request, root, progress=Progress(quiet=quiet), networks=networks, dataset=data)
    return Evaluation(leaderboard(result.shards, planned_units(root)), stored_units(result.shards), result.notes)


def _setting(path: str, value: Param) -> ParamSetting:
    owner, dot, key = path.rpartition(".")
    if not (dot and owner and key):
        raise InputError(f"params has '{path}'; name what a parameter belongs to, for example 'grid_pg.n'.")
    return ParamSetting(owner, key, value)


def _names(names: object) -> tuple[str, ...]:
    return split_names([names] if isinstance(names, str) else names)  # type: ignore[arg-type] # checked above


def _own_modules(model: Names | nn.Module | Mapping[str, nn.Module]) -> Mapping[str, nn.Module]:
    if isinstance(model, nn.Module):
        return {str(getattr(model, "name", type(model).__name__)): model}
    return model if isinstance(model, Mapping) else {}


def _dataset(
    dataset: str | Dataset | tuple[Any, ...], data_dir: Path | str | None, own: Mapping[str, nn.Module]
) -> Dataset | None:
    """The dataset where it is given or own modules must fit it; None leaves it to the run."""
    if isinstance(dataset, tuple):
        if len(dataset) not in (2, 3):
            raise InputError(
                f"dataset has {len(dataset)} entries; give (images, labels) or (images, labels, masks)."
            )
        return ArrayDataset(*dataset)
    if not isinstance(dataset, str):
        return dataset
    if not own:
        return None
    shown_by = {EvaluationTransform.for_network(module) for module in own.values()}
    if len(shown_by) > 1:
        sizes = ", ".join(sorted(f"{one.crop} of {one.resize} ({one.interpolation})" for one in shown_by))
        raise InputError(f"the models want images of the sizes {sizes}; evaluate them one by one.")
    return load_dataset(dataset, None if data_dir is None else Path(data_dir), transform=shown_by.pop())


def _wrapped(
    module: nn.Module,
    name: str,
    dataset: Dataset,
    encode: Encode | None,
    probability: str | Probability | None,
    device: str,
) -> Network:
    side = getattr(module, "input_size", None) or dataset[0].image.shape[-1]
    network = UserModel(
        module,
        name=name,
        num_classes=len(dataset.class_names),
        input_size=int(side),
        encode=encode,
        probability=probability,
    )
    return network.to(choose_device(device)).eval()
