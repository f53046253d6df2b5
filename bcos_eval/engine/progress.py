"""What a run says while it works: progress with an estimate, and notes, both on standard error and in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

RUN_LOG_NAME = "run.log"
# Seconds between two states: often enough for an eye, seldom enough for a log file.
_INTERVAL = 0.2
_LOG_INTERVAL = 10.0


class Bar:
    """How far a piece of work has come: a bar on a terminal, else a line now and then.

    The time that is left is what the rest takes at the mean speed so far, of all workers together. Work that is
    found to be needed on the way takes the bar's place until it is done, and none of its time.

    Args:
        description: What is done.
        total: How much of it; 0 where that is found out later.
        unit: Of what.
        quiet: Whether nothing is shown.
        outer: The bar whose place is taken.
    """

    def __init__(self, description: str, total: int, unit: str, *, quiet: bool, outer: Bar | None = None) -> None:
        self._description, self._total, self._unit, self._quiet = description, total, unit, quiet
        self._shown: tqdm[NoReturn] | None = None
        self._outer = outer
        self._n, self._opened = 0, time.monotonic()
        self._said_n: int | None = None
        self._started = self._said = self._opened
        if outer is not None and outer._shown is not None:
            outer._shown.clear()
        self._show()

    def _show(self) -> None:
        if self._total and not self._quiet and sys.stderr.isatty():
            self._shown = tqdm(
                total=self._total,
                desc=self._description,
                unit=self._unit,
                file=sys.stderr,
                mininterval=_INTERVAL,
                smoothing=0,
                position=0,
                leave=self._outer is None,
            )

    def expect(self, n: int) -> None:
        """Begin, now that it is known how much there is to do."""
        self._total = n
        self._started = self._said = time.monotonic()
        self._show()

    def advance(self, n: int) -> None:
        """So much more is done; less if it is negative, since a worker was lost."""
        self._n += n
        if self._shown is not None:
            self._shown.update(n)
        elif time.monotonic() - self._said >= _LOG_INTERVAL:
            self._say()

    def skip(self, n: int) -> None:
        """So much need not be done after all."""
        self._total -= n
        if self._shown is not None and n:
            self._shown.total = self._total
            self._shown.refresh()

    def close(self) -> None:
        """Show where it ended; the bar whose place it took goes on."""
        if self._shown is not None:
            self._shown.close()
        elif self._said_n not in (None, self._n):  # who saw it on its way sees its end, too
            self._say()
        if self._outer is not None:
            self._outer._go_on(time.monotonic() - self._opened)

    def _go_on(self, paused: float) -> None:
        self._started += paused
        self._said += paused
        if self._shown is not None:
            self._shown.start_t += paused
            self._shown.last_print_t += paused  # never before its start
            self._shown.refresh()

    def _say(self) -> None:
        self._said, self._said_n = time.monotonic(), self._n
        if self._quiet:
            return
        passed = self._said - self._started
        rest = f"{_duration(passed)} passed"
        if 0 < self._n < self._total:
            rest = f"{_duration(passed / self._n * (self._total - self._n))} left"
        sys.stderr.write(f"{self._description}: {self._n} of {self._total} {self._unit}, {rest}\n")


def _duration(seconds: float) -> str:
    """Return a duration in the two largest units.

    Example:
        >>> _duration(3725)
        '1 h 2 min'
        >>> _duration(65)
        '1 min 5 s'
    """
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


@dataclass(slots=True)
class Progress:
    """Progress bars and notes of one run.

    Attributes:
        quiet: Whether bars are left out; notes are always shown.
        verbose: Whether each task is told of.
        notes: All notes so far, each once.
        log: A file that everything is added to, with the time.
        open_bar: The bar on show.
    """

    quiet: bool = False
    verbose: bool = False
    notes: list[str] = field(default_factory=list)
    log: Path | None = None
    open_bar: Bar | None = None

    def note(self, text: str) -> None:
        """Say something that the reader of the results must know; the same thing is said once."""
        if text not in self.notes:
            self.notes.append(text)
            self._write(f"note: {text}", is_shown=True)

    def say(self, text: str) -> None:
        """Say something about how the run goes, that does not matter for its results."""
        self._write(text, is_shown=not self.quiet)

    def detail(self, text: str) -> None:
        """Say something that only matters when something is amiss."""
        self._write(text, is_shown=self.verbose)

    @contextmanager
    def bar(self, description: str, total: int, unit: str) -> Iterator[Bar]:
        """Show a bar while the block runs, in the place of an open one; yields what moves it on."""
        outer = self.open_bar
        bar = self.open_bar = Bar(description, total, unit, quiet=self.quiet, outer=outer)
        try:
            yield bar
        finally:
            bar.close()
            self.open_bar = outer

    def _write(self, text: str, *, is_shown: bool) -> None:
        if is_shown:
            tqdm.write(text, file=sys.stderr)
        if self.log is not None:
            stamp = datetime.now(UTC).isoformat(timespec="seconds")
            with (
                suppress(OSError),
                self.log.open("a", encoding="utf-8") as log,
            ):  # a full disk ends the run elsewhere
                log.write(f"{stamp} {text}\n")
