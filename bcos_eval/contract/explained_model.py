"""A network together with the explainer of its maps, as metrics see them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .explainer import Explainer
from .network import Network
from .params import Param

# A shard of 50 images with the curves of all perturbation metrics and their ends, twice over. An entry is a row of
# logits, a curve, or the logits of a scene without each of its parts: kilobytes.
_N_KEPT = 4096


class Memory:
    """What a network said, kept for the next metric or method that asks the same; the results used last.

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


@dataclass(frozen=True, slots=True)
class ExplainedModel:
    """A network with the explainer of its maps; no graph is kept.

    Metrics ask it for logits and probabilities of changed images, and for maps of them.

    Attributes:
        network: The network; to be copied, never changed.
        explainer: What explains it.
        params: Parameters of the explainer.
        seed: Seed of the explainer.
        memory: What the network said before.
        pass_pixels: Pixels of images that are explained in one pass, which holds one image at least; only of
            explainers that share passes.
    """

    network: Network
    explainer: Explainer
    params: Mapping[str, Param] = field(default_factory=dict)
    seed: int = 0
    memory: Memory = field(default_factory=Memory)
    pass_pixels: int = 1

    def encode(self, images: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` in [0, 1] to network input."""
        return self.network.encode(images)

    def logits(self, encoded: Tensor) -> Tensor:
        """Map network input to logits `(B, C)`."""
        with torch.no_grad():
            return self.network(encoded)

    def probability(self, logits: Tensor) -> Tensor:
        """Map logits `(B, C)` to probabilities, by the non-linearity the network was trained with."""
        return self.network.probability(logits)

    def remembered(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        """Return what `make` gives; not called if the network was asked under the same key before."""
        return self.memory.recall(key, make)

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` and targets `(B, K)` to maps `(B, K, H, W)`, as the scored maps were made."""
        return self.explain_network(self.network, images, targets)

    def explain_network(self, network: Network, images: Tensor, targets: Tensor) -> Tensor:
        """Return what `explain` does, of a network that is shown this one's images differently.

        An image at a time unless `pass_pixels` has room for more: the rounding of a batched convolution depends
        on the size of the batch, and a difference in the eighth digit puts nearly equal pixels in another order,
        which shows in perturbation curves.
        """
        room = (
            self.pass_pixels // (images.shape[-2] * images.shape[-1]) if self.explainer.info.shares_passes else 1
        )
        passes = zip(images.split(max(1, room)), targets.split(max(1, room)), strict=True)
        return torch.cat([self.explainer(network, part, k, seed=self.seed, **self.params) for part, k in passes])

    def constant_terms(self, encoded: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return each target's logit bias and what position codes hold of its logit, `(B, K)` each.

        Neither belongs to a pixel, so an attribution that is complete sums to the logit without them.
        """
        bias = torch.full(targets.shape, float(getattr(self.network, "logit_bias", 0.0)), device=encoded.device)
        position_term = getattr(self.network, "position_term", None)
        if position_term is None:
            return bias, torch.zeros_like(bias)
        return bias, position_term(encoded, targets).detach()

    def with_network(self, network: Network) -> ExplainedModel:
        """Return the same explainer on another network."""
        return replace(self, network=network, memory=Memory())


Remember = Callable[[str, Callable[[], Tensor]], Tensor]


def memory_of(model: ExplainedModel, reading: str) -> Remember:
    """Return how to look up what a model said under a key, and to compute and keep it if nobody asked before.

    A key says all that the result depends on but the model and the reading; what is remembered must not be changed
    in place. A model without a method `remembered(key, make)` computes everything anew.

    Args:
        model: The model.
        reading: Separates what is read of the same pictures in different ways.
    """
    remembered: Remember = getattr(model, "remembered", compute_anew)
    return lambda key, make: remembered(f"{reading}/{key}", make)


def content_key(*parts: object) -> str:
    """Return a digest of tensors (shape, type and values, from any device) and of the text of anything else."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(f"{tuple(part.shape)}{part.dtype}".encode())
            digest.update(part.detach().cpu().contiguous().numpy().tobytes())
        else:
            digest.update(repr(part).encode())
        digest.update(b"\x1f")
    return digest.hexdigest()


def compute_anew(_key: str, make: Callable[[], Tensor]) -> Tensor:
    """Return what `make` gives."""
    return make()
