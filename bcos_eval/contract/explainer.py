"""What an explainer is: a function that makes the attributions of all targets of some images in one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from bcos_eval.errors import IncompatibleError, InputError, unknown_name
from bcos_eval.spelling import plain_spelling

from .network import Network, device_of, name_of
from .network_state import frozen
from .params import Limits, Owner, Param, limits_of
from .precision import COMMON_CHOICES, COMMON_PARAMS, FLOAT32, float32_by_default, passes_in

Family = Literal["bcos", "gradient", "cam", "perturbation", "attention", "control", "user"]

_CONTRACT_ARGUMENTS = frozenset({"model", "images", "targets", "seed"})


@dataclass(frozen=True, slots=True)
class Need:
    """Something that not every network has and an explainer cannot do without.

    Attributes:
        summary: What is needed, for tables: "a B-cos network".
        refusal: Maps a network and the explainer's parameters to what is missing and what to do instead, in which
            METHOD stands for the explainer's name; None if nothing is missing.
    """

    summary: str
    refusal: Callable[[Network, Mapping[str, Param]], str | None]


def _refusal_of_standard_networks(model: Network, _params: Mapping[str, Param]) -> str | None:
    if getattr(model, "is_bcos", False):
        return None
    return (
        f"needs a B-cos model and '{name_of(model)}' is none; use ixg, intgrad, gradcam or another post-hoc method"
    )


BCOS_NETWORK = Need("a B-cos network", _refusal_of_standard_networks)


def _refusal_without_gradients(model: Network, _params: Mapping[str, Param]) -> str | None:
    if getattr(model, "has_gradients", True):
        return None
    return (
        f"needs the gradient by the input and '{name_of(model)}' gives none (an operation detaches it, rounds to "
        "integers or works under no_grad); use lime, rise or occlusion"
    )


INPUT_GRADIENTS = Need("gradients by the input", _refusal_without_gradients)


@dataclass(frozen=True, slots=True)
class Style:
    """How figures draw an explainer; the pair is unique among the registered ones.

    Attributes:
        colour: Hexadecimal colour of its family's hue.
        line: Dashes, as matplotlib takes them.
    """

    colour: str
    line: str | tuple[float, tuple[float, ...]]


UNSTYLED = Style("#000000", "-")


@dataclass(frozen=True, slots=True)
class ExplainerInfo:
    """What is known about an explainer without running it.

    Attributes:
        name: Registered name, as `--method` takes it.
        source: Where the definition and the default parameters come from.
        defaults: Parameters with their default values.
        limits: What their values are held to.
        stochastic: Whether the maps depend on the seed.
        needs: What a network must have.
        family: What it is like, by which figures group and colour; a "control" knows nothing of the network, or
            makes maps worse on purpose.
        aliases: Other spellings that people use.
        style: How figures draw it.
        expensive: Whether an image takes tens of passes or more.
        passes_grow_with: The parameter that the number of passes grows in step with, empty if there is none.
        shares_passes: Whether the images of a batch may go through the network in the same passes; the others are
            given one image at a time, on every device.
    """

    name: str
    source: str
    defaults: Mapping[str, Param] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    stochastic: bool = False
    needs: tuple[Need, ...] = ()
    family: Family = "user"
    aliases: tuple[str, ...] = ()
    style: Style = UNSTYLED
    expensive: bool = False
    passes_grow_with: str = ""
    shares_passes: bool = False

    @property
    def key(self) -> str:
        """The registered key, which is the name."""
        return self.name

    @property
    def needs_bcos(self) -> bool:
        """Whether only B-cos networks can be explained."""
        return BCOS_NETWORK in self.needs


@dataclass(frozen=True, slots=True)
class Explainer:
    """An explainer: checks its arguments, protects the model, calls `attribute`.

    Attributes:
        info: Name, source, parameters, needs.
        attribute: The function that makes the maps.
        code: Identity of a user's own code; empty for the suite's, which the version stands for.
    """

    info: ExplainerInfo
    attribute: Callable[..., Tensor]
    code: str = ""

    @property
    def all_defaults(self) -> Mapping[str, Param]:
        """Its own parameters, then those that every explainer has."""
        return {
            **self.info.defaults,
            **{key: value for key, value in COMMON_PARAMS.items() if key not in self.info.defaults},
        }

    @property
    def speed_only(self) -> frozenset[str]:
        """Parameters that change how fast maps are made, not the maps."""
        return self.info.limits.speed_only

    def __call__(
        self, model: Network, images: Tensor, targets: Tensor, *, seed: int = 0, **params: Param
    ) -> Tensor:
        """Return signed attributions `(B, K, H, W)`, float32, on the model's device.

        The model is left as it was found, also when something raises; one thread at a time explains a network.
        Maps of an image do not depend on the other images of the batch, up to rounding.

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
        values = self.checked(params)
        self.check(model, values)
        draws = {"seed": seed} if self.info.stochastic else {}
        device = device_of(model)
        precision = FLOAT32 if "precision" in self.info.defaults else str(values.pop("precision", FLOAT32))
        with frozen(model), float32_by_default(), passes_in(precision, device):
            # Copies: explainers of people's own may work in place, and the caller's may require a gradient.
            given = images.detach().to(device, copy=True), targets.to(device, copy=True)
            maps = self.attribute(model, *given, **draws, **values)
            return maps.detach().float()

    def check(self, model: Network, params: Mapping[str, Param]) -> None:
        """Raise what a call with this model and these parameters would raise before it computes anything.

        Raises:
            IncompatibleError: If this explainer does not exist for this network.
            InputError: If a parameter is unknown or its value not allowed.
        """
        self.checked(params)
        for need in self.info.needs:
            refusal = need.refusal(model, params)
            if refusal is not None:
                raise IncompatibleError(f"method '{self.info.name}' {refusal.replace('METHOD', self.info.name)}")

    def checked(self, params: Mapping[str, Any]) -> dict[str, Param]:
        """Return parameters in the types of their defaults.

        Raises:
            InputError: If one is unknown or its value not allowed.
        """
        choices = {**COMMON_CHOICES, **self.info.limits.choices}
        limits = Limits(self.info.limits.ranges, choices)
        return Owner("method", self.info.name, self.all_defaults, limits).checked(params)


