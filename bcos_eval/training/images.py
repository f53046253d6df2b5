"""Images in memory: what is done to them at every epoch, and how many of them a network recognises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import v2
from tqdm import tqdm

from bcos_eval.data.sample import Dataset
from bcos_eval.models import Classifier

from .recipe import Recipe

# Images per forward pass where accuracy is measured.
_BATCH_SIZE = 250


@dataclass(frozen=True, slots=True)
class ImageTable:
    """All images of a dataset.

    Attributes:
        images: `(N, 3, H, W)`, uint8.
        labels: `(N,)`, int64.
    """

    images: Tensor
    labels: Tensor


def read_all(dataset: Dataset) -> ImageTable:
    """Decode a dataset into memory, with a progress bar; an unreadable image ends it with its error."""
    samples = (dataset[index] for index in range(len(dataset)))
    bar = tqdm(samples, total=len(dataset), desc=f"reading {dataset.name}", unit="image")
    images = torch.stack([(sample.image * 255).round().to(torch.uint8) for sample in bar])
    return ImageTable(images, torch.tensor(list(dataset.labels)))


def epoch_batches(table: ImageTable, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled, augmented batches: images `(B, 3, H, W)` float32 in [0, 1] and labels `(B,)`.

    Draws from torch's global generator, which the caller seeds (torchvision's transforms know no other).
    """
    side = table.images.shape[-1]
    augment = v2.Compose(
        [
            v2.RandomResizedCrop(side, scale=(recipe.crop_scale_min, 1.0), ratio=(0.8, 1.25), antialias=True),
            v2.RandomHorizontalFlip(0.5 if recipe.flip else 0.0),
        ]
    )
    order = torch.randperm(len(table.labels))
    for start in range(0, len(order) - recipe.batch_size + 1, recipe.batch_size):
        chosen = order[start : start + recipe.batch_size]
        images = torch.stack([augment(table.images[index]) for index in chosen])
        yield images.float() / 255, table.labels[chosen]


@torch.no_grad()
def top1_accuracy(model: Classifier, table: ImageTable) -> float:
    """Return the share of images whose largest logit is their label, in float32 and evaluation mode."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    hits = 0
    for images, labels in zip(table.images.split(_BATCH_SIZE), table.labels.split(_BATCH_SIZE), strict=True):
        logits = model(model.encode(images.to(device).float() / 255))
        hits += int((logits.argmax(1).cpu() == labels).sum())
    model.train(was_training)
    return hits / len(table.labels)
