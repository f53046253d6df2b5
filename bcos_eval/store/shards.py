"""The scored units of a run, and their curves, in files that are there whole or not at all.

`OUT/units/<cell>/<shard>.parquet` holds the contract's columns, `OUT/curves/<cell>/<shard>.parquet` the curves of
metrics that have them. Facts that are the same for a whole shard, and the chance level of each row, travel in the
file's own metadata. Every file is sealed with the digest of its bytes, see `sealed`.
"""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bcos_eval.errors import InputError

from .atomic_write import write_bytes
from .facts import ShardAddress, ShardFacts, facts_from_json, facts_from_schema_1
from .sealed import BLANK_SEAL, content_digest, seal_state, sealed

if TYPE_CHECKING:
    import pandas as pd

# Raised when a column or its meaning changes.
SCHEMA_VERSION = 2
# Shards without seals, whose methods and metrics are known by their labels. They are read and no longer written.
_UNSEALED_SCHEMA = 1

# One row per unit. `unit` is the position of the target in its stimulus, `reason` says in words what the status
# does not, `seconds` is the time its attribution took, `tied` the share of its map's pixels that equal others.
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
        ("reason", pa.string()),
        ("seconds", pa.float64()),
        ("tied", pa.float64()),
    ]
)
# What earlier versions did not store, which is unknown of their units.
_LATER_COLUMNS = ("reason", "tied")
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

_SUFFIX = ".parquet"
_METADATA_KEY = b"bcos_eval"
_SEAL_KEY = b"bcos_eval_seal"
# What reading a damaged or foreign Parquet file or its metadata can raise.
_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError)


@dataclass(frozen=True, slots=True)
class StoredShard:
    """A shard in memory.

    Attributes:
        facts: What its rows share.
        table: One row per unit, the contract's columns.
        chance: Chance level of each row, NaN where unknown.
        curves: One row per unit with `stimulus, target, unit, curve`; None for metrics without, and when read.
        has_curves: Whether curves lie beside the scores; None where the file does not say (schema 1).
    """

    facts: ShardFacts
    table: pa.Table
    chance: tuple[float, ...]
    curves: pa.Table | None = None
    has_curves: bool | None = None

    @property
    def units(self) -> pd.DataFrame:
        """The rows as a data frame."""
        return self.table.to_pandas()

    def numbers(self, column: str) -> NDArray[Any]:
        """Return a column of numbers, NaN where there is none; without pandas, which pyarrow's own way loads."""
        values = self.table[column].combine_chunks()
        if values.null_count == len(values):
            return np.full(len(values), math.nan)
        if values.null_count:
            return np.array([math.nan if value is None else value for value in values.to_pylist()])
        kind = np.dtype(values.type.to_pandas_dtype())
        return np.frombuffer(values.buffers()[1], kind, count=len(values), offset=values.offset * kind.itemsize)

    def texts(self, column: str) -> list[str]:
        """Return a column of texts."""
        return [str(value) for value in self.table[column].to_pylist()]


@dataclass(frozen=True, slots=True)
class RawShard:
    """The bytes of a shard, which are those that were written."""

    address: ShardAddress
    content: bytes

    @property
    def digest(self) -> str:
        """Digest of these bytes."""
        return content_digest(self.content)


@dataclass(frozen=True, slots=True)
class ShardState:
    """What is known of a finished shard without its rows.

    Attributes:
        digest: Digest of its bytes.
        statuses: Number of its units by status; None where the file does not say.
    """

    digest: str
    statuses: Mapping[str, int] | None


