"""Where the phases of `bcos-eval run` begin and end in the code; clocks are set there, the code is left alone."""

from __future__ import annotations

import functools

from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.engine import run, run_context, task
from bcos_eval.stimuli.pool import GrowingPool
from bcos_eval.store.manifest import RunRecord
from bcos_eval.store.shards import Store

from .phases import EXPLAINING, GRIDS, POOL, REST, SCORING, START_UP, STORING, Phases


def phases_of_run(started: float) -> Phases:
    """Return the phases of the run that this process is going to make.

    Start-up is everything before the run, and loading networks; storing has shards, examples and the manifest;
    the rest has the plan, claims, and what the command does with the results.

    Args:
        started: As for `Phases`.
    """
    phases = Phases(started)
    phases.count(run_context, "load_model", START_UP)
    phases.count(GrowingPool, "look", POOL)
    phases.count(run_context.RunContext, "stimuli", GRIDS)
    phases.count(ExplainedModel, "explain_network", EXPLAINING)
    phases.count(task, "score_batch", SCORING)
    for owner, function in (
        (Store, "write"),
        (task, "shard_of_rows"),
        (task, "keep_examples"),
        (RunRecord, "save"),
    ):
        phases.count(owner, function, STORING)
    original = run.run

    @functools.wraps(original)
    def run_after_start(*args: object, **keywords: object) -> object:
        phases.follow(REST)
        return original(*args, **keywords)  # type: ignore[arg-type] # handed on as they come

    setattr(run, "run", run_after_start)  # noqa: B010 - a function to type checkers
    return phases
