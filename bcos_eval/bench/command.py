"""A `bcos-eval` command in a process of its own, and what it took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

# Reports the processor time of itself, and of the processes that its workers are forked from. What these have
# waited for is theirs; they are not waited for themselves.
_PROGRAM = """
import json, os, resource, sys
from pathlib import Path
from bcos_eval.cli.main import main
code = 0
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code
def seconds(process):
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
usage = resource.getrusage(resource.RUSAGE_SELF)
waited = resource.getrusage(resource.RUSAGE_CHILDREN)
others = sum(map(seconds, children)) + waited.ru_utime + waited.ru_stime
print(json.dumps([code, usage.ru_utime + usage.ru_stime, others]), file=sys.stderr)
"""


@dataclass(frozen=True, slots=True)
class CommandTime:
    """What a command took.

    Attributes:
        seconds: From start to end.
        own_seconds: Processor time of the command itself.
        worker_seconds: Processor time of the processes it started.
    """

    seconds: float
    own_seconds: float
    worker_seconds: float


def timed_command(arguments: Sequence[str], n_threads: int = 1) -> CommandTime:
    """Run a command and return what it took.

    Raises:
        RuntimeError: If it fails.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(n_threads)}
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    seconds = time.perf_counter() - started
    try:
        code, own, others = json.loads(ended.stderr.splitlines()[-1])
    except (ValueError, IndexError):
        code, own, others = ended.returncode or 1, 0.0, 0.0
    if code:
        raise RuntimeError(f"bcos-eval {' '.join(arguments)} ended with {code}: {ended.stderr}")
    return CommandTime(seconds, own, others)
