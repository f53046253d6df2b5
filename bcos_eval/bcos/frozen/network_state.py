"""Whether a network is still the one it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import ReferenceType, ref

import torch
from torch import Tensor, nn

_SCALARS = (bool, int, float, str, type(None), torch.dtype)
# Set and unset while a network explains: how it is asked, not what it is.
_PASSING = frozenset({"explaining"})
_PROBE_LENGTH = 2**16


@dataclass(frozen=True, slots=True)
class NetworkState:
    """What decides what a network computes, short enough to be compared at every call.

    Modules and tensors are known by identity, other attributes by value. Changes of a tensor show in its version
    counter, in its address or, when made through `.data`, in its fingerprint alone.

    Attributes:
        identity: Comparable description.
        alive: The objects that the description knows by address: an address is used again after its object.
        fingerprint: Numbers that change with the values of floating-point tensors.
    """

    identity: tuple[object, ...]
    alive: tuple[ReferenceType[Any], ...]
    fingerprint: Tensor

    @classmethod
    def of(cls, network: nn.Module) -> NetworkState:
        """Return the state of a network whose tensors lie on one device."""
        modules = list(network.modules())
        tensors = [*network.parameters(), *network.buffers()]
        return cls(
            identity=(*map(_module_identity, modules), *map(_tensor_identity, tensors)),
            alive=tuple(ref(entry) for entry in (*modules, *tensors)),
            fingerprint=_fingerprints([tensor for tensor in tensors if tensor.is_floating_point()]),
        )

    def equals(self, later: NetworkState) -> bool:
        """Return whether a later state is this one still."""
        return (
            all(reference() is not None for reference in self.alive)
            and self.identity == later.identity
            and torch.equal(self.fingerprint, later.fingerprint)
        )


def _module_identity(module: nn.Module) -> tuple[object, ...]:
    attributes = [
        value if isinstance(value, _SCALARS) else _comparable(value)
        for name, value in vars(module).items()
        if name not in _PASSING
    ]
    return id(module), type(module), *attributes


def _comparable(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(_comparable(entry) for entry in value)
    return value if isinstance(value, _SCALARS) else id(value)


def _tensor_identity(tensor: Tensor) -> tuple[object, ...]:
    version = 0 if tensor.is_inference() else tensor._version
    return id(tensor), version, tensor.data_ptr(), tensor.device, tensor.dtype, tensor.shape


def _fingerprints(tensors: Sequence[Tensor]) -> Tensor:
    values = [tensor.detach().flatten() for tensor in tensors]
    large = [entry for entry in values if len(entry) >= _PROBE_LENGTH]
    # Together: hundreds of small operations cost more than a copy.
    small = [entry for entry in values if len(entry) < _PROBE_LENGTH]
    together = [torch.cat(small)] if small else []
    prints = [_fingerprint(entry) for entry in (*large, *together)]
    return torch.stack(prints) if prints else torch.empty(0)


def _fingerprint(values: Tensor) -> Tensor:
    """Return a product with fixed random numbers: a change that it misses is lost in a layer's rounding too."""
    probe = _probe(values.device)
    values = values.float()
    n_rows = len(values) // _PROBE_LENGTH
    rows = values[: n_rows * _PROBE_LENGTH].view(n_rows, _PROBE_LENGTH)
    rest = values[n_rows * _PROBE_LENGTH :]
    return torch.dot(rows @ probe, probe[:n_rows]) + torch.dot(rest, probe[: len(rest)])


@cache
def _probe(device: torch.device) -> Tensor:
    return torch.randn(_PROBE_LENGTH, generator=torch.Generator().manual_seed(0)).to(device)
