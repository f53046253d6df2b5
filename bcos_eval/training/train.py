"""Train a network on small images and write it with its model card."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from bcos_eval.data import load_dataset
from bcos_eval.data.sample import Dataset
from bcos_eval.data.transform import EvaluationTransform
from bcos_eval.errors import InputError
from bcos_eval.models.classifier import Classifier
from bcos_eval.models.converted import ConvertedNetwork, calibrate_norms
from bcos_eval.models.form import give_form
from bcos_eval.models.registry import ModelInfo, model_info
from bcos_eval.models.weights_file import card_path, file_digest, round_weights, save_weights
from bcos_eval.seeding import derived_seed
from bcos_eval.version import __version__

from .images import read_all, top1_accuracy
from .initial import licence_of, start_from
from .loop import Trainer
from .recipe import Recipe

_CARD_SCHEMA = 2
# Networks have to be built to say what size they are made for; no classifier is smaller.
_FEWEST_CLASSES = 2
_N_CALIBRATION_IMAGES = 64


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
        n_images: Images to train on, where they are generated (shapes); None is the dataset's own number.
        size: Side in pixels of the images where the dataset has photographs of any size; None is what the network
            is made for. What it was trained with is its `input_size` from then on.
    """

    model: str
    dataset: str
    data_dir: Path | None
    recipe: Recipe
    out: Path
    compiled: bool = True
    device: str = "cpu"
    initial: Path | None = None
    n_images: int | None = None
    size: int | None = None


def train(request: TrainingRequest) -> Path:
    """Train, round to float16, measure accuracy on the validation images and write weights and card.

    Returns:
        The weights file.

    Raises:
        InputError: If model, dataset or a checkpoint in the way cannot be used.
    """
    info = model_info(request.model)
    shown = _transform(info, request.size)
    training_set = load_dataset(
        request.dataset, request.data_dir, split="train", transform=shown, n_images=request.n_images
    )
    validation_set = load_dataset(request.dataset, request.data_dir, split="val", transform=shown)
    _require_equal_classes(training_set, validation_set)
    model = _initial_model(info, request, training_set)
    model.name, model.class_names = info.name, training_set.class_names
    path = weights_path(request)
    table = read_all(training_set)
    # Datasets of one size keep it, whatever the network was made for.
    model.input_size = table.images.shape[-1]
    model.to(request.device)
    model.to(memory_format=torch.channels_last)
    trainer = Trainer(
        model,
        table,
        request.recipe,
        checkpoint=path.with_suffix(".checkpoint.pt"),
        compiled=request.compiled,
    )
    trained = trainer.run()
    return _write(request, trained, training_set, validation_set, path, seconds=trainer.seconds)


def weights_path(request: TrainingRequest) -> Path:
    """Return where the weights of a training run are written."""
    return request.out / f"{request.model.replace(':', '_')}-{request.dataset}.safetensors"


def _transform(info: ModelInfo, size: int | None) -> EvaluationTransform:
    """Return how photographs are shown: the side asked for, or what the network is made for."""
    with torch.device("meta"):
        network = info.build("small", _FEWEST_CLASSES)
    if size is not None:
        network.input_size = size
    return EvaluationTransform.for_network(network)


def _require_equal_classes(training_set: Dataset, validation_set: Dataset) -> None:
    if training_set.class_names != validation_set.class_names:
        differing = sorted({*training_set.class_names} ^ {*validation_set.class_names})
        raise InputError(
            f"dataset '{training_set.name}' has {len(training_set.class_names)} classes to train on and "
            f"{len(validation_set.class_names)} to validate on (only in one of them: {', '.join(differing[:3])}, "
            "…); give both splits a folder for every class."
        )


def _initial_model(info: ModelInfo, request: TrainingRequest, training_set: Dataset) -> Classifier:
    num_classes = len(training_set.class_names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(request.recipe.seed, "weights"))
        if isinstance(info.build, ConvertedNetwork) and request.initial is not None:
            base = model_info(info.build.base).build("small", num_classes)
            _start_from(base, request.initial, training_set)
            return replace(info.build, form=request.recipe.form).of(base)
        model = info.build("small", num_classes)
        give_form(model, request.recipe.form)
    if request.initial is not None:
        _start_from(model, request.initial, training_set)
    return model


def _start_from(model: Classifier, initial: Path, training_set: Dataset) -> None:
    start_from(model, initial)
    if not model.is_bcos:
        some = range(0, len(training_set), max(1, len(training_set) // _N_CALIBRATION_IMAGES))
        encoded = model.encode(torch.stack([training_set[index].image for index in some]))
        calibrate_norms(model.eval(), encoded)


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
        "conversion": request.recipe.form.as_dict() if model.is_bcos else None,
        "licence": licence_of(request.dataset, request.initial),
        "input_size": model.input_size,
        "resize_size": validation_set.transform.resize if hasattr(validation_set, "transform") else None,
        "preprocessing": _preprocessing_in_words(model),
        "num_classes": model.num_classes,
        "class_names": list(model.class_names),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "recipe": asdict(request.recipe),
        "initial_weights": None if request.initial is None else request.initial.stem,
        "train_images": len(training_set),
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


def _preprocessing_in_words(model: Classifier) -> str:
    """Return what is done to a photograph, for whoever loads the weights elsewhere."""
    wanted, shown = model.preprocessing, EvaluationTransform.for_network(model)
    encoding = "[x, 1 − x]" if model.is_bcos else f"(x − {wanted.mean}) / {wanted.std}"
    return (
        f"shorter side to {shown.resize} ({shown.interpolation}), central {shown.crop}×{shown.crop}, values in "
        f"[0, 1], then {encoding}; images of {shown.crop}×{shown.crop} as they are"
    )


def _git_commit() -> str:
    """Return the commit of the source tree, or "unknown" outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"
