"""Which part of a run's tasks one of several processes computes, without any of them knowing of the others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bcos_eval.errors import InputError

# Index and number of processes as schedulers tell them, with the smallest index.
_OF_TASKS = (("SLURM_PROCID", "SLURM_NTASKS"), ("RANK", "WORLD_SIZE"), ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"))
_ARRAY_INDEX, _ARRAY_COUNT = "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"
_ARRAY_FIRST, _ARRAY_STEP = "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"


@dataclass(frozen=True, slots=True)
class Share:
    """Every `count`-th part of the work, beginning with number `index`, which counts from 0."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse an index beyond the count.

        Raises:
            InputError: If it is.
        """
        if not 0 <= self.index < self.count:
            raise InputError(f"--shard {self} is not allowed; give I/N with I from 1 to N, for example 2/4.")

    def __str__(self) -> str:
        """As `--shard` takes it, counted from 1.

        Example:
            >>> str(Share(0, 4))
            '1/4'
        """
        return f"{self.index + 1}/{self.count}"

    def has(self, number: int) -> bool:
        """Whether work of a number is this share's; each number is one share's.

        Example:
            >>> [number for number in range(5) if Share(1, 2).has(number)]
            [1, 3]
        """
        return number % self.count == self.index


def parse_share(text: str) -> Share:
    """Read `I/N`, counted from 1.

    Raises:
        InputError: If the text is of another form.

    Example:
        >>> parse_share("2/4")
        Share(index=1, count=4)
    """
    match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
    if match is None:
        raise InputError(f"--shard '{text}' is not allowed; give I/N with I from 1 to N, for example 2/4.")
    return Share(int(match[1]) - 1, int(match[2]))


def share_of_environment(environment: Mapping[str, str]) -> tuple[Share, str]:
    """Return the share that a scheduler's variables give this process, and which variable says so.

    A Slurm array of jobs with several tasks each has their product. Without a scheduler, the share is everything.

    Raises:
        InputError: If an index comes without its count, or is beyond it.

    Example:
        >>> share_of_environment({"RANK": "1", "WORLD_SIZE": "2"})
        (Share(index=1, count=2), 'RANK')
    """
    share, said_by = Share(), []
    if _ARRAY_INDEX in environment:
        first = int(environment.get(_ARRAY_FIRST, "0"))
        step = int(environment.get(_ARRAY_STEP, "1"))
        index = (_number(environment, _ARRAY_INDEX) - first) // step
        share, said_by = Share(index, _number(environment, _ARRAY_COUNT)), [_ARRAY_INDEX]
    for index_name, count_name in _OF_TASKS:
        if index_name in environment:
            index, count = _number(environment, index_name), _number(environment, count_name)
            share = Share(share.index * count + index, share.count * count)
            said_by.append(index_name)
            break
    return share, " and ".join(said_by)


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except (KeyError, ValueError) as error:
        raise InputError(
            f"the environment gives a share of the work without a valid {name}; set it, or say --shard I/N "
            "(1/1 for everything)."
        ) from error
