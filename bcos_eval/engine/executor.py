"""Who computes the tasks of a plan: this process, or the workers of a Ray cluster."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from bcos_eval.errors import InputError

from .batch import BatchLimit
from .plan import Task
from .progress import Progress
from .shard_task import compute
from .store import Store
from .workplace import Workplace

Advance = Callable[[int], None]


def execute(workplace: Workplace, tasks: Sequence[Task], store: Store, advance: Advance) -> None:
    """Compute and store every task.

    Args:
        workplace: Models and data.
        tasks: What to do.
        store: Where shards go as soon as they are finished.
        advance: Told the number of stimuli explained, for a progress bar.

    Raises:
        InputError: If a single stimulus does not fit into memory.
    """
    if workplace.request.executor == "ray":
        _execute_on_ray(workplace, tasks, advance)
        return
    limit = BatchLimit(workplace.request.batch_size, workplace.device)
    for task in tasks:
        compute(workplace, task, store, limit, advance)


def require_executor(name: str) -> None:
    """Refuse an executor that is not installed.

    Raises:
        InputError: If it is `ray` and Ray is missing.
    """
    if name == "ray" and importlib.util.find_spec("ray") is None:
        raise InputError(
            "--executor ray needs Ray, which is not installed; install it with `pip install bcos-eval[ray]`, "
            "or use --executor local."
        )


class Worker:
    """What lives in a Ray worker: its own models and data, and the shared store."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace.copy(Progress(quiet=True))
        self._store = Store(workplace.root)
        self._limit = BatchLimit(workplace.request.batch_size, self._workplace.device)

    def work(self, task: Task) -> tuple[int, list[str]]:
        """Compute and store a task; returns its number of stimuli and the notes so far."""
        compute(self._workplace, task, self._store, self._limit, lambda _: None)
        return task.n_stimuli, list(self._workplace.progress.notes)


def _execute_on_ray(workplace: Workplace, tasks: Sequence[Task], advance: Advance) -> None:
    ray: Any = importlib.import_module("ray")
    pools: Any = importlib.import_module("ray.util")
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    on_gpu = workplace.device.type == "cuda"
    resources = ray.cluster_resources()
    n_workers = min(int(resources.get("GPU" if on_gpu else "CPU", 1)), len(tasks))
    replica = ray.remote(num_cpus=1, num_gpus=int(on_gpu))(Worker)
    workers = pools.ActorPool([replica.remote(workplace.copy(Progress())) for _ in range(max(n_workers, 1))])
    for n_stimuli, notes in workers.map_unordered(lambda worker, task: worker.work.remote(task), tasks):
        advance(n_stimuli)
        for note in notes:
            workplace.progress.note(note)
