"""A benchmark as aligned Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .report import BenchReport, ExplainerRow, PassRow, PerturbationRow, VariantRow, median

_UNKNOWN = "–"
_BYTES_PER_MB = 1e6
_MS_PER_SECOND = 1000

Cells = dict[str, str]
# Columns that are read as text; all others are aligned to the right.
_TEXT = frozenset({"explainer", "metric", "model", "alternative", "setting", "variant", "stimuli", "note"})


def bench_text(report: BenchReport) -> str:
    """Return the machine line, a table per suite, and what the columns mean."""
    parts = [machine_line(report.machine)]
    if report.explainers:
        parts += [markdown([_explainer_cells(row) for row in report.explainers]), _EXPLAINER_LEGEND]
    if report.perturbation:
        parts += [markdown([_perturbation_cells(row) for row in report.perturbation]), _PERTURBATION_LEGEND]
    if report.variants:
        parts += [markdown([_variant_cells(row) for row in report.variants]), _VARIANT_LEGEND]
    if report.passes:
        parts += [markdown([_pass_cells(row) for row in report.passes]), _PASS_LEGEND]
    return "\n\n".join(parts) + "\n"


_EXPLAINER_LEGEND = (
    "Seconds per image with all its targets, medians. Ratio: alternative / ours. Difference: relative to the "
    "map's largest value. Bare: the passes alone of the network that ours runs, as a share of ours."
)
_PERTURBATION_LEGEND = (
    "Milliseconds per scored point, medians. Difference: of probabilities. Peak memory: growth while one image is "
    "scored, for curves of so many points."
)
_VARIANT_LEGEND = (
    "Seconds per image with all its targets, medians, first calls left out. Ratio: default / variant. Difference: "
    "from the default's maps, relative to the map's largest value. Plain layers: without the frozen twin."
)
_PASS_LEGEND = (
    "Seconds per stimulus with all its targets, explained and scored, medians, first calls left out: alone, and "
    "as many in a pass as a run on this device takes. Difference: of scores."
)


def machine_line(machine: Mapping[str, Any]) -> str:
    """Return processor, threads and versions in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    place = ", ".join([machine["processor"], *machine.get("gpus", ())])
    return f"{place}, {machine['cores']} cores, {machine['threads']} threads; {versions}"


def markdown(rows: Sequence[Cells]) -> str:
    """Return rows with the same columns as a Markdown table, columns aligned."""
    columns = list(rows[0])
    lines = [columns, *([row[column].replace("|", "\\|") for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    rule = ["-" * w if c in _TEXT else "-" * (w - 1) + ":" for c, w in zip(columns, widths, strict=True)]
    padded = [
        [
            cell.ljust(width) if column in _TEXT else cell.rjust(width)
            for cell, column, width in zip(line, columns, widths, strict=True)
        ]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (padded[0], rule, *padded[1:]))


def _explainer_cells(row: ExplainerRow) -> Cells:
    times = row.times
    return {
        "explainer": row.explainer,
        "model": row.model,
        "alternative": row.alternative,
        "setting": _setting(row),
        "alternative s": _number(median(times.alternative)),
        "ours s": _number(median(times.ours)),
        "ratio": _times(times.ratio),
        "difference": _scientific(row.max_difference),
        "bare": _percent(times.bare_share),
        "note": row.note or _UNKNOWN,
    }


def _perturbation_cells(row: PerturbationRow) -> Cells:
    times = row.times
    peaks = ", ".join(f"{n}: {size / _BYTES_PER_MB:.0f} MB" for n, size in row.peak_bytes.items())
    return {
        "metric": row.metric,
        "model": row.model,
        "alternative": row.alternative,
        "images × points": f"{row.n_images} × {row.n_points}" if row.n_points else _UNKNOWN,
        "alternative ms": _number(_MS_PER_SECOND * median(times.alternative)),
        "ours ms": _number(_MS_PER_SECOND * median(times.ours)),
        "ratio": _times(times.ratio),
        "difference": _scientific(row.max_difference),
        "bare": _percent(times.bare_share),
        "peak memory": peaks or _UNKNOWN,
        "note": row.note or _UNKNOWN,
    }


def _variant_cells(row: VariantRow) -> Cells:
    return {
        "explainer": row.explainer,
        "model": row.model,
        "variant": row.variant,
        "default s": _number(median(row.default_seconds)),
        "variant s": _number(median(row.variant_seconds)),
        "ratio": _times(row.ratio),
        "difference": _scientific(row.max_difference),
        "note": row.note or _UNKNOWN,
    }


def _pass_cells(row: PassRow) -> Cells:
    return {
        "explainer": row.explainer,
        "model": row.model,
        "stimuli": row.stimuli,
        "targets": str(row.n_targets or _UNKNOWN),
        "in a pass": str(row.per_pass or _UNKNOWN),
        "alone s": _number(median(row.alone_seconds)),
        "together s": _number(median(row.together_seconds)),
        "ratio": _times(row.ratio),
        "difference": _scientific(row.max_difference),
        "note": row.note or _UNKNOWN,
    }


def _setting(row: ExplainerRow) -> str:
    settings = [f"{key}={value}" for key, value in row.params.items()]
    if 0 < row.n_measured < row.n_targets:
        settings.append(f"measured {row.n_measured} of {row.n_targets} targets")
    return ", ".join(settings) or _UNKNOWN


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else _UNKNOWN


def _times(value: float) -> str:
    return f"{value:.2f}×" if math.isfinite(value) else _UNKNOWN


def _percent(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else _UNKNOWN


def _scientific(value: float) -> str:
    return f"{value:.0e}" if math.isfinite(value) else _UNKNOWN
