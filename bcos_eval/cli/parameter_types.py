"""Types of options that several commands have; what they refuse is refused without torch."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_DEVICE = re.compile(r"auto|cpu|(cuda|mps|xpu)(:\d+)?")

# NumPy and torch both take seeds from 0.
SEED = click.IntRange(min=0)


def device_option(command: Command) -> Command:
    """Give a command the option that says where to compute, as torch calls it, or `auto`."""
    return click.option("--device", default="auto", callback=device_name, help="auto, cpu, cuda, cuda:1, …")(
        command
    )


def device_name(context: click.Context, option: click.Parameter, value: str) -> str:
    """Return the name in small letters; whether the device is there turns out when it is used."""
    text = value.lower()
    if not _DEVICE.fullmatch(text):
        message = f"there is no device '{value}'; give auto, cpu, cuda or cuda:1, …."
        raise click.BadParameter(message, context, option)
    return text
