"""Who computes the tasks of a plan; executors by name."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from bcos_eval.errors import InputError, unknown_name
from bcos_eval.store.shards import Store

from .batch import BatchLimit
from .plan import Task
from .processes import execute_in_processes
from .ray_executor import execute_with_ray, require_ray
from .request import RunRequest
from .run_context import RunContext
from .task import compute_unclaimed

# (models and data, what to do, where shards go, told the number of stimuli explained)
Execute = Callable[[RunContext, Sequence[Task], Store, Callable[[int], None]], None]
E = TypeVar("E", bound=Execute)

EXECUTORS: dict[str, Execute] = {}


def register_executor(name: str) -> Callable[[E], E]:
    """Return a decorator that enters a function under a name, as `--executor` takes it, and returns it unchanged.

    Raises:
        ValueError: If the name is taken.
    """
    if name in EXECUTORS:
        raise ValueError(f"executor '{name}' is registered twice; choose another name")

    def enter(function: E) -> E:
        EXECUTORS[name] = function
        return function

    return enter


def execute(context: RunContext, tasks: Sequence[Task], store: Store, advance: Callable[[int], None]) -> None:
    """Compute and store every task, here or by the workers that were asked for.

    What another run in the same folder is computing is waited for, and computed should that run end before.

    Args:
        context: Models and data.
        tasks: What to do.
        store: Where shards go as soon as they are finished.
        advance: Told the number of stimuli explained, for a progress bar.

    Raises:
        InputError: If a single stimulus does not fit into memory.
        UnitFailedError: If code raised and the first failure is to end the run.
    """
    EXECUTORS[context.request.executor](context, tasks, store, advance)


@register_executor("local")
def _execute_locally(
    context: RunContext, tasks: Sequence[Task], store: Store, advance: Callable[[int], None]
) -> None:
    if context.request.workers > 1:
        execute_in_processes(context, tasks, advance)
    else:
        _execute_here(context, tasks, store, advance)


@register_executor("ray")
def _execute_with_ray(
    context: RunContext, tasks: Sequence[Task], _store: Store, advance: Callable[[int], None]
) -> None:
    execute_with_ray(context, tasks, advance)


def _execute_here(
    context: RunContext, tasks: Sequence[Task], store: Store, advance: Callable[[int], None]
) -> None:
    limit = BatchLimit(context.request.batch_size, context.device)
    waiting = deque(tasks)
    later: list[Task] = []
    while waiting or later:
        if not waiting:
            context.claims.wait()
            waiting, later = deque(later), []
        rest = compute_unclaimed(context, waiting.popleft(), store, limit, advance)
        if rest is not None:
            later.append(rest)


def require_executor(request: RunRequest, *, has_objects: bool) -> None:
    """Refuse an executor that cannot compute the request.

    Args:
        request: What is asked for.
        has_objects: Whether models or data were handed over and are not known by name.

    Raises:
        InputError: If there is no such executor, with near matches; if Ray is asked for and not installed, or
            other processes cannot resolve the request.
    """
    if request.executor not in EXECUTORS:
        raise unknown_name("executor", request.executor, EXECUTORS)
    if request.executor == "ray":
        require_ray()
    if request.executor == "local" and request.workers == 1:
        return
    if has_objects or not all(isinstance(entry, str) for entry in (*request.methods, *request.metrics)):
        raise InputError(
            "other processes cannot be handed models, data, explainers or metrics as objects; name them, also as "
            "FILE.py:NAME, or use one worker."
        )
