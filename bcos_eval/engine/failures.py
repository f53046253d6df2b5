"""What happens when code raises on one unit: its row says so, and the run goes on."""

from __future__ import annotations

import functools
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bcos_eval.contract.network import is_out_of_memory
from bcos_eval.errors import InputError, UnitFailedError, reason_of

from .progress import Progress

LOG_NAME = "failures.log"
# So many failures of one method or metric are told and logged in full; the others are counted.
_N_TOLD = 3

T = TypeVar("T")
# Maps positions of units to their results.
Work = Callable[[Sequence[int]], Sequence[T]]


@dataclass(frozen=True, slots=True)
class Failure:
    """What stands for a result that there is none of: why, in one line."""

    reason: str


@dataclass(slots=True)
class Failures:
    """Runs code that may raise, a user's above all, for one unit at a time.

    Attributes:
        folder: The folder of results; tracebacks are appended to a file there.
        progress: Told of the first failures.
        fail_fast: Whether the first failure ends the run.
        seconds: How long a unit may take; None for ever.
    """

    folder: Path
    progress: Progress
    fail_fast: bool = False
    seconds: float | None = None
    _told: Counter[str] = field(default_factory=Counter)

    def each(
        self, work: Work[T], units: Sequence[str], *, what: str, may_refuse: bool = False
    ) -> list[T | Failure]:
        """Return what `work` gives for each unit, or the reason why it raised there.

        Units are given all at once, and one by one if that raises. An exhausted memory is not caught, since
        smaller batches may fit.

        Args:
            work: Maps positions of units to their results.
            units: The ids of the stimuli.
            what: Whose code it is: "method 'mine.left'".
            may_refuse: Whether an `InputError` refuses the whole run, as it does on a cell's first stimulus.

        Raises:
            UnitFailedError: If it raised and the first failure is to end the run.
            InputError: If the whole run is refused.
        """
        try:
            if self.seconds is None or len(units) == 1:
                with _time_limit(self.seconds):
                    return [*work(range(len(units)))]
        except (Exception, SystemExit, _UnitTimeoutError) as error:  # a user's code may raise anything
            if isinstance(error, Exception) and is_out_of_memory(error):
                raise
            if len(units) == 1:
                return [self._failure(error, what, units[0], may_refuse)]
        found: list[T | Failure] = []
        for place, unit in enumerate(units):
            alone = functools.partial(_at, work, place)
            found += self.each(alone, [unit], what=what, may_refuse=may_refuse and place == 0)
        return found

    def _failure(self, error: BaseException, what: str, unit: str, may_refuse: bool) -> Failure:
        if may_refuse and isinstance(error, InputError):
            raise error
        self._tell(error, what, unit)
        if self.fail_fast:
            raise UnitFailedError(
                f"{what} failed on {unit}: {_reason(error)}; the traceback is in '{self._log}'."
            ) from error
        return Failure(_reason(error))

    @property
    def _log(self) -> Path:
        return self.folder / LOG_NAME

    def _tell(self, error: BaseException, what: str, unit: str) -> None:
        self._told[what] += 1
        if self._told[what] > _N_TOLD:
            return
        self.progress.note(f"{what} failed on {unit}: {_reason(error)}")
        with suppress(OSError), self._log.open("a", encoding="utf-8") as log:
            log.write(f"{what} on {unit}\n{''.join(traceback.format_exception(error))}\n")


class _UnitTimeoutError(BaseException):
    """A unit that takes too long; no `Exception`, so that a user's code does not catch it."""


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, _UnitTimeoutError) else reason_of(error)


def require_time_limit() -> None:
    """Refuse a time limit where none can be kept.

    Raises:
        InputError: On systems without alarms, and outside the main thread, which alone is woken by them.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        raise InputError(
            "--unit-timeout needs the alarms of Linux or macOS, in the main thread of a program; leave it out."
        )


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """End the block when its time is up: at its next step in Python, since a step outside cannot be broken off.

    Raises:
        _UnitTimeoutError: If it is.
    """
    if seconds is None:
        yield
        return

    def end(_number: int, _frame: object) -> None:
        raise _UnitTimeoutError(f"it took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def directly(work: Work[T], units: Sequence[str], *, what: str, may_refuse: bool = False) -> list[T | Failure]:
    """Return what `work` gives for each unit, and raise what it raises; arguments as for `Failures.each`."""
    return [*work(range(len(units)))]


def _at(work: Work[T], place: int, _places: Sequence[int]) -> Sequence[T]:
    return work([place])
