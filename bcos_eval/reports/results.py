"""Folders of results as one: their rows, units, curves and pictures, each read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bcos_eval.store.aggregates import AggregateAttribution, load_aggregates
from bcos_eval.store.examples import Examples, load_examples
from bcos_eval.store.shards import Store, StoredShard

from .tables.leaderboard import require_results, stored_units
from .tables.stored import StoredLeaderboard, stored_leaderboard

if TYPE_CHECKING:
    import pandas as pd

    from .comparison.standings import Standings
    from .tables.table import Row


@dataclass(frozen=True)
class Results:
    """What some folders of results hold, put together as `stored_leaderboard` does.

    Attributes:
        folders: The folders, each once.
    """

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, folders: Iterable[Path | str]) -> Results:
        """Return the results of folders that each hold some.

        Raises:
            InputError: If one holds none.
        """
        made = cls.unchecked(folders)
        made.require_some()
        return made

    @classmethod
    def unchecked(cls, folders: Iterable[Path | str]) -> Results:
        """Return the results of folders of which some may hold pictures alone."""
        return cls(tuple(dict.fromkeys(Path(folder) for folder in folders)))

    def require_some(self) -> None:
        """Refuse folders without results.

        Raises:
            InputError: If one holds none.
        """
        for folder in self.board.empty:
            require_results([], folder)

    @property
    def named(self) -> str:
        """The folders, for messages."""
        return ", ".join(map(str, self.folders))

    @cached_property
    def board(self) -> StoredLeaderboard:
        """The leaderboard with notes on what it leaves out."""
        return stored_leaderboard(self.folders)

    @property
    def rows(self) -> Sequence[Row]:
        """Rows of the leaderboard."""
        return self.board.rows

    @cached_property
    def shards(self) -> Sequence[StoredShard]:
        """The shards that the leaderboard is made of; what several folders hold counts once."""
        return [shard for _, shard in self._housed]

    @cached_property
    def units(self) -> pd.DataFrame:
        """One row per scored unit, see `stored_units`."""
        return stored_units(self.shards)

    @cached_property
    def comparable(self) -> pd.DataFrame:
        """The units with facts of their cells, see `comparable_units`."""
        from .comparison.unit_matrix import comparable_units

        return comparable_units(self.shards)

    def standings_of(self, rows: Sequence[Row]) -> Standings:
        """Return who is best among some of the rows, who ties with the best, and the mean ranks."""
        from .comparison.standings import standings

        return standings(rows, self.comparable)

    def curves(self, shards: Iterable[StoredShard]) -> pd.DataFrame:
        """Return the stored curves of some of the shards: `cell, stimulus, target, unit, curve`.

        Raises:
            InputError: If a file of curves is damaged.
        """
        import pandas as pd

        wanted = {shard.facts.address for shard in shards}
        found = []
        for folder in self.folders:
            own = [shard.facts.address for store, shard in self._housed if store.root == folder]
            found.append(Store(folder).curves([address for address in own if address in wanted]))
        return pd.concat(found, ignore_index=True)

    @cached_property
    def examples(self) -> Sequence[Examples]:
        """The pictures that were kept; of what several folders hold, those of the first.

        Raises:
            InputError: If a file is damaged.
        """
        kept: dict[object, Examples] = {}
        for folder in self.folders:
            for one in load_examples(folder):
                kept.setdefault(one.identity, one)
        return list(kept.values())

    @cached_property
    def example_scores(self) -> Mapping[tuple[str, ...], Mapping[str, float]]:
        """Scores by metric of the first stimuli, which pictures are kept of.

        Keys are dataset, model, weights, method, stimulus and target.
        """
        found: dict[tuple[str, ...], dict[str, float]] = {}
        for shard in self.shards:
            if shard.facts.first:
                continue
            metric = f"{shard.facts.metric.name}/{shard.facts.metric.preset_label}"
            columns = [shard.texts(name) for name in ("dataset", "model", "weights", "method", "stimulus")]
            targets = [str(int(target)) for target in shard.numbers("target")]
            for *labels, target, score in zip(*columns, targets, shard.numbers("score"), strict=True):
                found.setdefault((*labels, target), {}).setdefault(metric, float(score))
        return found

    @cached_property
    def aggregates(self) -> Sequence[AggregateAttribution]:
        """The aggregate attributions.

        Raises:
            InputError: If a file is damaged.
        """
        return [one for folder in self.folders for one in load_aggregates(folder)]

    @cached_property
    def _housed(self) -> Sequence[tuple[Store, StoredShard]]:
        stores, cells = [Store(folder) for folder in self.folders], sorted(set(self.board.cells))
        found: dict[object, tuple[Store, StoredShard]] = {}
        for cell in cells:
            for store in stores:
                for raw in store.raw_shards(cell):
                    if raw.address not in found and (shard := store.parsed(raw)) is not None:
                        found[raw.address] = (store, shard)
        return sorted(found.values(), key=lambda one: (one[1].facts.address.cell, one[1].facts.address.shard))
