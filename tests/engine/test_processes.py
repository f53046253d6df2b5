"""Workers of this machine: the same numbers as one process, also when one is killed."""

from __future__ import annotations

import pandas as pd
import pytest

from bcos_eval import evaluate
from bcos_eval.engine.progress import Progress
from bcos_eval.engine.request import RunRequest
from bcos_eval.engine.run import run
from bcos_eval.errors import InputError
from bcos_eval.reports.tables.leaderboard import stored_units
from bcos_eval.user_code.model import models_named

OWN = """
    import os, signal
    from pathlib import Path
    FOLDER = Path(__file__).parent

    def deadly(model, images, targets):
        if (FOLDER / "once").exists():
            (FOLDER / "once").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if (FOLDER / "always").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return images.sum(1, keepdim=True) * model(model.encode(images)).gather(1, targets)[..., None, None]

    def wrong(model, images, targets):
        return images
"""


@pytest.fixture
def own_run(tmp_path, own_file):
    """Runs an explainer of the user's own on two shards of images."""
    path = own_file(tmp_path, OWN)
    models, files = models_named([f"{path}:Tiny"])

    def start(out, method="deadly", **asked):
        request = RunRequest(
            models=models, model_files=files, methods=(f"{path}:{method}",), metrics=("energy_pg",), n_samples=60,
            device="cpu", **asked,
        )  # fmt: skip
        return run(request, tmp_path / out, progress=Progress(quiet=True))

    return start


def units(result):
    return stored_units(result.shards).drop(columns=["seconds"])


def test_a_killed_worker_costs_nothing_but_time(own_run, tmp_path):
    alone = own_run("alone")
    (tmp_path / "once").touch()
    together = own_run("together", workers=2)
    assert together.n_lost == 0
    (lost,) = [note for note in together.notes if note.startswith("a worker ended with code -9")]
    assert lost.endswith("stimuli of own.Tiny; another one computes them.")
    pd.testing.assert_frame_equal(units(alone), units(together), check_exact=True)


def test_a_refusal_in_a_worker_refuses_the_run(own_run):
    with pytest.raises(InputError, match=r"^method 'own\.wrong' gave maps of shape \(1, 3, 64, 64\); give "):
        own_run("out", method="wrong", workers=2)


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_left_out_and_can_be_run_again(own_run, tmp_path):
    (tmp_path / "always").touch()
    killed = own_run("out", workers=2)
    assert (killed.n_lost, len(killed.shards)) == (2, 0)
    (tmp_path / "always").unlink()
    again = own_run("out", workers=2)
    assert (again.n_lost, again.n_computed, len(again.shards)) == (0, 2, 2)


def test_evaluate_takes_workers_and_refuses_what_they_cannot_be_handed(tmp_path, own_file):
    path = own_file(tmp_path, OWN)
    asked = {"methods": f"{path}:deadly", "n_samples": 60, "device": "cpu"}
    alone, together = (evaluate(f"{path}:Tiny", "energy_pg", workers=n, **asked) for n in (1, 2))
    pd.testing.assert_frame_equal(alone.leaderboard, together.leaderboard, check_exact=True)
    with pytest.raises(InputError) as caught:
        evaluate("resnet18", "energy_pg", {"mine": lambda model, images, targets: images}, workers=2)
    assert str(caught.value) == (
        "other processes cannot be handed models, data, explainers or metrics as objects; name them, also as "
        "FILE.py:NAME, or use one worker."
    )
