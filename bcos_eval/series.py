"""Networks that differ in their form alone, trained and scored: accuracy and localisation over B or norms."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bcos_eval.evaluation import evaluate
from bcos_eval.models.form import BcosForm
from bcos_eval.models.weights_file import card_of
from bcos_eval.reports.figures.ablations import TABLE_NAME
from bcos_eval.store.atomic_write import write_text
from bcos_eval.training import Recipe, TrainingRequest, train, weights_path

_METHOD = "bcos"
# Columns of the table by columns of a leaderboard.
_COPIED = {"mean": "mean", "low": "ci_low", "high": "ci_high", "n": "n"}


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """What a series is made of.

    Attributes:
        training: Model, dataset and recipe; `out` is the folder of the series.
        forms: One network each.
        metrics: Metrics of the networks' own explanations.
        n_samples: Stimuli per metric.
    """

    training: TrainingRequest
    forms: Sequence[BcosForm]
    metrics: Sequence[str]
    n_samples: int


def run_series(request: SeriesRequest) -> Path:
    """Train every network that is not there yet, score it, and write the table that figures are drawn from.

    Returns:
        `scores.csv`: `b`, `norm`, `max_out`, `val_top1`, `metric`, `mean`, `low`, `high`, `n`; a row per network
        and metric, intervals of 95 %.
    """
    rows: list[dict[str, Any]] = []
    for form in request.forms:
        weights = _trained(request.training, form)
        rows += _rows(request, form, weights)
    return _write(rows, request.training.out / TABLE_NAME)


def _trained(training: TrainingRequest, form: BcosForm) -> Path:
    folder = training.out / "weights" / f"b{form.b:g}-{form.norm}-maxout{form.max_out}"
    asked = replace(training, recipe=replace(training.recipe, form=form), out=folder)
    weights = weights_path(asked)
    return weights if _is_made_by(asked.recipe, weights) else train(asked)


def _is_made_by(recipe: Recipe, weights: Path) -> bool:
    if not weights.is_file():
        return False
    made = card_of(weights).get("recipe", {})
    # Which of the two precisions is fast depends on the machine; networks trained on another go on counting.
    wanted = json.loads(json.dumps(asdict(replace(recipe, precision=made.get("precision", recipe.precision)))))
    return bool(made == wanted)


def _rows(request: SeriesRequest, form: BcosForm, weights: Path) -> Iterable[dict[str, Any]]:
    training = request.training
    found = evaluate(
        training.model,
        list(request.metrics),
        [_METHOD],
        dataset=training.dataset,
        data_dir=training.data_dir,
        n_samples=request.n_samples,
        device=training.device,
        weights={training.model: str(weights)},
        out=weights.parent / "run",
        quiet=False,
    )
    accuracy = card_of(weights)["val_top1"]
    for row in found.leaderboard.to_dict("records"):
        yield {
            **form.as_dict(),
            "val_top1": accuracy,
            "metric": f"{row['metric']}/{row['preset']}",
            **{column: row[source] for column, source in _COPIED.items()},
        }


def _write(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    write_text(path, text.getvalue())
    return path


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
