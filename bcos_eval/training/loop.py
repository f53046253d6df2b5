"""The training loop: resumable after every epoch, the same result whether interrupted or not."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from bcos_eval.errors import InputError
from bcos_eval.models.classifier import Classifier
from bcos_eval.models.form import set_exponent
from bcos_eval.seeding import derived_seed

from .images import ImageTable, epoch_batches
from .recipe import Recipe

# Weights of smaller norm are clipped as if they had this norm, so that zeros can leave zero.
_MIN_WEIGHT_NORM = 1e-3
_MIN_GRADIENT_NORM = 1e-6
_STEPS_PER_LOSS = 20


class Trainer:
    """Trains one network; `run` continues from the checkpoint if there is one.

    Every epoch draws from a generator seeded by (recipe seed, epoch), so that resuming repeats nothing.

    Args:
        model: The network; trained in place.
        table: Training images.
        recipe: Hyper-parameters.
        checkpoint: File that holds everything needed to go on, rewritten after every epoch.
        compiled: Whether to fuse the network's element-wise operations with `torch.compile`.

    Raises:
        InputError: If the checkpoint was made by another recipe, or the images do not fill one batch.
    """

    def __init__(
        self, model: Classifier, table: ImageTable, recipe: Recipe, *, checkpoint: Path, compiled: bool
    ) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.table = table.to(self.device)
        self.recipe = recipe
        self.checkpoint = checkpoint
        self.steps_per_epoch = len(table.labels) // recipe.batch_size
        if self.steps_per_epoch == 0:
            raise InputError(
                f"{len(table.labels)} training images do not fill one batch of {recipe.batch_size}; "
                "pass a smaller --batch-size"
            )
        self.optimizer = _optimizer(model, recipe)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._learning_rate_factor)
        self.average = _average(model, recipe)
        self.epoch = 0
        self.seconds = 0.0
        # Compiled again for every value of B, a network would not get to train.
        compiled = compiled and recipe.b_rise_fraction == 0
        self.forward: Callable[[Tensor], Tensor] = torch.compile(model) if compiled else model
        self.clip: Callable[[Iterable[nn.Parameter]], object] = self._clipping(compiled)
        if checkpoint.is_file():
            self._load()

    def run(self, on_epoch: Callable[[int, float], None] | None = None) -> Classifier:
        """Train to the recipe's last epoch and return the network (its average if the recipe asks for one).

        Args:
            on_epoch: Called after every epoch with the number of epochs done and the mean loss.
        """
        total = self.recipe.epochs * self.steps_per_epoch
        done = self.epoch * self.steps_per_epoch
        with tqdm(total=total, initial=done, desc=f"training {self.model.name}", unit="step") as bar:
            while self.epoch < self.recipe.epochs:
                started = time.monotonic()
                loss = self._run_epoch(bar)
                self.epoch += 1
                self.seconds += time.monotonic() - started
                self._save()
                if on_epoch is not None:
                    on_epoch(self.epoch, loss)
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        set_exponent(self.model, self.recipe.form.b)
        return self.model.eval()

    def _run_epoch(self, bar: tqdm[Any]) -> float:
        self.model.train()
        total = torch.zeros((), device=self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.recipe.seed, "epoch", self.epoch))
            for step, (images, labels) in enumerate(epoch_batches(self.table, self.recipe)):
                loss = self._step(images, labels)
                total += loss
                bar.update()
                if step % _STEPS_PER_LOSS == 0:  # reading it makes the processor wait for an accelerator
                    bar.set_postfix(epoch=self.epoch + 1, loss=f"{float(loss):.4f}", refresh=False)
        return float(total) / self.steps_per_epoch

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        encoded = self.model.encode(images).contiguous(memory_format=torch.channels_last)
        if self.recipe.b_rise_fraction:
            set_exponent(self.model, self._exponent())
        low = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16) if low else nullcontext():
            logits = self.forward(encoded)
        objective = bce_with_off_labels if self.recipe.loss == "bce_off_labels" else F.cross_entropy
        loss = objective(logits.float(), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.clip([*self.model.parameters()])
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss.detach()

    def _exponent(self) -> float:
        rise = self.recipe.b_rise_fraction * self.recipe.epochs * self.steps_per_epoch
        return 1 + (self.recipe.form.b - 1) * min(1.0, self.schedule.last_epoch / rise)

    def _clipping(self, compiled: bool) -> Callable[[Iterable[nn.Parameter]], object]:
        if self.recipe.clipping == "adaptive":
            # Hundreds of small operations, which an accelerator spends more time starting than doing.
            function = (
                torch.compile(clip_adaptively) if compiled and self.device.type == "cuda" else clip_adaptively
            )
            return partial(function, factor=self.recipe.clip_factor)
        if self.recipe.clipping == "norm":
            return partial(nn.utils.clip_grad_norm_, max_norm=self.recipe.clip_factor)
        return lambda _: None

    def _learning_rate_factor(self, step: int) -> float:
        total = self.recipe.epochs * self.steps_per_epoch
        warmup = max(1, round(self.recipe.warmup_fraction * total))
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))

    def _save(self) -> None:
        state = {
            "recipe": asdict(self.recipe),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
            "average": None if self.average is None else self.average.state_dict(),
        }
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.checkpoint)  # noqa: PTH105 - one atomic call, as the name says

    def _load(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if state["recipe"] != asdict(self.recipe):
            raise InputError(
                f"{self.checkpoint} was made by another recipe; delete it to start again, "
                "or pass the options it was started with"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.epoch, self.seconds = state["epoch"], state["seconds"]


def _optimizer(model: Classifier, recipe: Recipe) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    fused = next(model.parameters()).device.type == "cuda"
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=fused)


def _average(model: Classifier, recipe: Recipe) -> AveragedModel | None:
    if recipe.ema_decay == 0:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay), use_buffers=True)


def bce_with_off_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """Return binary cross entropy against 1 for the label and 1/C for every other class.

    Args:
        logits: `(B, C)`.
        labels: Class indices `(B,)`.

    Returns:
        Mean over images and classes, a scalar.

    Source: official B-cos v2 code (uniform off-labels); TPAMI 2024, appendix on training.
    """
    num_classes = logits.shape[1]
    targets = F.one_hot(labels, num_classes).to(logits.dtype).clamp(min=1 / num_classes)
    return F.binary_cross_entropy_with_logits(logits, targets)


def clip_adaptively(parameters: Iterable[nn.Parameter], factor: float) -> None:
    """Shorten, in place, every filter's gradient to at most `factor` times the norm of its weights.

    Source: Brock et al., High-Performance Large-Scale Image Recognition Without Normalization (ICML 2021),
    equation 3.
    """
    for parameter in parameters:
        if parameter.grad is None:
            continue
        limit = _filter_norm(parameter.detach()).clamp(min=_MIN_WEIGHT_NORM) * factor
        norm = _filter_norm(parameter.grad).clamp(min=_MIN_GRADIENT_NORM)
        parameter.grad.mul_((limit / norm).clamp(max=1))


def _filter_norm(x: Tensor) -> Tensor:
    """Return one norm per output unit, broadcastable to `x`; one for a whole vector."""
    if x.ndim < 2:
        return torch.linalg.vector_norm(x)
    return torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)), keepdim=True)
