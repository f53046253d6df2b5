"""Run the benchmark that was asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import torch

from bcos_eval.contract.plugins import find_explainer
from bcos_eval.contract.precision import reference_precision
from bcos_eval.engine.progress import Progress
from bcos_eval.errors import InputError
from bcos_eval.models import Classifier

from .case import distinct_targets, network_for_bench, scene_grid
from .clock import threads
from .contenders import CONTENDERS
from .explainer_suite import N_SIDES, Effort, Scene, check_explainers, measure_explainer
from .machine import machine
from .pass_suite import DEFAULT_METHODS as METHODS_OF_PASSES
from .pass_suite import N_SIDES as N_SIDES_OF_PASSES
from .pass_suite import Stimuli, measure_passes
from .perturbation_suite import deletion_task, measure_deletion
from .report import BenchReport, ExplainerRow, PassRow, PerturbationRow, VariantRow
from .variant_suite import DEFAULT_METHODS, VARIANTS, measure_variants

# All are explainers and perturbation: compiling the variants takes minutes, and passes are for GPUs.
Suite = Literal["explainers", "perturbation", "variants", "passes", "all"]
_CPU = "cpu"


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What to measure.

    Attributes:
        models: B-cos networks and standard ones; an explainer takes the first that suits it.
        methods: Explainers; none for all that have an alternative.
        suite: Which comparisons.
        variants: Names of variants; none for all.
        weights: Weights by model; random ones where none are given.
        cell: Side of a grid's cell, and of a perturbed image, in pixels.
        n_cells: Cells per side of the grid.
        n_targets: Targets explained.
        repeats: Repetitions; medians are reported.
        steps: Perturbed images of gradient methods.
        samples: Perturbed images of perturbation methods.
        extrapolate: Whether slow alternatives run for one target and count for all.
        n_images: Images of the perturbation suite, and stimuli of the suite of passes at least.
        n_threads: Threads of torch; None for its choice.
        seed: Seed of scenes, targets and samples.
        device: Where explainers compute, and what they are measured against.
    """

    models: tuple[str, ...]
    methods: tuple[str, ...] = ()
    suite: Suite = "all"
    variants: tuple[str, ...] = ()
    weights: tuple[tuple[str, str], ...] = ()
    cell: int = 224
    n_cells: int = 3
    n_targets: int = 9
    repeats: int = 3
    steps: int = 2
    samples: int = 24
    extrapolate: bool = True
    n_images: int = 2
    n_threads: int | None = None
    seed: int = 0
    device: str = _CPU


def run_bench(request: BenchRequest, progress: Progress) -> BenchReport:
    """Measure and return what was found; every repetition takes its turn on all sides.

    Raises:
        InputError: For unknown models or explainers, and settings that do not fit the models.
    """
    if request.device != _CPU and request.suite in ("perturbation", "all"):
        raise InputError(
            f"--suite {request.suite} measures curves on the CPU and --device is {request.device}; give --suite "
            "explainers, variants or passes, or --device cpu."
        )
    with threads(request.n_threads), reference_precision():
        if request.suite == "variants":
            return BenchReport(machine(), asdict(request), variants=_variants(request, progress))
        if request.suite == "passes":
            return BenchReport(machine(), asdict(request), passes=_passes(request, progress))
        methods = request.methods or tuple(CONTENDERS)
        check_explainers(methods)
        scene = _scene(request)
        explainers = _explainers(request, methods, scene, progress) if request.suite != "perturbation" else ()
        perturbation = _perturbation(request, scene, progress) if request.suite != "explainers" else ()
        return BenchReport(machine(), asdict(request), explainers, perturbation)


def _scene(request: BenchRequest) -> Scene:
    networks = _networks(request)
    image = scene_grid(request.n_cells, request.cell, request.seed).to(request.device)
    n_classes = min(network.num_classes for network in networks)
    targets = distinct_targets(request.n_targets, n_classes, request.seed).to(request.device)
    return Scene(networks, image, targets, request.seed)


def _networks(request: BenchRequest) -> list[Classifier]:
    if not request.models:
        raise InputError("--model is missing; give at least one, see `bcos-eval list models`.")
    weights = dict(request.weights)
    return [
        network_for_bench(name, weights.get(name, "random"), request.cell, request.device)
        for name in request.models
    ]


def _explainers(
    request: BenchRequest, methods: tuple[str, ...], scene: Scene, progress: Progress
) -> tuple[ExplainerRow, ...]:
    effort = Effort(request.repeats, request.steps, request.samples, request.extrapolate)
    with progress.bar("explainers", len(methods) * N_SIDES * request.repeats, "measurements") as bar:
        return tuple(measure_explainer(name, scene, effort, bar.advance) for name in methods)


def _variants(request: BenchRequest, progress: Progress) -> tuple[VariantRow, ...]:
    methods = request.methods or DEFAULT_METHODS
    for name in methods:
        find_explainer(name)
    scene = _scene(request)
    variants = request.variants or tuple(VARIANTS)
    with progress.bar("variants", len(methods) * len(variants) * request.repeats, "measurements") as bar:
        rows = [measure_variants(name, scene, request.repeats, bar.advance, variants) for name in methods]
    return tuple(row for of_method in rows for row in of_method)


def _passes(request: BenchRequest, progress: Progress) -> tuple[PassRow, ...]:
    methods = request.methods or METHODS_OF_PASSES
    for name in methods:
        find_explainer(name)
    networks = _networks(request)
    sizes = [
        Stimuli(n, request.cell, n_targets, request.n_images, request.seed)
        for n, n_targets in ((1, 1), (request.n_cells, request.n_targets))
    ]
    total = len(methods) * len(sizes) * N_SIDES_OF_PASSES * request.repeats
    with progress.bar("passes", total, "measurements") as bar:
        return tuple(
            measure_passes(name, networks, stimuli, request.repeats, torch.device(request.device), bar.advance)
            for name in methods
            for stimuli in sizes
        )


def _perturbation(request: BenchRequest, scene: Scene, progress: Progress) -> tuple[PerturbationRow, ...]:
    network = next((each for each in scene.networks if not each.is_bcos), scene.networks[0])
    task = deletion_task(network, request.cell, request.n_images, request.seed)
    with progress.bar("deletion curves", request.repeats, "repetitions") as bar:
        return measure_deletion(task, request.repeats, bar.advance)
