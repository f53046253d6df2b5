"""Whole evaluations from Python: the function behind `bcos_eval.evaluate`."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from bcos_eval.contract.metric import Target
from bcos_eval.contract.network import Network, name_of
from bcos_eval.contract.params import Param, plain
from bcos_eval.contract.precision import float32_by_default
from bcos_eval.data import ArrayDataset, Dataset, load_dataset
from bcos_eval.data.transform import EvaluationTransform
from bcos_eval.engine.choice import ParamSetting
from bcos_eval.engine.progress import Progress
from bcos_eval.engine.request import DEFAULT_DATASET, DEFAULT_N_SAMPLES, RunRequest
from bcos_eval.engine.run import run
from bcos_eval.errors import InputError
from bcos_eval.reports.tables.leaderboard import leaderboard, stored_units
from bcos_eval.reports.tables.table import readable_columns
from bcos_eval.spelling import split_names
from bcos_eval.stimuli import PoolChoice
from bcos_eval.store.manifest import planned_units, stopping_widths
from bcos_eval.user_code.dataset import CheckedDataset, checked_dataset
from bcos_eval.user_code.model import models_named, noise, user_model
from bcos_eval.user_code.network import Encode, Probability, borrowed, choose_device
from bcos_eval.user_code.plugins import GivenNames, given_explainers, given_metrics

Names = str | Sequence[str]
Weights = str | Path | Mapping[str, str | Path] | None

_CPU = torch.device("cpu")
# Of the image that a network is tried with where not one of a dataset can be read.
_ANY_SIDE = 64


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

    def _repr_html_(self) -> str:
        """The table of the leaderboard and the notes, as notebooks show it."""
        rows = [{str(key): value for key, value in row.items()} for row in self.leaderboard.to_dict("records")]
        shown = pd.DataFrame(readable_columns(rows)) if rows else self.leaderboard
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"{shown.to_html(index=False, border=0)}{notes}"


def evaluate(
    model: Names | nn.Module | Sequence[str | nn.Module] | Mapping[str, nn.Module],
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
    weights: Weights = None,
    pool: PoolChoice = "own",
    target: Target | None = None,
    executor: str = "local",
    workers: int = 1,
    until: float | None = None,
    quiet: bool = True,
) -> Evaluation:
    """Score attributions of one or several models, as `bcos-eval run` does.

    Args:
        model: Registered names, `FILE.py:FACTORY`, your own module, a list of such, or modules by the name they
            get in the tables. A module is lent: it gets back its modes, its device and its `requires_grad`.
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
        encode: For your own modules: maps images in [0, 1] to network input; None takes the module's `encode`, or
            else shows it the images as they are, `[x, 1 − x]` if its first layer has six channels, with a note.
        probability: For your own modules: "softmax", "sigmoid" or a function; None takes the module's, or else a
            softmax, for B-cos networks a sigmoid, with a note.
        weights: For named models: a file, `random` or a published name; several by the name of the model.
        pool: Whose confident images grids are made of, each model's `own` or those that all models share.
        target: Which class of single images is explained, the `label` or the one `predicted`; None leaves it to
            the metric's preset, which is the label but for `rise`.
        executor: Who computes.
        workers: Number of processes that do; with several, models, data and functions must be named.
        until: Half-width of the interval of a mean below which no more stimuli are computed for it; `n_samples`
            is then the most. Its interval is one that holds whenever one stops. For scores of a bounded range.
        quiet: Whether to leave out progress bars.

    Raises:
        ValueError: For anything that the command line would refuse.
    """
    progress = Progress(quiet=quiet)
    given = _Models.of(model, weights)
    own_data = None if isinstance(dataset, str) else checked_dataset(_assembled(dataset))
    folder = None if data_dir is None else Path(data_dir)
    with ExitStack() as stack:
        # The caller may be in a validation loop, or work in another precision.
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(float32_by_default())
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="bcos-eval-"))
        request = RunRequest(
            models=given.names,
            model_files=given.files,
            weights=given.weights,
            metrics=tuple(given_metrics(metrics)),
            methods=tuple(given_explainers(methods)),
            dataset=dataset if isinstance(dataset, str) else str(own_data and own_data.name),
            data_dir=folder,
            n_samples=_whole("n_samples", n_samples),
            seed=_whole("seed", seed),
            device=device,
            batch_size=None if batch_size is None else _whole("batch_size", batch_size),
            executor=executor,
            workers=_whole("workers", workers),
            until=None if until is None else float(until),
            settings=tuple(_setting(path, value) for path, value in (params or {}).items()),
            pool=pool,
            target=target,
        )
        place = choose_device(device)
        networks: dict[str, Network] = {}
        for name, module in given.modules.items():
            stack.enter_context(borrowed(module, place))
            image = _image_for(module, own_data, request)
            networks[name] = user_model(
                module,
                name=name,
                image=image.to(place),
                note=progress.note,
                encode=encode,
                probability=probability,
            )
        root = Path(scratch) if out is None else Path(out)
        result = run(request, root, progress=progress, networks=networks, dataset=own_data)
        table = leaderboard(result.shards, planned_units(root), stopping_widths(root))
        return Evaluation(table, stored_units(result.shards), result.notes)


@dataclass(frozen=True, slots=True)
class _Models:
    """What was given as models.

    Attributes:
        names: What tables call them, in the order given.
        modules: Those that are modules of the user's own.
        files: Those that come from a file, `FILE.py:FACTORY`.
        weights: Weights of those that are named.
    """

    names: tuple[str, ...]
    modules: Mapping[str, nn.Module]
    files: Mapping[str, str]
    weights: Mapping[str, str]

    @classmethod
    def of(cls, model: object, weights: Weights) -> _Models:
        """Sort what `evaluate` was given.

        Raises:
            InputError: If it is anything but names and modules, or two modules would have one name.
        """
        entries = list(model.values()) if isinstance(model, Mapping) else _listed(model)
        keys = [str(key) for key in model] if isinstance(model, Mapping) else []
        names: list[str] = []
        modules: dict[str, nn.Module] = {}
        files: dict[str, str] = {}
        for place, entry in enumerate(entries):
            if isinstance(entry, nn.Module):
                name = keys[place] if keys else name_of(entry)
                if name in names:
                    raise InputError(f"two models are called {name}; name them: {{'first': …, 'second': …}}.")
                modules[name] = entry
                names.append(name)
            elif isinstance(entry, str) and not keys:
                of_text, of_files = models_named(split_names([entry]))
                names += [name for name in of_text if name not in names]
                files |= of_files
            else:
                raise InputError(
                    f"a model is of type {type(entry).__name__}; give names, modules or {{'name': module}}."
                )
        named = [name for name in names if name not in modules]
        return cls(tuple(names), modules, files, _weights_by_name(weights, named))


def _listed(model: object) -> list[object]:
    if isinstance(model, (str, nn.Module)) or not isinstance(model, Iterable):
        return [model]
    return list(model)


def _weights_by_name(weights: Weights, named: Sequence[str]) -> dict[str, str]:
    if weights is None:
        return {}
    if isinstance(weights, Mapping):
        return {name: str(path) for name, path in weights.items()}
    if len(named) != 1:
        raise InputError(
            f"weights='{weights}' could be meant for {len(named)} named models; give {{'model': weights}}. "
            "A module of your own comes with the weights it has."
        )
    return {named[0]: str(weights)}


def _whole(name: str, value: object) -> int:
    """Return a whole number, also one of NumPy's.

    Raises:
        InputError: If it is none.
    """
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise InputError(f"{name}={value!r} is not allowed; give a whole number.")
    return number


def _assembled(dataset: Dataset | tuple[Any, ...]) -> Dataset:
    """Return a dataset of the user's own, from its arrays if it comes in arrays."""
    if not isinstance(dataset, tuple):
        return dataset
    if len(dataset) not in (2, 3):
        raise InputError(f"dataset has {len(dataset)} entries; give (images, labels) or (images, labels, masks).")
    return ArrayDataset(*dataset)


def _image_for(module: nn.Module, own: CheckedDataset | None, request: RunRequest) -> Tensor:
    """Return an image `(1, 3, H, W)` of the size that a module will be shown."""
    if own is not None:
        return noise(_ANY_SIDE, _CPU) if own.first is None else own.first[None]
    side = getattr(module, "input_size", None)
    if side is None:
        shown = load_dataset(request.dataset, request.data_dir, transform=EvaluationTransform.for_network(module))
        side = shown[0].image.shape[-1]
    return noise(int(side), _CPU)


def _setting(path: str, value: Param) -> ParamSetting:
    owner, dot, key = path.rpartition(".")
    if not (dot and owner and key):
        raise InputError(f"params has '{path}'; name what a parameter belongs to, for example 'grid_pg.n'.")
    return ParamSetting(owner, key, value)
