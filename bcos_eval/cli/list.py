"""`bcos-eval list`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import click

from .catalogue import KINDS, OTHER_MODELS, Catalogue, catalogue
from .suites import suite_rows

Row = Mapping[str, Any]

_MILLION = 1e6

# What is printed for people, where that is not everything.
_COLUMNS = {
    "methods": ("name", "family", "expensive", "params", "needs", "source"),
    "metrics": ("name", "recommended", "headline", "stimulus", "direction", "chance", "params", "source", "note"),
}

# What a reader of the table, unlike a program, is not told by the rows.
_NOTES: Mapping[str, str] = {
    "models": (
        "Parameters and input are those of the networks for ImageNet, whose weights are fetched when first used; "
        "weights for other datasets are shipped, and are of smaller networks (--json says how small). Every other "
        "classification network of torchvision is known by its name too, and timm:NAME is timm's where that is "
        "installed (--all lists both); bcos:NAME is the B-cos form of any of torchvision's."
    ),
}


@click.command("list")
@click.argument("kind", metavar="KIND", type=click.Choice([*KINDS, "suites", "figures"]))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option(
    "--all", "with_others", is_flag=True, help="Also networks of torchvision and timm that are known by name only."
)
def list_command(kind: str, as_json: bool, with_others: bool) -> None:
    """List what is registered.

    KIND is models, methods, metrics, datasets, suites, which are groups of names, or figures.
    """
    known = catalogue()
    rows = _rows(kind, known)
    if with_others and kind == "models":
        rows = [*rows, *known.rows(OTHER_MODELS), *_timm_rows()]
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        click.echo(as_text(text_rows(kind, rows)), nl=False)
        if kind in _NOTES:
            click.echo(_NOTES[kind], err=True)


def _timm_rows() -> Sequence[Row]:
    """Return the networks of the installed timm; without it none, and torch is not loaded."""
    if find_spec("timm") is None:
        return []
    from bcos_eval.models.timm_zoo import timm_names

    unknown: Row = {"parameters": None, "input_size": None, "bcos": False, "weights": []}
    return [{"name": name, "family": "timm", **unknown, "source": "timm"} for name in timm_names()]


def _rows(kind: str, known: Catalogue) -> Sequence[Row]:
    if kind == "suites":
        return list(suite_rows(known))
    if kind == "figures":
        from bcos_eval.reports.figures.figures import FIGURES

        return [{"name": name, "shows": entry.shows, "needs": entry.needs} for name, entry in FIGURES.items()]
    return known.rows(kind)


def text_rows(kind: str, rows: Sequence[Row]) -> Sequence[Row]:
    """Return rows as they are printed for people: models get a column of accuracies per dataset."""
    if kind in _COLUMNS:
        return [{column: row[column] for column in _COLUMNS[kind]} for row in rows]
    if kind != "models":
        return rows
    # What most models have weights for first; sources are many words and stand in the JSON.
    counts = Counter(weights["dataset"] for row in rows for weights in row["weights"])
    datasets = [dataset for dataset, _ in counts.most_common()]
    return [
        {
            "name": row["name"],
            "family": row["family"],
            "parameters": f"{row['parameters'] / _MILLION:.1f} M" if row["parameters"] else "",
            "input": row["input_size"],
            **{dataset: _accuracy(row["weights"], dataset) for dataset in datasets},
        }
        for row in rows
    ]


def _accuracy(weights: Sequence[Row], dataset: str) -> str:
    found = [entry for entry in weights if entry["dataset"] == dataset]
    # What is fetched is verified then, and by `bcos-eval doctor`.
    return "".join("damaged" if entry["intact"] is False else f"{entry['top1_percent']:.1f} %" for entry in found)


def as_text(rows: Sequence[Row]) -> str:
    """Return rows as columns of text with a heading."""
    if not rows:
        return "none\n"
    cells = [[str(key) for key in rows[0]], *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "".join(line.rstrip() + "\n" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items()) or "–"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value)) or "–"
    return "–" if value in (None, "") else str(value)
