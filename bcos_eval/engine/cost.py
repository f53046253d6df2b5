"""What a plan costs, found out from one stimulus of each kind: passes, seconds, images to look at, files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bcos_eval.contract.explainer import Explainer
from bcos_eval.contract.metric import Metric
from bcos_eval.contract.network import Network
from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.errors import InputError, reason_of
from bcos_eval.models.weights_origin import Fetch
from bcos_eval.stimuli import StimulusKind

from .choice import Choice
from .kept_maps import KeptMaps
from .plan import Cell, Plan
from .run_context import RunContext
from .scoring import score_batch

_SECONDS_PER_MINUTE = 60
_MANY_MINUTES = 90
_FEW_SECONDS = 10
# Seconds of work that no warming up changes.
_LONG = 1.0
# What a method of hundreds of passes is tried with.
_FEW_PASSES, _MORE_PASSES = 4, 12
_MEGA = 1e6


@dataclass(frozen=True, slots=True)
class Cost:
    """What something costs.

    Attributes:
        forward: Passes of one image of the network's own size through the whole network; larger images, and parts
            of the network, count by their share of the multiplications.
        backward: Likewise from a logit back to the image.
        seconds: On this machine, in one process.
    """

    forward: float = 0.0
    backward: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """What both cost."""
        return Cost(self.forward + other.forward, self.backward + other.backward, self.seconds + other.seconds)

    def __sub__(self, other: Cost) -> Cost:
        """What this costs more than another; in time nothing at least, which little work can seem to save."""
        seconds = max(self.seconds - other.seconds, 0.0)
        return Cost(self.forward - other.forward, self.backward - other.backward, seconds)

    def times(self, n: float) -> Cost:
        """Return what so many of it cost."""
        return Cost(self.forward * n, self.backward * n, self.seconds * n)

    def __str__(self) -> str:
        """The cost in words."""
        return (
            f"{_count(self.forward)} forward and {_count(self.backward)} backward passes, about "
            f"{_duration(self.seconds)}"
        )


def _of_convolution(_images: Tensor, weight: Tensor, *_args: object, out_val: Tensor) -> int:
    """Return the multiplications and additions of a convolution, as `flop_registry` counts them."""
    return 2 * out_val[:, :1].numel() * weight.numel()


# What frozen networks call by its own name.
_COUNTED = {**flop_registry, torch.ops.aten.mkldnn_convolution: _of_convolution}


class _Multiplications(TorchDispatchMode):
    """Counts the multiplications of convolutions and matrix products, those of a backward pass apart."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's
        self.forward = self.backward = 0

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        _types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        out = func(*args, **(kwargs or {}))
        count = _COUNTED.get(func._overloadpacket)
        if count is not None:
            n = int(count(*args, **(kwargs or {}), out_val=out))
            if torch._C._current_graph_task_id() == -1:
                self.forward += n
            else:
                self.backward += n
        return out


@dataclass(frozen=True, slots=True)
class _Unit:
    """Multiplications of one pass through a network, forward and backward."""

    forward: int
    backward: int

    @classmethod
    def of(cls, network: Network, device: torch.device) -> _Unit:
        image = torch.full((1, 3, network.input_size, network.input_size), 0.5, device=device)
        encoded = network.encode(image).detach().requires_grad_()
        with _Multiplications() as counted:
            logits = network(encoded)
            if logits.requires_grad:
                torch.autograd.grad(logits[0, 0], encoded, allow_unused=True)
        return cls(counted.forward, counted.backward)

    def cost(self, work: Callable[[], object], device: torch.device) -> Cost:
        """Return what some work costs; short work is done twice, to count and to be timed when all is warm."""
        started = _now(device)
        with _Multiplications() as counted:
            work()
        seconds = _now(device) - started
        if seconds < _LONG:
            started = _now(device)
            work()
            seconds = _now(device) - started
        return Cost(
            counted.forward / self.forward if self.forward else 0.0,
            counted.backward / self.backward if self.backward else 0.0,
            seconds,
        )


def cost_lines(context: RunContext, plan: Plan, fetches: Sequence[Fetch]) -> Iterator[str]:
    """Yield what is left of a plan costs, a line per cell, what models look at before, and files to fetch.

    Args:
        context: Models and data; models whose weights are to be fetched may have any, which changes no cost.
        plan: Made without counting stimuli.
        fetches: Weights that are not here yet.
    """
    n_left = _left_by_cell(plan)
    total, explained = Cost(), dict[tuple[str, str, str], Cost]()
    costs = _Costs(context)
    for cell in plan.cells:
        name = f"{cell.model} × {cell.method.label} × {cell.metric.label}"
        n = n_left.get(cell.folder, 0)
        if n == 0:
            yield f"{name}: nothing left to compute"
            continue
        try:
            explaining, scoring = costs.of(cell)
        except (Exception, SystemExit) as error:  # a user's code may raise anything on one stimulus
            yield f"{name}: cannot be timed: {reason_of(error)}"
            continue
        yield f"{name}: {(explaining + scoring).times(n)}"
        total += scoring.times(n)
        key = cell.model, cell.method.label, cell.kind.name if cell.kind.shares_pictures else cell.kind.label
        explained[key] = max(explained.get(key, Cost()), explaining.times(n), key=lambda cost: cost.seconds)
    total = sum(explained.values(), total)
    yield f"together, attributions made once for all metrics: {total} in one process"
    yield from _looks(context, plan, n_left)
    yield from (f"weights of {fetch.model}: {fetch}" for fetch in fetches)


