"""Attributions kept for a while: metrics on overlapping choices of images share them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor

# A shard of 50 images of 224×224 pixels has 10 MB of maps per method: room for a dozen methods, twice over.
_MOST_BYTES = 256 * 2**20

# What a map depends on beside the network: method with parameters, stimulus, targets.
MapKey = tuple[str, str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class KeptMap:
    """The attributions of a stimulus `(K, H, W)`, and the seconds they took per target."""

    maps: Tensor
    seconds: float


class KeptMaps:
    """The attributions of one network that were used last, up to a number of bytes.

    Args:
        most_bytes: When they are more, those unused for longest are forgotten.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._n_bytes = 0
        self._kept: OrderedDict[MapKey, KeptMap] = OrderedDict()

    def get(self, key: MapKey) -> KeptMap | None:
        """Return what is kept under a key."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: MapKey, kept: KeptMap) -> None:
        """Keep attributions, which nobody changes in place."""
        self._kept[key] = kept
        self._n_bytes += kept.maps.nbytes
        while self._n_bytes > self._most_bytes:
            _, forgotten = self._kept.popitem(last=False)
            self._n_bytes -= forgotten.maps.nbytes
