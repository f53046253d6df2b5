"""Guided backprop, and its product with Grad-CAM."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from bcos_eval.contract.explainer import Need, Style, register_explainer
from bcos_eval.contract.maps import stack_targets
from bcos_eval.contract.network import Network, name_of
from bcos_eval.contract.network_state import forward_hooks
from bcos_eval.contract.params import Param

from .gradcam import grad_cam
from .gradients import input_gradients
from .spatial_features import SPATIAL_FEATURES


def _refusal_without_relu(model: Network, _params: Mapping[str, Param]) -> str | None:
    if any(isinstance(module, nn.ReLU) for module in model.modules()):
        return None
    return f"changes how gradients pass ReLU modules and '{name_of(model)}' has none; use grad or ixg"


RELU_MODULES = Need("ReLU modules", _refusal_without_relu)


def guided_gradients(model: Network, encoded: Tensor, targets: Tensor) -> Tensor:
    """Return input gradients summed over channels, `(B, K, H, W)`; ReLU modules pass only their positive part."""
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    with forward_hooks(relus, _stop_negative_gradients):
        gradients = input_gradients(model, encoded, targets)
        return stack_targets((by_input.sum(1) for by_input in gradients), encoded)


@register_explainer(
    "gb",
    source="Springenberg et al., ICLR workshop 2015; signed, as in the B-cos papers",
    family="gradient",
    needs=(RELU_MODULES,),
    aliases=("guided_backprop", "guided_backpropagation"),
    style=Style("#332288", ":"),
)
def guided_backprop(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return guided gradients summed over input channels, signed, `(B, K, H, W)`.

    Only `nn.ReLU` modules are guided; a ReLU that a network calls as a function passes its plain gradient.
    """
    return guided_gradients(model, model.encode(images), targets)


@register_explainer(
    "guided_gradcam",
    source="Selvaraju et al., ICCV 2017",
    family="cam",
    needs=(RELU_MODULES, SPATIAL_FEATURES),
    aliases=("guided_grad_cam",),
    style=Style("#999933", "-"),
)
def guided_grad_cam(model: Network, images: Tensor, targets: Tensor, *, layer: str = "") -> Tensor:
    """Return guided gradients times Grad-CAM (nearest upsampling), summed over channels, `(B, K, H, W)`.

    A target whose Grad-CAM is zero gets a zero map.
    """
    return guided_backprop(model, images, targets) * grad_cam(model, images, targets, layer=layer)


def _stop_negative_gradients(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
    # On the output, not on the module: torchvision's ReLUs work in place and run several times.
    if output.requires_grad:
        output.register_hook(lambda gradient: gradient.clamp(min=0))
