"""Every shipped network on photographs, from the command line."""

from __future__ import annotations

import pandas as pd
import pytest

from bcos_eval.cli.main import main
from bcos_eval.models import MODELS, shipped_weights

PHOTOGRAPHS = "tiny_imagenet20"
SHIPPED = sorted(name for name in MODELS if PHOTOGRAPHS in shipped_weights(name))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_network_is_evaluated_on_photographs(name: str, data_dir, tmp_path):
    asked = ["--model", name, "--metric", "grid_pg,pixel_perturbation", "--samples", "2", "--param", "grid_pg.n=2"]
    where = ["--dataset", PHOTOGRAPHS, "--data-dir", str(data_dir / "tiny-imagenet"), "--out", str(tmp_path)]
    method = ["--method", "bcos" if MODELS[name].is_bcos else "ixg"]
    with pytest.raises(SystemExit) as ended:
        main(["run", *asked, *where, *method, "--device", "cpu", "--quiet"])
    assert ended.value.code == 0
    rows = pd.read_csv(tmp_path / "leaderboard.csv").set_index("metric")
    assert sorted(rows.index) == ["grid_pg", "pixel_perturbation"]
    assert rows.loc["grid_pg", "n"] == 2 * 4
    assert rows.loc["pixel_perturbation", "n"] == 2
    assert rows["mean"].between(0, 1).all()
