"""One pass of a model over a dataset: which images it classifies correctly, and how confidently.

Grids are made of such images. The pass is stored in pieces under `OUT/pools`, so that it is made once per model,
resumes after an interruption, and is shared among runs in one folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bcos_eval.contract.network import Network, is_out_of_memory
from bcos_eval.data import Dataset, Sample
from bcos_eval.errors import InputError, UnreadableImageError, reason_of
from bcos_eval.store.arrays import load_arrays, save_arrays
from bcos_eval.store.claims import Claims
from bcos_eval.store.pools import KEY_DIGITS, pool_name
from bcos_eval.store.sealed import DamagedFileError

# Fixed, whatever --batch-size says: rounding must not reorder the images.
_BATCH_SIZE = 32
_IMAGES_PER_PIECE = 256


@dataclass(frozen=True, slots=True)
class Pool:
    """What a model says about every image of a dataset, in dataset order.

    Attributes:
        max_logits: Largest logit, `(N,)`; −inf for unreadable images.
        correct: Whether it is the logit of the image's class, `(N,)` bool.
        label_probability: Probability of the image's class, `(N,)`.
        unreadable: Why an image could not be read, by its id.
    """

    max_logits: Tensor
    correct: Tensor
    label_probability: Tensor
    unreadable: dict[str, str]


def load_pool(
    model: Network,
    dataset: Dataset,
    folder: Path,
    *,
    device: torch.device,
    claims: Claims,
    advance: Callable[[int], None],
) -> Pool:
    """Return the pool of a model, computing the pieces that are not stored yet and that nobody else is computing.

    Args:
        model: On `device`.
        dataset: Labelled images.
        folder: Where pools are stored.
        device: Where to compute.
        claims: Says what other processes are computing, which is waited for.
        advance: Told the number of images done, for a progress bar.

    Raises:
        InputError: If the model's classes cannot be the dataset's.
    """
    home = folder / pool_name(dataset.name, dataset.digest(), model.name, model.weights_id)
    pieces: dict[int, Pool] = {}
    firsts = waiting = [*range(0, len(dataset), _IMAGES_PER_PIECE)]
    while waiting:
        for first in waiting:
            images = range(first, min(first + _IMAGES_PER_PIECE, len(dataset)))
            path = home / f"{images.start:08d}-{images.stop:08d}.npz"
            with claims.held([f"{home.name[-KEY_DIGITS:]}-{first:08d}"]) as mine:
                piece = _read_piece(path)
                if piece is not None:
                    advance(len(images))
                elif mine:
                    piece = _compute_piece(model, dataset, images, device, advance)
                    _write_piece(path, piece)
            if piece is not None:
                pieces[first] = piece
        waiting = [first for first in firsts if first not in pieces]
        if waiting:
            claims.wait()
    return _joined([pieces[first] for first in firsts])


def _compute_piece(
    model: Network, dataset: Dataset, indices: range, device: torch.device, advance: Callable[[int], None]
) -> Pool:
    pools = []
    for first in range(indices.start, indices.stop, _BATCH_SIZE):
        batch = range(first, min(first + _BATCH_SIZE, indices.stop))
        unreadable: dict[str, str] = {}
        samples = _readable(dataset, batch, unreadable)
        try:
            pools.append(_evaluate(model, samples, len(batch), unreadable, device))
        except (InputError, MemoryError):
            raise
        except (Exception, SystemExit):  # a user's model may raise anything on one of them
            pools.append(_evaluated_singly(model, samples, len(batch), unreadable, device))
        advance(len(batch))
    return _joined(pools)


def _readable(dataset: Dataset, indices: range, unreadable: dict[str, str]) -> dict[int, Sample]:
    samples = {}
    for position, index in enumerate(indices):
        try:
            samples[position] = dataset[index]
        except UnreadableImageError as error:
            unreadable[dataset.sample_ids[index]] = str(error)
        except Exception as error:  # boxes, for example: whatever a dataset raises costs this image and no other
            unreadable[dataset.sample_ids[index]] = f"'{dataset.sample_ids[index]}': {reason_of(error)}"
    return samples


def _evaluate(
    model: Network, samples: dict[int, Sample], n: int, unreadable: dict[str, str], device: torch.device
) -> Pool:
    max_logits, correct, probability = (
        torch.full((n,), -torch.inf),
        torch.zeros(n, dtype=torch.bool),
        torch.zeros(n),
    )
    if samples:
        images = torch.stack([sample.image for sample in samples.values()]).to(device)
        labels = torch.tensor([sample.label for sample in samples.values()], device=device)
        with torch.no_grad():
            logits = model(model.encode(images)).float()
        _check_classes(model, logits, labels)
        places = list(samples)
        largest, winners = logits.max(1)
        max_logits[places], correct[places] = largest.cpu(), (winners == labels).cpu()
        of_label = model.probability(logits).gather(1, labels[:, None])[:, 0]
        probability[places] = of_label.cpu()
    return Pool(max_logits, correct, probability, unreadable)


def _evaluated_singly(
    model: Network, samples: dict[int, Sample], n: int, unreadable: dict[str, str], device: torch.device
) -> Pool:
    """Evaluate images one by one, so that one on which the model raises costs no other."""
    pools = []
    for position in range(n):
        own = {0: samples[position]} if position in samples else {}
        try:
            pools.append(_evaluate(model, own, 1, {}, device))
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # a user's model may raise anything
            if isinstance(error, Exception) and is_out_of_memory(error):
                raise
            sample_id = samples[position].sample_id
            unreadable[sample_id] = f"'{sample_id}': model '{model.name}' failed: {reason_of(error)}"
            pools.append(_evaluate(model, {}, 1, {}, device))
    return replace(_joined(pools), unreadable=unreadable)


def _check_classes(model: Network, logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or logits.shape[1] <= int(labels.max()):
        raise InputError(
            f"model '{model.name}' gives logits of shape {tuple(logits.shape)}, too few for class "
            f"{int(labels.max())}; use a model trained on this dataset."
        )


def _joined(pools: Sequence[Pool]) -> Pool:
    return Pool(
        max_logits=torch.cat([pool.max_logits for pool in pools]),
        correct=torch.cat([pool.correct for pool in pools]),
        label_probability=torch.cat([pool.label_probability for pool in pools]),
        unreadable={key: reason for pool in pools for key, reason in pool.unreadable.items()},
    )


def _write_piece(path: Path, pool: Pool) -> None:
    arrays = {
        "max_logits": pool.max_logits.numpy(),
        "correct": pool.correct.numpy(),
        "label_probability": pool.label_probability.numpy(),
        "unreadable": np.array(json.dumps(pool.unreadable)),
    }
    save_arrays(path, arrays)


def _read_piece(path: Path) -> Pool | None:
    """Return a stored piece; None where there is none, or a damaged one, which is computed again."""
    try:
        stored = load_arrays(path)
        return Pool(
            max_logits=torch.from_numpy(stored["max_logits"]),
            correct=torch.from_numpy(stored["correct"]),
            label_probability=torch.from_numpy(stored["label_probability"]),
            unreadable=json.loads(str(stored["unreadable"])),
        )
    except (DamagedFileError, ValueError, KeyError, TypeError):
        return None
