"""Fixtures every test may use."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest
import torch

from bcos_eval.data import Sample
from bcos_eval.engine.progress import Progress
from bcos_eval.engine.request import RunRequest
from bcos_eval.engine.run import run
from bcos_eval.errors import UnreadableImageError
from bcos_eval.models.classifier import Classifier


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real test images; the test is skipped where there is none."""
    root = os.environ.get("BCOS_EVAL_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("set BCOS_EVAL_DATA to the folder with the real test images")
    return Path(root)


@pytest.fixture(scope="session")
def reference_dir(data_dir: Path) -> Path:
    """The folder with the official key inventories and golden outputs, beside the images."""
    folder = data_dir.parent / "reference"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs in {folder}")
    return folder


@pytest.fixture(scope="session")
def made_again() -> ModuleType:
    """Weights and images that everybody can make again, see `recipe.py`."""
    spec = importlib.util.spec_from_file_location("recipe", Path(__file__).with_name("recipe.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Colours that the toy network tells apart.
TOY_COLOURS = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1.0]])
TOY_SIDE = 8


class ToyDataset:
    """Plain images in six colours, with noise; the object fills the left half."""

    def __init__(self, n_per_class: int = 6, unreadable: tuple[int, ...] = (), has_regions: bool = True) -> None:
        self.name = "toy"
        self.class_names = ("red", "green", "blue", "yellow", "magenta", "cyan")
        self.labels = [index % len(self.class_names) for index in range(n_per_class * len(self.class_names))]
        self.sample_ids = [f"image_{index}.png" for index in range(len(self.labels))]
        self.has_regions = has_regions
        self._unreadable = unreadable

    def digest(self) -> str:
        return f"toy-{len(self)}-{self._unreadable}-{self.has_regions}"

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        if index in self._unreadable:
            raise UnreadableImageError(f"'{self.sample_ids[index]}' is damaged; replace it.")
        noise = torch.rand(3, TOY_SIDE, TOY_SIDE, generator=torch.Generator().manual_seed(index))
        image = 0.05 + 0.8 * TOY_COLOURS[self.labels[index]][:, None, None] + 0.1 * noise
        region = torch.zeros(TOY_SIDE, TOY_SIDE, dtype=torch.bool)
        region[:, : TOY_SIDE // 2] = True
        return Sample(self.sample_ids[index], image, self.labels[index], region if self.has_regions else None)


class ToyNetwork(Classifier):
    """Compares the mean colour with each class's: the right logit is above 0, the others are below."""

    def __init__(self, is_bcos: bool, num_classes: int = len(TOY_COLOURS)) -> None:
        super().__init__(is_bcos=is_bcos, num_classes=num_classes, input_size=TOY_SIDE)
        self.name = "bcos_toy" if is_bcos else "toy"
        weight = torch.cat([TOY_COLOURS, 1 - TOY_COLOURS], 1) if is_bcos else 2 * TOY_COLOURS - 1
        bias = torch.full((len(TOY_COLOURS),), -2.25) if is_bcos else 0.5 - TOY_COLOURS.sum(1)
        self.weight = torch.nn.Parameter(weight[:, :, None, None])
        self.bias = torch.nn.Parameter(bias)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return super().encode(images) if self.is_bcos else images

    def features(self, encoded: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(encoded, self.weight)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean((2, 3)) + self.bias


# A user's own network, as text: what is run is read from a file.
_OWN_NETWORK = """
    import torch
    from torch import nn

    class Tiny(nn.Module):
        input_size = 64

        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 4, 8, 4), nn.ReLU())
            self.classify = nn.Linear(4, 16)

        def encode(self, images):
            return images

        def probability(self, logits):
            return logits.softmax(-1)

        def forward(self, encoded):
            return self.classify(self.features(encoded).mean((2, 3)))
"""


@pytest.fixture(scope="session")
def own_file() -> Callable[[Path, str], Path]:
    """Writes `own.py` of a user into a folder: the network `Tiny` and what is given."""

    def write(folder: Path, code: str) -> Path:
        path = folder / "own.py"
        path.write_text(dedent(_OWN_NETWORK) + dedent(code), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def toy_dataset() -> type[ToyDataset]:
    """Makes toy datasets."""
    return ToyDataset


@pytest.fixture(scope="session")
def toy_network() -> Callable[..., ToyNetwork]:
    """Makes toy networks in evaluation mode."""
    return lambda is_bcos=True: ToyNetwork(is_bcos).eval()


class ToyRuns:
    """Starts runs on the toy dataset with toy networks."""

    def __init__(self, root, dataset, networks):
        self.root, self.dataset, self.networks = root, dataset, networks

    def __call__(self, *, root=None, progress=None, **asked):
        request = {
            "models": ("bcos_toy",),
            "metrics": ("grid_pg", "energy_pg"),
            "methods": ("ixg",),
            "dataset": "toy",
            "device": "cpu",
            "settings": ("grid_pg.n=2",),
            "n_samples": 12,
            **asked,
        }
        on_grids = any(str(metric).startswith("grid_pg") for metric in request["metrics"])
        if not on_grids and "settings" not in asked:
            request["settings"] = ()
        networks = {name: self.networks[name] for name in request["models"]}
        return run(
            RunRequest(**request),
            root or self.root,
            progress=progress or Progress(quiet=True),
            networks=networks,
            dataset=self.dataset,
        )


@pytest.fixture
def toy_run(tmp_path, toy_dataset, toy_network):
    """Runs with `bcos_toy` and `toy`, stored in one folder unless another is named."""
    networks = {"bcos_toy": toy_network(is_bcos=True), "toy": toy_network(is_bcos=False)}
    return ToyRuns(tmp_path / "out", toy_dataset(), networks)
