"""Mosaics of Focus: two images of a class and two of others, the class as the only target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bcos_eval.contract.metric import MetricInfo
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Param
from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.data.sample import Dataset, Sample
from bcos_eval.errors import IncompatibleError
from bcos_eval.seeding import derived_generator

from .grids.compose import cell_regions, compose_grid
from .kind import Material, PoolChoice, StimulusKind, Unreadable, register_stimulus
from .network_views import check_takes_size

CELLS_PER_SIDE = 2

_N_OF_TARGET = 2
_N_OF_OTHERS = 2


@dataclass(frozen=True, slots=True)
class Mosaic:
    """One mosaic to be composed.

    Attributes:
        target: The class that two images show.
        indices: Positions in the dataset of the four images, row by row.
    """

    target: int
    indices: tuple[int, ...]


def drawn_mosaics(labels: Sequence[int], *, n_mosaics: int, seed: int = 0) -> list[Mosaic]:
    """Mosaics with every class as the target in turn, images and their places at random.

    All images take part, whatever a model says of them, so that all models are shown the same mosaics. Each has
    its own generator: more mosaics begin with the same ones.

    Args:
        labels: Class index of every image, in dataset order.
        n_mosaics: Number of mosaics.
        seed: Seed of the run.

    Raises:
        IncompatibleError: If no class has two images, or there are not two of others.

    Source: Arias-Duart et al., Focus! (FUZZ-IEEE 2022), section III.
    """
    of_class: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        of_class.setdefault(label, []).append(index)
    targets = [label for label in sorted(of_class) if _fills_a_mosaic(len(of_class[label]), len(labels))]
    if not targets:
        raise IncompatibleError(
            f"no mosaic can be made of {len(labels)} images of {len(of_class)} classes; it takes two images of "
            "one class and two of others: use more images."
        )
    return [_drawn_mosaic(labels, of_class, targets[m % len(targets)], seed, m) for m in range(n_mosaics)]


def mosaic_stimulus(stimulus_id: str, mosaic: Mosaic, samples: Sequence[Sample]) -> Stimulus:
    """A mosaic as a stimulus with K = 1; the region is the two cells that show the target.

    Args:
        stimulus_id: Its id.
        mosaic: What it shows.
        samples: Its four images, row by row.

    Raises:
        ValueError: If their images differ in shape.
    """
    height, width = samples[0].image.shape[1:]
    shows_target = torch.tensor([sample.label == mosaic.target for sample in samples])
    cells = cell_regions(CELLS_PER_SIDE, height, width, placement="row_major")
    return Stimulus(
        stimulus_id=stimulus_id,
        image=compose_grid([sample.image for sample in samples], placement="row_major"),
        targets=torch.tensor([mosaic.target]),
        regions=cells[shows_target].any(0)[None],
        sample_ids=("+".join(sample.sample_id for sample in samples if sample.label == mosaic.target),),
    )


def _fills_a_mosaic(n_of_class: int, n_images: int) -> bool:
    return n_of_class >= _N_OF_TARGET and n_images - n_of_class >= _N_OF_OTHERS


def _drawn_mosaic(
    labels: Sequence[int], of_class: dict[int, list[int]], target: int, seed: int, number: int
) -> Mosaic:
    generator = derived_generator(seed, "mosaic", number)
    own = of_class[target]
    chosen = [own[place] for place in torch.randperm(len(own), generator=generator)[:_N_OF_TARGET].tolist()]
    while len(chosen) < _N_OF_TARGET + _N_OF_OTHERS:
        index = int(torch.randint(len(labels), (), generator=generator))
        if labels[index] != target and index not in chosen:
            chosen.append(index)
    places = torch.randperm(len(chosen), generator=generator).tolist()
    return Mosaic(target, tuple(chosen[place] for place in places))


@dataclass(frozen=True, slots=True)
class MosaicSource:
    """Mosaics of two images of a class and two of others.

    Attributes:
        dataset: Where the images come from.
        mosaics: What each shows.
    """

    dataset: Dataset
    mosaics: Sequence[Mosaic]

    def __len__(self) -> int:
        """Number of mosaics, those with unreadable images included."""
        return len(self.mosaics)

    def read(self, first: int, stop: int) -> Iterator[Stimulus | Unreadable]:
        """Compose mosaics; one with an unreadable image keeps its place."""
        for number, mosaic in enumerate(self.mosaics[first:stop], start=first):
            yield self._composed(f"mosaic/{number:06d}", mosaic)

    def _composed(self, stimulus_id: str, mosaic: Mosaic) -> Stimulus | Unreadable:
        samples = []
        for index in mosaic.indices:
            try:
                samples.append(self.dataset[index])
            except Exception as error:  # whatever a dataset raises costs this mosaic and no other
                return Unreadable.because(error, self.dataset.sample_ids[index], mosaic.target, stimulus_id)
        return mosaic_stimulus(stimulus_id, mosaic, samples)


@dataclass(frozen=True, slots=True)
class MosaicKind(StimulusKind):
    """Mosaics of 2 × 2 images."""

    name = "mosaic"
    per_shard = 10
    is_ranked = True

    @property
    def label(self) -> str:
        """`mosaic`."""
        return self.name

    @property
    def plural(self) -> str:
        """`mosaics`."""
        return "mosaics"

    def as_json(self) -> dict[str, Any]:
        """The kind as plain values, for a shard's key."""
        return {"name": self.name, "rule": "", "n": CELLS_PER_SIDE}

    def source(self, material: Material) -> MosaicSource:
        """Return as many mosaics as are wanted."""
        labels = material.dataset.labels
        return MosaicSource(
            material.dataset, drawn_mosaics(labels, n_mosaics=material.n_samples, seed=material.seed)
        )

    def check_size(self, network: Network, device: torch.device) -> None:
        """Refuse a network that takes no image of twice its native size."""
        check_takes_size(network, CELLS_PER_SIDE * network.input_size, self.plural, device)


@register_stimulus(MosaicKind.name)
def _mosaic_kind(_info: MetricInfo, _params: Mapping[str, Param], _pool: PoolChoice) -> MosaicKind:
    return MosaicKind()