@dataclass(slots=True)
class Store:
    """The folder `OUT` of a run.

    Attributes:
        root: The folder.
        ignored: Files that were found damaged or not ours while reading.
        states: What was found of shards when `has` looked at them, so that nobody need read them again.
    """

    root: Path
    ignored: list[Path] = field(default_factory=list)
    states: dict[ShardAddress, ShardState] = field(default_factory=dict)

    def units_path(self, address: ShardAddress) -> Path:
        """Where the scores of a shard lie."""
        return self.root / "units" / address.cell / f"{address.shard}{_SUFFIX}"

    def curves_path(self, address: ShardAddress) -> Path:
        """Where the curves of a shard lie."""
        return self.root / "curves" / address.cell / f"{address.shard}{_SUFFIX}"

    def has(self, address: ShardAddress) -> bool:
        """Whether the shard is finished; a file that is cut short, changed or not ours counts as missing."""
        raw = self._raw(address)
        if raw is None:
            return False
        record = _record_of_sealed(raw)
        if record is None:  # no seal vouches for its bytes, which are decoded therefore
            return self._has_decoded(raw)
        path = self.curves_path(address)
        with suppress(OSError):
            if not record["has_curves"] or seal_state(path.read_bytes()) == "intact":
                self.states[address] = ShardState(raw.digest, record.get("statuses"))
                return True
        self.ignored.append(path)
        return False

    def statuses(self, address: ShardAddress) -> Mapping[str, int]:
        """Return the number of a shard's units by status; none if it is not finished."""
        known = self.states.get(address)
        if known is not None and known.statuses is not None:
            return known.statuses
        shard = self.read(address)
        return {} if shard is None else Counter(shard.texts("status"))

    def _has_decoded(self, raw: RawShard) -> bool:
        shard = self.parsed(raw)
        if shard is None:
            return False
        try:
            self._curve_table(shard)
        except InputError:
            self.ignored.append(self.curves_path(raw.address))
            return False
        return True

    def write(self, shard: StoredShard) -> None:
        """Store a shard whole: curves first, since the scores are what marks it as finished."""
        address = shard.facts.address
        self.states.pop(address, None)
        if shard.curves is not None:
            write_bytes(self.curves_path(address), _parquet(shard.curves.select(CURVE_SCHEMA.names), {}))
        write_bytes(self.units_path(address), shard_bytes(shard))

    def read(self, address: ShardAddress) -> StoredShard | None:
        """Return a finished shard without its curves; None if it is missing, damaged or not ours."""
        raw = self._raw(address)
        return None if raw is None else self.parsed(raw)

    def parsed(self, raw: RawShard) -> StoredShard | None:
        """Return the shard that some bytes are; None if they are not ours."""
        try:
            shard = _from_bytes(raw.content)
        except _DAMAGE:
            shard = None
        if shard is None or shard.facts.address != raw.address:
            self.ignored.append(self.units_path(raw.address))
            return None
        return shard

    def raw_shards(self, cell: str) -> Iterator[RawShard]:
        """Yield the shards of a cell in the order of names, read and checked but not decoded."""
        for address in self._addresses_of(cell):
            if (raw := self._raw(address)) is not None:
                yield raw

    def digests(self, cell: str) -> dict[ShardAddress, str]:
        """Return the digests of a cell's intact shards, in the order of names; what `has` has read is known."""
        found = {}
        for address in self._addresses_of(cell):
            if address in self.states:
                found[address] = self.states[address].digest
            elif (raw := self._raw(address)) is not None:
                found[address] = raw.digest
        return found

    def _raw(self, address: ShardAddress) -> RawShard | None:
        path = self.units_path(address)
        try:
            raw = RawShard(address, path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError:
            self.ignored.append(path)
            return None
        if seal_state(raw.content) == "broken":
            self.ignored.append(path)
            return None
        return raw

    def shards(self) -> Iterator[StoredShard]:
        """Yield every finished shard in the order of names; files that are not ours are noted in `ignored`."""
        for address in self.addresses():
            shard = self.read(address)
            if shard is not None:
                yield shard

    def addresses(self) -> Iterator[ShardAddress]:
        """Yield where shards lie, finished or not, in the order of names."""
        for cell in self.cells():
            yield from self._addresses_of(cell)

    def cells(self) -> list[str]:
        """Return the folders of scores in the order of names."""
        return self._names(self.root / "units")

    def _addresses_of(self, cell: str) -> Iterator[ShardAddress]:
        for name in self._names(self.root / "units" / cell):
            if name.endswith(_SUFFIX):
                yield ShardAddress(cell, name.removesuffix(_SUFFIX))

    def read_all(self, addresses: Iterable[ShardAddress]) -> list[StoredShard]:
        """Return the finished ones among some shards."""
        found = (self.read(address) for address in addresses)
        return [shard for shard in found if shard is not None]

    def curves(self, addresses: Sequence[ShardAddress]) -> pd.DataFrame:
        """Return the curves of finished shards, one row per unit, with the cell they belong to.

        Raises:
            InputError: If a file of curves is damaged or missing.
        """
        import pandas as pd

        tables = [
            table.to_pandas().assign(cell=shard.facts.address.cell)
            for shard in self.read_all(addresses)
            if (table := self._curve_table(shard)) is not None
        ]
        if not tables:
            return pd.DataFrame(columns=[*CURVE_SCHEMA.names, "cell"])
        return pd.concat(tables, ignore_index=True)

    def _names(self, folder: Path) -> list[str]:
        """Return the names in a folder but hidden ones; a folder that cannot be read is noted in `ignored`."""
        try:
            return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError:
            self.ignored.append(folder)
            return []

    def _curve_table(self, shard: StoredShard) -> pa.Table | None:
        path = self.curves_path(shard.facts.address)
        remedy = "the same `bcos-eval run` computes it again."
        if shard.has_curves is False:
            return None
        try:
            content = path.read_bytes()
            if seal_state(content) not in ("intact", "absent" if shard.has_curves is None else "intact"):
                raise ValueError("the seal does not match")
            table = _parquet_table(content)
        except FileNotFoundError as error:
            if shard.has_curves is None:
                return None
            raise InputError(f"'{path}' is missing; {remedy}") from error
        except _DAMAGE as error:
            raise InputError(f"'{path}' is damaged; {remedy}") from error
        if table.column_names != CURVE_SCHEMA.names:
            raise InputError(f"'{path}' is not a file of curves; {remedy}")
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


def unit_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows with the contract's columns as the table of a shard."""
    return pa.Table.from_pylist(list(rows), schema=UNIT_SCHEMA)


def curve_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows with `stimulus, target, unit, curve` as the curves of a shard."""
    return pa.Table.from_pylist(list(rows), schema=CURVE_SCHEMA)


def shard_bytes(shard: StoredShard) -> bytes:
    """Return the file of a shard's scores."""
    return _parquet(shard.table, {_METADATA_KEY: _to_metadata(shard)})


def _parquet(table: pa.Table, metadata: Mapping[bytes, bytes]) -> bytes:
    """Return a table as a sealed Parquet file with checksums on its pages."""
    buffer = io.BytesIO()
    # The Arrow schema, which would be stored a second time in another encoding, says nothing that ours does not.
    with pq.ParquetWriter(
        buffer, table.schema.remove_metadata(), compression="zstd", write_page_checksum=True, store_schema=False
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({**metadata, _SEAL_KEY: BLANK_SEAL.encode()})
    return sealed(buffer.getvalue())


def _parquet_table(content: bytes) -> pa.Table:
    source = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    return source.read(use_threads=False)


def _to_metadata(shard: StoredShard) -> bytes:
    # NaN is not JSON: a chance level that is unknown is stored as missing.
    chance = [None if math.isnan(value) else float(value) for value in shard.chance]
    record = {
        "schema": SCHEMA_VERSION,
        "facts": shard.facts.as_json(),
        "chance": chance,
        "has_curves": shard.curves is not None,
        "statuses": Counter(shard.texts("status")),
    }
    return json.dumps(record, allow_nan=False, sort_keys=True).encode()


def _record_of_sealed(raw: RawShard) -> dict[str, Any] | None:
    """Return what a shard says of itself, without decoding it; None without a seal, or under another's name."""
    if seal_state(raw.content) != "intact":
        return None
    try:
        metadata = pq.read_metadata(pa.BufferReader(raw.content))
        record = json.loads((metadata.metadata or {})[_METADATA_KEY])
        is_ours = record["schema"] == SCHEMA_VERSION and facts_from_json(record["facts"]).address == raw.address
        return {**record, "has_curves": bool(record["has_curves"])} if is_ours and metadata.num_rows else None
    except _DAMAGE:
        return None


def _from_bytes(content: bytes) -> StoredShard | None:
    """Return the shard that a file holds, None if it is none of ours.

    Raises:
        pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError: If it is damaged or has another shape.
    """
    seal = seal_state(content)
    table = _parquet_table(content)
    text = (table.schema.metadata or {}).get(_METADATA_KEY)
    for column in (column for column in _LATER_COLUMNS if column not in table.column_names):
        field_of = UNIT_SCHEMA.field(column)
        table = table.add_column(UNIT_COLUMNS.index(column), field_of, pa.nulls(table.num_rows, field_of.type))
    if text is None or tuple(table.column_names) != UNIT_COLUMNS or not table.num_rows:
        return None
    record = json.loads(text)
    has_curves: bool | None
    if len(record["chance"]) != table.num_rows:
        return None
    if record["schema"] == SCHEMA_VERSION and seal == "intact":
        facts, has_curves = facts_from_json(record["facts"]), bool(record["has_curves"])
    elif record["schema"] == _UNSEALED_SCHEMA:
        facts, has_curves = facts_from_schema_1(record["facts"], table.slice(0, 1).to_pylist()[0]), None
    else:
        return None
    chance = tuple(math.nan if value is None else float(value) for value in record["chance"])
    return StoredShard(facts, table.replace_schema_metadata(None), chance, has_curves=has_curves)
