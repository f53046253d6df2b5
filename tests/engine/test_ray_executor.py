"""Actors of Ray: the same numbers as one process, also when one is killed."""

from __future__ import annotations

import importlib.util
from textwrap import dedent

import pandas as pd
import pytest

from bcos_eval.engine.progress import Progress
from bcos_eval.engine.request import RunRequest
from bcos_eval.engine.run import run
from bcos_eval.errors import InputError
from bcos_eval.reports.tables.leaderboard import stored_units
from bcos_eval.user_code.model import models_named

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed: pip install 'bcos-eval[ray]'")

# Kills its process when it is told to, which a file says.
OWN = """
    import os, signal
    from pathlib import Path

    FOLDER = Path(__file__).parent

    def deadly(model, images, targets):
        if (FOLDER / "once").exists():
            (FOLDER / "once").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return images.sum(1, keepdim=True) * model(model.encode(images)).gather(1, targets)[..., None, None]
"""


@pytest.fixture
def own_run(tmp_path):
    """Runs a shipped network with an explainer of the user's own, on single images and grids."""
    path = tmp_path / "own.py"
    path.write_text(dedent(OWN), encoding="utf-8")

    def start(out, **asked):
        models, _ = models_named(["bcos_resnet18"])
        request = RunRequest(
            models=models, methods=(f"{path}:deadly", "ixg"), metrics=("energy_pg",), n_samples=60, device="cpu",
            **asked,
        )  # fmt: skip
        return run(request, tmp_path / out, progress=Progress(quiet=True))

    return start


def units(result):
    return stored_units(result.shards).drop(columns=["seconds"])


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of Ray and of what it imports
def test_actors_give_the_numbers_of_one_process_also_when_one_is_killed(own_run, tmp_path):
    alone = own_run("alone")
    for workers in (1, 2):
        together = own_run(f"ray{workers}", executor="ray", workers=workers)
        pd.testing.assert_frame_equal(units(alone), units(together), check_exact=True)
    (tmp_path / "once").touch()
    killed = own_run("killed", executor="ray", workers=2)
    assert not (tmp_path / "once").exists()
    assert killed.n_lost == 0
    pd.testing.assert_frame_equal(units(alone), units(killed), check_exact=True)


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_one_line_says_what_to_install(own_run):
    with pytest.raises(InputError) as caught:
        own_run("out", executor="ray")
    assert str(caught.value) == (
        "--executor ray needs Ray, which is not installed; pip install 'bcos-eval[ray]', or use --workers N."
    )
