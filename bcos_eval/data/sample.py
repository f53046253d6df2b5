"""What a dataset yields: one real image with what is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from bcos_eval.contract.stimulus import Counterfactuals


@dataclass(frozen=True, slots=True)
class Sample:
    """One image.

    Attributes:
        sample_id: Unique and stable within its dataset (a relative path or an index).
        image: Pixels `(3, H, W)`, float32 in [0, 1], RGB.
        label: Class index of the dataset.
        region: True on the object, `(H, W)` bool; None where the dataset does not say.
    """

    sample_id: str
    image: Tensor
    label: int
    region: Tensor | None = None


class Dataset(Protocol):
    """Samples in a fixed order; reading one may raise `UnreadableImageError`."""

    @property
    def name(self) -> str:
        """Registered name, as in the tables."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by class index."""
        ...

    @property
    def sample_ids(self) -> Sequence[str]:
        """Ids of all samples, in dataset order."""
        ...

    @property
    def labels(self) -> Sequence[int]:
        """Class indices of all samples, known without decoding an image."""
        ...

    @property
    def has_regions(self) -> bool:
        """Whether samples come with an object region."""
        ...

    def digest(self) -> str:
        """Hex digest that changes when the samples, labels or regions change."""
        ...

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position in dataset order."""
        ...


@runtime_checkable
class CounterfactualDataset(Dataset, Protocol):
    """A dataset that can show its scenes without one of their parts."""

    def counterfactuals(self, index: int) -> Counterfactuals:
        """The scene at a position in dataset order, without each of its parts in turn."""
        ...
