"""The images that hidden units of a B-cos network respond to most, kept for the figure `units`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bcos_eval.bcos import Over, Unit, colour_explanation, contribution_map, unit_activations, unit_summary
from bcos_eval.contract.network import device_of
from bcos_eval.data import Dataset, Sample
from bcos_eval.errors import InputError, UnreadableImageError
from bcos_eval.models import Classifier
from bcos_eval.store.examples import UNIT_KIND, ExampleIdentity, Examples, save_examples
from bcos_eval.store.facts import MethodFacts

_BATCH_SIZE = 32


def keep_top_images(
    network: Classifier,
    dataset: Dataset,
    units: Sequence[Unit],
    *,
    over: Over,
    n_samples: int,
    n_top: int,
    root: Path,
) -> None:
    """Store, for each unit, the images of a dataset with the largest activations and what made them.

    Args:
        network: A B-cos network.
        dataset: Images of the network's size; those that cannot be read are passed over.
        units: Layers and channels.
        over: Whether the activation of an image is the mean over positions or the largest.
        n_samples: Images that are looked at, the first of the dataset.
        n_top: Images that are kept of each unit.
        root: Folder of results.

    Raises:
        InputError: If the network is no B-cos network, a unit does not exist, or no image can be read.
    """
    if not network.is_bcos:
        raise InputError(f"'{network.name}' is no B-cos network, and units of others have no linear summary.")
    activations, places = [], []
    for own, batch in _batches(dataset, min(n_samples, len(dataset.sample_ids)), device_of(network)):
        encoded = network.encode(batch)
        activations.append(
            torch.stack([unit_activations(network, encoded, unit, over=over) for unit in units]).cpu()
        )
        places += own
    if not places:
        raise InputError(f"no image of '{dataset.name}' can be read.")
    for unit, of_unit in zip(units, torch.cat(activations, 1), strict=True):
        top = of_unit.topk(min(n_top, len(of_unit))).indices.tolist()
        samples = [dataset[places[at]] for at in top]
        save_examples(root, _examples(network, dataset, unit, over, samples))


def _batches(dataset: Dataset, n_samples: int, device: torch.device) -> Iterator[tuple[list[int], Tensor]]:
    places: list[int] = []
    images: list[Tensor] = []
    for place in range(n_samples):
        try:
            images.append(dataset[place].image)
        except UnreadableImageError:
            continue
        places.append(place)
        if len(images) == _BATCH_SIZE:
            yield places, torch.stack(images).to(device)
            places, images = [], []
    if images:
        yield places, torch.stack(images).to(device)


def _examples(
    network: Classifier, dataset: Dataset, unit: Unit, over: Over, samples: Sequence[Sample]
) -> Examples:
    images = torch.stack([sample.image for sample in samples])
    encoded = network.encode(images.to(device_of(network)))
    rows, _ = unit_summary(network, encoded, unit, over=over)
    colours = [colour_explanation(row, x) for row, x in zip(rows, encoded, strict=True)]
    side = images.shape[-2:]
    return Examples(
        identity=ExampleIdentity(
            dataset=dataset.name,
            model=network.name,
            weights=network.weights_id,
            kind=f"{UNIT_KIND}{unit[0]}:{unit[1]} ({over})",
            method=MethodFacts("bcos"),
        ),
        stimulus_ids=tuple(f"single/{sample.sample_id}" for sample in samples),
        images=_to_uint8(images.movedim(1, -1)),
        targets=np.array([[sample.label] for sample in samples], dtype=np.int64),
        class_names=tuple((dataset.class_names[sample.label],) for sample in samples),
        regions=np.zeros((len(samples), 1, *side), dtype=bool),
        maps=contribution_map(rows, encoded)[:, None].double().cpu().numpy(),
        rgba=_to_uint8(torch.stack(colours).movedim(1, -1)[:, None]),
    )


def _to_uint8(values: Tensor) -> np.ndarray:
    return (values.clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()
