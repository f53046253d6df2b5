"""Top-1 accuracy."""

from __future__ import annotations

import torch

from bcos_eval.models.classifier import Classifier

from .images import ImageTable

_BATCH_SIZE = 250


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
