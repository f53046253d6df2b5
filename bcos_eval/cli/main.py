"""The command line: which commands there are, and what errors become."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from bcos_eval.errors import InputError
from bcos_eval.version import __version__

from .aggatt import aggatt_command
from .bench import bench_command
from .compare import agreement_command, compare_command
from .doctor import doctor_command
from .explain import explain_command
from .listing import list_command
from .results import figures_command, leaderboard_command
from .run import run_command
from .train import train_command

EXIT_DONE = 0
EXIT_INPUT = 2
EXIT_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, message="%(prog)s %(version)s")
def bcos_eval() -> None:
    """Evaluate explanations: B-cos networks and post-hoc attribution under one protocol."""


for _command in (
    run_command,
    list_command,
    explain_command,
    leaderboard_command,
    compare_command,
    agreement_command,
    figures_command,
    aggatt_command,
    train_command,
    doctor_command,
    bench_command,
):
    bcos_eval.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 2 the user's input, 130 interrupted; anything else is a bug and raises."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_exit_code(given or ["--help"]))


def _exit_code(arguments: list[str]) -> int:
    try:
        # click returns the code of `--help` and `--version` and raises everything else.
        code = bcos_eval.main(arguments, prog_name="bcos-eval", standalone_mode=False)
    except click.ClickException as error:
        return _refuse(error.format_message())
    except InputError as error:
        return _refuse(str(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was finished is stored, run the same command again to go on.", err=True)
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else EXIT_DONE


def _refuse(message: str) -> int:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    return EXIT_INPUT
