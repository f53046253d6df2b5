"""Grids of confident images as a kind of stimulus: rule, size, pool, and how the network is shown them."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bcos_eval.contract.metric import MetricInfo, View
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Param
from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.data.sample import Dataset, Sample
from bcos_eval.errors import IncompatibleError, InputError

from ..kind import Explain, Material, PoolChoice, StimulusKind, Unreadable, register_stimulus
from ..network_views import CellNetwork, PartNetwork, check_takes_size, is_split
from ..order import balanced_order
from ..shared_pool import shared_pool
from ..windows import explain_padded_windows, explain_windows
from .compose import Placement, corners_only, few_classes_error, grid_stimuli, rescaled
from .rule import GRID_RULES, GridOrder, GridRule

_FEWEST_CELLS_PER_SIDE = 2
# Views in which only the first and the last cell have a network to explain.
_CORNER_VIEWS = ("difull", "dipart")
# What libraries call modules of self-attention; ChannelAttention and squeeze-and-excitation are none.
_ATTENTION = re.compile(
    r"((relativepositional)?multihead|self|(shifted)?window)?attention(v2)?", flags=re.IGNORECASE
)
# The parameter by which methods take a layer that networks need not offer as their features.
_LAYER = "layer"


@dataclass(frozen=True, slots=True)
class GridSource:
    """Grids of images.

    Attributes:
        dataset: Where the images come from.
        grids: Positions in the dataset, n² per grid.
        placement: The order in which images fill the cells.
        prepare: Changes every image before it becomes a cell.
        corners: Whether the first and the last cell are the only targets.
    """

    dataset: Dataset
    grids: Sequence[Sequence[int]]
    placement: Placement
    prepare: Callable[[Sample], Sample] | None = None
    corners: bool = False

    def __len__(self) -> int:
        """Number of grids."""
        return len(self.grids)

    def read(self, first: int, stop: int) -> Iterator[Stimulus | Unreadable]:
        """Compose grids; one whose images, read before for the pool, cannot be read now keeps its place."""
        for number, indices in enumerate(self.grids[first:stop], start=first):
            try:
                (stimulus,) = grid_stimuli(
                    self.dataset, [indices], placement=self.placement, first=number, prepare=self.prepare
                )
            except Exception as error:  # whatever a dataset raises costs this grid and no other
                yield self._place(error, number, indices[0])
            else:
                yield corners_only(stimulus) if self.corners else stimulus

    def _place(self, error: Exception, number: int, index: int) -> Unreadable:
        n = math.isqrt(len(self.grids[number]))
        sample_id, label = self.dataset.sample_ids[index], self.dataset.labels[index]
        return Unreadable.because(error, sample_id, label, f"grid{n}x{n}/{number:06d}")


@dataclass(frozen=True, slots=True)
class GridKind(StimulusKind):
    """Grids of n × n images of different classes, each the target of its own cell.

    Attributes:
        rule: How images are put together.
        n: Cells per side.
        pool: Whose confident images are taken: the explained model's own, or those all models share.
        view: How the network is shown a grid, see `bcos_eval.contract.metric.MetricInfo`.
    """

    rule: str
    n: int
    pool: PoolChoice = "own"
    view: View = "plain"

    name = "grid"
    per_shard = 10
    is_ranked = True

    @property
    def label(self) -> str:
        """Size, rule, view and pool: `grid3x3-bcos_v2`."""
        view = "" if self.view == "plain" else f"-{self.view}"
        pool = "" if self.pool == "own" else f"+{self.pool}"
        return f"grid{self.n}x{self.n}-{self.rule}{view}{pool}"

    @property
    def plural(self) -> str:
        """`3×3 grids`."""
        return f"{self.n}×{self.n} grids"

    @property
    def n_targets(self) -> int:
        """Every cell, or the first and the last."""
        return 2 if self.has_corner_targets else self.n**2

    @property
    def pools_all_models(self) -> bool:
        """Whether the images must suit every model of the run."""
        return GRID_RULES[self.rule].of_all_models or self.pool == "shared"

    def departs(self, _info: MetricInfo) -> str:
        """`shared` where the pool is not the rule's usual one."""
        return "" if self.pool == "own" else self.pool

    @property
    def is_shown_whole(self) -> bool:
        """Whether the network is shown the image of a grid as it is."""
        return self.view in ("plain", "rescaled")

    @property
    def has_corner_targets(self) -> bool:
        """Whether a grid's first and last cell are its only targets."""
        return self.view in _CORNER_VIEWS

    def as_json(self) -> dict[str, Any]:
        """The kind as plain values, for a shard's key."""
        return {"name": self.name, "rule": self.rule, "n": self.n, "pool": self.pool, "view": self.view}

    def source(self, material: Material) -> GridSource:
        """Return at most as many grids as are wanted.

        Raises:
            IncompatibleError: If the confident images do not suffice for a single grid.
        """
        rule = GRID_RULES[self.rule]
        pools = material.pools()
        if self.pool == "shared":
            pools = [shared_pool([pool.look() for pool in pools])]
        labels = material.dataset.labels
        return GridSource(
            material.dataset,
            rule.make(GridOrder(labels, pools, self.n, material.n_samples, material.seed)),
            rule.placement,
            prepare=self._preparation(rule),
            corners=self.has_corner_targets,
        )

    def trial(self, material: Material) -> Stimulus | Unreadable:
        """Return a grid of the first images of the first classes, whatever a model says of them."""
        order = balanced_order(material.class_order)
        indices = [order[place % len(order)] for place in range(self.n**2)]
        rule = GRID_RULES[self.rule]
        source = GridSource(
            material.dataset,
            [indices],
            rule.placement,
            prepare=self._preparation(rule),
            corners=self.has_corner_targets,
        )
        return next(source.read(0, 1))

    def images_to_look_at(self, material: Material) -> tuple[int, int]:
        """All where the rule ranks or shuffles them; else at least one of every class."""
        n_images = len(material.dataset)
        if GRID_RULES[self.rule].looks_at_all or self.pool == "shared":
            return n_images, n_images
        return len(set(material.dataset.labels)), n_images

    def _preparation(self, rule: GridRule) -> Callable[[Sample], Sample] | None:
        if self.view == "rescaled":
            return functools.partial(_as_cell_of_native_size, n=self.n)
        return rule.prepare

    def check(self, network: Network, method: str, params: Mapping[str, Param], metric: str) -> None:
        """Refuse what cannot be explained in this view.

        Raises:
            IncompatibleError: If cells do not tile the network's native size, or have no half; if the features
                that are to be cut or stitched are unknown.
        """
        side = network.input_size
        if self.view == "rescaled" and side % self.n:
            raise IncompatibleError(
                f"metric '{metric}' scales {self.n}×{self.n} cells to the {side} pixels of '{network.name}', "
                f"which {self.n} does not divide; use --param {metric}.n=2."
            )
        if self.view.startswith("strided") and side % 2:
            raise IncompatibleError(
                f"metric '{metric}' moves windows by half a cell and '{network.name}' has cells of {side} "
                "pixels; use grid_pg/rescaled."
            )
        if self.view == "dipart" and not is_split(network):
            raise IncompatibleError(
                f"metric '{metric}' cuts the last spatial features and '{network.name}' has no features() and "
                "head(); add them, or use difull."
            )
        if self.view == "difull" and params.get(_LAYER):
            raise IncompatibleError(
                f"metric '{metric}' stitches features of cells, which is known for the last ones only; leave out "
                f"--param {method}.{_LAYER}, or use dipart."
            )

    def check_classes(self, dataset: Dataset) -> None:
        """Refuse a dataset whose images show too few classes for a grid, however sure a model is of them."""
        needed, found = GRID_RULES[self.rule].n_classes, len(set(dataset.labels))
        if found < needed(self.n):
            raise few_classes_error(self.n, n_classes=found, needed=needed, data=dataset.name)

    def check_size(self, network: Network, device: torch.device) -> None:
        """Refuse a network that takes no image as large as a whole grid, where it is shown one.

        Raises:
            IncompatibleError: If it fails on a black grid.
        """
        if self.view in ("plain", "dipart"):
            check_takes_size(network, self.n * network.input_size, self.plural, device)

    def caution(self, network: Network, metric: str) -> str:
        """Say that a transformer is shown larger images than it was trained on, where it is."""
        if self.view != "plain" or not _has_attention(network):
            return ""
        side = network.input_size
        return (
            f"the transformer '{network.name}' is shown whole grids of {self.n * side} pixels a side and was "
            f"trained on {side}: its {metric.partition('/')[0]} measures that, too. To compare it with others, "
            "use grid_pg/bcosification_strided or grid_pg/aloe_strided, which show it images of its own size."
        )

    def explain(self, explain: Explain, network: Network, images: Tensor, targets: Tensor) -> Tensor:
        """Return the attributions of grids the way the view wants the network to see them.

        In the views of disconnected cells, targets are the classes of the first and the last cell, K = 2.

        Raises:
            ValueError: If cells of an odd side are to be seen through windows.
        """
        if self.view == "strided":
            return explain_windows(explain, network, images, targets, self.n)
        if self.view == "strided_padded":
            return explain_padded_windows(explain, network, images, targets, self.n)
        if self.has_corner_targets:
            return self._explain_corners(explain, network, images, targets)
        return explain(network, images, targets)

    def _explain_corners(self, explain: Explain, network: Network, images: Tensor, targets: Tensor) -> Tensor:
        """Explain the first target by the network of the top left cell, the last by that of the bottom right."""
        view = CellNetwork if self.view == "difull" else PartNetwork
        maps = [
            explain(view(network, self.n, place, place), images, targets[:, k : k + 1])
            for k, place in enumerate((0, self.n - 1))
        ]
        return torch.cat(maps, 1)


@register_stimulus(GridKind.name)
def _grid_kind(info: MetricInfo, params: Mapping[str, Param], pool: PoolChoice) -> GridKind:
    """Return grids by a metric's rule; the pool matters to rules that make grids of one model's images."""
    rule, n = str(params["rule"]), int(params["n"])
    if rule not in GRID_RULES:
        raise InputError(f"{info.name}.rule={rule} is not allowed; known: {', '.join(sorted(GRID_RULES))}.")
    if n < _FEWEST_CELLS_PER_SIDE:
        raise InputError(f"{info.name}.n={n} is not allowed; a grid has 2 or more cells per side.")
    return GridKind(rule, n, "own" if GRID_RULES[rule].of_all_models else pool, info.view)


def _as_cell_of_native_size(sample: Sample, n: int) -> Sample:
    return rescaled(sample, sample.image.shape[-1] // n)


def _has_attention(network: Network) -> bool:
    """Whether a network has self-attention, by what its modules are called: transformers of all libraries have."""
    modules = network.modules() if isinstance(network, nn.Module) else ()
    return any(_ATTENTION.fullmatch(type(module).__name__) for module in modules)
