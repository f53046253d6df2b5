from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from bcos_eval.cli.main import bcos_eval as command_line

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands():
    """Every command of the README, in one line each, without what is said of it."""
    for language, block in BLOCKS:
        if language in ("", "sh", "bash", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["bcos-eval"]:
                    yield words[1:]


@pytest.mark.parametrize("words", [*commands()], ids=" ".join)
def test_the_options_of_every_command_exist(words):
    """The parser alone: files and folders that the README makes up are not there."""
    command = command_line.get_command(None, words[0])
    assert command is not None
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in options] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [words for words in commands() if words[0] == "run" and "PATH" not in str(words)], ids=" ".join
)
def test_the_plans_of_runs_on_embedded_data_can_be_made(words, tmp_path):
    found = CliRunner().invoke(command_line, [*words, "--dry-run", "--out", str(tmp_path)])
    assert found.exit_code == 0, found.output
