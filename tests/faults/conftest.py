"""A run of a second, and a warm interpreter that starts it and kills it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from PIL import Image

COLOURS = {"blue": (0, 0, 1), "cyan": (0, 1, 1), "green": (0, 1, 0), "red": (1, 0, 0), "yellow": (1, 1, 0)}
SIDE, N_PER_CLASS = 16, 9

OWN = """
    import torch
    from torch import nn

    COLOURS = torch.tensor([[0, 0, 1], [0, 1, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0.0]])

    class Tiny(nn.Module):
        '''Tells images by their mean colour, and is sure of it.'''

        input_size = 16

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter((2 * COLOURS - 1)[:, :, None, None] * 20)
            self.bias = nn.Parameter((0.5 - COLOURS.sum(1)) * 20)

        def encode(self, images):
            return images

        def probability(self, logits):
            return logits.softmax(-1)

        def forward(self, encoded):
            return nn.functional.conv2d(encoded, self.weight).mean((2, 3)) + self.bias
"""


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code (negative for a signal), what it said, its file operations and seconds."""

    code: int
    stderr: str
    n_operations: int
    seconds: float


@dataclass
class WarmInterpreter:
    """Starts `bcos-eval` commands as forks of one process that has torch loaded."""

    process: subprocess.Popen
    scratch: Path

    def __call__(self, arguments: Sequence[str], out: Path, **asked) -> Ended:
        return self.together([arguments], out, **asked)[0]

    def together(
        self,
        commands,
        out,
        *,
        kill_at=None,
        kill_after=None,
        refuse_from=1,
        refused=None,
        before=None,
        folder=None,
    ) -> list[Ended]:
        """Run commands at once, and wait for all of them.

        Args:
            commands: Their arguments but `--out`.
            out: The folder of results.
            kill_at: Number of the file operation in the folder before which to end by SIGKILL.
            kill_after: Seconds after which to.
            refuse_from: Number of the file operation from which on the disk refuses.
            refused: Which operations it refuses, with the error number.
            before: Python source that each fork runs first.
            folder: Whose file operations count; that of results if not given.
        """
        said = [self.scratch / f"stderr{place}" for place in range(len(commands))]
        for path in said:
            path.write_text("")
        orders = [
            {
                "arguments": [*arguments, "--out", str(out)], "folder": str(folder or out), "stderr": str(path),
                "kill_at": kill_at, "kill_after": kill_after, "refuse_from": refuse_from, "refused": refused or {},
                "before": dedent(source),
            }
            for arguments, path, source in zip(commands, said, before or [""] * len(commands), strict=True)
        ]  # fmt: skip
        self.process.stdin.write(json.dumps(orders) + "\n")
        self.process.stdin.flush()
        answers = json.loads(self.process.stdout.readline())
        return [Ended(stderr=path.read_text(), **answer) for answer, path in zip(answers, said, strict=True)]


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """Starts commands without waiting for torch."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("warm.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    yield WarmInterpreter(process, tmp_path_factory.mktemp("warm"))
    process.stdin.close()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="session")
def small_command(tmp_path_factory):
    """Arguments of a run that takes a second: a pool, grids, single images, curves, examples."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "own.py").write_text(dedent(OWN), encoding="utf-8")
    generator = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for number in range(N_PER_CLASS):
            noise = generator.random((SIDE, SIDE, 3))
            image = Image.fromarray((255 * (0.05 + 0.8 * np.array(colour) + 0.1 * noise)).astype(np.uint8))
            mask = Image.fromarray(np.repeat([[255], [0]], SIDE // 2, 0).repeat(SIDE, 1).astype(np.uint8))
            for kind, picture in ((Path(), image), (Path("masks"), mask)):
                path = folder / "images" / kind / name / f"{name}{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)
    return (
        "run", "--model", f"{folder / 'own.py'}:Tiny", "--dataset", "folder", "--data-dir", str(folder / "images"),
        "--method", "ixg", "--metric", "grid_pg,pixel_deletion", "--param", "grid_pg.n=2", "--samples", "40",
         "--device", "cpu", "--quiet",
    )  # fmt: skip
