"""Paired comparisons of methods, or of models, on the units that both were scored on.

Everything is computed from unit scores: a comparison needs the differences, which means and intervals do not tell.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bcos_eval.errors import InputError
from bcos_eval.statistics.intervals import clustered_mean, mean_interval, zero_mean_p
from bcos_eval.statistics.resampling import Floats, best_shares, flip_share, grouped_mean, resampled_means
from bcos_eval.statistics.significance import holm_adjusted, rank_biserial, signed_rank_p

from .unit_matrix import UnitMatrix

# Maps are float32: of two scores that agree to six digits neither is higher.
RELATIVE_TIE = 1e-6
SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two contenders differ on the units that both have a defined score on.

    Attributes:
        model_a: Model of the first.
        method_a: Method of the first.
        model_b: Model of the second.
        method_b: Method of the second.
        n: Number of units in pairs.
        n_clusters: Number of stimuli these units are of.
        n_undefined: Units removed because a score is undefined on either side.
        n_unpaired: Units that only one side was measured on.
        mean_a: Mean score of the first on these units.
        mean_b: Mean score of the second on the same units.
        difference: Mean of A − B.
        ci_low: Lower end of its 95 % interval over stimuli, see `statistics.intervals`; NaN with fewer than 8 of
            them or where all differences are equal.
        ci_high: Upper end.
        p: Two-sided test of a mean difference of 0, which the interval is the inversion of.
        p_holm: The same, corrected for the number of tests in the table.
        n_tests: That number.
        p_wilcoxon: Two-sided Wilcoxon signed-rank test on the stimuli's mean differences, uncorrected. It asks
            whether the differences are symmetric about 0, which skewed ones of mean 0 are not: no verdict rests
            on it.
        rank_biserial: Effect size in [−1, 1], positive where A scores higher.
        flip_share: How often the order of the means turns round when the stimuli are resampled.
        better: "a" or "b" if `p_holm` is below 0.05 and neither the interval nor most of the resamples contradict,
            else "".
    """

    model_a: str
    method_a: str
    model_b: str
    method_b: str
    n: int
    n_clusters: int
    n_undefined: int
    n_unpaired: int
    mean_a: float
    mean_b: float
    difference: float
    ci_low: float
    ci_high: float
    p: float
    p_holm: float
    n_tests: int
    p_wilcoxon: float
    rank_biserial: float
    flip_share: float
    better: str


