"""What works with torchvision's classification networks, tried with random weights, one network of each class.

`python docs/networks.py [NAME …]` writes the rows of `docs/networks.csv` anew, all or those named; the table in
`docs/weights.md` is made of it by `make docs-blocks`, and `tests/models/test_torchvision_zoo.py` holds it to the
networks.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

import bcos_eval
from bcos_eval.contract.plugins import find_explainer
from bcos_eval.errors import InputError
from bcos_eval.metrics.localisation.grid_pg import grid_pointing_game
from bcos_eval.models.classifier import Classifier
from bcos_eval.stimuli.grids.kind import GridKind

FILE = Path(__file__).with_name("networks.csv")
NETWORKS = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet"),
    *("inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf"),
    *("regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11"),
    "vit_b_32",
)
WORKS = "yes"
_TARGETS = torch.tensor([[0, 500]])


def row(name: str) -> dict[str, str]:
    """Return what works with a network, and the reason of what does not, by column."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = bcos_eval.load_model(name, weights="random")
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():  # as heads of transformers begin
                torch.nn.init.normal_(parameter)
    return {"network": f"`{name}`", **{column: _outcome(step, model) for column, step in STEPS.items()}}


def _outcome(step: Callable[[Classifier], None], model: Classifier) -> str:
    try:
        step(model)
    except ValueError as error:  # which those for users are
        return str(error).partition(";")[0].partition(", where relevance")[0].rpartition(f"'{model.name}' ")[2]
    return WORKS


def _images(model: Classifier, scale: int = 1) -> torch.Tensor:
    side = scale * model.input_size
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))


def _logits(model: Classifier) -> None:
    with torch.no_grad():
        if not model(model.encode(_images(model))).isfinite().all():
            raise InputError("logits are not finite")


def _explained(method: str) -> Callable[[Classifier], None]:
    def step(model: Classifier) -> None:
        maps = find_explainer(method)(model, _images(model), _TARGETS)
        if not maps.isfinite().all() or not maps.any():
            raise InputError("maps are zero or not finite")

    return step


def _grid(view: str) -> Callable[[Classifier], None]:
    def step(model: Classifier) -> None:
        kind, side = GridKind("bcos_v2", 2, view=view), model.input_size  # type: ignore[arg-type]
        kind.check_size(model, torch.device("cpu"))
        grids = _images(model, 2)
        maps = kind.explain(find_explainer("gradcam"), model, grids, _TARGETS)
        regions = torch.zeros(1, 2, 2 * side, 2 * side, dtype=torch.bool)
        regions[0, 0, :side, :side] = regions[0, 1, side:, side:] = True
        scores = grid_pointing_game(maps, regions)
        if not ((scores >= 0) & (scores <= 1)).all():
            raise InputError("scores are undefined")

    return step


def _rules(method: str) -> Callable[[Classifier], None]:
    return lambda model: find_explainer(method).check(model, {})


STEPS: Mapping[str, Callable[[Classifier], None]] = {
    "logits": _logits,
    "`grad`": _explained("grad"),
    "`gradcam`": _explained("gradcam"),
    "whole 2×2 grids": _grid("plain"),
    "strided 2×2 grids": _grid("strided"),
    "`lrp`": _rules("lrp"),
    "`attnlrp`": _rules("attnlrp"),
}


def main(names: tuple[str, ...]) -> None:
    """Write the rows of some networks anew, each as soon as it is known."""
    rows: dict[str, dict[str, str]] = {}
    if FILE.is_file():
        with FILE.open(encoding="utf-8", newline="") as opened:
            rows = {one["network"].strip("`"): one for one in csv.DictReader(opened)}
    for name in names:
        rows[name] = row(name)
        with FILE.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, ["network", *STEPS], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows[known] for known in NETWORKS if known in rows)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or NETWORKS)
