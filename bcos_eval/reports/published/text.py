"""Published numbers beside stored ones as text: Markdown to read, CSV and JSON to compute with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from bcos_eval.reports.tables.table import UNKNOWN, csv_text, json_text, markdown, number

from .check import Answer

CheckFormat = Literal["md", "csv", "json"]
_NUMERIC = frozenset({"published", "here", "95 % interval", "difference", "n"})

_LEGEND = """\
here: the same quantity of the stored scores, with its 95 % interval over stimuli. difference: here − published.
agrees, differs: whether the interval holds the published number, where data, weights, size, preset and parameters
are the published ones; with fewer stimuli it is wider, and the two are of other grids or images.
"""


def check_text(answers: Sequence[Answer], style: CheckFormat, *, with_missing: bool = False) -> str:
    """Return answers as text; only Markdown is rounded and leaves out what was not measured.

    Args:
        answers: Published numbers with what was measured.
        style: The form.
        with_missing: Whether Markdown lists numbers that have no stored counterpart, too.
    """
    rows = [_plain(answer) for answer in answers]
    if style == "csv":
        return csv_text(rows, list(rows[0]) if rows else [])
    if style == "json":
        return json_text("values", rows)
    shown = [answer for answer in answers if with_missing or answer.measurement is not None]
    counts = Counter(answer.verdict for answer in answers)
    total = ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts))
    head = f"{len(answers)} published numbers: {total}.\n"
    if not shown:
        return head
    sources = "".join(f"- {source}\n" for source in dict.fromkeys(answer.published.source for answer in shown))
    return f"{_table(shown)}\n{head}\n{_LEGEND}\nSources:\n{sources}"


def _table(answers: Sequence[Answer]) -> str:
    columns: dict[str, list[str]] = {
        "model": [answer.published.model for answer in answers],
        "method": [_method(answer) for answer in answers],
        "metric": [answer.published.what for answer in answers],
        "quantity": [answer.published.quantity for answer in answers],
        "published": [number(answer.published.value) for answer in answers],
        "here": [number(answer.value) for answer in answers],
        "95 % interval": [_interval(answer) for answer in answers],
        "difference": [number(answer.difference) for answer in answers],
        "verdict": [answer.verdict for answer in answers],
        "why": ["; ".join(part for part in (*answer.reasons, answer.sample) if part) for answer in answers],
    }
    return markdown(columns, numeric=_NUMERIC)


def _method(answer: Answer) -> str:
    inside = ",".join(f"{key}={value}" for key, value in answer.published.method_settings.items())
    name = answer.published.method or UNKNOWN
    return f"{name}({inside})" if inside else name


def _interval(answer: Answer) -> str:
    if math.isnan(answer.ci_low):
        return UNKNOWN
    return f"[{number(answer.ci_low)}, {number(answer.ci_high)}]"


def _plain(answer: Answer) -> dict[str, Any]:
    published, here = answer.published, answer.measurement
    return {
        "model": published.model,
        "method": _method(answer) if published.method else "",
        "metric": published.what,
        "dataset": published.dataset,
        "quantity": published.quantity,
        "published": published.value,
        "n_published": published.n,
        "here": answer.value,
        "ci_low": answer.ci_low,
        "ci_high": answer.ci_high,
        "n_here": here.n if here else None,
        "difference": answer.difference,
        "verdict": answer.verdict,
        "reasons": "; ".join(answer.reasons),
        "sample": answer.sample,
        "source": published.source,
    }
