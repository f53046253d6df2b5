"""What the page shows, as plain values: rows, ranks, curves, pictures, provenance."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bcos_eval.errors import InputError
from bcos_eval.reports.comparison.standings import Standings, labels_of
from bcos_eval.reports.curves import mean_curves
from bcos_eval.reports.methods import method_style, order_key
from bcos_eval.reports.results import Results
from bcos_eval.reports.tables.leaderboard import stored_methods
from bcos_eval.reports.tables.table import FEW_STIMULI, Row, metric_name, model_names, told_apart
from bcos_eval.store.examples import Examples, shows_stimuli
from bcos_eval.store.facts import MethodFacts
from bcos_eval.store.manifest import read_runs

Plain = dict[str, Any]

# Pictures of attributions: side in pixels, and how many of them fit into a page of five megabytes.
_SIDE = 112
_MOST_PICTURES = 700
_WEBP_QUALITY = 82
# The share of a map's entries that reach the end of the colour scale; the rest would leave it dark.
_SCALE_PERCENTILE = 99.5
# Points of a curve; more cannot be told apart in a plot of this width.
_CURVE_POINTS = 65
_DIGITS = 5


def content_of(results: Results) -> Plain:
    """Return what the page shows of results.

    Raises:
        InputError: If an example file is damaged.
    """
    board, names = results.board, model_names(results.rows)
    standings = results.standings_of(results.rows)
    untested = [f"note: ties are not tested: {note}" for note in standings.notes]
    return {
        "rows": [_row(row, names, standings) for row in told_apart(results.rows)],
        "ranks": _ranks(standings, names),
        "curves": list(_curves(results, names)),
        "gallery": _pictures(results, names),
        "runs": [_run(folder, entry) for folder in results.folders for entry in read_runs(folder)],
        "notes": [*board.notes, *board.damaged, *untested],
        "few": FEW_STIMULI,
        "styles": _styles(results),
    }


def _row(row: Row, names: Mapping[tuple[str, str, str], str], standings: Standings) -> Plain:
    labels = labels_of(row)
    numbers = ("mean", "ci_low", "ci_high", "median", "chance", "seconds_per_unit")
    return {
        "dataset": row["dataset"],
        "model": names[row["dataset"], row["model"], row["weights"]],
        "method": row["method"],
        "metric": metric_name(row),
        "direction": row["direction"],
        "n": int(row["n"]),
        "planned": row.get("n_planned"),
        "stimuli": int(row.get("n_stimuli", FEW_STIMULI)),
        "control": bool(row.get("is_control", False)),
        "standing": "best" if labels in standings.best else "tied" if labels in standings.tied else "",
        **{key: rounded(row.get(key, math.nan)) for key in numbers},
        "left_out": {key: int(row[key]) for key in _COUNTED if row.get(key)},
    }


# Units without a plain score, as leaderboards count them.
_COUNTED = ("n_zero", "n_constant", "n_empty", "n_skipped", "n_failed", "n_nonfinite")


def _ranks(standings: Standings, names: Mapping[tuple[str, str, str], str]) -> list[Plain]:
    return [
        {
            "dataset": who[0],
            "model": names[who[:3]],
            "method": who[3],
            "rank": rounded(rank.rank),
            "low": rounded(rank.low),
            "high": rounded(rank.high),
            "n_metrics": rank.n_metrics,
        }
        for who, rank in standings.ranks.items()
    ]


def _curves(results: Results, names: Mapping[tuple[str, str, str], str]) -> Iterator[Plain]:
    """Yield the mean curve of every model, method and metric that has one."""
    try:
        curves = mean_curves(results)
    except InputError:
        return  # named in the notes of the table already
    for curve in curves:
        places = np.unique(np.linspace(0, len(curve.x) - 1, _CURVE_POINTS).round().astype(int))
        labels = curve.labels
        yield {
            "dataset": labels["dataset"],
            "model": names.get((labels["dataset"], labels["model"], labels["weights"]), labels["model"]),
            "method": curve.method.label,
            "metric": curve.metric,
            "axis": curve.axes.x,
            "x": [rounded(value) for value in curve.x[places]],
            "y": [rounded(value) for value in curve.mean[places]],
            "n": curve.n,
        }


def _pictures(results: Results, names: Mapping[tuple[str, str, str], str]) -> list[Plain]:
    """Return sheets: a model's stimuli of one kind, each with the maps of all methods and their scores."""
    sheets: dict[tuple[str, str, str], Plain] = {}
    n_left = _MOST_PICTURES
    found = sorted(
        (one for one in results.examples if shows_stimuli(one.identity)),
        key=lambda one: (one.identity.kind, order_key(one.identity.method.name, one.identity.method.label)),
    )
    for examples in found:
        identity = examples.identity
        model = names.get((identity.dataset, identity.model, identity.weights), identity.model)
        key = (identity.dataset, model, identity.kind)
        sheet = sheets.setdefault(
            key, {"dataset": key[0], "model": key[1], "kind": key[2], "rows": {}, "methods": []}
        )
        label = identity.method.label
        if label in sheet["methods"] or n_left < 0:
            continue
        sheet["methods"].append(label)
        n_left -= _add_row_pictures(sheet, examples, results.example_scores)
    return [{**sheet, "rows": list(sheet["rows"].values())} for sheet in sheets.values()]


