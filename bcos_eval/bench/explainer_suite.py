"""Explainers: seconds per image, ours in one call against one target at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bcos_eval.contract.params import Param
from bcos_eval.contract.plugins import find_explainer
from bcos_eval.errors import IncompatibleError, InputError
from bcos_eval.models import Classifier

from .case import Case
from .clock import timed
from .contenders import CONTENDERS, OWN_BCOS, Contender, tile_side
from .gradient_alternatives import has_official_network
from .machine import installed_version
from .report import ExplainerRow, Times

# Alternative, ours, bare.
N_SIDES = 3


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        repeats: Repetitions; medians are reported.
        steps: Perturbed images of gradient methods (integrated gradients, SmoothGrad).
        samples: Perturbed images of perturbation methods.
        extrapolate: Whether slow alternatives run for one target and count for all.
    """

    repeats: int
    steps: int
    samples: int
    extrapolate: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """What every explainer explains.

    Attributes:
        networks: Networks in the order asked for.
        image: `(1, 3, H, W)` in [0, 1].
        targets: `(1, K)`, int64.
        seed: Seed of explainers that draw.
    """

    networks: Sequence[Classifier]
    image: Tensor
    targets: Tensor
    seed: int


def check_explainers(names: Sequence[str]) -> None:
    """Raise for names that cannot be measured.

    Raises:
        InputError: If there is no such explainer, or nothing to measure it against.
    """
    for name in names:
        find_explainer(name)
        if name not in CONTENDERS:
            known = ", ".join(CONTENDERS)
            raise InputError(
                f"method '{name}' has no alternative to be measured against; there is one for: {known}."
            )


def measure_explainer(
    name: str, scene: Scene, effort: Effort, advance: Callable[[int], None] = lambda _n: None
) -> ExplainerRow:
    """Return the row of one explainer; a side that cannot run leaves a note in it.

    Args:
        name: Registered name, one of `CONTENDERS`.
        scene: What is explained.
        effort: How much is measured.
        advance: Told of finished measurements, `N_SIDES` per repetition.
    """
    network = network_for(name, scene.networks)
    contender = CONTENDERS[name]
    params = {**contender.params, **_reduced(contender, scene, effort)}
    defaults = find_explainer(name).info.defaults
    case = Case(name, network, scene.image, scene.targets, scene.seed, {**defaults, **params})
    n_targets = scene.targets.shape[1]
    try:
        find_explainer(name).check(network, params)
        contender = _available(contender, case)
        n_measured = 1 if effort.extrapolate and contender.is_slow else n_targets
        times, difference = _measure(case, contender, n_measured, effort.repeats, advance)
    except IncompatibleError as error:
        note = str(error)
    except (RuntimeError, TypeError) as error:  # of an alternative that does not know the device, or its memory
        note = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    else:
        return ExplainerRow(
            name, network.name, contender.alternative, params, n_targets, n_measured, times, difference
        )
    advance(N_SIDES * effort.repeats)
    return ExplainerRow(name, network.name, contender.alternative, params, n_targets, note=note)


def network_for(name: str, networks: Sequence[Classifier]) -> Classifier:
    """Return the network an explainer is measured on.

    The first B-cos network for an explainer that needs one, the first standard network for all others, or else
    the first.
    """
    needs_bcos = find_explainer(name).info.needs_bcos
    return next((network for network in networks if network.is_bcos == needs_bcos), networks[0])


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference of maps `(K, H, W)`, each relative to the largest value of theirs.

    Where theirs is zero everywhere, the difference is not relative.
    """
    largest = theirs.abs().amax((1, 2))
    scale = torch.where(largest > 0, largest, 1)
    return float(((ours - theirs).abs().amax((1, 2)) / scale).max())


def _available(contender: Contender, case: Case) -> Contender:
    if case.explainer == "bcos" and not has_official_network(case):
        return OWN_BCOS
    if contender.package and installed_version(contender.package) is None:
        raise IncompatibleError(f"not installed: pip install {contender.package}")
    return contender


def _measure(
    case: Case, contender: Contender, n_measured: int, repeats: int, advance: Callable[[int], None]
) -> tuple[Times, float]:
    seconds: dict[str, list[float]] = {"alternative": [], "ours": [], "bare": []}
    difference = 0.0
    one_by_one = _OneByOne(case, contender, n_measured)
    for _ in range(repeats):
        theirs, their_seconds = one_by_one()
        advance(1)
        our_seconds, ours = timed(case.ours)
        advance(1)
        seconds["bare"].append(contender.bare_seconds(case))
        advance(1)
        seconds["alternative"].append(their_seconds)
        seconds["ours"].append(our_seconds)
        difference = max(difference, relative_difference(ours[:n_measured], theirs))
    return Times(*(tuple(seconds[side]) for side in ("alternative", "ours", "bare"))), difference


class _OneByOne:
    """The alternative on the first targets of a case.

    Imports, copies of networks and the like are made once and do not count; what has to be made for every image,
    superpixels and masks, is made and counted at every call, once for all targets.

    Args:
        case: What is explained.
        contender: The alternative.
        n_measured: Targets it runs on.
    """

    def __init__(self, case: Case, contender: Contender, n_measured: int) -> None:
        self._targets = case.targets[0].tolist()
        self._n_measured = n_measured
        self._start = partial(contender.start, case)
        self._explain = self._start()
        self._counts_start = contender.kind_of_repeats == "samples"

    def __call__(self) -> tuple[Tensor, float]:
        """Return the maps of the first targets, and the seconds scaled to all targets."""
        preparation, explain = timed(self._start) if self._counts_start else (0.0, self._explain)
        with warnings.catch_warnings():
            # Captum announces its hooks.
            warnings.simplefilter("ignore")
            seconds, maps = timed(lambda: [explain(target) for target in self._targets[: self._n_measured]])
        return torch.stack(maps), preparation + seconds * len(self._targets) / self._n_measured


def _reduced(contender: Contender, scene: Scene, effort: Effort) -> Mapping[str, Param]:
    key = contender.repeats_passes
    if not key:
        return {}
    if key == "size":
        side = tile_side(scene.image.shape[-1], effort.samples)
        return {"size": side, "stride": side}
    return {key: effort.steps if contender.kind_of_repeats == "steps" else effort.samples}