COMPARISON_COLUMNS = tuple(Comparison.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class BestMethod:
    """Who leads a table and how surely.

    Attributes:
        best: Label of the contender with the best mean on the units that all were scored on.
        best_mean: That mean.
        best_share: How often it is best when the stimuli are resampled.
        runner_up: Label of the contender with the next best mean, whether or not it is ever best in a resample.
        runner_up_mean: That mean.
        runner_up_share: How often it is best.
        n: Number of units.
    """

    best: str
    best_mean: float
    best_share: float
    runner_up: str
    runner_up_mean: float
    runner_up_share: float
    n: int


def compare_all(matrix: UnitMatrix, *, seed: int = 0) -> list[Comparison]:
    """Return the comparison of every two contenders, uncorrected: see `with_holm`.

    All pairs see the same resamples.
    """
    pairs = list(itertools.combinations(range(len(matrix.contenders)), 2))
    differences = np.stack([unit_differences(matrix, first, second) for first, second in pairs], axis=1)
    resampled = resampled_means(differences, matrix.clusters, matrix.groups, seed=seed)
    return [
        _comparison(matrix, pair, differences[:, column], resampled[:, column])
        for column, pair in enumerate(pairs)
    ]


def with_holm(comparisons: Sequence[Comparison], directions: Sequence[str]) -> list[Comparison]:
    """Return comparisons corrected for being tested together, with the better side where there is one.

    Args:
        comparisons: All rows of a table.
        directions: Which scores are better, by row.
    """
    adjusted = holm_adjusted(np.array([row.p for row in comparisons], dtype=np.float64))
    n_tests = int(np.isfinite(adjusted).sum())
    corrected = [
        replace(row, p_holm=float(p), n_tests=n_tests) for row, p in zip(comparisons, adjusted, strict=True)
    ]
    return [
        replace(row, better=_better(row, direction)) for row, direction in zip(corrected, directions, strict=True)
    ]


def best_method(matrix: UnitMatrix, *, seed: int = 0) -> BestMethod:
    """Return who is best on the units that all contenders were scored on, and how surely.

    Raises:
        InputError: If no mean is defined.
    """
    shared = matrix.measured.all(1)
    scores, clusters = matrix.scores[shared], matrix.clusters[shared]
    groups = None if matrix.groups is None else matrix.groups[shared]
    means = np.array([_mean(column, groups) for column in scores.T])
    if not np.isfinite(means).any():
        listed = ", ".join(one.label for one in matrix.contenders)
        raise InputError(f"none of {listed} has a defined score.")
    shares = best_shares(resampled_means(scores, clusters, groups, seed=seed), matrix.direction)
    oriented = means if matrix.direction == "higher" else -means
    # Undefined means come last; of equal ones, whoever is best more often comes first.
    first, second = np.lexsort((-shares, -np.nan_to_num(oriented, nan=-np.inf)))[:2]
    labels = [one.label for one in matrix.contenders]
    return BestMethod(
        best=labels[first],
        best_mean=float(means[first]),
        best_share=float(shares[first]),
        runner_up=labels[second],
        runner_up_mean=float(means[second]),
        runner_up_share=float(shares[second]),
        n=int(shared.sum()),
    )


def comparison_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Return comparisons as rows, one column per attribute."""
    return pd.DataFrame([asdict(row) for row in comparisons], columns=list(COMPARISON_COLUMNS))


def unit_differences(matrix: UnitMatrix, first: int, second: int) -> Floats:
    """A − B by unit, NaN where either is undefined; rounding is no difference."""
    a, b = matrix.scores[:, first], matrix.scores[:, second]
    tied = np.abs(a - b) <= RELATIVE_TIE * np.maximum(np.abs(a), np.abs(b))
    return np.where(tied, 0, a - b)


def _comparison(matrix: UnitMatrix, pair: tuple[int, int], differences: Floats, resampled: Floats) -> Comparison:
    first, second = pair
    paired = np.isfinite(differences)
    measured = matrix.measured[:, first] & matrix.measured[:, second]
    either = matrix.measured[:, first] | matrix.measured[:, second]
    groups = None if matrix.groups is None else matrix.groups[paired]
    clusters, n = matrix.clusters[paired], int(paired.sum())
    by_cluster = _cluster_means(differences[paired], clusters)
    low, high = mean_interval(differences[paired], clusters, groups)
    difference = grouped_mean(differences[paired], groups)
    a, b = matrix.contenders[first], matrix.contenders[second]
    return Comparison(
        model_a=a.model,
        method_a=a.method,
        model_b=b.model,
        method_b=b.method,
        n=n,
        n_clusters=len(by_cluster),
        n_undefined=int((measured & ~paired).sum()),
        n_unpaired=int((either & ~measured).sum()),
        mean_a=grouped_mean(matrix.scores[paired, first], groups),
        mean_b=grouped_mean(matrix.scores[paired, second], groups),
        difference=difference,
        ci_low=low,
        ci_high=high,
        p=zero_mean_p(clustered_mean(differences[paired], clusters, groups)) if n else float("nan"),
        p_holm=float("nan"),
        n_tests=0,
        p_wilcoxon=signed_rank_p(by_cluster),
        rank_biserial=rank_biserial(by_cluster),
        flip_share=flip_share(difference, resampled) if len(by_cluster) > 1 else float("nan"),
        better="",
    )


def _cluster_means(values: Floats, clusters: np.ndarray[Any, Any]) -> Floats:
    codes = np.unique(clusters, return_inverse=True)[1]
    return np.asarray(np.bincount(codes, weights=values) / np.bincount(codes)) if len(codes) else np.zeros(0)


def _mean(scores: Floats, groups: np.ndarray[Any, Any] | None) -> float:
    defined = np.isfinite(scores)
    return grouped_mean(scores[defined], None if groups is None else groups[defined])


def _better(row: Comparison, direction: str) -> str:
    """Name a side only where everything that is printed agrees: corrected test, interval, resamples."""
    is_contradicted = row.ci_low <= 0 <= row.ci_high or not row.flip_share < 0.5
    if not row.p_holm < SIGNIFICANT or is_contradicted:
        return ""
    return "a" if (row.difference > 0) == (direction == "higher") else "b"
