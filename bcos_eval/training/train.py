"""Train a network on small images and write it with its model card."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from bcos_eval.data import load_dataset
from bcos_eval.data.sample import Dataset
from bcos_eval.models.classifier import Classifier
from bcos_eval.models.registry import ModelInfo, model_info
from bcos_eval.models.weights_file import card_path, file_digest, round_weights, save_weights
from bcos_eval.seeding import derived_seed
from bcos_eval.version import __version__

from .images import read_all, top1_accuracy
from .initial import licence_of, start_from
from .loop import Trainer
from .recipe import Recipe

_CARD_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What `bcos-eval train` was asked for.

    Attributes:
        model: Registered model name.
        dataset: Registered dataset name; its images decide the small variant's classes.
        data_dir: Folder of the dataset, where it needs one.
        recipe: Hyper-parameters.
        out: Folder that receives `<model>-<dataset>.safetensors` and `.json`, and the checkpoint meanwhile.
        compiled: Whether to use `torch.compile`.
        device: Where to train.
        initial: Weights to start from; `recipe.initial_weights` is their digest.
        size: Side in pixels of the images where the dataset has photographs of any size; None is that of the small
            variant. What the network was trained with is its `input_size` from then on.
    """

    model: str
    dataset: str
    data_dir: Path | None
    recipe: Recipe
    out: Path
    compiled: bool = True
    device: str = "cpu"
    initial: Path | None = None
    size: int | None = None


def train(request: TrainingRequest) -> Path:
    """Train, round to float16, measure accuracy on the validation images and write weights and card.

    Returns:
        The weights file.

    Raises:
        InputError: If model, dataset or a checkpoint in the way cannot be used.
    """
    info = model_info(request.model)
    side = request.size or _native_side(info)
    training_set, validation_set = (
        load_dataset(request.dataset, request.data_dir, split=split, size=side) for split in ("train", "val")
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(request.recipe.seed, "weights"))
        model = info.build("small", len(training_set.class_names))
    if request.initial is not None:
        start_from(model, request.initial)
    model.to(request.device)
    model.name, model.class_names = info.name, training_set.class_names
    model.to(memory_format=torch.channels_last)

    stem = f"{request.model}-{request.dataset}"
    path = request.out / f"{stem}.safetensors"
    table = read_all(training_set)
    model.input_size = table.images.shape[-1]
    trainer = Trainer(
        model,
        table,
        request.recipe,
        checkpoint=request.out / f"{stem}.checkpoint.pt",
        compiled=request.compiled,
    )
    trained = trainer.run()
    return _write(request, trained, training_set, validation_set, path, seconds=trainer.seconds)


def _native_side(info: ModelInfo) -> int:
    """Return the side of the images that a model's small variant is made for."""
    with torch.device("meta"):
        return info.build("small", 2).input_size


def _write(
    request: TrainingRequest,
    model: Classifier,
    training_set: Dataset,
    validation_set: Dataset,
    path: Path,
    *,
    seconds: float,
) -> Path:
    table = read_all(validation_set)
    unrounded = top1_accuracy(model, table)
    round_weights(model)
    card = {
        "schema": _CARD_SCHEMA,
        "model": request.model,
        "dataset": request.dataset,
        "variant": "small",
        "variant_note": model_info(request.model).small_note,
        "licence": licence_of(request.dataset, request.initial),
        "input_size": model.input_size,
        "num_classes": model.num_classes,
        "class_names": list(model.class_names),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "recipe": asdict(request.recipe),
        "initial_weights": None if request.initial is None else request.initial.stem,
        "train_digest": training_set.digest(),
        "val_digest": validation_set.digest(),
        "val_images": len(table.labels),
        "val_top1": top1_accuracy(model, table),
        "val_top1_before_rounding": unrounded,
        "seconds": round(seconds, 1),
        "torch": torch.__version__,
        "bcos_eval": __version__,
        "git_commit": _git_commit(),
    }
    save_weights(model, path, card)
    card["sha256"] = file_digest(path)
    card_path(path).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _git_commit() -> str:
    """Return the commit of the source tree, or "unknown" outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"
