"""Agreement between metrics or models as text: Markdown to read, CSV and JSON to compute with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from bcos_eval.reports.tables.table import UNKNOWN, markdown

from .agreement import Agreement, agreement_rows

AgreementFormat = Literal["md", "csv", "json"]

LEGEND = """\
Below the diagonal Spearman's ρ, above it Kendall's τ of the methods' mean scores, turned so that more is better: 1
where both put the methods in the same order, −1 where in the opposite. A dash: fewer than 3 methods in common, or
all equal.
"""


def agreement_text(found: Sequence[Agreement], style: AgreementFormat) -> str:
    """Return agreements as text; only Markdown is rounded."""
    if style == "md":
        return "\n".join([*map(_section, found), LEGEND])
    rows = pd.DataFrame([row for agreement in found for row in agreement_rows(agreement)])
    if style == "csv":
        return str(rows.to_csv(index=False))
    records = json.loads(rows.to_json(orient="records", double_precision=15))
    return json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def method_counts(agreement: Agreement) -> str:
    """Return how many methods the correlations rest on, in words."""
    counts = agreement.n_methods[np.triu_indices(len(agreement.labels), 1)]
    low, high = int(counts.min()), int(counts.max())
    return f"{low} methods" if low == high else f"{low} to {high} methods"


def _section(agreement: Agreement) -> str:
    numbers = [str(number) for number in range(1, len(agreement.labels) + 1)]
    columns: dict[str, list[str]] = {"no.": numbers, "ranking by": list(agreement.labels)}
    for j, number in enumerate(numbers):
        columns[number] = [_cell(agreement, i, j) for i in range(len(numbers))]
    dataset, subject = agreement.about
    table = markdown(columns, numeric={"no.", *numbers})
    return f"### {dataset}, {subject} ({method_counts(agreement)})\n\n{table}"


def _cell(agreement: Agreement, i: int, j: int) -> str:
    if i == j:
        return ""
    value = (agreement.spearman if i > j else agreement.kendall)[i, j]
    text = UNKNOWN if np.isnan(value) else f"{value:.2f}"
    uneven = len(set(agreement.n_methods[np.triu_indices(len(agreement.labels), 1)].tolist())) > 1
    return f"{text} ({agreement.n_methods[i, j]})" if uneven else text
