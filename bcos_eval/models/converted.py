"""`bcos:NAME`: the B-cos form of any network here that has one, to be trained from the network's own weights.

Source: Arya et al., B-cosification (NeurIPS 2024): weights are carried over, the stem takes `[x, 1 − x]`, biases
    go, and the exponent B rises from 1, where a B-cos layer is linear as the one that it replaces, while the
    network is trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bcos_eval.errors import InputError

from .bcosify import BcosifiedNetwork, bcosify
from .classifier import Classifier
from .form import USUAL, BcosForm
from .registry import ModelInfo, ModelZoo, Variant, model_info, register_zoo

PREFIX = "bcos:"
# Variances up to this are rounding errors of a constant.
_CONSTANT = 1e-12
_SOURCE = "Arya et al., B-cosification, NeurIPS 2024"


@dataclass(frozen=True, slots=True)
class ConvertedNetwork:
    """Builds the B-cos form of a network by name: `build` of a `ModelInfo`.

    Attributes:
        base: Name of the standard network.
        form: Exponent and norm.

    Raises:
        InputError: If the form has MaxOut, for which a trained network has no weights.
    """

    base: str
    form: BcosForm = USUAL

    def __post_init__(self) -> None:
        """Refuse MaxOut."""
        if self.form.max_out != 1:
            raise InputError(
                f"'{PREFIX}{self.base}' keeps a network's weights, which MaxOut has no place for; drop it"
            )

    def __call__(self, variant: Variant, num_classes: int) -> BcosifiedNetwork:
        """Return it with fresh weights."""
        return self.of(model_info(self.base).build(variant, num_classes))

    def of(self, network: Classifier) -> BcosifiedNetwork:
        """Return the B-cos form of a network that has weights already; they are carried over."""
        converted = bcosify(network, b=self.form.b, norm=self.form.norm, carry_over=True, keep_activations=True)
        converted.name = PREFIX + self.base
        return converted


def converted_model(name: str, form: BcosForm = USUAL) -> ModelInfo | None:
    """Return the entry of `bcos:NAME`; None for other names.

    Args:
        name: Name with the prefix.
        form: Exponent and norm, where they are not the usual ones.

    Raises:
        InputError: If there is no network of that name, or it is a B-cos network already.
    """
    if not name.startswith(PREFIX):
        return None
    base = model_info(name.removeprefix(PREFIX))
    if base.is_bcos:
        raise InputError(f"model '{base.name}' is a B-cos network already; name a standard one after '{PREFIX}'")
    build = ConvertedNetwork(base.name, form)
    return ModelInfo(name, "B-cosified", True, build, base.small_note, _SOURCE)


@torch.no_grad()
def calibrate_norms(network: nn.Module, encoded: Tensor) -> None:
    """Give the batch norms of a network the statistics that they meet; its logits stay what they are.

    Files in which norms were folded into the convolutions need this, for two reasons: in training a norm takes the
    statistics of the batch, whatever the file says; and a B-cos layer keeps the direction of a filter and loses
    its length, which the batch norm after it makes up for if it divides by the true deviation.

    Args:
        network: In evaluation mode; its batch norms change in place.
        encoded: Some of its input, a few dozen images.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    met: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def meet(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        met[norm] = torch.var_mean(inputs[0], (0, 2, 3), unbiased=False)

    handles = [norm.register_forward_pre_hook(meet) for norm in norms]
    try:
        network(encoded)
    finally:
        for handle in handles:
            handle.remove()
    for norm in norms:
        if norm in met:
            _give_statistics(norm, *met[norm])


def _give_statistics(norm: nn.BatchNorm2d, variance: Tensor, mean: Tensor) -> None:
    """Change a norm's statistics; its scale and bias follow, so that it does what it did."""
    if norm.running_var is None or norm.running_mean is None or norm.weight is None:
        return
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    # A channel that never varies, such as that of a filter of zeros, has nothing to pass on but its bias.
    varies = variance > _CONSTANT
    norm.weight.copy_(torch.where(varies, gain * (variance + norm.eps).sqrt(), 0))
    if norm.bias is not None:
        norm.bias.add_(gain * (mean - norm.running_mean))
    norm.running_var.copy_(variance)
    norm.running_mean.copy_(mean)


def _unlisted() -> tuple[str, ...]:
    return ()  # one for every other name


register_zoo(ModelZoo(f"{PREFIX}NAME, the B-cos form of a network", converted_model, _unlisted))
