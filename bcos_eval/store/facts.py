"""What all rows of a shard share, with all that a table must know of its method and metric.

These facts travel in every shard, so that tables and figures need nothing but files. Labels are made here and
nowhere else, from the registered name and the parameters that differ from their defaults.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Param = bool | int | float | str
Direction = Literal["higher", "lower"]
# Parameters that differ from their defaults, in the order of their names.
Settings = tuple[tuple[str, Param], ...]

# In the key of cells whose stimuli are drawn in a random order from so many, without putting any back.
POPULATION = "drawn_from"

_GRID = "grid"
_POOL_DIGITS = 8
# What shards of schema 1 leave unsaid, as it was when they were written.
_CONTROLS_OF_SCHEMA_1 = frozenset({"random", "uniform", "center", "edges"})
_MEANS_OVER_CLASSES_OF_SCHEMA_1 = frozenset({"pointing_game"})


@dataclass(frozen=True, slots=True)
class ShardAddress:
    """Where a shard lies: the folder of its cell and its own name, both derived from what they hold."""

    cell: str
    shard: str


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """An explainer with its parameters.

    Attributes:
        name: Registered name.
        settings: Parameters that differ from their defaults.
        is_control: Whether its maps know nothing of the model, or are made worse on purpose.
    """

    name: str
    settings: Settings = ()
    is_control: bool = False

    @property
    def settings_text(self) -> str:
        """The settings in one word, empty where there are none: `kernel_size=1,n_samples=100`."""
        return settings_text(self.settings)

    @property
    def label(self) -> str:
        """The method as tables show it.

        Example:
            >>> MethodFacts("lime", (("n_samples", 100),)).label
            'lime(n_samples=100)'
        """
        return labelled(self.name, self.settings)


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """A metric in one of its presets, with its parameters.

    Attributes:
        name: Registered name.
        preset: Registered preset.
        direction: Which scores are better.
        settings: Parameters that differ from their defaults.
        pool: Whose confident images its grids are made of, or which class of single images is explained, where
            that is not the preset's usual choice.
        is_mean_over_classes: Whether the score of many units is the mean of the classes' means.
        low: Smallest score possible, None where there is none or shards of before do not say.
        high: Largest score possible, likewise.
    """

    name: str
    preset: str
    direction: Direction
    settings: Settings = ()
    pool: str = ""
    is_mean_over_classes: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def preset_label(self) -> str:
        """The preset as tables show it.

        Example:
            >>> MetricFacts("grid_pg", "bcos_v2", "higher", (("n", 2),), pool="shared").preset_label
            'bcos_v2(n=2)+shared'
        """
        return labelled(self.preset, self.settings) + (f"+{self.pool}" if self.pool else "")


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What all rows of a shard share.

    Attributes:
        address: Where it lies.
        method: What made the attributions.
        metric: What scored them.
        first: Position of its first stimulus in the run's order.
        stop: One past the position of its last stimulus.
        key: Everything that can change its numbers.
        n_looked_at: Number of images that were looked at until all stimuli before `stop` were found; None where no
            image is left out.
    """

    address: ShardAddress
    method: MethodFacts
    metric: MetricFacts
    first: int
    stop: int
    key: Mapping[str, Any]
    n_looked_at: int | None = None

    @property
    def image_pool(self) -> str:
        """Whose images the stimuli are made of, which changes scores as presets do.

        Empty for stimuli that are made of any images, "own" for those that the explained model is right about, and
        a digest for those that several models had to agree on.
        """
        stimulus, model = self.key.get("stimulus", {}), self.key.get("model", {})
        models = stimulus.get("models", [])
        if stimulus.get("name") != _GRID and "images" not in stimulus:
            return ""
        if models in ([], [f"{model.get('name')}:{model.get('weights')}"]):
            return "own"
        return hashlib.sha256(json.dumps(models).encode()).hexdigest()[:_POOL_DIGITS]

    def as_json(self) -> dict[str, Any]:
        """Return the facts as plain values, for the shard's metadata."""
        return asdict(self)


