"""Tasks computed by processes of this machine, one replica of the model in each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from bcos_eval.errors import InputError, UnitFailedError

from .fork_server import worker_context
from .plan import Task
from .run_context import RunContext
from .worker import Job, Message, device_of_worker, job_of, serve

# A job whose worker died is given to another one so many times: it may be what kills them.
N_TRIES = 2
_SECONDS_TO_END = 10.0


@dataclass(slots=True)
class _Process:
    """A worker's process, and what it is doing."""

    process: BaseProcess
    connection: Connection
    job: Job | None = None
    n_advanced: int = 0
    place: str = ""


class WorkerCrashError(RuntimeError):
    """A fault of the suite in a worker, with its traceback."""


def execute_in_processes(context: RunContext, tasks: Sequence[Task], advance: Callable[[int], None]) -> None:
    """Compute tasks by as many processes as the request has workers; arguments and errors as for `execute`.

    A worker that is killed costs its job, which another one is given; a job whose workers die twice is left out
    with a note, and a later run tries it again.
    """
    context.kept(_Pool).run([job_of(task) for task in tasks], advance)


class _Pool:
    """The processes of a run, which are started when they are first needed and end with it."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._advance: Callable[[int], None] = _to_nobody
        self._waiting: deque[Job] = deque()
        self._later: list[Job] = []
        self._n_tries: dict[Job, int] = {}
        self._forks = worker_context()
        self._processes: list[_Process] = []

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes; what they were writing is there whole or not at all."""
        for one in self._processes:
            one.connection.close()
            if one.job is not None:
                one.process.terminate()
        for one in self._processes:
            one.process.join(_SECONDS_TO_END)  # the others see that their connection was closed
            if one.process.is_alive():
                one.process.kill()

    def _start(self, number: int) -> _Process:
        here, there = self._forks.Pipe()
        device = device_of_worker(self._context.device, number)
        process = self._forks.Process(
            target=serve, args=(there, self._context.request, self._context.root, device), daemon=True
        )
        process.start()
        there.close()  # so that the end of the process closes the connection
        return _Process(process, here)

    def run(self, jobs: Sequence[Job], advance: Callable[[int], None]) -> None:
        """Give jobs and hear messages until nothing is left."""
        self._advance = advance
        self._waiting.extend(jobs)
        for number in range(len(self._processes), min(self._context.request.workers, len(jobs))):
            self._processes.append(self._start(number))
        while self._waiting or self._later or self._busy():
            self._give()
            if not self._busy():
                self._context.claims.wait()
                self._waiting.extend(self._later)
                self._later.clear()
                continue
            for connection in wait([one.connection for one in self._busy()]):
                self._hear(next(one for one in self._processes if one.connection is connection))

    def _busy(self) -> list[_Process]:
        return [one for one in self._processes if one.job is not None]

    def _give(self) -> None:
        for number, one in enumerate(self._processes):
            if one.job is not None or not self._waiting:
                continue
            job = self._next_job(one)
            one.job, one.n_advanced, one.place = job, 0, job.place
            try:
                one.connection.send(job)
            except OSError:
                self._replace(number)

    def _next_job(self, one: _Process) -> Job:
        """Take a job: on the stimuli that the worker has at hand, else on those that no other is busy with."""
        elsewhere = {other.place for other in self._busy()}
        job = next((job for job in self._waiting if job.place == one.place), None)
        job = job or next((job for job in self._waiting if job.place not in elsewhere), self._waiting[0])
        self._waiting.remove(job)
        return job

    def _hear(self, one: _Process) -> None:
        try:
            message: Message = one.connection.recv()
        except (EOFError, OSError):
            self._replace(self._processes.index(one))
            return
        if message.kind == "advance":
            one.n_advanced += message.n
            self._advance(message.n)
        elif message.kind == "note":
            self._context.progress.note(message.text)
        elif message.kind == "detail":
            self._context.progress.detail(message.text)
        else:
            one.job = None
            if message.rest is not None:
                self._later.append(message.rest)
            raise_if_ended(message)

    def _replace(self, number: int) -> None:
        """Put a new process in the place of one that died, and give its job away again."""
        dead = self._processes[number]
        dead.connection.close()
        dead.process.join()
        job, code = dead.job, dead.process.exitcode
        self._processes[number] = self._start(number)
        if job is None:
            return
        self._advance(-dead.n_advanced)
        self._n_tries[job] = self._n_tries.get(job, 1) + 1
        lost = f"a worker ended with code {code} while it computed {job.n_stimuli} stimuli of {job.model}"
        if self._n_tries[job] <= N_TRIES:
            self._context.progress.note(f"{lost}; another one computes them.")
            self._waiting.append(job)
        else:
            self._context.progress.note(f"{lost}, for the second time; they are left out, run it again.")
            self._context.n_lost_tasks += 1


def _to_nobody(_n: int) -> None:
    pass


def raise_if_ended(message: Message) -> None:
    """Raise what a worker met that ends the run.

    Raises:
        InputError: If the request cannot be fulfilled.
        UnitFailedError: If the first failure was to end the run.
        WorkerCrashError: If the suite has a fault.
    """
    if message.kind == "refused":
        raise InputError(message.text)
    if message.kind == "failed":
        raise UnitFailedError(message.text)
    if message.kind == "crashed":
        raise WorkerCrashError(message.text)
