"""Stores made of invented numbers in the real schema."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.engine.example_maps import examples_of
from bcos_eval.store import atomic_write
from bcos_eval.store.aggregates import AggregateAttribution, aggregate_path, save_aggregate
from bcos_eval.store.examples import ExampleIdentity, save_examples
from bcos_eval.store.facts import MetricFacts, ShardAddress, ShardFacts, method_of_old_label
from bcos_eval.store.shards import Store, StoredShard, curve_table, unit_table

DEFAULT_LABELS = {
    "dataset": "shapes",
    "model": "bcos_resnet18",
    "weights": "w1",
    "method": "bcos",
    "metric": "grid_pg",
    "preset": "bcos_v2",
}


class StoreMaker:
    """Writes shards and examples into the folder of a run that never took place."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def units(
        self,
        scores,
        *,
        chance=1 / 9,
        targets_per_stimulus=1,
        curves=None,
        is_control=False,
        direction="higher",
        stimuli="",
        ids=None,
        **labels,
    ):
        """One shard with these scores; statuses are `nonfinite` where a score is; `stimuli` tells grids apart."""
        rows = {**DEFAULT_LABELS, **labels}
        cell = "-".join(rows.values()).replace("/", "_")
        scores = np.asarray(scores, dtype=np.float64)
        numbers, units = np.divmod(np.arange(len(scores)), targets_per_stimulus)
        frame = [
            {
                **rows,
                "sample_id": f"s{i}",
                "stimulus": ids[i] if ids else f"kind/{numbers[i]:06d}",
                "target": int(units[i]),
                "unit": int(units[i]),
                "score": float(score),
                "status": "ok" if np.isfinite(score) else "nonfinite",
                "seconds": 0.5,
            }
            for i, score in enumerate(scores)
        ]
        table = None
        if curves is not None:
            table = curve_table([{**row, "curve": list(c)} for row, c in zip(frame, curves, strict=True)])
        facts = ShardFacts(
            ShardAddress(cell, "shard"),
            replace(method_of_old_label(rows["method"]), is_control=is_control),
            MetricFacts(
                rows["metric"],
                rows["preset"],
                direction,
                is_mean_over_classes=rows["metric"] == "pointing_game",
            ),
            0,
            len(scores),
            {"stimulus": {"name": "grid", "models": [stimuli]}} if stimuli else {},
        )
        Store(self.root).write(StoredShard(facts, unit_table(frame), (float(chance),) * len(scores), table))

    def examples(self, maps, *, colour=False, kind="single", class_names=("cat", "dog"), **labels):
        """Examples with these maps `(N, K, H, W)` on grey images, targets 0, 1, …, regions in the upper left."""
        maps = torch.as_tensor(maps)
        n, k, height, width = maps.shape
        regions = torch.zeros(k, height, width, dtype=torch.bool)
        regions[:, : height // 2, : width // 2] = True
        image = torch.linspace(0.2, 0.8, width).expand(3, height, width)
        stimuli = [
            Stimulus(f"{kind}/{i}", image, torch.arange(k) % len(class_names), regions, ("x",) * k)
            for i in range(n)
        ]
        rgba = torch.full((n, k, 4, height, width), 0.5) if colour else None
        labels = {key: value for key, value in {**DEFAULT_LABELS, **labels}.items() if key in _IDENTITY}
        identity = ExampleIdentity(kind=kind, **{**labels, "method": method_of_old_label(labels["method"])})
        return save_examples(self.root, examples_of(identity, stimuli, maps, class_names=class_names, rgba=rgba))

    def aggregate(self, **values):
        """Aggregate attributions on grids of 2×2 cells of 4 pixels; what is not given is invented."""
        rng = np.random.default_rng(0)
        region = np.zeros((8, 8), dtype=bool)
        region[:4, :4] = True
        labels = {key: value for key, value in DEFAULT_LABELS.items() if key in _IDENTITY}
        made = {
            **labels,
            "metric": "difull/rao2022",
            "kind": "grid2x2-rao2022-difull",
            "n_asked": 50,
            "counts": np.array([1, 2, 22, 22, 2, 1]),
            "scores": np.linspace(1, 0, 6),
            "means": rng.random((6, 8, 8)).astype(np.float32),
            "examples": rng.random((6, 8, 8)).astype(np.float32),
            "example_ids": np.array([f"grid2x2/{number:06d}" for number in range(6)]),
            "region": region,
            **values,
        }
        name = "-".join(str(made[key]) for key in (*_IDENTITY, "metric")).replace("/", "_")
        made["method"] = method_of_old_label(made["method"])
        save_aggregate(aggregate_path(self.root, name), AggregateAttribution(**made))


_IDENTITY = ("dataset", "model", "weights", "method")


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreMaker:
    """An empty store to fill; no test here survives a power cut, so none waits for the disk."""
    monkeypatch.setattr(atomic_write, "_flush_to_disk", lambda path: None)
    return StoreMaker(tmp_path / "run")
