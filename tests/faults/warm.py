"""A warm interpreter that starts runs by forking, and kills them where it is told to.

Torch is imported once; a run then begins in a tenth of a second, so that it can be killed at each of its file
operations. Reads orders as lines of JSON and answers each with a line, see `WarmInterpreter` in `conftest.py`.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

# What the command imports on its way, and what pyarrow does.
MODULES = "bcos_eval.cli.run", "bcos_eval.engine.run", "bcos_eval.reports.tables.stored", "pandas"
# Interpreter events that come before a file or folder changes, or is opened to be written or flushed to the disk.
OPERATIONS = "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime", "os.truncate", "half written"


def write_in_two_halves(self, content):
    """`Path.write_bytes` of a process that can be killed in the middle of it."""
    with self.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        sys.audit("half written", str(self))
        file.write(content[len(content) // 2 :])
    return len(content)


def count_operations(folder, order):
    """Count operations in a folder; end this process by SIGKILL just before one, or refuse it and all after it."""
    numbers = itertools.count(1)
    seen = [0]

    def hook(event, arguments):
        if event in OPERATIONS and isinstance(arguments[0], str | os.PathLike):
            if folder not in os.fspath(arguments[0]) or threading.current_thread() is not threading.main_thread():
                return
            seen[0] = next(numbers)
            if seen[0] == order["kill_at"]:
                os.kill(os.getpid(), signal.SIGKILL)
            refused = order["refused"].get(event)
            if (
                refused is not None
                and seen[0] >= order["refuse_from"]
                and (event != "open" or changes(*arguments))
            ):
                raise OSError(refused, os.strerror(refused), os.fspath(arguments[0]))

    sys.addaudithook(hook)
    return seen


def changes(_path, mode, flags):
    """Whether a file is opened to be written: `open` says so by its mode, `os.open` by its flags."""
    return bool(set(mode or "") & set("wax+")) or bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def run_here(order, answer):
    """Run a command in this process, which is a fork, and end it."""
    os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 1)
    os.dup2(os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    Path.write_bytes = write_in_two_halves
    exec(order["before"], {})  # what a test changes of this process's world
    seen = count_operations(order["folder"], order)
    code = 1
    try:
        importlib.import_module("bcos_eval.cli.main").main(order["arguments"])
    except SystemExit as end:
        code = end.code
    finally:
        os.write(answer, str(seen[0]).encode())
        os._exit(code)


def started(order):
    """Fork a run; returns its process id and where it says how many operations it counted."""
    hear, say = os.pipe()
    process = os.fork()
    if process == 0:
        run_here(order, say)
    os.close(say)
    return process, hear


def ended(process, hear, order, start):
    if order["kill_after"] is not None:
        time.sleep(max(start + order["kill_after"] - time.perf_counter(), 0))
        with suppress(ProcessLookupError):  # before it has become the head of its group
            os.killpg(process, signal.SIGKILL)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    n_operations = int(os.read(hear, 32) or 0)
    os.close(hear)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "n_operations": n_operations, "seconds": time.perf_counter() - start}


def serve():
    for module in MODULES:
        importlib.import_module(module)
    # Registries do not change here, and are walked ten times by a command that finds torch loaded.
    catalogue = importlib.import_module("bcos_eval.cli.catalogue")
    everything = catalogue.registered()
    catalogue.registered = lambda: everything
    for line in sys.stdin:
        orders = json.loads(line)
        start = time.perf_counter()
        processes = [(*started(order), order) for order in orders]
        sys.stdout.write(json.dumps([ended(*one, start) for one in processes]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
