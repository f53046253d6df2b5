"""An executor: this file, as `bcos_eval/engine/backwards.py`, and its import in `bcos_eval/engine/__init__.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bcos_eval.store.shards import Store

from .executors import EXECUTORS, register_executor
from .plan import Task
from .run_context import RunContext


@register_executor("backwards")
def execute_backwards(
    context: RunContext, tasks: Sequence[Task], store: Store, advance: Callable[[int], None]
) -> None:
    """Compute the last task first, in this process."""
    EXECUTORS["local"](context, tasks[::-1], store, advance)
