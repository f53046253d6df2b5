"""Folders of results as one: their rows, units, curves and pictures, each read once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bcos_eval.errors import InputError
from bcos_eval.store.aggregates import AggregateAttribution, load_aggregates
from bcos_eval.store.examples import Examples, load_examples
from bcos_eval.store.facts import MethodFacts
from bcos_eval.store.maps import StoredMaps, load_maps
from bcos_eval.store.shards import Store, StoredShard

from .tables.leaderboard import require_results, stored_units
from .tables.selection import is_named, selected
from .tables.stored import StoredLeaderboard, stored_leaderboard

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from .comparison.agreement import Agreement
    from .comparison.known_order import Recovery
    from .comparison.standings import Standings
    from .tables.table import Row


@dataclass(frozen=True)
class Results:
    """What some folders of results hold, put together as `stored_leaderboard` does.

    Attributes:
        folders: The folders, each once.
        chosen: What of them is shown, by model, method and metric; all of a key that is missing. See `only`.
    """

    folders: tuple[Path, ...]
    chosen: dict[str, tuple[str, ...]] = field(default_factory=dict)

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

    def only(
        self, *, model: Sequence[str] = (), method: Sequence[str] = (), metric: Sequence[str] = ()
    ) -> Results:
        """Return these results as if the folders held no others; an earlier choice stays unless its key is given.

        Args:
            model: Names of models, which may hold wildcards; none for all.
            method: Names of methods, with or without their parameters, likewise.
            metric: Names of metrics, with or without presets, likewise.

        Raises:
            InputError: If nothing stored has a name; raised by what is asked of the returned results.
        """
        asked = {"model": model, "method": method, "metric": metric}
        return replace(self, chosen=self.chosen | {key: tuple(values) for key, values in asked.items() if values})

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
        board = stored_leaderboard(self.folders)
        if not board.rows:
            return board  # nothing to choose from, which who asks for rows is told
        kept = {id(row) for row in selected(board.rows, self.chosen)}
        pairs = [pair for pair in zip(board.rows, board.cells, strict=True) if id(pair[0]) in kept]
        return replace(board, rows=[row for row, _ in pairs], cells=[cell for _, cell in pairs])

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

    def leaderboard(self, *, wide: bool = False) -> pd.DataFrame:
        """Return the leaderboard: the columns of `leaderboard.csv`, or a row per method and a column per metric.

        Args:
            wide: Whether metrics are columns, with `mean_rank`, `rank_low` and `rank_high` (see `MeanRank`) before
                them; the rows are indexed by dataset, model, weights and method.
        """
        import pandas as pd

        from .tables.selection import contender, controls_last
        from .tables.table import LEADERBOARD_COLUMNS, metric_name, told_apart

        if not wide:
            table = pd.DataFrame(self.rows, columns=list(LEADERBOARD_COLUMNS))
            return table.astype({"n_planned": "Int64"})
        ranks = self.standings_of(self.rows).ranks
        lines: dict[tuple[str, ...], dict[str, float]] = {}
        for row in controls_last(told_apart(self.rows)):
            who = contender(row)
            rank = ranks.get(who)
            known = (math.nan,) * 3 if rank is None else (rank.rank, rank.low, rank.high)
            line = lines.setdefault(who, dict(zip(("mean_rank", "rank_low", "rank_high"), known, strict=True)))
            line[metric_name(row)] = row["mean"]
        index = pd.MultiIndex.from_tuples(list(lines), names=["dataset", "model", "weights", "method"])
        return pd.DataFrame(list(lines.values()), index=index)

    def compare(self, a: str | None = None, b: str | None = None) -> pd.DataFrame:
        """Return paired comparisons as `bcos-eval compare` makes them, a row each.

        Args:
            a: `MODEL:METHOD`, `MODEL` or `METHOD`; without names all pairs of methods of each model and metric.
            b: The other.

        Raises:
            InputError: If a name is not clear, only one is given, or nothing can be compared.
        """
        import pandas as pd

        from .comparison.report import compare_named, compare_within

        if (a is None) != (b is None):
            raise InputError("give two names to compare, or none for all pairs.")
        report = (
            compare_within(self.comparable) if a is None or b is None else compare_named(self.comparable, a, b)
        )
        return pd.concat([table.rows for table in report.tables], ignore_index=True)

    def agreement(
        self, across: Literal["metrics", "models"] = "metrics", *, controls: bool = True
    ) -> pd.DataFrame:
        """Return rank correlations among metrics, or among models, a row per pair.

        Rows of a metric and a known order follow where maps of `degraded` are stored, see `known_order`.

        Args:
            across: Whose rankings of the methods are compared.
            controls: Whether controls are ranked too.

        Raises:
            InputError: If nowhere two rankings have 3 methods in common, and no known order is stored.
        """
        from .comparison.agreement import agreement_table

        return agreement_table(*self.agreements(across, controls=controls))

    def agreements(
        self, across: Literal["metrics", "models"] = "metrics", *, controls: bool = True
    ) -> tuple[list[Agreement], list[Recovery]]:
        """Return what `agreement` does, as objects."""
        import pandas as pd

        from .comparison.agreement import agreements
        from .comparison.known_order import recoveries

        left_out = {row["method"] for row in self.rows if row["is_control"] and not controls}
        recovered = recoveries(self.shards) if across == "metrics" else []
        try:
            return agreements(pd.DataFrame(self.rows), across, without=left_out), recovered
        except InputError:
            if not recovered:
                raise
            return [], recovered

    def figures(self, name: str) -> Sequence[Figure]:
        """Return the pages of a figure, one of those of `bcos-eval list figures`.

        Raises:
            InputError: If the name is unknown, or the results lack what the figure shows.
        """
        from .figures.figures import FIGURES, require_known
        from .figures.style import figure_style

        require_known([name])
        with figure_style():
            return [page.figure for page in FIGURES[name].drawn(self)]

    def figure(self, name: str) -> Figure:
        """Return the first page of a figure; arguments and errors as for `figures`."""
        return self.figures(name)[0]

    def report(self, path: Path | str) -> Path:
        """Write the page that `bcos-eval report` writes, and return where it lies.

        Raises:
            InputError: If the file cannot be written.
        """
        from .page.page import write_page

        write_page(self, Path(path))
        return Path(path)

    def maps(self) -> Iterator[StoredMaps]:
        """Yield the attributions that `run --keep-maps` stored, one stimulus at a time.

        Raises:
            InputError: If a file is damaged.
        """
        for folder in self.folders:
            yield from (one for one in load_maps(folder) if self._shows(one.identity.model, one.identity.method))

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
        return [one for one in kept.values() if self._shows(one.identity.model, one.identity.method)]

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
        found = (one for folder in self.folders for one in load_aggregates(folder))
        return [one for one in found if self._shows(one.model, one.method)]

    def _shows(self, model: str, method: MethodFacts) -> bool:
        spellings = {"model": [model], "method": [method.name, method.label]}
        return all(is_named(spellings[key], self.chosen[key]) for key in spellings if key in self.chosen)

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


def load_results(folders: Path | str | Iterable[Path | str]) -> Results:
    """Return what one or several folders of results hold.

    Args:
        folders: Folders that `bcos-eval run --out`, or `evaluate(..., out=…)`, filled.

    Raises:
        ValueError: If a folder holds no results.

    Example:
        >>> load_results("nowhere")
        Traceback (most recent call last):
            ...
        bcos_eval.errors.InputError: 'nowhere' holds no results; make some with `bcos-eval run --out nowhere`.
    """
    return Results.of([folders] if isinstance(folders, (str, Path)) else folders)
