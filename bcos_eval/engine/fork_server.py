"""Where worker processes come from: a server that loads what they need once, and forks them.

A fork is ready at once and shares the server's memory; a spawned process would load torch for seconds. The server
starts no threads and touches no GPU, so that its forks may; systems without it spawn. This module is imported
before torch is, so that server and run load at the same time.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Final

_METHOD: Final = "forkserver"
_PRELOADED = "bcos_eval.engine.worker", "bcos_eval.metrics", "bcos_eval.baselines", "pandas"


def worker_context() -> ForkServerContext | SpawnContext:
    """Return the context that makes worker processes."""
    if _METHOD not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context(_METHOD)
    context.set_forkserver_preload([*_PRELOADED])
    return context


def prepare_workers() -> None:
    """Start the server in the background, where there is one; it ends with this process."""
    if worker_context().get_start_method() == _METHOD:
        forkserver.ensure_running()