def _add_row_pictures(
    sheet: Plain, examples: Examples, scores: Mapping[tuple[str, ...], Mapping[str, float]]
) -> int:
    """Add the maps of a method to the rows of a sheet, and return the number of pictures added."""
    n_added = 0
    identity = examples.identity
    for index, stimulus in enumerate(examples.stimulus_ids):
        row = sheet["rows"].get(stimulus)
        if row is None:
            row = sheet["rows"][stimulus] = {
                "stimulus": stimulus,
                "target": examples.class_names[index][0],
                "image": picture(examples.images[index]),
                "maps": {},
            }
            n_added += 1
        rgba = None if examples.rgba is None else examples.rgba[index, 0]
        shown = map_colours(examples.maps[index, 0]) if rgba is None else on_white(rgba)
        own = (
            identity.dataset,
            identity.model,
            identity.weights,
            identity.method.label,
            stimulus,
            str(int(examples.targets[index, 0])),
        )
        row["maps"][identity.method.label] = {
            "picture": picture(shown),
            "scores": {metric: rounded(score) for metric, score in scores.get(own, {}).items()},
        }
        n_added += 1
    return n_added


def _run(folder: Path, entry: Mapping[str, Any]) -> Plain:
    asked = entry.get("asked", {})
    return {
        "folder": folder.name,
        "started": entry["started"],
        "outcome": entry.get("outcome", ""),
        "seconds": entry.get("duration_seconds"),
        "asked": {key: value for key, value in asked.items() if value not in (None, [], {}, "")},
        "dataset": entry.get("dataset", {}),
        "weights": entry.get("weights", {}),
        "versions": entry.get("versions", {}),
        "machine": entry.get("machine", {}),
        "notes": entry.get("notes", []),
    }


def _styles(results: Results) -> dict[str, Plain]:
    """Return how each method is drawn and called where there is little room, by its label."""
    styles: dict[str, Plain] = {}
    for label, method in stored_methods(results.shards).items():
        style = method_style(MethodFacts(method.name))
        styles[label] = {
            "colour": style.colour,
            "line": style.line if isinstance(style.line, str) else "-",
            "order": order_key(method.name, label)[0],
            "short": method.name,
        }
    return styles


def map_colours(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return a signed map `(H, W)` as colours `(H, W, 3)`: red for, blue against the class, white for nothing."""
    finite = np.where(np.isfinite(values), values, 0.0)
    largest = float(np.percentile(np.abs(finite), _SCALE_PERCENTILE)) or float(np.abs(finite).max()) or 1.0
    strength = np.clip(finite / largest, -1, 1)[..., None]
    red, blue = np.array([178, 24, 43]), np.array([33, 102, 172])
    towards = np.where(strength >= 0, red, blue)
    return np.rint(255 + np.abs(strength) * (towards - 255)).astype(np.uint8)


def on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a colour explanation `(H, W, 4)` on white paper, `(H, W, 3)`."""
    alpha = rgba[..., 3:].astype(np.float64) / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def picture(pixels: NDArray[np.uint8]) -> str:
    """Return an image `(H, W, 3)` as a data URI, scaled to the page's size."""
    image = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_WEBP_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def rounded(value: float) -> float | None:
    """Return a number with the digits a page needs; None where it is undefined, which JSON can say."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{_DIGITS}g}")
