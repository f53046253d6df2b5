"""The first attributions of every method, kept for the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from bcos_eval.bcos import colour_explanation, linear_summary
from bcos_eval.contract.plugins import Network
from bcos_eval.stimuli.stimulus import Stimulus
from bcos_eval.store.examples import MAX_STIMULI, MAX_TARGETS, ExampleIdentity, save_examples

from .plan import Cell
from .run_context import Workplace
from .scoring import ScoredStimulus

# The method whose attributions have colours.
_COLOUR_METHOD = "bcos"
_SMOOTHING_OF_SIDE = 15 / 224


def keep_examples(workplace: Workplace, cell: Cell, scored: Sequence[ScoredStimulus]) -> None:
    """Store the maps of the first stimuli, as far as they have one shape.

    Args:
        workplace: Models and data.
        cell: Any cell of the model and method.
        scored: Its first stimuli, with their maps.
    """
    shown = [entry for entry in scored[:MAX_STIMULI] if entry.maps.shape == scored[0].maps.shape]
    if not shown:
        return
    network, stimuli = workplace.network(cell.model), [entry.stimulus for entry in shown]
    identity = ExampleIdentity(
        dataset=workplace.dataset(cell.model).name,
        model=cell.model,
        weights=network.weights_id,
        kind=cell.kind.label,
        method=cell.method.label,
    )
    # Colours are made from the whole image, which a network that is shown parts of it may not take.
    coloured = cell.method.name == _COLOUR_METHOD and cell.kind.is_shown_whole
    save_examples(
        workplace.root,
        identity,
        stimuli,
        torch.stack([entry.maps for entry in shown]),
        class_names=workplace.dataset(cell.model).class_names,
        rgba=_colours(network, stimuli, workplace.device) if coloured else None,
    )


def _colours(network: Network, stimuli: Sequence[Stimulus], device: torch.device) -> Tensor:
    """Colour explanations `(N, K, 4, H, W)`, one stimulus at a time since grids are large."""
    colours = []
    for stimulus in stimuli:
        encoded = network.encode(stimulus.image[None].to(device))
        targets = stimulus.targets[None, :MAX_TARGETS].to(device)
        weights = linear_summary(cast("nn.Module", network), encoded, targets)[0]  # (K, 6, H, W)
        smoothing = _smoothing(stimulus)
        rows = [colour_explanation(row, encoded[0], smoothing=smoothing).cpu() for row in weights]
        colours.append(torch.stack(rows))
    return torch.stack(colours)


def _smoothing(stimulus: Stimulus) -> int:
    """Odd number of pixels that is to one cell of the stimulus what 15 is to the official images of 224."""
    cell_side = stimulus.image.shape[-1] / len(stimulus.targets) ** 0.5
    return 2 * round(cell_side * _SMOOTHING_OF_SIDE / 2) + 1
