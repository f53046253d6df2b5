"""Tasks computed as actors of Ray, on this machine or a cluster; Ray is an optional dependency."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bcos_eval.errors import InputError

from .plan import Task
from .processes import N_TRIES, raise_if_ended
from .request import RunRequest
from .run_context import RunContext
from .worker import Job, Message, Worker, job_of

# Actors exchange addresses and a few words: Ray's smallest store of objects will do, of which it takes a third of
# the memory otherwise.
_OBJECT_STORE_BYTES = 80 * 1024**2
_SECONDS_BETWEEN_LOOKS = 0.5
# A temporary folder whose own path is long, as schedulers make them, leaves no room for the names of sockets.
_SHORT = "/tmp" if len(tempfile.gettempdir()) > 30 and Path("/tmp").is_dir() else None


def require_ray() -> None:
    """Refuse to go on without Ray.

    Raises:
        InputError: If it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError(
            "--executor ray needs Ray, which is not installed; pip install 'bcos-eval[ray]', or use --workers N."
        )


def execute_with_ray(context: RunContext, tasks: Sequence[Task], advance: Callable[[int], None]) -> None:
    """Compute tasks by as many actors as the request has workers; arguments and errors as for `execute`.

    Ray starts an actor that died again and gives it its job once more; a job that fails then as well is left out
    with a note. Without an address, a Ray of this run's own is started on this machine and ended with the run.
    """
    cluster = context.kept(_cluster)
    waiting = deque(job_of(task) for task in tasks)
    idle = cluster.actors(min(context.request.workers, len(waiting)))
    running: dict[Any, tuple[Any, Job]] = {}
    later: list[Job] = []
    while waiting or running or later:
        while waiting and idle:
            actor, job = idle.pop(), waiting.popleft()
            running[actor.compute.remote(job)] = (actor, job)
        ready, _ = cluster.ray.wait([*running], timeout=_SECONDS_BETWEEN_LOOKS)
        for reference in ready:
            actor, job = running.pop(reference)
            idle.append(actor)
            rest = _heard(cluster.ray, reference, job, context, advance)
            later += [] if rest is None else [rest]
        if later and not waiting and not running:
            context.claims.wait()
            waiting, later = deque(later), []


def _heard(
    ray: Any,  # noqa: ANN401 - an optional module
    reference: object,
    job: Job,
    context: RunContext,
    advance: Callable[[int], None],
) -> Job | None:
    """Take an actor's answer; returns what is left for later."""
    try:
        answer, said = ray.get(reference)
    except ray.exceptions.RayActorError as error:
        context.progress.note(
            f"workers ended {N_TRIES} times while they computed {job.n_stimuli} stimuli of {job.model} "
            f"({' '.join(str(error).split())[:200]}); they are left out, run it again."
        )
        context.n_lost_tasks += 1
        return None
    for message in said:
        (context.progress.note if message.kind == "note" else context.progress.detail)(message.text)
    raise_if_ended(answer)
    advance(job.n_stimuli - (0 if answer.rest is None else answer.rest.n_stimuli))
    rest: Job | None = answer.rest
    return rest


@dataclass(slots=True)
class _Cluster:
    """A Ray that was started or found, and the actors there."""

    ray: Any
    context: RunContext
    started: list[Any] = field(default_factory=list)

    def actors(self, n: int) -> list[Any]:
        """Return `n` actors, with those that were started before."""
        request, n_gpus = self.context.request, self.context.request.gpus_per_worker
        if n_gpus is None:
            n_gpus = 1.0 if self.context.device.type == "cuda" else 0.0
        options = {"num_cpus": 1, "num_gpus": n_gpus, "max_restarts": 1, "max_task_retries": N_TRIES - 1}
        actor = self.ray.remote(**options)(_Actor)
        there = replace(request, device=self.context.device.type)
        while len(self.started) < n:
            # The files that name models and results may be given relative to where the run was started.
            self.started.append(actor.remote(there, self.context.root.resolve(), Path.cwd()))
        return self.started[:n]


@contextmanager
def _cluster(context: RunContext) -> Iterator[_Cluster]:
    ray = importlib.import_module("ray")
    with ExitStack() as stack:
        if context.request.ray_address is not None:
            options: dict[str, Any] = {"address": context.request.ray_address}
        else:
            # Ray keeps sockets there, whose paths may have 107 characters.
            temporary = tempfile.TemporaryDirectory(prefix="bcos-ray-", dir=_SHORT, ignore_cleanup_errors=True)
            options = {
                "num_cpus": context.request.workers,
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "_temp_dir": stack.enter_context(temporary),
            }
        stack.callback(ray.shutdown)  # before its folder is deleted
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        yield _Cluster(ray, context)


class _Actor:
    """A worker of Ray: answers with what it said while it computed."""

    def __init__(self, request: RunRequest, root: Path, folder: Path) -> None:
        import os

        os.chdir(folder)
        self._said: list[Message] = []
        self._worker = Worker(request, root, self._said.append)

    def compute(self, job: Job) -> tuple[Message, list[Message]]:
        """Compute a job; returns its end, and what was said on the way."""
        self._said.clear()
        answer = self._worker.compute(job)
        return answer, [message for message in self._said if message.kind != "advance"]
