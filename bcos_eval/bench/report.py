"""What a benchmark found: rows with all repetitions, and their JSON form."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping
from typing import Any

from bcos_eval.contract.params import Param

SCHEMA_VERSION = 1

Seconds = tuple[float, ...]


def median(seconds: Seconds) -> float:
    """Return the median, NaN where nothing was measured."""
    return statistics.median(seconds) if seconds else math.nan


@dataclasses.dataclass(frozen=True, slots=True)
class Times:
    """Seconds of the same work done by two sides and by the bare network, one entry per repetition.

    Attributes:
        alternative: The other implementation.
        ours: The suite.
        bare: The network passes alone that the suite's result needs, on the network that it runs.
    """

    alternative: Seconds = ()
    ours: Seconds = ()
    bare: Seconds = ()

    @property
    def ratio(self) -> float:
        """How many times longer the alternative takes; of medians."""
        return median(self.alternative) / median(self.ours)

    @property
    def bare_share(self) -> float:
        """Bare network passes as a share of our time; around 1 where nothing else is left, noise included."""
        return median(self.bare) / median(self.ours)


@dataclasses.dataclass(frozen=True, slots=True)
class ExplainerRow:
    """One explainer: all targets of one image in one call, against one target at a time.

    Attributes:
        explainer: Registered name.
        model: The network explained.
        alternative: What it is compared with, by name.
        params: Parameters on both sides that differ from the explainer's defaults.
        n_targets: Targets of the image.
        n_measured: Targets the alternative was run on; its seconds are scaled to all.
        times: Seconds per image with all its targets.
        max_difference: Largest difference between both results, relative to the map's largest value.
        note: Why nothing was measured, else empty.
    """

    explainer: str
    model: str
    alternative: str
    params: Mapping[str, Param]
    n_targets: int
    n_measured: int = 0
    times: Times = Times()
    max_difference: float = math.nan
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class PerturbationRow:
    """A deletion curve against another implementation of it.

    Attributes:
        metric: Registered name with its preset.
        model: The network.
        alternative: What it is compared with, by name.
        n_points: Points of a curve that were compared.
        n_images: Curves.
        times: Seconds per point that is scored, for each side.
        max_difference: Largest difference between the curves, probabilities in [0, 1].
        peak_bytes: Growth of memory during our call, by points per curve; empty where it cannot be read.
        note: Why nothing was measured, else empty.
    """

    metric: str
    model: str
    alternative: str
    n_points: int
    n_images: int
    times: Times = Times()
    max_difference: float = math.nan
    peak_bytes: Mapping[int, int] = dataclasses.field(default_factory=dict)
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class VariantRow:
    """One explainer run otherwise than by default.

    Attributes:
        explainer: Registered name.
        model: The network explained.
        variant: What is different.
        default_seconds: Seconds per image with all its targets by default.
        variant_seconds: The same for the variant, its first call left out.
        max_difference: Largest difference from the default's maps, relative to the map's largest value.
        note: Why nothing was measured, else empty.
    """

    explainer: str
    model: str
    variant: str
    default_seconds: Seconds = ()
    variant_seconds: Seconds = ()
    max_difference: float = math.nan
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times longer the default takes; of medians."""
        return median(self.default_seconds) / median(self.variant_seconds)

    def as_json(self) -> dict[str, Any]:
        """Return plain values; what was not measured is null."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
        return plain | {"max_difference": _or_null(self.max_difference), "ratio": _or_null(self.ratio)}


@dataclasses.dataclass(frozen=True, slots=True)
class PassRow:
    """Stimuli explained and scored by one explainer, each in a pass of its own and several in a pass.

    Attributes:
        explainer: Registered name.
        model: The network explained.
        stimuli: What they are.
        n_targets: Targets of each.
        n_stimuli: Stimuli measured.
        per_pass: How many share a pass on this device.
        alone_seconds: Seconds per stimulus, alone.
        together_seconds: Seconds per stimulus, with the others of its pass.
        max_difference: Largest difference between the scores, which are in [0, 1].
        note: Why nothing was measured, else empty.
    """

    explainer: str
    model: str
    stimuli: str
    n_targets: int = 0
    n_stimuli: int = 0
    per_pass: int = 0
    alone_seconds: Seconds = ()
    together_seconds: Seconds = ()
    max_difference: float = math.nan
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times longer a stimulus takes alone; of medians."""
        return median(self.alone_seconds) / median(self.together_seconds)

    def as_json(self) -> dict[str, Any]:
        """Return plain values; what was not measured is null."""
        plain = dataclasses.asdict(self) | {"max_difference": _or_null(self.max_difference)}
        return plain | {
            "ratio": _or_null(self.ratio),
            "seconds_per_stimulus": _or_null(median(self.together_seconds)),
            "stimuli_per_second_alone": _or_null(1 / median(self.alone_seconds)),
            "stimuli_per_second": _or_null(1 / median(self.together_seconds)),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class BenchReport:
    """Everything one run measured.

    Attributes:
        machine: Processor, threads, versions.
        settings: What was asked for.
        explainers: Rows of the explainer suite.
        perturbation: Rows of the perturbation suite.
        variants: Rows of the variant suite.
        passes: Rows of the suite of passes.
    """

    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    explainers: tuple[ExplainerRow, ...] = ()
    perturbation: tuple[PerturbationRow, ...] = ()
    variants: tuple[VariantRow, ...] = ()
    passes: tuple[PassRow, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values; what was not measured is null."""
        return {
            "schema": SCHEMA_VERSION,
            "machine": dict(self.machine),
            "settings": dict(self.settings),
            "explainers": [_row_as_json(row) for row in self.explainers],
            "perturbation": [_row_as_json(row) for row in self.perturbation],
            "variants": [row.as_json() for row in self.variants],
            "passes": [row.as_json() for row in self.passes],
        }


def _row_as_json(row: ExplainerRow | PerturbationRow) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    times: Times = values.pop("times")
    plain = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    plain["max_difference"] = _or_null(row.max_difference)
    measured = {f"{field.name}_seconds": list(getattr(times, field.name)) for field in dataclasses.fields(times)}
    return plain | {"ratio": _or_null(times.ratio), "bare_share": _or_null(times.bare_share)} | measured


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None