def _left_by_cell(plan: Plan) -> dict[str, int]:
    left: dict[str, int] = {}
    for shard in (shard for task in plan.tasks for shard in task.shards):
        left[shard.cell.folder] = left.get(shard.cell.folder, 0) + shard.stop - shard.first
    return left


class _Costs:
    """Costs of one stimulus of each cell; what cells share is measured once."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._units: dict[str, _Unit] = {}
        self._trials: dict[tuple[str, StimulusKind], Stimulus] = {}
        self._explained: dict[tuple[str, str, StimulusKind], tuple[Cost, KeptMaps]] = {}

    def of(self, cell: Cell) -> tuple[Cost, Cost]:
        """Return what explaining a stimulus of a cell costs, and what scoring it does.

        Raises:
            Exception: Whatever the code of a method or metric raises.
        """
        context, device = self._context, self._context.device
        network = context.network(cell.model)
        if cell.model not in self._units:
            self._units[cell.model] = _Unit.of(network, device)
        unit, stimulus = self._units[cell.model], self._trial(cell)
        context.progress.say(f"timing {cell.model} × {cell.method.label} × {cell.metric.label}")

        def work(method: Choice[Explainer], metrics: Sequence[Choice[Metric]], kept: KeptMaps | None) -> object:
            return score_batch(
                network,
                method,
                metrics,
                [stimulus],
                seed=context.request.seed,
                device=device,
                kind=cell.kind,
                kept=kept,
            )

        def explaining(method: Choice[Explainer]) -> Cost:
            return unit.cost(lambda: work(method, [], None), device)

        def scoring(method: Choice[Explainer]) -> Cost:
            work(method, [], kept)  # unless its maps are kept already
            return unit.cost(lambda: work(method, [cell.metric], kept), device)

        key = cell.model, cell.method.label, cell.kind
        if key not in self._explained:
            self._explained[key] = _of_all_passes(cell.method, explaining), KeptMaps()
        explained, kept = self._explained[key]
        if "explainer" in cell.metric.entry.info.needs:
            return explained, _of_all_passes(cell.method, scoring)
        return explained, scoring(_with_passes(cell.method, _FEW_PASSES))

    def _trial(self, cell: Cell) -> Stimulus:
        key = cell.model, cell.kind
        if key not in self._trials:
            stimulus = cell.kind.trial(self._context.material(*key))
            if not isinstance(stimulus, Stimulus):
                raise InputError(stimulus.reason)
            self._trials[key] = stimulus
        return self._trials[key]


def _of_all_passes(method: Choice[Explainer], cost: Callable[[Choice[Explainer]], Cost]) -> Cost:
    """Return a cost of a method; one of many passes, whose number is a parameter, is tried with few and more."""
    n = method.params.get(method.entry.info.passes_grow_with)
    if not isinstance(n, int) or n <= 2 * _MORE_PASSES:
        return cost(method)
    few = cost(_with_passes(method, _FEW_PASSES))
    more = cost(_with_passes(method, _MORE_PASSES)) - few
    return few + more.times((n - _FEW_PASSES) / (_MORE_PASSES - _FEW_PASSES))


def _with_passes(method: Choice[Explainer], most: int) -> Choice[Explainer]:
    """Return a method with so many passes, or fewer if it asks for fewer."""
    key = method.entry.info.passes_grow_with
    n = method.params.get(key)
    return replace(method, params={**method.params, key: min(n, most)}) if isinstance(n, int) else method


def _looks(context: RunContext, plan: Plan, n_left: Mapping[str, int]) -> Iterator[str]:
    kinds = {(cell.model, cell.kind): None for cell in plan.cells if n_left.get(cell.folder)}
    for model, kind in kinds:
        material = context.material(model, kind)
        least, most = kind.images_to_look_at(material)
        if not most:
            continue
        n_images = len(material.dataset)
        who = "every model" if kind.pools_all_models and len(context.request.models) > 1 else model
        if least == most:
            many = f"all {n_images}" if most == n_images else str(most)
            why = ", since the rule ranks or shuffles them all" if most == n_images else ""
        else:
            many, why = f"{least} to {most}", ", as few as are needed"
        yield f"{kind.plural} of {model}: {who} looks at {many} images first{why}; at none twice"


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _count(n: float) -> str:
    return f"{n:,.0f}" if n >= _FEW_SECONDS or n == round(n) else f"{n:.1f}"


def _duration(seconds: float) -> str:
    if seconds < _FEW_SECONDS:
        return f"{seconds:.1f} s"
    minutes = seconds / _SECONDS_PER_MINUTE
    if minutes < _MANY_MINUTES:
        return f"{seconds:.0f} s" if seconds < 2 * _SECONDS_PER_MINUTE else f"{minutes:.0f} min"
    return f"{minutes / _SECONDS_PER_MINUTE:.1f} h"
