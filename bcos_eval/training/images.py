"""Images in memory: what is done to them at every epoch, and how many of them a network recognises."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from bcos_eval.data.sample import Dataset
from bcos_eval.models import Classifier

from .recipe import Recipe

# Images per forward pass where accuracy is measured.
_BATCH_SIZE = 250
_LOG_LARGEST_RATIO = math.log(1.25)


@dataclass(frozen=True, slots=True)
class ImageTable:
    """All images of a dataset.

    Attributes:
        images: `(N, 3, H, W)`, uint8.
        labels: `(N,)`, int64.
    """

    images: Tensor
    labels: Tensor

    def to(self, device: str | torch.device) -> ImageTable:
        """Return the table on a device."""
        return ImageTable(self.images.to(device), self.labels.to(device))


def read_all(dataset: Dataset) -> ImageTable:
    """Decode a dataset into memory, with a progress bar; an unreadable image ends it with its error."""
    samples = (dataset[index] for index in range(len(dataset)))
    bar = tqdm(samples, total=len(dataset), desc=f"reading {dataset.name}", unit="image")
    images = torch.stack([(sample.image * 255).round().to(torch.uint8) for sample in bar])
    return ImageTable(images, torch.tensor(list(dataset.labels)))


def epoch_batches(table: ImageTable, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled, augmented batches: images `(B, 3, H, W)` float32 in [0, 1] and labels `(B,)`.

    They lie where the table lies. Random numbers come from the processor's global generator, which the caller
    seeds, so that every device trains on the same crops.
    """
    order = torch.randperm(len(table.labels))
    for start in range(0, len(order) - recipe.batch_size + 1, recipe.batch_size):
        chosen = order[start : start + recipe.batch_size].to(table.images.device)
        yield augmented(table.images[chosen].float() / 255, recipe), table.labels[chosen]


def augmented(images: Tensor, recipe: Recipe) -> Tensor:
    """Return a random crop of every image at the image's own size, mirrored at random.

    A crop's area is uniform in [crop_scale_min, 1] of the image's, the logarithm of its aspect ratio uniform in
    ±log 1.25, as in torchvision's RandomResizedCrop, but a whole batch at once and with sides of any length. Crops
    are never larger than the image, so that bilinear enlargement needs no smoothing.

    Args:
        images: `(B, 3, H, W)` float32.
        recipe: Smallest area and whether to mirror.
    """
    n_images = len(images)
    area = torch.empty(n_images).uniform_(recipe.crop_scale_min, 1)
    ratio = torch.empty(n_images).uniform_(-_LOG_LARGEST_RATIO, _LOG_LARGEST_RATIO).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    shift_x, shift_y = torch.empty(2, n_images).uniform_(-1, 1)
    mirror = 1 - 2 * torch.bernoulli(torch.full((n_images,), 0.5 if recipe.flip else 0.0))
    crops = torch.zeros(n_images, 2, 3)
    crops[:, 0, 0], crops[:, 0, 2] = width * mirror, shift_x * (1 - width)
    crops[:, 1, 1], crops[:, 1, 2] = height, shift_y * (1 - height)
    grid = F.affine_grid(crops.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


@torch.no_grad()
def top1_accuracy(model: Classifier, table: ImageTable) -> float:
    """Return the share of images whose largest logit is their label, in float32 and evaluation mode."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    hits = 0
    for images, labels in zip(table.images.split(_BATCH_SIZE), table.labels.split(_BATCH_SIZE), strict=True):
        logits = model(model.encode(images.to(device).float() / 255))
        hits += int((logits.argmax(1).cpu() == labels.cpu()).sum())
    model.train(was_training)
    return hits / len(table.labels)
