"""What the documents take from other files: generated blocks, and numbers that say where they stand.

`make docs-blocks` writes the blocks anew; `tests/test_documents.py` holds them and the numbers to the files.

A generated block stands between `<!-- generated: KIND WORDS -->` and `<!-- end of generated -->`; `BLOCKS` has
the kinds. A number in prose is followed by `<!-- = FILE key=value …: column … -->`: the last numbers before it
are, rounded, those columns of the one row of the CSV that has these values, or those dotted paths into the JSON
(of a list of repeated measurements, the median). What no file has says why, for its paragraph: `<!-- not
stored: REASON -->`.
"""

from __future__ import annotations

import csv
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- generated: (\w+)(.*?) -->\n)(.*?)(<!-- end of generated -->)", re.DOTALL)
TRACE = re.compile(r"<!-- = (\S+?)((?:\s+[^\s=:]+=[^\s:]+)*)\s*:\s+([^>]*?) -->")
NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+|\d*)(?:\.\d+|\d)(?:\s?%)?")
# What looks like a score or an accuracy, wherever it stands: three decimals, or a percentage with one.
RESULT = re.compile(r"(?<![\w.])0?\.\d{3}(?!\d)|(?<![\w.])\d{1,2}\.\d+\s?%")

Row = Mapping[str, str]


