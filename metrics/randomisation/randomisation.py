"""Model-parameter randomisation: whether an attribution notices that the network has forgotten what it learnt."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.contract.metric import Batch, CurveAxes, MetricInfo, Scored, register_metric, unknown_chance
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Count
from bcos_eval.contract.statuses import Status, is_constant, is_nonfinite, is_zero, map_statuses
from bcos_eval.errors import InputError
from bcos_eval.seeding import derived_seed

from ..ranking import rank_correlation


def layers_by_use(network: Network, run: Callable[[], object]) -> list[tuple[str, nn.Module]]:
    """Return the layers that can be initialised again, with their names, in the order a forward pass uses them.

    A layer is a module that holds parameters itself and has `reset_parameters`: convolutions, linear layers and
    most norms, also inside B-cos transforms. Modules that the pass does not use are left out.

    Args:
        network: The network.
        run: Makes it do one forward pass.
    """
    names = {module: name for name, module in network.named_modules() if _can_be_reset(module)}
    used: dict[nn.Module, str] = {}

    def note(module: nn.Module, *_: object) -> None:
        used.setdefault(module, names[module])

    handles = [module.register_forward_hook(note) for module in names]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return [(name, module) for module, name in used.items()]


def _can_be_reset(module: nn.Module) -> bool:
    holds_parameters = next(module.parameters(recurse=False), None) is not None
    return holds_parameters and callable(getattr(module, "reset_parameters", None))


def covered_fraction(network: Network, layers: Sequence[tuple[str, nn.Module]]) -> float:
    """Return the share of the network's parameters that lie in the layers, in [0, 1].

    Biases of B-cos classifiers do not exist, and a constant `logit_bias` is no parameter: neither is randomised.
    """
    covered = {parameter for _, layer in layers for parameter in layer.parameters(recurse=False)}
    total = sum(parameter.numel() for parameter in network.parameters())
    return sum(parameter.numel() for parameter in covered) / total


def reset_layer(name: str, layer: nn.Module, *, seed: int) -> None:
    """Initialise a layer again, in place, from a seed of its own: layers of one shape get different weights.

    Norms go back to their first weights and statistics. The global random generators are left as they were, and
    the weights do not depend on the device.

    Args:
        name: The layer's name in its network, part of the seed.
        layer: Has `reset_parameters`.
        seed: Seed of the run.
    """
    device = next(layer.parameters(recurse=False)).device
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(derived_seed(seed, "randomisation", name))
        layer.cpu()
        layer.reset_parameters()  # type: ignore[operator] # checked by layers_by_use
        layer.to(device)


def cascade(explained: ExplainedModel, image: Tensor, *, n_stages: int, seed: int = 0) -> Iterator[ExplainedModel]:
    """Yield the explainer on a copy of the network that forgets more and more, from the output to the input.

    Each stage initialises another equal share of the layers again; after the last all are. The copy is one and the
    same object, changed between the stages.

    Args:
        explained: The network and its explainer; left alone.
        image: Any image `(3, H, W)` that the network takes, for the order of the layers.
        n_stages: Number of stages; as many as there are layers if those are fewer.
        seed: Seed of the run.

    Raises:
        InputError: If no layer can be initialised again.
    """
    forgetful = explained.with_network(copy.deepcopy(explained.network))
    layers = layers_by_use(forgetful.network, lambda: forgetful.logits(forgetful.encode(image[None])))
    if not layers:
        kind = type(explained.network).__name__
        raise InputError(f"no layer of {kind} has reset_parameters(); give its layers one to randomise them.")
    n_stages = min(n_stages, len(layers))
    layers.reverse()
    for stage in range(n_stages):
        for name, layer in layers[len(layers) * stage // n_stages : len(layers) * (stage + 1) // n_stages]:
            reset_layer(name, layer, seed=seed)
        yield forgetful


def randomised_correlations(
    batch: Batch, *, n_stages: int, prepare: Callable[[Tensor], Tensor] = torch.Tensor.double
) -> Tensor:
    """Return the rank correlation of each map with its like at every stage, `(B, K, n_stages)`, on the CPU.

    A constant map of a randomised network has nothing in common with the scored map: 0. A constant scored map and
    maps with NaN or infinity give NaN.

    Args:
        batch: Maps, images, targets, the model with its explainer and the seed.
        n_stages: Number of stages of the cascade.
        prepare: Applied to all maps before they are compared.
    """
    original = prepare(batch.maps.cpu()).flatten(2)
    constant = is_constant(batch.maps).cpu()
    stages = []
    for forgetful in cascade(batch.model, batch.images[0], n_stages=n_stages, seed=batch.seed):
        maps = forgetful.explain(batch.images, batch.targets).cpu()
        correlation = rank_correlation(original, prepare(maps).flatten(2))
        undefined = constant | is_nonfinite(batch.maps).cpu() | is_nonfinite(maps)
        stages.append(correlation.nan_to_num(0.0).masked_fill(undefined, torch.nan))
    return torch.stack(stages, -1)


_CASCADING = MetricInfo(
    name="randomisation",
    preset="cascading",
    stimulus="single",
    needs=("model", "explainer"),
    direction="lower",
    low=-1.0,
    high=1.0,
    chance=None,
    source="Adebayo et al. 2018, Sanity Checks for Saliency Maps: cascading randomisation, rank correlation",
    defaults={"n_stages": 10},
    expensive=True,
    curve=CurveAxes("stage of the cascade, output first", "rank correlation"),
)


@register_metric(_CASCADING, recommended=True)
def _score_cascading(batch: Batch, *, n_stages: Count) -> Scored:
    """Score the mean rank correlation over the stages of a cascade from the output to the input; near 0 is best.

    A map that does not look at the network at all scores 1 (`edges`, and `random`, whose seed stays the same). A
    value below 0 is no better than 0. Zero and constant maps and maps with NaN or infinity score NaN; so do
    targets whose map of a randomised network has NaN or infinity, with status `nonfinite`. The curve holds the
    stages.

    Norms with running statistics start from theirs again, so that the signal of deep B-cos networks without
    residual connections can die out on the way: their maps are then 0 and count as correlation 0.
    """
    return _scored(batch, randomised_correlations(batch, n_stages=n_stages))


@register_metric(_CASCADING.variant("absolute"))
def _score_absolute(batch: Batch, *, n_stages: Count) -> Scored:
    """Score as `cascading` does, on absolute attributions."""
    return _scored(batch, randomised_correlations(batch, n_stages=n_stages, prepare=torch.Tensor.abs))


@register_metric(_CASCADING.variant("full", defaults={}, curve=None))
def _score_full(batch: Batch) -> Scored:
    """Score the rank correlation with the map of the fully randomised network; one more explanation per unit."""
    return _scored(batch, randomised_correlations(batch, n_stages=1))


def _scored(batch: Batch, curves: Tensor) -> Scored:
    values = curves.mean(-1)
    zero, constant = is_zero(batch.maps).cpu(), is_constant(batch.maps).cpu()
    conditions = {Status.ZERO_MAP: zero, Status.NONFINITE: values.isnan() & ~constant}
    return Scored(values, map_statuses(batch.maps.cpu(), conditions), unknown_chance(values), curves)
