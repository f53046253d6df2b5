"""What a model says of a dataset's images: which it classifies correctly, and how confidently.

Grids are made of such images, and metrics of deletion are scored on them. Images are looked at when they are
asked for, in groups that are the same whoever asks, and what was said is stored under `OUT/pools`: a picture is
shown to a model once, an interrupted pass resumes, and runs in one folder share the work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
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

from .order import turns_of

# Images of a group, which is a batch. It is fixed, whatever --batch-size says and whoever asks: rounding must not
# reorder the images. A group spans few classes and few turns of them, so that neither who looks class by class nor
# who takes one image of every class looks at many in vain.
_GROUP_SIZE = 32
_CLASSES_PER_GROUP = 8
_COLUMNS = ("max_logits", "correct", "label_probability", "predicted")


@dataclass(frozen=True, slots=True)
class Pool:
    """What a model says about the images of a dataset, in dataset order.

    Attributes:
        max_logits: Largest logit, `(N,)`; −inf for images that are unreadable or were not looked at.
        correct: Whether it is the logit of the image's class, `(N,)` bool.
        label_probability: Probability of the image's class, `(N,)`.
        unreadable: Why an image could not be read, by its id.
        predicted: Class of the largest logit, `(N,)` int64, −1 like −inf above; None for a pool of several models.
    """

    max_logits: Tensor
    correct: Tensor
    label_probability: Tensor
    unreadable: dict[str, str]
    predicted: Tensor | None = None

    def look(self, _indices: Iterable[int] | None = None) -> Pool:
        """Return itself: all has been looked at, see `GrowingPool.look`."""
        return self


# Shows how far a pass over so many images is: a context that yields what is told the number of images done.
Show = Callable[[int], AbstractContextManager[Callable[[int], None]]]


class GrowingPool:
    """What a model says of the images it was shown so far; more are shown to it when they are asked for.

    Args:
        model: On `device`.
        dataset: Labelled images.
        folder: Where pools are stored.
        device: Where to compute.
        claims: Says what other processes are computing, which is waited for.
        show: Shows the progress of a pass.
        note: Told why an image is left out.
    """

    def __init__(
        self,
        model: Network,
        dataset: Dataset,
        folder: Path,
        *,
        device: torch.device,
        claims: Claims,
        show: Show | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        n_images = len(dataset)
        self.pool = _unseen(n_images)
        self.seen = torch.zeros(n_images, dtype=torch.bool)
        self._model, self._dataset, self._device, self._claims = model, dataset, device, claims
        self._show, self._note = show, note
        self._groups = groups_of(dataset.labels)
        self._group_of = {index: number for number, group in enumerate(self._groups) for index in group}
        self._home = folder / pool_name(dataset.name, dataset.digest(), model.name, model.weights_id)

    @property
    def unreadable(self) -> dict[str, str]:
        """Why an image that was looked at could not be read, by its id."""
        return self.pool.unreadable

    def look(self, indices: Iterable[int] | None = None) -> Pool:
        """Return what the model says of some images at least, of all if none are named.

        Of the images around them it may say something too. What is not stored, and what nobody else is computing,
        is computed.

        Raises:
            InputError: If the model's classes cannot be the dataset's.
        """
        asked = range(len(self._dataset)) if indices is None else indices
        numbers = sorted({self._group_of[index] for index in asked if not self.seen[index]})
        missing = [number for number in numbers if not self._enter(number, _read_piece(self._path(number)))]
        if missing:
            n_missing = sum(len(self._groups[number]) for number in missing)
            shown = nullcontext(lambda _n: None) if self._show is None else self._show(n_missing)
            with shown as advance:
                self._find_out(missing, advance)
        return self.pool

    def _find_out(self, missing: Sequence[int], advance: Callable[[int], None]) -> None:
        while missing:
            for number in missing:
                with self._claims.held([f"{self._home.name[-KEY_DIGITS:]}-{number:06d}"]) as mine:
                    piece = _read_piece(self._path(number))
                    if mine and not self._fits(number, piece):
                        piece = _compute_piece(self._model, self._dataset, self._groups[number], self._device)
                        _write_piece(self._path(number), piece)
                if self._enter(number, piece):
                    advance(len(self._groups[number]))
            missing = [number for number in missing if not self.seen[self._groups[number][0]]]
            if missing:
                self._claims.wait()

    def _path(self, number: int) -> Path:
        return self._home / f"group-{number:06d}.npz"

    def _enter(self, number: int, piece: Pool | None) -> bool:
        """Enter what is said of a group; whether there was something of its size."""
        if piece is None or not self._fits(number, piece):
            return False
        places = torch.tensor(self._groups[number])
        for whole, part in zip(_columns(self.pool), _columns(piece), strict=True):
            whole[places] = part
        self.seen[places] = True
        self.pool.unreadable.update(piece.unreadable)
        for reason in piece.unreadable.values():
            if self._note is not None:
                self._note(f"skipped an image: {reason}")
        return True

    def _fits(self, number: int, piece: Pool | None) -> bool:
        return piece is not None and len(piece.correct) == len(self._groups[number])


def groups_of(labels: Sequence[int]) -> list[list[int]]:
    """Return the images of a dataset in groups of at most `_GROUP_SIZE`, which depend on nothing but the labels.

    A group has some turns of some classes, the n-th turn of a class being its n-th image in dataset order.
    """
    ranks = {label: rank for rank, label in enumerate(sorted(set(labels)))}
    n_blocks = -(-len(ranks) // _CLASSES_PER_GROUP)
    n_classes = -(-len(ranks) // n_blocks) if ranks else 1
    n_turns = _GROUP_SIZE // n_classes
    groups: dict[tuple[int, int], list[int]] = {}
    for index, (turn, label) in enumerate(zip(turns_of(labels), labels, strict=True)):
        groups.setdefault((turn // n_turns, ranks[label] // n_classes), []).append(index)
    return [groups[key] for key in sorted(groups)]


def _unseen(n: int) -> Pool:
    return Pool(
        max_logits=torch.full((n,), -torch.inf),
        correct=torch.zeros(n, dtype=torch.bool),
        label_probability=torch.zeros(n),
        unreadable={},
        predicted=torch.full((n,), -1),
    )


def _columns(pool: Pool) -> tuple[Tensor, ...]:
    """Return the tensors of a pool that a model alone has made."""
    return pool.max_logits, pool.correct, pool.label_probability, pool.predicted  # type: ignore[return-value]


def _pool_of(columns: Sequence[Tensor], unreadable: dict[str, str]) -> Pool:
    """Return the pool of what `_columns` gave."""
    max_logits, correct, label_probability, predicted = columns
    return Pool(max_logits, correct, label_probability, unreadable, predicted)


def _compute_piece(model: Network, dataset: Dataset, indices: Sequence[int], device: torch.device) -> Pool:
    unreadable: dict[str, str] = {}
    samples = _readable(dataset, indices, unreadable)
    try:
        return _evaluate(model, samples, len(indices), unreadable, device)
    except (InputError, MemoryError):
        raise
    except (Exception, SystemExit):  # a user's model may raise anything on one of them
        return _evaluated_singly(model, samples, len(indices), unreadable, device)


def _readable(dataset: Dataset, indices: Sequence[int], unreadable: dict[str, str]) -> dict[int, Sample]:
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
    pool = replace(_unseen(n), unreadable=unreadable)
    if samples:
        images = torch.stack([sample.image for sample in samples.values()]).to(device)
        labels = torch.tensor([sample.label for sample in samples.values()], device=device)
        with torch.no_grad():
            logits = model(model.encode(images)).float()
        _check_classes(model, logits, labels)
        largest, winners = logits.max(1)
        of_label = model.probability(logits).gather(1, labels[:, None])[:, 0]
        said = (largest, winners == labels, of_label, winners)
        for column, values in zip(_columns(pool), said, strict=True):
            column[list(samples)] = values.to(column.dtype).cpu()
    return pool


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
    columns = [torch.cat(parts) for parts in zip(*map(_columns, pools), strict=True)]
    return _pool_of(columns, {})


def _write_piece(path: Path, pool: Pool) -> None:
    arrays = dict(zip(_COLUMNS, (column.numpy() for column in _columns(pool)), strict=True))
    save_arrays(path, {**arrays, "unreadable": np.array(json.dumps(pool.unreadable))})


def _read_piece(path: Path) -> Pool | None:
    """Return a stored piece; None where there is none, or a damaged one, which is computed again."""
    try:
        stored = load_arrays(path)
        columns = [torch.from_numpy(stored[name]) for name in _COLUMNS]
        return _pool_of(columns, json.loads(str(stored["unreadable"])))
    except (DamagedFileError, ValueError, KeyError, TypeError):
        return None
