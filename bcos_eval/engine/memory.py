"""What a network said, kept for the next metric or method that asks the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor

# A shard of 50 images with the curves of all perturbation metrics and their ends, twice over. An entry is a row of
# logits, a curve, or the logits of a scene without each of its parts: kilobytes.
_N_KEPT = 4096


class Memory:
    """The results used last; of one network.

    Args:
        n_kept: How many; the one unused for longest is forgotten first.
    """

    def __init__(self, n_kept: int = _N_KEPT) -> None:
        self._n_kept = n_kept
        self._results: OrderedDict[str, Tensor] = OrderedDict()

    def __len__(self) -> int:
        """Number of results."""
        return len(self._results)

    def recall(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        """Return the result under a key, which `make` computes if it is unknown; not to be changed in place."""
        if key not in self._results:
            self._results[key] = make()
            if len(self._results) > self._n_kept:
                self._results.popitem(last=False)
        self._results.move_to_end(key)
        return self._results[key]
