from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import bcos_eval
from bcos_eval.cli.main import bcos_eval as command_line

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TOUR = ROOT / "docs" / "tour.md"


def blocks(page):
    """Language and text of every block of code; files that are shown whole have tests of their own."""
    text = re.sub(r"<!-- generated: file .*?<!-- end", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def python(page):
    """The blocks of Python of a page."""
    return [block for language, block in blocks(page) if language == "python"]


def commands():
    """Every command of the pages, in one line each, without what is said of it."""
    for language, block in (block for page in PAGES for block in blocks(page)):
        if language in ("", "sh", "bash", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["bcos-eval"]:
                    yield words[1:]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 16))


def spread(maps):
    return maps.std((-2, -1))


def reds(model, images, targets):
    return images[:, :1].expand(-1, targets.shape[1], -1, -1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_lines_of_python_run_as_they_stand(monkeypatch):
    evaluate = bcos_eval.evaluate
    monkeypatch.setattr(
        bcos_eval, "evaluate", lambda *given, **named: evaluate(*given, **named | {"n_samples": 2})
    )
    import torchvision

    names = {
        "torchvision": torchvision,
        "images": torch.rand(1, 3, 64, 64),
        "targets": torch.tensor([[0, 3]]),
        "my_module": network(),
        "my_metric": spread,
        "my_explainer": reds,
    }
    for code in python(TOUR):
        exec(compile(code, TOUR.name, "exec"), names)
    assert names["maps"].shape == (1, 2, 64, 64)
    assert not names["table"].empty


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom():
    plt.switch_backend("agg")
    cells = json.loads((ROOT / "docs" / "first_steps.ipynb").read_text(encoding="utf-8"))["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert set(names["pairs"]["better"]) <= {"a", "b", ""}
    assert names["page"].is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_all_pages_is_part_of_the_tour_which_is_run(page):
    assert set(python(page)) <= set(python(TOUR))
    assert python(TOUR)


@pytest.mark.parametrize("words", [*commands()], ids=" ".join)
def test_the_options_of_every_command_exist(words):
    """The parser alone: files and folders that the pages make up are not there."""
    command = command_line.get_command(None, words[0])
    assert command is not None
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in options] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [words for words in commands() if words[0] == "run" and not re.search(r"PATH|\.py:|\$", str(words))],
    ids=" ".join,
)
def test_the_plans_of_runs_on_embedded_data_can_be_made(words, tmp_path):
    found = CliRunner().invoke(command_line, [*words, "--dry-run", "--out", str(tmp_path)])
    assert found.exit_code == 0, found.output
