"""A kind of stimulus: this file, as `bcos_eval/stimuli/mirrored.py`; a metric then states it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bcos_eval.contract.metric import MetricInfo
from bcos_eval.contract.params import Param
from bcos_eval.contract.stimulus import Stimulus

from .kind import Material, PoolChoice, StimulusKind, Unreadable, register_stimulus
from .single import SingleKind, SingleSource


@dataclass(frozen=True, slots=True)
class MirroredSource:
    """Single images and their regions, left and right exchanged."""

    single: SingleSource

    def __len__(self) -> int:
        """Number of images."""
        return len(self.single)

    def read(self, first: int, stop: int) -> Iterator[Stimulus | Unreadable]:
        """Make the stimuli from `first` to `stop`."""
        for stimulus in self.single.read(first, stop):
            if isinstance(stimulus, Stimulus):
                stimulus = replace(stimulus, image=stimulus.image.flip(-1), regions=stimulus.regions.flip(-1))
            yield stimulus


@dataclass(frozen=True, slots=True)
class MirroredKind(StimulusKind):
    """Single images, mirrored."""

    name = "mirrored"
    label = "mirrored"
    plural = "mirrored images"

    def as_json(self) -> dict[str, Any]:
        """The kind as plain values, for a shard's key."""
        return {"name": self.name}

    def source(self, material: Material) -> MirroredSource:
        """Return at most as many stimuli as are wanted."""
        return MirroredSource(SingleKind().source(material))


@register_stimulus(MirroredKind.name)
def mirrored_kind(_info: MetricInfo, _params: Mapping[str, Param], _pool: PoolChoice) -> MirroredKind:
    """Return the kind; there is only one of its name."""
    return MirroredKind()
