"""The first attributions of every method, kept for the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bcos_eval.bcos import colour_explanation, contribution_map, linear_summary
from bcos_eval.contract.network import Network
from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.store.examples import (
    MAX_STIMULI,
    MAX_TARGETS,
    TWO_MOST_LIKELY,
    ExampleIdentity,
    Examples,
    save_examples,
)
from bcos_eval.store.maps import StoredMaps, save_maps

from .plan import Cell
from .run_context import RunContext
from .scoring import ScoredStimulus
from .shard_rows import method_facts

# The method whose attributions have colours.
_COLOUR_METHOD = "bcos"
_SINGLE = "single"
_SMOOTHING_OF_SIDE = 15 / 224


def keep_examples(context: RunContext, cell: Cell, scored: Sequence[ScoredStimulus]) -> None:
    """Store the maps of the first stimuli, as far as they have one shape.

    Args:
        context: Models and data.
        cell: Any cell of the model and method.
        scored: Its first stimuli, with their maps.
    """
    with_maps = [
        (entry.stimulus, entry.maps[:MAX_TARGETS]) for entry in scored[:MAX_STIMULI] if entry.maps is not None
    ]
    shown = [(stimulus, maps) for stimulus, maps in with_maps if maps.shape == with_maps[0][1].shape]
    if not shown:
        return
    network, stimuli = context.network(cell.model), [stimulus for stimulus, _ in shown]
    identity = _identity(context, cell)
    # Colours are made from the whole image, which a network that is shown parts of it may not take.
    coloured = cell.method.name == _COLOUR_METHOD and cell.kind.is_shown_whole
    examples = examples_of(
        identity,
        stimuli,
        torch.stack([maps for _, maps in shown]),
        class_names=context.dataset(cell.model).class_names,
        rgba=_colours(network, stimuli, context.device) if coloured else None,
    )
    save_examples(context.root, examples)
    if coloured and cell.kind.label == _SINGLE:
        _keep_two_most_likely(context, identity, stimuli, network)


def keep_maps(context: RunContext, cell: Cell, first: int, stop: int, scored: Sequence[ScoredStimulus]) -> None:
    """Store the attributions of a task, those of stimuli on which the method raised excepted.

    Args:
        context: Models and data.
        cell: Any cell of the model and method.
        first: Position of the task's first stimulus.
        stop: One past that of its last.
        scored: Its stimuli with all their maps.
    """
    identity = _identity(context, cell)
    kept = (
        StoredMaps(
            identity, entry.stimulus.stimulus_id, entry.stimulus.targets.cpu().numpy(), entry.maps.float().numpy()
        )
        for entry in scored
        if entry.maps is not None
    )
    save_maps(context.root, first, stop, kept)


def _identity(context: RunContext, cell: Cell) -> ExampleIdentity:
    return ExampleIdentity(
        dataset=context.dataset(cell.model).name,
        model=cell.model,
        weights=context.network(cell.model).weights_id,
        kind=cell.kind.label,
        method=method_facts(cell.method),
    )


def _keep_two_most_likely(
    context: RunContext, identity: ExampleIdentity, stimuli: Sequence[Stimulus], network: Network
) -> None:
    """Store what speaks for the two classes that a network finds most likely, the first of them first."""
    asked = [_with_most_likely(stimulus, network, context.device) for stimulus in stimuli[:MAX_STIMULI]]
    encoded = [network.encode(stimulus.image[None].to(context.device)) for stimulus in asked]
    maps = [
        contribution_map(
            linear_summary(cast("nn.Module", network), x, stimulus.targets[None].to(context.device)), x[:, None]
        )[0]
        for x, stimulus in zip(encoded, asked, strict=True)
    ]
    examples = examples_of(
        replace(identity, kind=TWO_MOST_LIKELY),
        asked,
        torch.stack(maps),
        class_names=context.dataset(identity.model).class_names,
        rgba=_colours(network, stimuli, context.device, [stimulus.targets for stimulus in asked]),
    )
    save_examples(context.root, examples)


@torch.no_grad()
def _with_most_likely(stimulus: Stimulus, network: Network, device: torch.device) -> Stimulus:
    logits = network(network.encode(stimulus.image[None].to(device)))[0]
    targets = logits.topk(min(2, len(logits))).indices.cpu()
    nowhere = torch.zeros(len(targets), *stimulus.image.shape[-2:], dtype=torch.bool)
    return replace(stimulus, targets=targets, regions=nowhere, sample_ids=stimulus.sample_ids[:1] * len(targets))


def examples_of(
    identity: ExampleIdentity,
    stimuli: Sequence[Stimulus],
    maps: Tensor,
    *,
    class_names: Sequence[str],
    rgba: Tensor | None = None,
) -> Examples:
    """Return the first stimuli of a batch with the attributions of their first targets, as they are stored.

    At most `MAX_STIMULI` stimuli and `MAX_TARGETS` targets of each are kept.

    Args:
        identity: What the attributions are.
        stimuli: Stimuli of one kind and size, at least one.
        maps: Their attributions `(N, K, H, W)`.
        class_names: Names of all classes of the model, by class index.
        rgba: Colour explanations `(N, K, 4, H, W)` in [0, 1], from `colour_explanation`. N and K of `maps` and
            `rgba` may already be cut to what is kept.

    Raises:
        ValueError: If there are no stimuli.
    """
    if not stimuli:
        raise ValueError("examples_of got no stimuli; give at least one.")
    kept = stimuli[:MAX_STIMULI]
    targets = torch.stack([stimulus.targets[:MAX_TARGETS] for stimulus in kept]).cpu()
    colours = None if rgba is None else rgba[:MAX_STIMULI, :MAX_TARGETS].detach().cpu().movedim(2, -1)
    return Examples(
        identity=identity,
        stimulus_ids=tuple(stimulus.stimulus_id for stimulus in kept),
        images=_to_uint8(torch.stack([stimulus.image.movedim(0, -1) for stimulus in kept])),
        targets=targets.numpy().astype(np.int64),
        class_names=tuple(tuple(class_names[target] for target in row) for row in targets.tolist()),
        regions=torch.stack([stimulus.regions[:MAX_TARGETS] for stimulus in kept]).cpu().numpy(),
        maps=maps[:MAX_STIMULI, :MAX_TARGETS].detach().to("cpu", torch.float64).numpy(),
        rgba=None if colours is None else _to_uint8(colours),
    )


def _to_uint8(values: Tensor) -> NDArray[np.uint8]:
    return (values.clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()


def _colours(
    network: Network, stimuli: Sequence[Stimulus], device: torch.device, targets: Sequence[Tensor] | None = None
) -> Tensor:
    """Colour explanations `(N, K, 4, H, W)`, one stimulus at a time since grids are large.

    Args:
        network: A B-cos network.
        stimuli: Stimuli of one size.
        device: Where the network is.
        targets: Classes to explain `(K,)` for each stimulus, in the place of its own.
    """
    colours = []
    for number, stimulus in enumerate(stimuli):
        encoded = network.encode(stimulus.image[None].to(device))
        asked = stimulus.targets if targets is None else targets[number]
        weights = linear_summary(  # (K, 6, H, W)
            cast("nn.Module", network), encoded, asked[None, :MAX_TARGETS].to(device)
        )[0]
        smoothing = _smoothing(stimulus)
        rows = [colour_explanation(row, encoded[0], smoothing=smoothing).cpu() for row in weights]
        colours.append(torch.stack(rows))
    return torch.stack(colours)


def _smoothing(stimulus: Stimulus) -> int:
    """Odd number of pixels that is to one cell of the stimulus what 15 is to the official images of 224."""
    cell_side = stimulus.image.shape[-1] / len(stimulus.targets) ** 0.5
    return 2 * round(cell_side * _SMOOTHING_OF_SIDE / 2) + 1
