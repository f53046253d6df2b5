"""What ARCHITECTURE.md says of adding things, done: the examples in `extending/` work once they are in place."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from bcos_eval.attribution import explain
from bcos_eval.cli.main import main
from bcos_eval.contract import explainer, metric, plugins
from bcos_eval.data import registry as data
from bcos_eval.engine import executors
from bcos_eval.models import registry as models
from bcos_eval.reports.figures import figures
from bcos_eval.stimuli import kind as stimuli

ROOT = Path(__file__).parents[1]
EXAMPLES = Path(__file__).parent / "extending"
REGISTRIES = (
    explainer.EXPLAINERS,
    metric.METRICS,
    metric.DEFAULT_PRESETS,
    stimuli.STIMULI,
    data.DATASETS,
    data._LOADERS,
    models.MODELS,
    figures.FIGURES,
    executors.EXECUTORS,
)


@pytest.fixture(autouse=True)
def registries_as_before():
    """Forgets, after the test, what it registered."""
    plugins.explainers()
    before = [dict(registry) for registry in REGISTRIES]
    yield
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(entries)


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Puts an example into a package's folder, as far as imports can tell; returns the name of its module."""

    def putter(example, package, name):
        place = tmp_path / package
        place.mkdir(exist_ok=True)
        (place / f"{name}.py").write_text((EXAMPLES / f"{example}.py").read_text())
        home = importlib.import_module(package)
        monkeypatch.setattr(home, "__path__", [*home.__path__, str(place)])
        monkeypatch.delitem(sys.modules, f"{package}.{name}", raising=False)
        return f"{package}.{name}"

    return putter


def discover(package):
    """Does what the package does when it is first imported."""
    plugins.import_modules(package, importlib.import_module(package).__path__)


@pytest.fixture
def call(capsys):
    """Runs a command, which must succeed; returns its standard output."""

    def caller(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        assert caught.value.code == 0, shown.err
        return shown.out

    return caller


@pytest.fixture
def run(call, tmp_path):
    """Runs `bcos-eval run` on two images with random weights."""
    fixed = ("--device", "cpu", "--samples", "2", "--weights", "random", "--quiet", "--out", tmp_path / "out")
    return lambda *arguments: call("run", *fixed, *arguments)


def names(call, kind):
    return [row["name"] for row in json.loads(call("list", kind, "--json"))]


def test_an_explainer_is_one_file(put, call, run, toy_network):
    put("explainer", "bcos_eval.baselines", "gradient_power")
    discover("bcos_eval.baselines")
    network = toy_network(is_bcos=False)
    image, target = torch.rand(1, 3, 8, 8), torch.tensor([[2, 0]])
    # The network is linear: its gradient is its weight, spread over the positions.
    expected = (network.weight[:, :, 0, 0] / 64).pow(4).sum(1)[target[0]]
    maps = explain(network, image, target, "gradient_power", exponent=4)
    torch.testing.assert_close(maps, expected[None, :, None, None].expand(1, 2, 8, 8).float())
    assert "gradient_power" in names(call, "methods")
    shown = run("--model", "resnet18", "--metric", "energy_pg", "--method", "GradPower")
    assert "| gradient_power |" in shown


def test_a_metric_is_one_file(put, call, run):
    put("metric", "bcos_eval.metrics.complexity", "peak_share")
    discover("bcos_eval.metrics")
    assert "peak_share/default" in names(call, "metrics")
    shown = run("--model", "resnet18", "--metric", "peak_share", "--method", "uniform")
    assert "| peak_share/default ↑ |" in shown
    assert "| 0.000 |" in shown  # one pixel of 4096


def test_a_stimulus_kind_is_one_file_and_a_metric_that_states_it(put, run):
    put("stimulus", "bcos_eval.stimuli", "mirrored")
    discover("bcos_eval.stimuli")
    own = metric.METRICS["energy_pg/default"]
    metric.register_metric(own.info.variant("mirrored", stimulus="mirrored"))(own.function)
    arguments = ("--model", "resnet18", "--method", "random,uniform", "--metric")
    mirrored, plain = (run(*arguments, f"energy_pg/{preset}") for preset in ("mirrored", "default"))
    shares = [re.findall(r"uniform.*? (0\.\d{3}) \|", text) for text in (mirrored, plain)]
    assert shares[0] == shares[1]  # a uniform map scores the region's share, which mirroring keeps


def test_a_dataset_is_one_file_and_an_entry(put, call, run):
    module = put("dataset", "bcos_eval.data", "ramps")

    @data.register_dataset(data.DatasetInfo("ramps", "grey ramps"))
    def _ramps(_directory, _split, _options):
        return importlib.import_module(module).RampsDataset()

    assert "ramps" in names(call, "datasets")
    shown = run("--model", "resnet18", "--metric", "entropy", "--method", "uniform", "--dataset", "ramps")
    assert "| ramps " in shown
    assert " 1.000 " in shown


def test_a_model_family_is_one_file_and_its_import(put, call, run):
    importlib.import_module(put("model_family", "bcos_eval.models", "pooled"))
    assert "pooled_linear" in names(call, "models")
    shown = run("--model", "pooled_linear", "--metric", "energy_pg", "--method", "grad")
    assert "| pooled_linear |" in shown


def test_a_figure_is_one_file_and_a_line(put, call, run, tmp_path):
    put("figure", "bcos_eval.reports.figures", "score_counts")
    entry = figures.FigureEntry("score_counts:score_count_pages", "a histogram of all scores", "any run")
    figures.FIGURES["score_counts"] = entry
    run("--model", "resnet18", "--metric", "energy_pg", "--method", "random")
    drawn = call("figures", tmp_path / "out", "--only", "score_counts", "--out", tmp_path / "drawn")
    assert [Path(line).name for line in drawn.splitlines()] == [
        "score_counts.pdf",
        "score_counts.png",
        "score_counts.txt",
    ]


def test_an_executor_is_one_file_and_its_import(put, run):
    importlib.import_module(put("executor", "bcos_eval.engine", "backwards"))
    asked = ("--model", "resnet18", "--metric", "energy_pg,sparseness", "--method", "random,uniform")
    assert run(*asked, "--executor", "backwards").count("| shapes") == 4


def test_the_page_names_an_example_of_everything_that_can_be_added():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(re.findall(r"`tests/extending/(\w+)\.py`", page))


def test_every_path_that_the_page_names_exists():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:bcos_eval|metrics|baselines|tests|results|docs)/[\w/.]*)`", page)
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []
