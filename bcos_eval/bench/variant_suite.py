"""Variants: our explainers with other layouts, compiled and in bfloat16, against what they do by default."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from bcos_eval.contract.plugins import find_explainer
from bcos_eval.errors import IncompatibleError
from bcos_eval.models import Classifier

from .case import Case
from .clock import timed
from .explainer_suite import Scene, network_for, relative_difference
from .report import Seconds, VariantRow

# Explainers whose passes are the network's own; those of the CAM family run features and head apart.
DEFAULT_METHODS = ("bcos", "ixg")


def measure_variants(
    name: str,
    scene: Scene,
    repeats: int,
    advance: Callable[[int], None] = lambda _n: None,
    variants: Sequence[str] = (),
) -> tuple[VariantRow, ...]:
    """Return a row for each variant of one explainer, measured in turns with the default.

    Args:
        name: Registered name.
        scene: What is explained.
        repeats: Repetitions; medians are reported.
        advance: Told of finished measurements, one for each variant per repetition.
        variants: Some of `VARIANTS`; none for all.

    Raises:
        InputError: If there is no such explainer.
    """
    variants = variants or tuple(VARIANTS)
    network = network_for(name, scene.networks)
    explainer = find_explainer(name)
    default = Case(name, network, scene.image, scene.targets, scene.seed, dict(explainer.info.defaults))
    try:
        explainer.check(network, {})
    except IncompatibleError as error:
        advance(len(variants) * repeats)
        return (VariantRow(name, network.name, "–", note=str(error)),)
    sides = [_Side(label, make(default)) for label, make in VARIANTS.items() if label in variants]
    # The first call makes the frozen twin.
    expected = default.ours()
    for side in sides:
        side.note = _first_call(side.case)
    seconds_of_default = []
    for _ in range(repeats):
        seconds_of_default.append(timed(default.ours)[0])
        for side in sides:
            side.measure(expected)
            advance(1)
    return tuple(side.row(tuple(seconds_of_default)) for side in sides)


@dataclass(slots=True)
class _Side:
    """A variant with what was measured of it."""

    variant: str
    case: Case
    note: str = ""
    seconds: list[float] = field(default_factory=list)
    difference: float = 0.0

    def measure(self, expected: Tensor) -> None:
        """Run once more, unless the first call failed."""
        if not self.note:
            taken, maps = timed(self.case.ours)
            self.seconds.append(taken)
            self.difference = max(self.difference, relative_difference(maps, expected))

    def row(self, seconds_of_default: Seconds) -> VariantRow:
        """Return what was measured."""
        identity = (self.case.explainer, self.case.network.name, self.variant)
        if self.note:
            return VariantRow(*identity, note=self.note)
        return VariantRow(*identity, seconds_of_default, tuple(self.seconds), self.difference)


def _first_call(case: Case) -> str:
    """Run once and return why it failed, if it did: compilers are missing or do not take every network."""
    try:
        case.ours()
    except Exception as error:  # whatever a compiler raises
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    return ""


def _plain(case: Case) -> Case:
    return replace(case, network=_with_plain_layers(case.network))


def _channels_last(case: Case) -> Case:
    network = _with_plain_layers(case.network)
    return replace(case, network=network.to(memory_format=torch.channels_last))


def _compiled(case: Case) -> Case:
    network = copy.deepcopy(case.network)
    # In place of the method, so that everything else that explainers ask a network stays.
    setattr(network, "forward", torch.compile(network.forward))  # noqa: B010 - a method to type checkers
    return replace(case, network=network)


def _bfloat16(case: Case) -> Case:
    return replace(case, params={**case.params, "precision": "bfloat16"})


def _with_plain_layers(network: Classifier) -> Classifier:
    """Return a copy that is explained as it is: networks with hooks have no frozen twin."""
    plain = copy.deepcopy(network)
    plain.register_forward_hook(_ignore)
    return plain


def _ignore(_network: nn.Module, _args: tuple[Tensor, ...], _logits: Tensor) -> None:
    """Leave the logits as they are."""


VARIANTS: Mapping[str, Callable[[Case], Case]] = {
    "plain layers": _plain,
    "plain, channels-last": _channels_last,
    "plain, torch.compile": _compiled,
    "bfloat16": _bfloat16,
}