def documents() -> list[Path]:
    """Return every page whose numbers and blocks are held to the files."""
    return [ROOT / "README.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def written(text: str) -> str:
    """Return a page with its generated blocks made anew."""
    return BLOCK.sub(lambda found: found[1] + BLOCKS[found[2]](found[3].split()) + found[5], text)


def wrong_numbers(text: str) -> Iterator[str]:
    """Say which traced number is not what its file has, and which file, row or column is not there."""
    text = BLOCK.sub("", text)
    for trace in TRACE.finditer(text):
        columns = trace[3].split()
        shown = [found[0] for found in NUMBER.finditer(TRACE.sub("", text[: trace.start()]))][-len(columns) :]
        try:
            values = _values(trace[1], trace[2].split(), columns)
        except (OSError, LookupError, ValueError) as error:
            yield f"{trace[0]}: {error}"
            continue
        if len(shown) < len(columns):
            yield f"{trace[0]}: {len(shown)} numbers stand before it"
            continue
        for number, column, value in zip(shown, columns, values, strict=True):
            if _as_shown(value, number) != _plain(number):
                yield f"{number} is {value} in {trace[1]}, {column}"


def untraced_results(text: str) -> list[str]:
    """Return what looks like a result and says neither where it stands nor why it stands nowhere."""
    for pattern in (BLOCK.pattern, r"^```.*?^```", r"`[^`\n]+`"):
        text = re.sub(pattern, "", text, flags=re.DOTALL | re.MULTILINE)
    paragraphs = (part for part in re.split(r"\n\s*\n", text) if "<!-- not stored: " not in part)
    found = []
    for paragraph in paragraphs:
        start = 0
        for trace in (*TRACE.finditer(paragraph), None):
            before = paragraph[start : trace.start() if trace else None]
            n_traced = len(trace[3].split()) if trace else 0
            numbers = list(NUMBER.finditer(before))
            loose = before[: numbers[-n_traced].start()] if 0 < n_traced <= len(numbers) else before
            found += RESULT.findall(loose)
            start = trace.end() if trace else start
    return found


def leaderboard(words: Sequence[str]) -> str:
    """Return a table of methods × metrics: `FILE key=value,value …`."""
    rows = [row for row in _rows(words[0]) if _fits(row, words[1:])]
    asked = dict(word.split("=", 1) for word in words[1:]).get("metric", "").split(",")
    scored_by = {(row["metric"], row["preset"]) for row in rows}
    metrics = sorted(scored_by, key=lambda own: (asked.index(own[0]) if own[0] in asked else 0, own))
    heads = [
        "model",
        "method",
        *(head for name, preset in metrics for head in (f"{name}/{preset}", "chance", "n")),
    ]
    lines = [heads]
    for (model, method), group in groupby(rows, key=lambda row: (row["model"], row["method"])):
        scored = {(row["metric"], row["preset"]): row for row in group}
        cells = [cell for metric in metrics for cell in _score_cells(scored.get(metric))]
        lines.append([f"`{model}`", f"`{method}`", *cells])
    return _table(lines)


def accuracies(_words: Sequence[str]) -> str:
    """Return the table of the shipped weights: models × datasets, from their cards."""
    paths = sorted((ROOT / "bcos_eval/models/weights").glob("*.json"))
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    datasets = list(dict.fromkeys(card["dataset"] for card in sorted(cards, key=_order_of_card)))
    lines = [["model", *(f"`{name}`" for name in datasets), "parameters"]]
    for model in dict.fromkeys(card["model"] for card in sorted(cards, key=_order_of_card)):
        own = {card["dataset"]: card for card in cards if card["model"] == model}
        tops = [f"{100 * own[name]['val_top1']:.1f} %" if name in own else "" for name in datasets]
        lines.append([f"`{model}`", *tops, f"{max(card['parameters'] for card in own.values()) / 1e6:.2f} M"])
    return _table(lines)


def file(words: Sequence[str]) -> str:
    """Return a file, as a block of Python: `FILE`."""
    return f"```python\n{(ROOT / words[0]).read_text(encoding='utf-8').strip()}\n```\n"


def table(words: Sequence[str]) -> str:
    """Return a CSV as a table: `FILE`."""
    rows = _rows(words[0])
    return _table([list(rows[0]), *(list(row.values()) for row in rows)])


def metric(words: Sequence[str]) -> str:
    """Return the presets of metrics with what they state at their registration: `NAME NAME …`."""
    lines = [["preset", "better", "chance level", "stimulus", "images", "parameters", "source"]]
    for name in words:
        own = [entry for entry in _catalogue("metrics") if entry["name"].startswith(f"{name}/")]
        for entry in sorted(own, key=lambda entry: (not entry["recommended"], entry["name"])):
            params = ", ".join(f"{key}={value}" for key, value in entry["params"].items())
            chance = {None: "none", "area": "the region's share", "model": "measured"}.get(
                entry["chance"], str(entry["chance"])
            )
            shown = f"**`{entry['name']}`**" if entry["recommended"] else f"`{entry['name']}`"
            source = "; ".join(filter(None, (entry["source"], entry["note"])))
            lines.append([shown, entry["direction"], chance, entry["stimulus"], entry["images"], params, source])
    return _table(lines)


def published_weights(_words: Sequence[str]) -> str:
    """Return the official files of the B-cos models: name, digest, published accuracy."""
    lines = [["model", "file", "SHA-256 begins", "published top-1"]]
    for entry in _catalogue("models"):
        for own in entry["weights"]:
            if own["dataset"] == "imagenet" and "B-cos-v2" in own["from"]:
                name = own["from"].rpartition("/")[2]
                lines.append(
                    [
                        f"`{entry['name']}`",
                        f"`{name}`",
                        f"`{own['sha256_prefix']}`",
                        f"{own['top1_percent']:.2f} %",
                    ]
                )
    return _table(lines)


def bench(words: Sequence[str]) -> str:
    """Return medians of a benchmark: `FILE explainers|perturbation|variants`."""
    path, suite = words
    rows = json.loads((ROOT / path).read_text(encoding="utf-8"))[suite]
    return _table([_bench_heads(suite), *(_bench_cells(row, suite) for row in rows)])


BLOCKS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "leaderboard": leaderboard,
    "accuracies": accuracies,
    "file": file,
    "table": table,
    "metric": metric,
    "published_weights": published_weights,
    "bench": bench,
}


def _catalogue(kind: str) -> list[dict[str, Any]]:
    return json.loads((ROOT / "bcos_eval/cli/catalogue.json").read_text(encoding="utf-8"))[kind]


_BENCH_FIRST = {
    "explainers": ("explainer", "model", "alternative"),
    "perturbation": ("metric", "model", "alternative"),
    "variants": ("explainer", "model", "variant"),
}


