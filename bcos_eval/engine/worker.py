"""A process beside the run's own that computes tasks: it resolves names anew and is told addresses."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import torch

from bcos_eval.contract.precision import reference_precision
from bcos_eval.errors import InputError, UnitFailedError
from bcos_eval.store.facts import ShardAddress
from bcos_eval.store.shards import Store

from .batch import BatchLimit
from .plan import Shard, Task, shards_of_model
from .progress import Progress
from .request import RunRequest, resolve
from .run_context import RunContext
from .task import compute_unclaimed


@dataclass(frozen=True, slots=True)
class Job:
    """A task as it travels between processes: a model and the addresses of shards.

    Attributes:
        model: Whose.
        addresses: Where the shards go.
        n_stimuli: Number of stimuli to explain.
        place: Names these; jobs of one place are best done by one worker, which has read them.
    """

    model: str
    addresses: tuple[ShardAddress, ...]
    n_stimuli: int
    place: str


@dataclass(frozen=True, slots=True)
class Message:
    """What a worker says.

    Attributes:
        kind: `advance` by `n` stimuli; `note` or `detail`, with a `text`; `done`, with the `rest` that another run
            is computing; or what ends the run: `refused`, `failed`, `crashed`, with a `text`.
        n: Number of stimuli.
        text: What is said.
        rest: What is left for later.
    """

    kind: Literal["advance", "note", "detail", "done", "refused", "failed", "crashed"]
    n: int = 0
    text: str = ""
    rest: Job | None = None


Tell = Callable[[Message], None]


def job_of(task: Task) -> Job:
    """Return a task as it travels."""
    cell, first = task.shards[0].cell, task.shards[0].first
    addresses = tuple(shard.address for shard in task.shards)
    return Job(cell.model, addresses, task.n_stimuli, f"{cell.model} {cell.kind.label} {first}")


def device_of_worker(device: torch.device, number: int) -> str:
    """Return where a worker computes: those of a run on `cuda` take the GPUs in turn.

    Example:
        >>> device_of_worker(torch.device("cpu"), 1)
        'cpu'
    """
    if device.type != "cuda" or device.index is not None:
        return str(device)
    return f"cuda:{number % torch.cuda.device_count()}"


class Worker:
    """Computes jobs of one request in the process that it lives in.

    Args:
        request: What was asked for, everything by name.
        root: The folder of results.
        tell: Told of progress and notes.
    """

    def __init__(self, request: RunRequest, root: Path, tell: Tell) -> None:
        self._tell = tell
        self._choices = resolve(request)
        self._context = RunContext(request, root, _Told(quiet=True, tell=tell))
        if self._context.device.type == "cpu":
            torch.set_num_threads(1)
        self._limit = BatchLimit(request.batch_size, self._context.device)
        self._store = Store(root)
        self._shards: dict[str, dict[ShardAddress, Shard]] = {}

    def compute(self, job: Job) -> Message:
        """Compute and store what a job names; whatever is raised becomes a message."""
        try:
            with reference_precision():
                rest = compute_unclaimed(self._context, self._task(job), self._store, self._limit, self._advance)
        except UnitFailedError as error:
            return Message("failed", text=str(error))
        except InputError as error:
            return Message("refused", text=str(error))
        except Exception:  # this process cannot show it, the run's own can
            return Message("crashed", text=traceback.format_exc())
        return Message("done", rest=None if rest is None else job_of(rest))

    def _task(self, job: Job) -> Task:
        if job.model not in self._shards:
            self._shards[job.model] = shards_of_model(self._context, self._choices, job.model)
        known = self._shards[job.model]
        if any(address not in known for address in job.addresses):
            raise InputError(
                f"a worker finds other data, weights or code for '{job.model}' than the run did; nothing of these "
                "may change while it runs: start it again."
            )
        return Task(tuple(known[address] for address in job.addresses))

    def _advance(self, n: int) -> None:
        self._tell(Message("advance", n=n))


def serve(connection: Connection, request: RunRequest, root: Path, device: str) -> None:
    """Answer the jobs that come through a connection until it is closed; the main function of a process."""
    # A keyboard's interruption reaches every process of the terminal; the run's own ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def tell(message: Message) -> None:
        try:
            connection.send(message)
        except OSError:
            sys.exit()  # the run has ended and hears nothing

    worker: Worker | None = None
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        try:
            if worker is None:
                worker = Worker(replace(request, device=device), root, tell)
            answer = worker.compute(job)
        except InputError as error:
            answer = Message("refused", text=str(error))
        except Exception:  # as in `compute`
            answer = Message("crashed", text=traceback.format_exc())
        tell(answer)


class _Told(Progress):
    """Notes that travel to the process of the run."""

    def __init__(self, *, quiet: bool, tell: Tell) -> None:
        super().__init__(quiet=quiet)
        self._tell = tell

    def note(self, text: str) -> None:
        """Say it there, once."""
        if text not in self.notes:
            self.notes.append(text)
            self._tell(Message("note", text=text))

    def detail(self, text: str) -> None:
        """Say it there."""
        self._tell(Message("detail", text=text))
