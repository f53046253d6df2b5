"""Who computes the tasks of a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bcos_eval.errors import InputError
from bcos_eval.store.shards import Store

from .batch import BatchLimit
from .plan import Task
from .run_context import RunContext
from .task import compute


def execute(context: RunContext, tasks: Sequence[Task], store: Store, advance: Callable[[int], None]) -> None:
    """Compute and store every task, one after the other in this process.

    Args:
        context: Models and data.
        tasks: What to do.
        store: Where shards go as soon as they are finished.
        advance: Told the number of stimuli explained, for a progress bar.

    Raises:
        InputError: If a single stimulus does not fit into memory.
    """
    limit = BatchLimit(context.request.batch_size, context.device)
    for task in tasks:
        compute(context, task, store, limit, advance)


def require_executor(name: str) -> None:
    """Refuse an executor that this version does not have.

    Raises:
        InputError: For `ray`, whose place is kept: tasks depend on nothing but a request and a folder.
    """
    if name == "ray":
        raise InputError("--executor ray is not available in this version; use --executor local.")