def _bench_heads(suite: str) -> list[str]:
    ours, theirs = ("variant s", "default s") if suite == "variants" else ("ours s", "theirs s")
    last = [] if suite == "variants" else ["bare network"]
    return [*_BENCH_FIRST[suite], "setting", theirs, ours, "ratio", "difference", *last]


def _bench_cells(row: Mapping[str, Any], suite: str) -> list[str]:
    theirs, ours = ("default", "variant") if suite == "variants" else ("alternative", "ours")
    extrapolated = " \\*" if row.get("n_measured", 0) < row.get("n_targets", 0) else ""
    names = [f"`{row[key]}`" if key != "alternative" else row[key] + extrapolated for key in _BENCH_FIRST[suite]]
    setting = ", ".join(f"{key}={value}" for key, value in row.get("params", {}).items())
    seconds = [f"{statistics.median(row[f'{side}_seconds']):.3g}" for side in (theirs, ours)]
    # Medians of their own: noise may bring the part above the whole.
    bare = [] if suite == "variants" else [f"{min(row['bare_share'], 1):.0%}"]
    return [*names, setting, *seconds, f"{row['ratio']:.2f}×", f"{row['max_difference']:.0e}", *bare]


def _order_of_card(card: Mapping[str, Any]) -> tuple[int, str, bool]:
    datasets = ("shapes", "tiny_imagenet20", "imagenette", "shapes_trigger")
    return (
        datasets.index(card["dataset"]),
        card["model"].removeprefix("bcos_"),
        not card["model"].startswith("bcos_"),
    )


def _score_cells(row: Row | None) -> list[str]:
    if row is None:
        return ["", "", ""]
    interval = f" [{float(row['ci_low']):.3f}, {float(row['ci_high']):.3f}]" if row["ci_low"] else ""
    mean = f"{float(row['mean']):.3f}{interval}" if row["mean"] else ""
    n = row["n"] if row.get("n_planned", "") in ("", row["n"]) else f"{row['n']} of {row['n_planned']}"
    return [mean, f"{float(row['chance']):.3f}" if row["chance"] else "", n]


def _table(lines: Sequence[Sequence[str]]) -> str:
    """Return a table, its first line the headings; columns of numbers are aligned to the right."""
    is_number = [
        all(re.fullmatch(r"[-\d.,]*( ?[%M×]|e-\d+| of \d+)?", cell) for cell in column)
        for column in zip(*lines[1:], strict=True)
    ]
    rule = ["--:" if right else "---" for right in is_number]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (lines[0], rule, *lines[1:]))


def _rows(path: str) -> list[dict[str, str]]:
    with (ROOT / path).open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def _fits(row: Row, wanted: Sequence[str]) -> bool:
    pairs = (word.split("=", 1) for word in wanted)
    return all(row[key] in values.split(",") for key, values in pairs)


def _values(path: str, wanted: Sequence[str], columns: Sequence[str]) -> list[float]:
    if path.endswith(".json"):
        return [_at(json.loads((ROOT / path).read_text(encoding="utf-8")), column) for column in columns]
    rows = [row for row in _rows(path) if _fits(row, wanted)]
    if len(rows) != 1:
        raise LookupError(f"{len(rows)} rows fit; name keys and values until one does")
    return [float(rows[0][column]) for column in columns]


def _at(tree: Any, path: str) -> float:  # noqa: ANN401 - any JSON
    for step in path.split("."):
        tree = tree[int(step)] if isinstance(tree, list) else tree[step]
    return statistics.median(tree) if isinstance(tree, list) else float(tree)


def _plain(number: str) -> str:
    plain = number.replace(",", "").replace("−", "-").rstrip("% ")
    return f"0{plain}" if plain.startswith(".") else plain


def _as_shown(value: float, number: str) -> str:
    decimals = len(_plain(number).partition(".")[2])
    return f"{100 * value if number.endswith('%') else value:.{decimals}f}"


if __name__ == "__main__":
    for page in documents():
        before = page.read_text(encoding="utf-8")
        if (after := written(before)) != before:
            page.write_text(after, encoding="utf-8")
            sys.stdout.write(f"written: {page.relative_to(ROOT)}\n")