def facts_from_json(stated: Mapping[str, Any]) -> ShardFacts:
    """Return the facts that `ShardFacts.as_json` gave.

    Raises:
        KeyError, TypeError: If the values have another shape.
    """
    metric = stated["metric"]
    return ShardFacts(
        address=ShardAddress(**stated["address"]),
        method=_method(stated["method"]),
        metric=MetricFacts(**{**metric, "settings": _settings(metric["settings"])}),
        first=int(stated["first"]),
        stop=int(stated["stop"]),
        key=dict(stated["key"]),
        n_looked_at=stated.get("n_looked_at"),
    )


def method_to_json(method: MethodFacts) -> str:
    """Return the facts of a method as text."""
    return json.dumps(asdict(method), sort_keys=True)


def method_from_json(text: str) -> MethodFacts:
    """Return the facts that `method_to_json` gave.

    Raises:
        ValueError, KeyError, TypeError: If the text is of another shape.
    """
    return _method(json.loads(text))


def method_of_old_label(label: str) -> MethodFacts:
    """Return the method of a file that knows it by its label alone, as files without seals do."""
    name, _, settings = label.partition("(")
    pairs = (word.partition("=") for word in settings.removesuffix(")").split(",") if word)
    return MethodFacts(name, tuple((key, value) for key, _, value in pairs), name in _CONTROLS_OF_SCHEMA_1)


def facts_from_schema_1(stated: Mapping[str, Any], row: Mapping[str, Any]) -> ShardFacts:
    """Return the facts of a shard of schema 1, which kept its method and metric as labels in each row.

    Args:
        stated: The facts in its metadata.
        row: Any of its rows.

    Raises:
        KeyError, TypeError: If the values have another shape.
    """
    key = dict(stated["key"])
    method, metric = key.get("method", {}), key.get("metric", {})
    method_name = str(method.get("name", row["method"]))
    preset = str(metric.get("name", f"{row['metric']}/{row['preset']}")).partition("/")[2]
    settings, rest = _settings_in_label(row["method"].removeprefix(method_name), method.get("params", {}))
    metric_settings, pool = _settings_in_label(row["preset"].removeprefix(preset), metric.get("params", {}))
    return ShardFacts(
        address=ShardAddress(**stated["address"]),
        method=MethodFacts(method_name + rest, settings, method_name in _CONTROLS_OF_SCHEMA_1),
        metric=MetricFacts(
            name=str(row["metric"]),
            preset=preset,
            direction=stated["direction"],
            settings=metric_settings,
            pool=pool.removeprefix("+"),
            is_mean_over_classes=row["metric"] in _MEANS_OVER_CLASSES_OF_SCHEMA_1,
        ),
        first=int(stated["first"]),
        stop=int(stated["stop"]),
        key=key,
    )


def _method(stated: Mapping[str, Any]) -> MethodFacts:
    return MethodFacts(**{**stated, "settings": _settings(stated["settings"])})


def _settings(pairs: Sequence[Sequence[Any]]) -> Settings:
    return tuple((str(key), value) for key, value in pairs)


def _settings_in_label(text: str, params: Mapping[str, Param]) -> tuple[Settings, str]:
    """Return which parameters the brackets of an old label name, and what stands after them.

    The values are known from the shard's key, so that they are recognised and not parsed.
    """
    settings: list[tuple[str, Param]] = []
    rest = text.removeprefix("(")
    for key in sorted(params):
        word = f"{key}={params[key]}"
        if rest.startswith((f"{word},", f"{word})")):
            settings.append((key, params[key]))
            rest = rest[len(word) + 1 :]
    return tuple(settings), rest if settings else text


def settings_text(settings: Settings) -> str:
    """Return parameters and their values in one word: `kernel_size=1,n_samples=100`."""
    return ",".join(f"{key}={value}" for key, value in settings)


def labelled(name: str, settings: Settings) -> str:
    """Return a name with the parameters that belong to it, in brackets."""
    return f"{name}({settings_text(settings)})" if settings else name
