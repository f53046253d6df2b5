"""What each explainer is measured against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bcos_eval.contract.params import Param

from . import bare, gradient_alternatives, perturbation_alternatives
from .case import Case
from .gradient_alternatives import OneTarget


@dataclass(frozen=True, slots=True)
class Contender:
    """An explainer's alternative and how both are measured.

    Attributes:
        alternative: Name of the alternative.
        start: Prepares the alternative for one image; counts where images are perturbed: superpixels, masks.
        bare_seconds: Measures the bare network passes that our result needs.
        package: What must be installed for the alternative besides the suite's dependencies; empty for nothing.
        repeats_passes: The parameter that says how many perturbed images there are; empty where there are none.
        is_slow: Whether one target takes so long that it may stand for all.
        kind_of_repeats: Whether they are steps of gradient methods or samples of perturbation methods.
        params: Parameters of both sides that are not the explainer's defaults.
    """

    alternative: str
    start: Callable[[Case], OneTarget]
    bare_seconds: bare.BareSeconds
    package: str = ""
    repeats_passes: str = ""
    is_slow: bool = False
    kind_of_repeats: Literal["steps", "samples", ""] = ""
    params: Mapping[str, Param] = field(default_factory=dict)


def _samples(key: str, n_more: int = 0) -> bare.BareSeconds:
    return bare.forward_passes(lambda case: case.integer(key) + n_more)


def n_tiles(case: Case) -> int:
    """Return the number of squares of occlusion, for sides that divide the image's."""
    height, width = case.image.shape[-2:]
    return (height // case.integer("stride")) * (width // case.integer("stride"))


_gradients = gradient_alternatives
_perturbed = perturbation_alternatives

CONTENDERS: Mapping[str, Contender] = {
    "bcos": Contender("official bcos library", _gradients.official_bcos, bare.explained_gradients, "bcos"),
    "ixg": Contender("Captum InputXGradient", _gradients.input_x_gradient, bare.twin_gradients),
    "grad": Contender("Captum Saliency", _gradients.saliency, bare.twin_gradients),
    "gb": Contender("Captum GuidedBackprop", _gradients.guided_backprop, bare.plain_gradients),
    "intgrad": Contender(
        "Captum IntegratedGradients",
        _gradients.integrated_gradients,
        bare.repeated_gradients("n_steps"),
        repeats_passes="n_steps",
        is_slow=True,
        kind_of_repeats="steps",
    ),
    "smoothgrad": Contender(
        "Captum Saliency per noisy image",
        _gradients.smooth_grad,
        bare.repeated_gradients("n_samples"),
        repeats_passes="n_samples",
        is_slow=True,
        kind_of_repeats="steps",
    ),
    "deeplift": Contender("Captum DeepLift", _gradients.deep_lift, bare.plain_gradients, is_slow=True),
    "gradcam": Contender("Captum LayerGradCam", _gradients.grad_cam, bare.head_gradients),
    "lime": Contender(
        "Captum Lime",
        _perturbed.lime,
        _samples("n_samples"),
        "scikit-learn",
        repeats_passes="n_samples",
        is_slow=True,
        kind_of_repeats="samples",
        # The default map marks five superpixels, which hides differences.
        params={"map": "weights", "kernel_size": 4},
    ),
    "kernelshap": Contender(
        "Captum Lime as KernelSHAP",
        _perturbed.kernel_shap,
        _samples("n_samples", 2),
        params={"kernel_size": 4},
        repeats_passes="n_samples",
        is_slow=True,
        kind_of_repeats="samples",
    ),
    "occlusion": Contender(
        "Captum Occlusion",
        _perturbed.occlusion,
        bare.forward_passes(lambda case: n_tiles(case) + 1),
        repeats_passes="size",
        is_slow=True,
        kind_of_repeats="samples",
    ),
    "rise": Contender(
        "RISE's loop",
        _perturbed.rise,
        _samples("n_masks"),
        repeats_passes="n_masks",
        is_slow=True,
        kind_of_repeats="samples",
    ),
}

# For B-cos models that the official library does not have.
OWN_BCOS = Contender("own explanation mode", _gradients.own_bcos, bare.explained_gradients)


def tile_side(side: int, n_tiles_at_most: int) -> int:
    """Return the side of the smallest square tiles that fill the image, if there may be only so many.

    Example:
        >>> tile_side(672, 32)
        168
    """
    per_side = next(n for n in range(int(n_tiles_at_most**0.5), 0, -1) if side % n == 0)
    return side // per_side
