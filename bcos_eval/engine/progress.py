"""What a run says while it works: progress with an estimate, and notes, both on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from tqdm import tqdm

# Seconds between two states of a bar: often enough for an eye, seldom enough for a log file.
_TERMINAL_INTERVAL = 0.2
_LOG_INTERVAL = 10.0


@dataclass(frozen=True, slots=True)
class Bar:
    """How far a piece of work has come."""

    shown: tqdm[NoReturn]

    def advance(self, n: int) -> None:
        """So much more is done; less if it is negative, since a worker was lost."""
        self.shown.update(n)

    def skip(self, n: int) -> None:
        """So much need not be done after all."""
        if n and self.shown.total is not None:
            self.shown.total -= n
            self.shown.refresh()


@dataclass(slots=True)
class Progress:
    """Progress bars and notes of one run.

    Attributes:
        quiet: Whether bars are left out; notes are always shown.
        notes: All notes so far, each once.
    """

    quiet: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say something that the reader of the results must know; the same thing is said once."""
        if text not in self.notes:
            self.notes.append(text)
            tqdm.write(f"note: {text}", file=sys.stderr)

    def say(self, text: str) -> None:
        """Say something about how the run goes, that does not matter for its results."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)

    @contextmanager
    def bar(self, description: str, total: int, unit: str) -> Iterator[Bar]:
        """Show a bar while the block runs; yields what moves it on."""
        interval = _TERMINAL_INTERVAL if sys.stderr.isatty() else _LOG_INTERVAL
        with tqdm(
            total=total, desc=description, unit=unit, disable=self.quiet, file=sys.stderr, mininterval=interval
        ) as shown:
            yield Bar(shown)
