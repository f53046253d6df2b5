"""How many units have no plain score, by reason."""

from __future__ import annotations

import pandas as pd

# Column of a table by the stored status it counts; those of the leaderboard's contract first.
STATUS_COLUMNS = {
    "n_zero": "zero_map",
    "n_nonfinite": "nonfinite",
    "n_constant": "constant_map",
    "n_empty": "empty_region",
    "n_skipped": "skipped",
}


def status_counts(units: pd.DataFrame) -> dict[str, int]:
    """Return the number of units with each status but `ok`, by column."""
    found = units["status"].value_counts()
    return {column: int(found.get(status, 0)) for column, status in STATUS_COLUMNS.items()}
