"""Groups of names that `run` takes in place of names: what they stand for follows from what is registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .catalogue import Catalogue, Row


@dataclass(frozen=True, slots=True)
class Suite:
    """A group of registered names.

    Attributes:
        kind: What it groups: "models", "methods" or "metrics".
        name: As the option takes it.
        summary: What belongs to it.
        holds: Whether a row of the catalogue belongs to it.
    """

    kind: str
    name: str
    summary: str
    holds: Callable[[Row], bool]

    def members(self, rows: Sequence[Row]) -> list[str]:
        """Return the names that belong to it; of a metric's presets the recommended one, by the plain name."""
        named = (row for row in rows if self.kind != "metrics" or row["recommended"])
        return [row["name"].partition("/")[0] for row in named if self.holds(row)]


def _family(name: str, summary: str) -> Suite:
    return Suite("methods", name, summary, lambda row: row["family"] == name)


SUITES = (
    Suite("models", "all", "every model", lambda _: True),
    Suite("models", "bcos", "B-cos models", lambda row: bool(row["bcos"])),
    Suite("models", "standard", "models that are not B-cos", lambda row: not row["bcos"]),
    Suite("methods", "all", "every explainer, controls too", lambda _: True),
    Suite("methods", "fast", "explainers that need few passes", lambda row: not row["expensive"]),
    _family("gradient", "gradients and what is made of them"),
    _family("cam", "class activation maps"),
    _family("perturbation", "explainers that change the image and watch the output"),
    _family("attention", "explainers of vision transformers' attention"),
    _family("control", "maps that know nothing of the network, or are made worse on purpose"),
    Suite("metrics", "all", "every metric, in its recommended preset", lambda _: True),
    Suite("metrics", "headline", "the short list of a first table", lambda row: bool(row["headline"])),
    Suite("metrics", "fast", "metrics of maps alone, without further passes", lambda row: not row["needs"]),
)


def suites_of(kind: str) -> Mapping[str, Suite]:
    """Return the suites of "models", "methods" or "metrics" by name."""
    return {suite.name: suite for suite in SUITES if suite.kind == kind}


def suite_rows(known: Catalogue) -> Iterator[dict[str, Any]]:
    """Yield the rows of `bcos-eval list suites`."""
    for suite in SUITES:
        members = suite.members(known.rows(suite.kind))
        option = f"--{suite.kind.removesuffix('s')} {suite.name}"
        yield {"option": option, "n": len(members), "summary": suite.summary, "names": members}
