"""The form of a B-cos network where it is not the usual one: exponent, norm, MaxOut.

Sources: exponents and MaxOut: Böhle et al., B-cos Networks (CVPR 2022), sections 3.1 and 4; norms: TPAMI 2024,
    section 3.2.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor, nn

from bcos_eval.bcos import (
    AllNormUncentred2d,
    BatchNormCentred2d,
    BatchNormUncentred2d,
    BcosConv2d,
    BcosLinear,
    GroupNorm2d,
    PositionNorm2d,
)
from bcos_eval.errors import InputError, unknown_name

Norm = Literal["batch_uncentred", "batch_centred", "layer", "instance", "position", "all"]

# What takes the place of a batch norm, from the number of channels; None for the uncentred one.
NORMS: dict[str, Callable[[int], nn.Module] | None] = {
    "batch_uncentred": None,
    "batch_centred": BatchNormCentred2d,
    "layer": lambda channels: GroupNorm2d(1, channels, centred=False),
    "instance": lambda channels: GroupNorm2d(channels, channels, centred=False),
    "position": lambda channels: PositionNorm2d(channels, centred=False),
    "all": lambda _: AllNormUncentred2d(),
}
# Candidates that anybody would train; a file that states more is damaged.
LARGEST_MAX_OUT = 16


@dataclass(frozen=True, slots=True)
class BcosForm:
    """Exponent, norm and MaxOut of a B-cos network; the defaults are those of the official networks.

    Attributes:
        b: Exponent B ≥ 1 of every B-cos layer.
        norm: What stands where a batch norm does in the standard network.
        max_out: Candidates per output of every B-cos layer but the classifier, of which the largest is kept.

    Raises:
        InputError: If a value is none that a network can have.
    """

    b: float = 2.0
    norm: Norm = "batch_uncentred"
    max_out: int = 1

    def __post_init__(self) -> None:
        """Refuse values that no network can have."""
        if isinstance(self.b, bool) or not isinstance(self.b, int | float) or not 1 <= self.b < math.inf:
            raise InputError(f"exponent B = {self.b!r} cannot be; give a number of 1 or more")
        if not isinstance(self.norm, str) or self.norm not in NORMS:
            raise unknown_name("norm", str(self.norm), NORMS)
        if not isinstance(self.max_out, int) or not 1 <= self.max_out <= LARGEST_MAX_OUT:
            raise InputError(
                f"MaxOut of {self.max_out!r} cannot be; give a whole number from 1 to {LARGEST_MAX_OUT}"
            )

    @classmethod
    def stated(cls, values: Mapping[str, Any] | None) -> BcosForm:
        """Return the form that a weights file states, the usual one where it states none."""
        return cls(**{key: value for key, value in (values or {}).items() if key in _FIELDS})

    def as_dict(self) -> dict[str, Any]:
        """Return what a weights file states."""
        return asdict(self)


_FIELDS = ("b", "norm", "max_out")
USUAL = BcosForm()


def give_form(network: nn.Module, form: BcosForm) -> None:
    """Change, in place, a B-cos network of the usual form to another; layers that change get new weights.

    Raises:
        InputError: If the network has no norm that could be another.
    """
    set_exponent(network, form.b)
    if form.max_out > 1:
        _give_candidates(network, form.max_out)
    if form.norm != USUAL.norm:
        _give_norm(network, form.norm)


def set_exponent(network: nn.Module, b: float) -> None:
    """Give every B-cos layer of a network the exponent B."""
    for layer in _bcos_layers(network):
        layer.b = b


def _bcos_layers(network: nn.Module) -> list[BcosConv2d | BcosLinear]:
    return [module for module in network.modules() if isinstance(module, BcosConv2d | BcosLinear)]


def _give_candidates(network: nn.Module, max_out: int) -> None:
    *layers, _classifier = _bcos_layers(network)
    for layer in layers:
        layer.linear.weight = nn.Parameter(_more_filters(layer.linear.weight, max_out))
        layer.max_out = max_out
        if isinstance(layer, BcosLinear):
            layer.linear.out_features *= max_out
        else:
            layer.linear.out_channels *= max_out


def _more_filters(weight: Tensor, max_out: int) -> Tensor:
    """Return new random filters, as far from zero as the old ones: `(max_out · O, …)`."""
    new = weight.new_empty(max_out * len(weight), *weight.shape[1:])
    # On the meta device nothing has a value; as few weights have no deviation.
    deviation = float(weight.detach().std()) if weight.numel() > 1 and not weight.is_meta else 1.0
    return new.normal_(0, deviation)


def _give_norm(network: nn.Module, norm: Norm) -> None:
    make = NORMS[norm]
    replaced = 0
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, BatchNormUncentred2d) and make is not None:
                setattr(module, name, make(child.num_features))
                replaced += 1
    if not replaced:
        raise InputError(f"the network has no batch norm that '{norm}' could replace; leave --norm out")
