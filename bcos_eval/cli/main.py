"""The command line: which commands there are, and what errors become."""

from __future__ import annotations

import importlib
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import cast

import click

from bcos_eval.errors import InputError, Terminated, UnitFailedError, unknown_name
from bcos_eval.version import __version__

from .console import show_whatever_the_encoding
from .exit_codes import EXIT_DONE, EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED, EXIT_TERMINATED
from .failure import report_failure

# Every command with its one line in the help, so that the help needs none of their modules: command `x` is
# `x_command` in `x.py` (`x-y`: `x_y_command` in `x_y.py`). A test compares the lines with the commands' own.
COMMANDS: Mapping[str, str] = {
    "run": "Evaluate explainers on models and print the leaderboard.",
    "list": "List what is registered.",
    "explain": "Explain images of your own and write a picture.",
    "leaderboard": "Print the leaderboard of stored results.",
    "compare": "Compare methods or models on the same units, with tests and effect sizes.",
    "agreement": "Say which metrics put the methods in the same order.",
    "protocols": "Score the same maps under every preset of a metric and say which conclusions flip.",
    "figures": "Draw figures from stored results.",
    "report": "Write one page of stored results: tables, figures, pictures.",
    "aggatt": "Draw mean attributions of grids ranked by score (AggAtt).",
    "check-published": "Compare stored results with published numbers, and say which cannot be compared and why.",
    "units": "Show what hidden units respond to: their top images, explained.",
    "verify": "Check stored files, their completeness, and a sample of scores anew.",
    "train": "Train a model as the shipped weights were.",
    "series": "Train and score networks that differ in their exponent B or their norm alone.",
    "doctor": "Say what is installed and usable, and how fast it is.",
    "bench": "Measure how fast explainers and metrics are.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        return cast("click.Command", getattr(importlib.import_module(f".{name}", __package__), f"{name}_command"))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with, and the rest of them.

        Raises:
            InputError: If there is none of that name, with near matches.
        """
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise unknown_name("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the section of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, message="%(prog)s %(version)s")
def bcos_eval() -> None:
    """Evaluate explanations: B-cos networks and post-hoc attribution under one protocol."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 a fault or failed units, 2 wrong input, 130 or 143 interrupted."""
    show_whatever_the_encoding(sys.stdout, sys.stderr)
    given = list(sys.argv[1:] if arguments is None else arguments)
    _end_on_termination()
    sys.exit(_exit_code(given or ["--help"]))


def _end_on_termination() -> None:
    """Turn SIGTERM, which schedulers send before they kill, into an exception that ends a run in order."""

    def end(signal_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal_number, signal.SIG_IGN)
        raise Terminated

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)


def _exit_code(arguments: list[str]) -> int:
    try:
        # click returns the code of `--help` and `--version` and raises everything else.
        code = bcos_eval.main(arguments, prog_name="bcos-eval", standalone_mode=False)
    except click.ClickException as error:
        return _refuse(error.format_message())
    except InputError as error:
        return _refuse(str(error))
    except UnitFailedError as error:
        click.echo(f"error: {error}", err=True)
        return EXIT_FAILED
    except (click.Abort, KeyboardInterrupt) as error:
        click.echo("interrupted; what was finished is stored, run the same command again to go on.", err=True)
        # click raises Abort in the place of an interruption.
        return EXIT_TERMINATED if isinstance(error.__cause__ or error, Terminated) else EXIT_INTERRUPTED
    except OSError as error:
        # What the disk, the network or a permission refuses is said with its place; there is nothing to debug.
        return _refuse(_os_error_line(error))
    # The last place that can keep a traceback from the user, and for the developer.
    except (Exception, SystemExit) as error:
        click.echo(f"error: {report_failure(error, arguments)}", err=True)
        return EXIT_FAILED
    return code if isinstance(code, int) else EXIT_DONE


def _os_error_line(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    place = f"'{error.filename}': " if error.filename else ""
    return f"{place}{reason}; make room or correct the path, and run the same command again."


def _refuse(message: str) -> int:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    return EXIT_INPUT