EXPLAINERS: dict[str, Explainer] = {}

F = TypeVar("F", bound=Callable[..., Tensor])


def register_explainer(
    name: str,
    *,
    source: str,
    family: Family = "user",
    needs: tuple[Need, ...] = (),
    aliases: tuple[str, ...] = (),
    style: Style = UNSTYLED,
    expensive: bool = False,
    passes_grow_with: str = "",
    shares_passes: bool = False,
) -> Callable[[F], F]:
    """Register a function `(model, images, targets, *, …) -> maps` as an explainer; it is returned unchanged.

    Its keyword-only arguments become the explainer's parameters; their annotations say what values are allowed.
    One called `seed` makes it stochastic. The other arguments are those of `ExplainerInfo`.

    Raises:
        ValueError: If the name or an alias is taken.
    """

    def register(function: F) -> F:
        if name in EXPLAINERS:
            raise ValueError(f"explainer '{name}' is registered twice; every explainer needs its own name")
        signature = inspect.signature(function).parameters
        info = ExplainerInfo(
            name=name,
            source=source,
            defaults={key: p.default for key, p in signature.items() if key not in _CONTRACT_ARGUMENTS},
            limits=limits_of(function),
            stochastic="seed" in signature,
            needs=needs,
            family=family,
            aliases=aliases,
            style=style,
            expensive=expensive,
            passes_grow_with=passes_grow_with,
            shares_passes=shares_passes,
        )
        EXPLAINERS[name] = Explainer(info, function)
        return function

    return register


def get_explainer(name: str) -> Explainer:
    """Return the explainer registered under a name, or under a common spelling of it.

    Raises:
        InputError: If there is none; near matches are listed.
    """
    if name in EXPLAINERS:
        return EXPLAINERS[name]
    wanted = plain_spelling(name)
    for explainer in EXPLAINERS.values():
        if wanted in map(plain_spelling, (explainer.info.name, *explainer.info.aliases)):
            return explainer
    raise unknown_name("method", name, EXPLAINERS)


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
