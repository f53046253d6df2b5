"""The columns of a stored score, in their stored order."""

from __future__ import annotations

import pyarrow as pa

# Raised when a column or its meaning changes; part of every shard's key.
SCHEMA_VERSION = 1

# One row per unit. `unit` is the position of the target in its stimulus, `seconds` the time its attribution took.
UNIT_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("sample_id", pa.string()),
        ("model", pa.string()),
        ("weights", pa.string()),
        ("method", pa.string()),
        ("metric", pa.string()),
        ("preset", pa.string()),
        ("stimulus", pa.string()),
        ("target", pa.int64()),
        ("unit", pa.int64()),
        ("score", pa.float64()),
        ("status", pa.string()),
        ("seconds", pa.float64()),
    ]
)
UNIT_COLUMNS: tuple[str, ...] = tuple(UNIT_SCHEMA.names)

# One row per unit of a metric that has a curve, beside the scores.
CURVE_SCHEMA = pa.schema(
    [
        ("stimulus", pa.string()),
        ("target", pa.int64()),
        ("unit", pa.int64()),
        ("curve", pa.list_(pa.float64())),
    ]
)
