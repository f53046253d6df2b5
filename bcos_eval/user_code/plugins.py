"""Explainers and metrics of the user's own: from a file, or functions handed over in Python."""

from __future__ import annotations

import functools
import inspect
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from bcos_eval.contract.explainer import Explainer, ExplainerInfo
from bcos_eval.contract.metric import Metric
from bcos_eval.contract.params import Param, limits_of
from bcos_eval.contract.plugins import default_presets, explainers, find_explainer, find_metric, metrics
from bcos_eval.errors import InputError
from bcos_eval.spelling import is_reference

from .file import UserFile, load_file, named_object, parse_reference
from .metric import metric_of

Given = str | Callable[..., Any]
GivenNames = Given | Sequence[Given] | Mapping[str, Callable[..., Any]]

_NAME = re.compile(r"[A-Za-z_][\w.+-]*")
_SOURCE_OF_FUNCTIONS = "given in Python"
_N_CONTRACT_ARGUMENTS = 3
_NOT_POSITIONAL = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def explainer_named(text: str) -> Explainer:
    """Return a registered explainer, or the one that `FILE.py:NAME` names, which runs the file.

    Raises:
        InputError: If there is none, or the file cannot be loaded.
    """
    if not is_reference(text):
        return find_explainer(text)
    reference = parse_reference(text)
    file = load_file(reference.path)
    explainer = _registered_explainer(file, reference.name) or explainer_of(
        reference.short, named_object(reference, file, "method"), source=str(reference.path)
    )
    return replace(explainer, code=file.digest)


def metric_named(text: str) -> Metric:
    """Return a registered metric, or the one that `FILE.py:NAME` names, which runs the file.

    Raises:
        InputError: If there is none, or the file cannot be loaded.
    """
    if not is_reference(text):
        return find_metric(text)
    reference = parse_reference(text)
    file = load_file(reference.path)
    metric = _registered_metric(file, reference.name) or metric_of(
        reference.short, named_object(reference, file, "metric"), source=str(reference.path)
    )
    return replace(metric, code=file.digest)


def given_explainers(given: GivenNames) -> list[str | Explainer]:
    """Return names of explainers as they are, and functions as explainers under their own or the given names.

    Nothing is known of what a function depends on, so its results are never taken for those of another call.

    Raises:
        InputError: If a function has no name, or one that is taken.
    """
    found: list[str | Explainer] = []
    for name, entry in _entries(given):
        if isinstance(entry, str):
            found.append(entry)
            continue
        _check_name("method", name, explainers())
        found.append(replace(explainer_of(name, entry, source=_SOURCE_OF_FUNCTIONS), code=uuid.uuid4().hex))
    return found


def given_metrics(given: GivenNames) -> list[str | Metric]:
    """Return names of metrics as they are, and functions as metrics, as `given_explainers` does.

    Raises:
        InputError: If a function has no name, or one that is taken.
    """
    found: list[str | Metric] = []
    for name, entry in _entries(given):
        if isinstance(entry, str):
            found.append(entry)
            continue
        _check_name("metric", name, [*default_presets(), *(key.split("/")[0] for key in metrics())])
        found.append(replace(metric_of(name, entry, source=_SOURCE_OF_FUNCTIONS), code=uuid.uuid4().hex))
    return found


def explainer_of(name: str, function: object, *, source: str = _SOURCE_OF_FUNCTIONS) -> Explainer:
    """Return a function `(model, images, targets, *, seed, …) -> maps` as an explainer called `name`.

    Keyword arguments with a number, a text or a truth value as default become its parameters.

    Raises:
        InputError: If it cannot be called so.
    """
    if isinstance(function, Explainer):
        return function
    if not callable(function) or inspect.isclass(function):
        raise InputError(
            f"method '{name}' is of type {type(function).__name__}; give a function (model, images, targets)."
        )
    arguments = list(inspect.signature(function).parameters.values())
    rest = [argument for argument in arguments[_N_CONTRACT_ARGUMENTS:] if argument.name != "seed"]
    positional = [argument for argument in arguments if argument.kind not in _NOT_POSITIONAL]
    without = [argument.name for argument in rest if _is_missing(argument)]
    if len(positional) < _N_CONTRACT_ARGUMENTS or without:
        wanted = f"; give {', '.join(without)} a default" if without else ""
        raise InputError(f"method '{name}' must take (model, images, targets){wanted}.")
    info = ExplainerInfo(
        name=name,
        source=source,
        defaults={argument.name: argument.default for argument in rest if isinstance(argument.default, Param)},
        limits=limits_of(function),
        stochastic=any(argument.name == "seed" for argument in arguments),
    )
    return Explainer(info, _checked_maps(name, function))


def _entries(given: GivenNames) -> Iterator[tuple[str, Given]]:
    """Yield names and what they stand for: themselves, or a function."""
    if isinstance(given, Mapping):
        yield from given.items()
        return
    for entry in [given] if isinstance(given, str) or not isinstance(given, Sequence) else given:
        if isinstance(entry, str):
            yield from ((name.strip(), name.strip()) for name in entry.split(",") if name.strip())
        else:
            yield str(getattr(entry, "__name__", type(entry).__name__)), entry


def _check_name(kind: str, name: str, taken: Collection[str]) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"a {kind} cannot be called '{name}'; name it with {kind}s={{'mine': function}}, letters and digits."
        )
    if name in taken:
        raise InputError(f"{kind} '{name}' is one of the suite; give yours another name.")


def _is_missing(argument: inspect.Parameter) -> bool:
    return argument.default is inspect.Parameter.empty and argument.kind not in _VARIABLE


def _checked_maps(name: str, function: Callable[..., Any]) -> Callable[..., Tensor]:
    @functools.wraps(function)
    def attribute(model: object, images: Tensor, targets: Tensor, **params: Param) -> Tensor:
        maps = function(model, images, targets, **params)
        wanted = (*targets.shape, *images.shape[-2:])
        if not isinstance(maps, Tensor):
            raise InputError(f"method '{name}' gave {type(maps).__name__}; give a tensor of shape {wanted}.")
        if maps.shape != wanted:
            raise InputError(
                f"method '{name}' gave maps of shape {tuple(maps.shape)}; give (B, K, H, W), {wanted}."
            )
        return maps.to(images.device)

    return attribute


def _registered_explainer(file: UserFile, name: str) -> Explainer | None:
    function = getattr(file.module, name, None)
    for known, explainer in file.explainers.items():
        if known == name or (function is not None and explainer.attribute is function):
            return explainer
    return None


def _registered_metric(file: UserFile, name: str) -> Metric | None:
    """The metric called so, or of the function called so; of several presets the one registered first."""
    function = getattr(file.module, name, None)
    for key, metric in file.metrics.items():
        same = function is not None and metric.function is function
        if same or name in (key, metric.info.name):
            return metric
    return None
