"""What the page shows, as plain values: rows, ranks, curves, pictures, provenance."""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bcos_eval.errors import InputError
from bcos_eval.reports.methods import method_style, order_key
from bcos_eval.reports.tables.leaderboard import current_shards, require_results, stored_methods
from bcos_eval.reports.tables.stored import stored_leaderboard
from bcos_eval.reports.tables.table import FEW_STIMULI, Row, metric_name, model_names
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.store.examples import Examples, load_examples
from bcos_eval.store.facts import MethodFacts
from bcos_eval.store.manifest import read_runs
from bcos_eval.store.shards import Store, StoreReadOnce

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


def page_content(folders: Sequence[Path]) -> Plain:
    """Return what the page shows of some folders of results.

    Raises:
        InputError: If a folder holds no results, or an example file is damaged.
    """
    board = stored_leaderboard(folders)
    for folder in board.empty:
        require_results([], folder)
    stores = [StoreReadOnce(folder) for folder in dict.fromkeys(folders)]
    names = model_names(board.rows)
    rows = [_row(row, names) for row in board.rows]
    pictures = _pictures(stores, names)
    return {
        "rows": rows,
        "ranks": mean_ranks(rows),
        "curves": [curve for store in stores for curve in _curves(store, names)],
        "gallery": pictures,
        "runs": [_run(folder, entry) for folder in folders for entry in read_runs(folder)],
        "notes": [*board.notes, *board.damaged],
        "few": FEW_STIMULI,
        "styles": _styles(stores),
    }


def _row(row: Row, names: Mapping[tuple[str, str, str], str]) -> Plain:
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
        **{key: rounded(row.get(key, math.nan)) for key in numbers},
        "left_out": {key: int(row[key]) for key in _COUNTED if row.get(key)},
    }


# Units without a plain score, as leaderboards count them.
_COUNTED = ("n_zero", "n_constant", "n_empty", "n_skipped", "n_failed", "n_nonfinite")


def mean_ranks(rows: Sequence[Plain]) -> list[Plain]:
    """Return each method's mean rank over the metrics of its dataset and model, 1 for the best, with its interval.

    Equal means share their mean rank; controls are ranked too. Methods are ranked among those that have a mean for
    the metric, and ranks are scaled to the number of methods of the model, so that a metric of which some have
    none counts like the others. The interval is Student's over metrics, which are taken as a sample.
    """
    ranks: dict[tuple[str, str, str], list[float]] = {}
    cells = sorted(rows, key=lambda row: (row["dataset"], row["model"], row["metric"]))
    counts: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        counts.setdefault((row["dataset"], row["model"]), set()).add(row["method"])
    for key, group in itertools.groupby(cells, key=lambda row: (row["dataset"], row["model"], row["metric"])):
        known = [row for row in group if row["mean"] is not None]
        if len(known) < 2:
            continue
        sign = -1 if known[0]["direction"] == "higher" else 1
        values = np.array([sign * row["mean"] for row in known])
        n_methods = len(counts[key[0], key[1]])
        for row, value in zip(known, values, strict=True):
            rank = (values < value).sum() + ((values == value).sum() + 1) / 2
            scaled = 1 + (rank - 1) * (n_methods - 1) / (len(known) - 1)
            ranks.setdefault((row["dataset"], row["model"], row["method"]), []).append(float(scaled))
    found = []
    for (dataset, model, method), own in ranks.items():
        low, high = mean_interval(np.array(own), np.arange(len(own)))
        found.append(
            {
                "dataset": dataset,
                "model": model,
                "method": method,
                "rank": rounded(float(np.mean(own))),
                "low": rounded(low),
                "high": rounded(high),
                "n_metrics": len(own),
            }
        )
    return found


def _curves(store: Store, names: Mapping[tuple[str, str, str], str]) -> Iterator[Plain]:
    """Yield the mean curve of every model, method and metric that has one."""
    shards = [shard for shard in current_shards(store)[0] if shard.has_curves is not False]
    by_cell = {shard.facts.address.cell: shard for shard in shards}
    try:
        stored = store.curves([shard.facts.address for shard in shards])
    except InputError:
        return  # named in the notes of the table already
    for cell, own in stored.groupby("cell", sort=True):
        shard = by_cell[str(cell)]
        lengths = {len(curve) for curve in own["curve"]}
        if len(lengths) != 1:
            continue  # images of several sizes have steps of their own
        values = np.stack([np.asarray(curve, dtype=np.float64) for curve in own["curve"]])
        finite = np.isfinite(values).all(1)
        if not finite.any() or values.shape[1] < 3:
            continue
        labels = {column: str(shard.table[column][0]) for column in ("dataset", "model", "weights")}
        places = np.unique(np.linspace(0, values.shape[1] - 1, _CURVE_POINTS).round().astype(int))
        yield {
            "dataset": labels["dataset"],
            "model": names.get((labels["dataset"], labels["model"], labels["weights"]), labels["model"]),
            "method": shard.facts.method.label,
            "metric": f"{shard.facts.metric.name}/{shard.facts.metric.preset_label}",
            "x": [rounded(place / (values.shape[1] - 1)) for place in places],
            "y": [rounded(value) for value in values[finite].mean(0)[places]],
            "n": int(finite.sum()),
        }


def _pictures(stores: Sequence[Store], names: Mapping[tuple[str, str, str], str]) -> list[Plain]:
    """Return sheets: a model's stimuli of one kind, each with the maps of all methods and their scores."""
    sheets: dict[tuple[str, str, str], Plain] = {}
    n_left = _MOST_PICTURES
    for store in stores:
        scores = _scores(store)
        found = sorted(
            load_examples(store.root),
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
            n_left -= _add_row_pictures(sheet, examples, scores)
    return [{**sheet, "rows": list(sheet["rows"].values())} for sheet in sheets.values()]


def _add_row_pictures(sheet: Plain, examples: Examples, scores: Mapping[tuple[str, ...], Plain]) -> int:
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
            identity.model,
            identity.weights,
            identity.method.label,
            stimulus,
            str(int(examples.targets[index, 0])),
        )
        row["maps"][identity.method.label] = {"picture": picture(shown), "scores": scores.get(own, {})}
        n_added += 1
    return n_added


def _scores(store: Store) -> dict[tuple[str, ...], Plain]:
    """Return the scores of each model, method, stimulus and target, by metric."""
    found: dict[tuple[str, ...], Plain] = {}
    for shard in current_shards(store)[0]:
        if shard.facts.first:
            continue  # examples are the first stimuli
        metric = f"{shard.facts.metric.name}/{shard.facts.metric.preset_label}"
        columns = (shard.texts("model"), shard.texts("weights"), shard.texts("method"), shard.texts("stimulus"))
        targets = [str(int(target)) for target in shard.numbers("target")]
        for *labels, target, score in zip(*columns, targets, shard.numbers("score"), strict=True):
            found.setdefault((*labels, target), {}).setdefault(metric, rounded(float(score)))
    return found


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


def _styles(stores: Sequence[Store]) -> dict[str, Plain]:
    """Return how each method is drawn and called where there is little room, by its label."""
    styles: dict[str, Plain] = {}
    for store in stores:
        for label, method in stored_methods(current_shards(store)[0]).items():
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
