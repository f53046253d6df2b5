"""The gradient family, one target at a time: Captum, and the official B-cos recipe.

Every function is the preparation for one image; what it returns makes the map `(H, W)` of one target.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, cast

import torch
from captum.attr import (
    DeepLift,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    Saliency,
)
from torch import Tensor, fx, nn

from bcos_eval.bcos import explanation_mode
from bcos_eval.errors import IncompatibleError
from bcos_eval.models import Classifier
from bcos_eval.seeding import derived_generator, image_key

from .case import Case

OneTarget = Callable[[int], Tensor]


class _CaptumMethod(Protocol):
    """What Captum's gradient methods have in common."""

    def attribute(self, inputs: Tensor, *, target: int, **options: object) -> Tensor:
        """Return attributions of the inputs for one target."""
        ...


class _ExplanationMode(Protocol):
    """What the official library's networks add to modules."""

    def explanation_mode(self) -> AbstractContextManager[object]:
        """Hold the dynamic factors constant inside the block."""
        ...


def official_bcos(case: Case) -> OneTarget:
    """Explain with the official library's own network: a forward and a backward pass in its explanation mode."""
    network = official_network(case)
    mode = cast("_ExplanationMode", network).explanation_mode

    def explain(target: int) -> Tensor:
        x = case.encoded.requires_grad_()
        with mode():
            network(x)[0, target].backward(inputs=[x])
        return _contribution(x)

    return explain


def own_bcos(case: Case) -> OneTarget:
    """Explain with our network: a forward and a backward pass in explanation mode."""

    def explain(target: int) -> Tensor:
        x = case.encoded.requires_grad_()
        with explanation_mode(case.network):
            case.network(x)[0, target].backward(inputs=[x])
        return _contribution(x)

    return explain


def has_official_network(case: Case) -> bool:
    """Return whether the official library is installed and has this very network."""
    try:
        pretrained = importlib.import_module("bcos.models.pretrained")
    except ImportError:
        return False
    build = getattr(pretrained, case.network.name.removeprefix("bcos_"), None)
    return build is not None and _shapes(build(pretrained=False)) == _shapes(case.network)


def official_network(case: Case) -> nn.Module:
    """Return the official library's network with the weights of ours."""
    pretrained = importlib.import_module("bcos.models.pretrained")
    network: nn.Module = getattr(pretrained, case.network.name.removeprefix("bcos_"))(pretrained=False)
    network.load_state_dict(case.network.state_dict())
    return network.eval().requires_grad_(False).to(case.image.device)


def saliency(case: Case) -> OneTarget:
    """Captum's Saliency, signed."""
    method = Saliency(case.network)
    return lambda target: _channel_sum(method, case.encoded, target, abs=False)


def input_x_gradient(case: Case) -> OneTarget:
    """Captum's InputXGradient."""
    method = InputXGradient(case.network)
    return lambda target: _channel_sum(method, case.encoded, target)


def guided_backprop(case: Case) -> OneTarget:
    """Captum's GuidedBackprop, on a copy with a ReLU module per use, which its hooks need."""
    method = GuidedBackprop(with_separate_relus(case.network))
    return lambda target: _channel_sum(method, case.encoded, target)


def deep_lift(case: Case) -> OneTarget:
    """Captum's DeepLift against the encoded zero, on a copy with a ReLU module per use, which its hooks need."""
    method = DeepLift(with_separate_relus(case.network))
    zero = torch.zeros_like(case.encoded)
    return lambda target: _channel_sum(method, case.encoded, target, baselines=zero)


def integrated_gradients(case: Case) -> OneTarget:
    """Captum's IntegratedGradients from the encoded zero, with as many images per pass as ours."""
    method = IntegratedGradients(case.network)
    options = {
        "n_steps": case.integer("n_steps"),
        "method": "gausslegendre",
        "internal_batch_size": case.images_per_pass(),
    }
    return lambda target: _channel_sum(method, case.encoded, target, **options)


def smooth_grad(case: Case) -> OneTarget:
    """Captum's Saliency, averaged over the noisy images that ours takes."""
    method = Saliency(case.network)
    image = case.image[0]
    generator = derived_generator(case.seed, case.explainer, image_key(image))
    deviation = float(case.params["noise_fraction"]) * (image.max() - image.min())
    draws = [torch.randn(image.shape, generator=generator) for _ in range(case.integer("n_samples"))]
    batches = torch.stack(draws).to(image).split(case.images_per_pass())

    def explain(target: int) -> Tensor:
        total = torch.zeros_like(image[0])
        for noise in batches:
            noisy = case.network.encode(image + deviation * noise)
            total += method.attribute(noisy.requires_grad_(), target=target, abs=False).sum((0, 1))
        return total / len(draws)

    return explain


def grad_cam(case: Case) -> OneTarget:
    """Captum's LayerGradCam before the head; it averages the gradient over positions, ours sums it."""
    method = LayerGradCam(case.network, feature_module(case.network, case.encoded))

    def explain(target: int) -> Tensor:
        low = method.attribute(case.encoded.requires_grad_(), target=target, relu_attributions=True).detach()
        n_positions = low[0, 0].numel()
        return LayerAttribution.interpolate(low, tuple(case.image.shape[-2:]), "nearest")[0, 0] * n_positions

    return explain


def feature_module(network: Classifier, encoded: Tensor) -> nn.Module:
    """Return the outermost module whose output is what the network's head takes.

    Raises:
        IncompatibleError: If no module's output is.
    """
    outputs: list[tuple[nn.Module, Tensor]] = []
    inner = [module for module in network.modules() if module is not network]
    handles = [module.register_forward_hook(lambda m, _args, out: outputs.append((m, out))) for module in inner]
    try:
        with torch.no_grad():
            features = network.features(encoded)
    finally:
        for handle in handles:
            handle.remove()
    found = [module for module, output in outputs if output is features]
    if not found:
        raise IncompatibleError("no module gives the features before the head, which Captum's LayerGradCam needs")
    return found[-1]


def with_separate_relus(network: nn.Module) -> nn.Module:
    """Return a copy of the network's forward pass in which every use of a ReLU is a module of its own.

    Raises:
        IncompatibleError: If the forward pass cannot be traced.
    """
    try:
        traced = fx.symbolic_trace(network)
    except (fx.proxy.TraceError, TypeError) as error:
        raise IncompatibleError(f"Captum needs a ReLU module per use and tracing fails: {error}") from error
    for index, node in enumerate(traced.graph.nodes):
        if node.op == "call_module" and isinstance(traced.get_submodule(node.target), nn.ReLU):
            node.target = f"separate_relu_{index}"
            traced.add_module(node.target, nn.ReLU())
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval()


def _channel_sum(method: object, encoded: Tensor, target: int, /, **options: object) -> Tensor:
    captum = cast("_CaptumMethod", method)
    return captum.attribute(encoded.requires_grad_(), target=target, **options)[0].sum(0).detach()


def _contribution(x: Tensor) -> Tensor:
    gradient = x.grad
    if gradient is None:
        raise RuntimeError("the network's output does not depend on its input")
    return (x.detach() * gradient).sum(1)[0]


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in network.state_dict().items()}
