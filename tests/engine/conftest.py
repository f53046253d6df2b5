"""Runs on the toy data, in a temporary folder."""

from __future__ import annotations

import pytest

from bcos_eval.engine.progress import Progress
from bcos_eval.engine.request import RunRequest
from bcos_eval.engine.run import run


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
        if not any(metric.startswith("grid_pg") for metric in request["metrics"]) and "settings" not in asked:
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
