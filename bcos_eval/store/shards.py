"""What a run leaves on disk: shards of scored units, their curves and the manifest.

`OUT/units/<cell>/<shard>.parquet` holds the contract columns; the facts that are the same for a whole shard, and
the chance level of each row, travel in the file's own metadata, so that a table needs nothing but these files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bcos_eval.errors import InputError

from .atomic_write import atomic_path
from .rows import CURVE_SCHEMA, SCHEMA_VERSION, UNIT_COLUMNS, UNIT_SCHEMA

_METADATA_KEY = b"bcos_eval"


@dataclass(frozen=True, slots=True)
class ShardAddress:
    """Where a shard lies: the folder of its cell and its own name, both derived from what they hold."""

    cell: str
    shard: str


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What all rows of a shard share.

    Attributes:
        address: Where it lies.
        direction: "higher" or "lower" is better.
        first: Position of its first stimulus in the run's order.
        stop: One past the position of its last stimulus.
        key: Everything that can change its numbers.
    """

    address: ShardAddress
    direction: str
    first: int
    stop: int
    key: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredShard:
    """A shard in memory.

    Attributes:
        facts: What its rows share.
        units: One row per unit, the contract columns.
        chance: Chance level of each row, NaN where unknown.
        curves: One row per unit with `stimulus, target, unit, curve`; None for metrics without a curve.
    """

    facts: ShardFacts
    units: pd.DataFrame
    chance: tuple[float, ...]
    curves: pd.DataFrame | None = None


@dataclass(slots=True)
class Store:
    """The folder `OUT` of a run."""

    root: Path
    ignored: list[Path] = field(default_factory=list)

    def units_path(self, address: ShardAddress) -> Path:
        """Where the scores of a shard lie."""
        return self.root / "units" / address.cell / f"{address.shard}.parquet"

    def curves_path(self, address: ShardAddress) -> Path:
        """Where the curves of a shard lie."""
        return self.root / "curves" / address.cell / f"{address.shard}.parquet"

    def has(self, address: ShardAddress) -> bool:
        """Whether the shard is finished; a file that is cut short or not ours counts as missing."""
        if not self.units_path(address).is_file() or self.read(address) is None:
            return False
        try:
            self._curve_table(address)
        except InputError:
            self.ignored.append(self.curves_path(address))
            return False
        return True

    def write(self, shard: StoredShard) -> None:
        """Store a shard whole: curves first, since the scores are what marks it as finished."""
        address = shard.facts.address
        if shard.curves is not None:
            table = pa.Table.from_pandas(shard.curves, schema=CURVE_SCHEMA, preserve_index=False)
            _write_table(table, self.curves_path(address))
        table = pa.Table.from_pandas(shard.units, schema=UNIT_SCHEMA, preserve_index=False)
        table = table.replace_schema_metadata({_METADATA_KEY: _to_metadata(shard)})
        _write_table(table, self.units_path(address))

    def read(self, address: ShardAddress) -> StoredShard | None:
        """Return a finished shard without its curves; None if it is missing, cut short or not ours."""
        path = self.units_path(address)
        try:
            table = pq.read_table(path, partitioning=None)
        except FileNotFoundError:
            return None
        except (pa.ArrowInvalid, OSError):
            self.ignored.append(path)
            return None
        shard = _from_table(table)
        if shard is None or shard.facts.address != address:
            self.ignored.append(path)
            return None
        return shard

    def shards(self) -> Iterator[StoredShard]:
        """Yield every finished shard in the order of names; files that are not ours are noted in `ignored`."""
        for path in sorted((self.root / "units").glob("*/*.parquet")):
            shard = None
            if not path.name.startswith("."):
                shard = self.read(ShardAddress(cell=path.parent.name, shard=path.stem))
            if shard is not None:
                yield shard

    def read_all(self, addresses: Iterable[ShardAddress]) -> list[StoredShard]:
        """Return the finished ones among some shards."""
        found = (self.read(address) for address in addresses)
        return [shard for shard in found if shard is not None]

    def curves(self, addresses: Sequence[ShardAddress]) -> pd.DataFrame:
        """Return the curves of finished shards, one row per unit, with the cell they belong to.

        Raises:
            InputError: If a file of curves is damaged.
        """
        tables = [
            table.to_pandas().assign(cell=address.cell)
            for address in addresses
            if (table := self._curve_table(address)) is not None and self.read(address) is not None
        ]
        if not tables:
            return pd.DataFrame(columns=[*CURVE_SCHEMA.names, "cell"])
        return pd.concat(tables, ignore_index=True)

    def _curve_table(self, address: ShardAddress) -> pa.Table | None:
        path = self.curves_path(address)
        try:
            table = pq.read_table(path, partitioning=None)
        except FileNotFoundError:
            return None
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"'{path}' is damaged; the same `bcos-eval run` computes it again.") from error
        if table.column_names != CURVE_SCHEMA.names:
            raise InputError(f"'{path}' is not a file of curves; the same `bcos-eval run` computes it again.")
        return table


@dataclass
class StoreReadOnce(Store):
    """A store whose shards are read from disk once and kept, for figures that share them."""

    @cached_property
    def _kept(self) -> Sequence[StoredShard]:
        return tuple(super().shards())

    def shards(self) -> Iterator[StoredShard]:
        """Yield every finished shard, see `Store.shards`, as it was when first asked for."""
        return iter(self._kept)


def _write_table(table: pa.Table, path: Path) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _to_metadata(shard: StoredShard) -> bytes:
    # NaN is not JSON: a chance level that is unknown is stored as missing.
    chance = [None if pd.isna(value) else float(value) for value in shard.chance]
    record = {"schema": SCHEMA_VERSION, "facts": asdict(shard.facts), "chance": chance}
    return json.dumps(record, allow_nan=False, sort_keys=True).encode()


def _from_table(table: pa.Table) -> StoredShard | None:
    text = (table.schema.metadata or {}).get(_METADATA_KEY)
    if text is None or tuple(table.column_names) != UNIT_COLUMNS:
        return None
    record = json.loads(text)
    if record["schema"] != SCHEMA_VERSION or len(record["chance"]) != table.num_rows:
        return None
    stated = record["facts"]
    facts = ShardFacts(**{**stated, "address": ShardAddress(**stated["address"])})
    chance = tuple(float("nan") if value is None else value for value in record["chance"])
    return StoredShard(facts=facts, units=table.to_pandas(), chance=chance)
