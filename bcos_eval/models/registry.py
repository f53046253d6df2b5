"""Every model by name: how to build it, how large it is, and where its weights come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import torch

from bcos_eval.errors import InputError, unknown_name

from .classifier import Classifier
from .published import PublishedWeights

# "imagenet" is the published network for 224×224 images, "small" one of the same family for 64×64 images; what it
# leaves out is in `ModelInfo.small_note`.
Variant = Literal["imagenet", "small"]
IMAGENET_CLASSES = 1000
IMAGENET_SIDE = 224
SMALL_SIDE = 64

_Layout = TypeVar("_Layout")

_BCOS_SOURCE = "Böhle et al., TPAMI 2024"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A registered model.

    Attributes:
        name: Registered name.
        family: Architecture family.
        is_bcos: Whether it is a B-cos network.
        build: Builds the network with fresh weights: `build(variant, num_classes)`.
        small_note: What the small variant changes, for tables and model cards.
        source: Paper.
        n_parameters: Parameters of the published network, for ImageNet's classes; None where nobody counted. A
            test builds every network and counts again, which takes seconds.
        published: Its weights for ImageNet; None where there are none.
        input_size: Side of the images that these want, where it is not the usual one.
    """

    name: str
    family: str
    is_bcos: bool
    build: Callable[[Variant, int], Classifier]
    small_note: str
    source: str
    n_parameters: int | None = None
    published: PublishedWeights | None = None
    input_size: int | None = None


class Released(NamedTuple):
    """What is known of a network as it was published: `n_parameters` and `published` of a `ModelInfo`."""

    n_parameters: int
    published: PublishedWeights


@dataclass(frozen=True, slots=True)
class ModelZoo:
    """Networks by name that are many, and whose registration would be slow or impossible before somebody asks.

    Attributes:
        title: What they are, for people.
        find: Returns the entry of a name; None for names of others.
        names: Returns all their names, as far as they can be listed.
        is_fixed: Whether the names are the same wherever the suite is installed, so that its catalogue has them.
    """

    title: str
    find: Callable[[str], ModelInfo | None]
    names: Callable[[], Sequence[str]]
    is_fixed: bool = True


MODELS: dict[str, ModelInfo] = {}
ZOOS: list[ModelZoo] = []


def register_zoo(zoo: ModelZoo) -> None:
    """Let `model_info` find a zoo's networks where the registry has none of the name."""
    ZOOS.append(zoo)


def register_model(info: ModelInfo) -> ModelInfo:
    """Add a model to the registry.

    Raises:
        ValueError: If the name is taken.
    """
    if info.name in MODELS:
        raise ValueError(f"model '{info.name}' is registered twice")
    MODELS[info.name] = info
    return info


def register_pair(
    architecture: str,
    family: str,
    layouts: Mapping[Variant, _Layout],
    *,
    standard: tuple[Callable[[_Layout, int], Classifier], Released],
    bcos: tuple[Callable[[_Layout, int], Classifier], Released],
    small_note: str,
    source: str,
) -> None:
    """Register a standard network under the architecture's name and its B-cos counterpart under `bcos_` and it.

    Args:
        architecture: Name of the standard network.
        family: Architecture family.
        layouts: The shape of each variant.
        standard: The class of the standard network, made from a layout and a number of classes, and its release.
        bcos: Likewise of the B-cos network.
        small_note: What the small variant changes.
        source: Paper of the standard network.
    """
    for name, is_bcos, (make, released), paper in (
        (architecture, False, standard, source),
        (f"bcos_{architecture}", True, bcos, _BCOS_SOURCE),
    ):

        def build(
            variant: Variant, num_classes: int, make: Callable[[_Layout, int], Classifier] = make
        ) -> Classifier:
            return make(layouts[variant], num_classes)

        register_model(ModelInfo(name, family, is_bcos, build, small_note, paper, *released))


def model_info(name: str) -> ModelInfo:
    """Return the registry entry of a name.

    Raises:
        InputError: If the name is unknown, with near matches.
    """
    if name in MODELS:
        return MODELS[name]
    found = next((entry for zoo in ZOOS if (entry := zoo.find(name)) is not None), None)
    if found is None:
        raise unknown_name("model", name, [*MODELS, *(known for zoo in ZOOS for known in zoo.names())])
    return found


def published_weights(name: str) -> PublishedWeights | None:
    """Return the ImageNet weights published for a model; None where there are none or the name is unknown."""
    try:
        return model_info(name).published
    except InputError:
        return None


def n_parameters(info: ModelInfo) -> int:
    """Return the number of parameters of the published network, for ImageNet's classes."""
    return counted_parameters(info) if info.n_parameters is None else info.n_parameters


def counted_parameters(info: ModelInfo) -> int:
    """Return the same number by building the network, without memory for its weights."""
    with torch.device("meta"):
        model = info.build("imagenet", IMAGENET_CLASSES)
    return sum(parameter.numel() for parameter in model.parameters())
