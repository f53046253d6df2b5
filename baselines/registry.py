"""The explainers by name, and the one place where their arguments are checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from bcos_eval.errors import IncompatibleError, InputError, unknown_name

from .attention_matrices import has_attention
from .model_state import frozen
from .network import Network, device_of, name_of
from .precision import COMMON_CHOICES, COMMON_PARAMS, FLOAT32, passes_in

Parameter = bool | int | float | str

_CONTRACT_ARGUMENTS = frozenset({"model", "images", "targets", "seed"})


@dataclass(frozen=True, slots=True)
class ExplainerInfo:
    """What is known about an explainer without running it.

    Attributes:
        name: Registered name, as `--method` takes it.
        source: Where the definition and the default parameters come from.
        defaults: Parameters with their default values.
        choices: Allowed values of the parameters that take one of a few words.
        stochastic: Whether the maps depend on the seed.
        needs_bcos: Whether only B-cos networks can be explained.
        needs_features: Whether the network must offer `features` and `head`, or the user a `layer`.
        needs_relu: Whether only networks with ReLU modules can be explained.
        needs_attention: Whether only vision transformers can be explained.
    """

    name: str
    source: str
    defaults: Mapping[str, Parameter]
    choices: Mapping[str, tuple[str, ...]]
    stochastic: bool
    needs_bcos: bool = False
    needs_features: bool = False
    needs_relu: bool = False
    needs_attention: bool = False


@dataclass(frozen=True, slots=True)
class Explainer:
    """A registered explainer: checks its arguments, protects the model, calls `attribute`.

    Attributes:
        info: Name, source, parameters, needs.
        attribute: The function that makes the maps.
    """

    info: ExplainerInfo
    attribute: Callable[..., Tensor]

    def __call__(
        self, model: Network, images: Tensor, targets: Tensor, *, seed: int = 0, **params: Parameter
    ) -> Tensor:
        """Return signed attributions `(B, K, H, W)`, float32, on the model's device.

        The model is left as it was found, also when something raises. Maps of an image do not depend on the
        other images of the batch, up to rounding.

        Args:
            model: The network to explain.
            images: `(B, 3, H, W)`, float32 in [0, 1].
            targets: Indices of the explained classes, `(B, K)`, int64.
            seed: Seed of stochastic explainers; each image and target has its own generator.
            params: Values for `info.defaults`; and `precision` of the network passes, "float32" or "bfloat16".

        Raises:
            IncompatibleError: If this explainer does not exist for this network.
            InputError: If a parameter or a target is not allowed.
            ValueError: If the shapes do not fit.
        """
        _check_shapes(images, targets)
        _check_targets(model, targets)
        self.check(model, params)
        draws = {"seed": seed} if self.info.stochastic else {}
        device = device_of(model)
        precision = FLOAT32 if "precision" in self.info.defaults else str(params.pop("precision", FLOAT32))
        with frozen(model), torch.enable_grad(), passes_in(precision, device):
            maps = self.attribute(model, images.to(device), targets.to(device), **draws, **params)
        return maps.detach().float()

    def check(self, model: Network, params: Mapping[str, Parameter]) -> None:
        """Raise what a call with this model and these parameters would raise before it computes anything.

        Raises:
            IncompatibleError: If this explainer does not exist for this network.
            InputError: If a parameter is unknown or its value not allowed.
        """
        for key, value in params.items():
            _check_parameter(self.info, key, value)
        if self.info.needs_bcos and not getattr(model, "is_bcos", False):
            raise IncompatibleError(
                f"method '{self.info.name}' needs a B-cos model and '{name_of(model)}' is none; "
                "use ixg, intgrad, gradcam or another post-hoc method"
            )
        if self.info.needs_relu and not any(isinstance(module, nn.ReLU) for module in model.modules()):
            raise IncompatibleError(
                f"method '{self.info.name}' changes how gradients pass ReLU modules and '{name_of(model)}' has "
                "none; use grad or ixg"
            )
        if self.info.needs_attention and not has_attention(model):
            raise IncompatibleError(
                f"method '{self.info.name}' follows the self-attention of vision transformers and "
                f"'{name_of(model)}' has none; use gradcam, ixg or another method"
            )
        split = hasattr(model, "features") and hasattr(model, "head")
        if self.info.needs_features and not split and not params.get("layer"):
            raise IncompatibleError(
                f"method '{self.info.name}' needs the last spatial features and '{name_of(model)}' has no "
                f"features() and head(); name a layer with --param {self.info.name}.layer=NAME"
            )


EXPLAINERS: dict[str, Explainer] = {}

F = TypeVar("F", bound=Callable[..., Tensor])


def register_explainer(
    name: str,
    *,
    source: str,
    needs_bcos: bool = False,
    needs_features: bool = False,
    needs_relu: bool = False,
    needs_attention: bool = False,
) -> Callable[[F], F]:
    """Register a function `(model, images, targets, *, …) -> maps` as an explainer; it is returned unchanged.

    Its keyword-only arguments become the explainer's parameters. One called `seed` makes it stochastic.

    Raises:
        ValueError: If the name is taken.
    """

    def register(function: F) -> F:
        if name in EXPLAINERS:
            raise ValueError(f"explainer '{name}' is registered twice; every explainer needs its own name")
        signature = inspect.signature(function).parameters
        info = ExplainerInfo(
            name=name,
            source=source,
            defaults={key: p.default for key, p in signature.items() if key not in _CONTRACT_ARGUMENTS},
            choices=_choices(function),
            stochastic="seed" in signature,
            needs_bcos=needs_bcos,
            needs_features=needs_features,
            needs_relu=needs_relu,
            needs_attention=needs_attention,
        )
        EXPLAINERS[name] = Explainer(info, function)
        return function

    return register


def get_explainer(name: str) -> Explainer:
    """Return the explainer registered under a name.

    Raises:
        InputError: If there is none; near matches are listed.
    """
    if name not in EXPLAINERS:
        raise unknown_name("method", name, EXPLAINERS)
    return EXPLAINERS[name]


def _choices(function: Callable[..., Tensor]) -> dict[str, tuple[str, ...]]:
    hints = get_type_hints(function)
    return {key: get_args(hint) for key, hint in hints.items() if get_origin(hint) is Literal}


def _check_shapes(images: Tensor, targets: Tensor) -> None:
    if images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(f"images must have shape (B, 3, H, W), got {tuple(images.shape)}")
    if targets.dim() != 2 or len(targets) != len(images):
        raise ValueError(
            f"targets must have shape (B, K) with B = {len(images)} images, got {tuple(targets.shape)}"
        )
    if targets.dtype != torch.int64:
        raise ValueError(f"targets must be class indices of type int64, got {targets.dtype}")


def _check_targets(model: Network, targets: Tensor) -> None:
    n_classes = getattr(model, "num_classes", None)
    if n_classes is None or targets.numel() == 0:
        return
    worst = next((t for t in (int(targets.min()), int(targets.max())) if not 0 <= t < n_classes), None)
    if worst is not None:
        raise InputError(
            f"target {worst} is not a class of '{name_of(model)}'; its classes are 0 to {n_classes - 1}"
        )


def _check_parameter(info: ExplainerInfo, key: str, value: Parameter) -> None:
    defaults = {**COMMON_PARAMS, **info.defaults}
    if key not in defaults:
        known = ", ".join({**info.defaults, **COMMON_PARAMS})
        raise InputError(f"method '{info.name}' has no parameter '{key}'; it has: {known}")
    choices = info.choices.get(key) if key in info.defaults else COMMON_CHOICES[key]
    if choices and value not in choices:
        raise InputError(f"{info.name}.{key}={value} is not allowed; use {' or '.join(choices)}")
    expected = type(defaults[key])
    accepted = (int, float) if expected is float else (expected,)
    if type(value) not in accepted:
        raise InputError(f"{info.name}.{key}={value} is not allowed; it takes a value of type {expected.__name__}")
