from __future__ import annotations

import http.server
import re
import threading

import pytest

from bcos_eval.contract.explainer import EXPLAINERS
from bcos_eval.engine import cost
from bcos_eval.engine.progress import Progress
from bcos_eval.engine.request import RunRequest
from bcos_eval.engine.run import outline
from bcos_eval.models.published import PublishedWeights
from bcos_eval.models.weights_origin import asked_about, missing_weights

PASSES = re.compile(r"^(.*): ([\d.,]+) forward and ([\d.,]+) backward passes, about (.*)$")


def passes(text):
    found = [PASSES.match(line) for line in text.splitlines()]
    return {one[1]: (float(one[2].replace(",", "")), float(one[3].replace(",", ""))) for one in found if one}


@pytest.fixture
def plan_of(toy_run):
    def planned(**asked):
        request = {
            "models": ("toy",),
            "methods": ("ixg",),
            "dataset": "toy",
            "device": "cpu",
            "n_samples": 10,
            **asked,
        }
        networks = {name: toy_run.networks[name] for name in request["models"]}
        return outline(
            RunRequest(**request),
            toy_run.root,
            progress=Progress(quiet=True),
            networks=networks,
            dataset=toy_run.dataset,
        )

    return planned


def test_passes_of_known_methods_and_metrics_are_counted(plan_of):
    found = passes(
        plan_of(
            metrics=("energy_pg", "grid_pg", "pixel_deletion"),
            methods=("ixg", "uniform"),
            settings=("grid_pg.n=2",),
        )
    )
    of = {key.removeprefix("toy × "): value for key, value in found.items()}
    assert of["ixg × energy_pg/default"] == (10, 10)
    assert of["uniform × energy_pg/default"] == (0, 0)
    # A 2×2 grid has four times the pixels; a backward pass for each of its four targets.
    assert of["ixg × grid_pg/bcos_v2(n=2)"] == (40, 160)
    # 51 points of the curve; the intact image and the black one are among them.
    assert of["uniform × pixel_deletion/default"] == (510, 0)
    together = found["together, attributions made once for all metrics"]
    assert together[1] == sum(value[1] for key, value in of.items() if "ixg" in key and "pixel" not in key)


@pytest.mark.parametrize("metric", ["energy_pg", "sensitivity"])
def test_methods_of_many_passes_are_tried_with_few_and_counted_in_full(plan_of, monkeypatch, metric):
    methods = [name for name, one in EXPLAINERS.items() if one.info.passes_grow_with and name != "extremal"]
    assert len(methods) == 6
    tried = passes(plan_of(metrics=(metric,), methods=methods, n_samples=1))
    monkeypatch.setattr(cost, "_MORE_PASSES", 10**6)
    monkeypatch.setattr(cost, "_FEW_PASSES", 10**6)
    assert tried == passes(plan_of(metrics=(metric,), methods=methods, n_samples=1))


def test_images_that_models_look_at_first_are_told(plan_of):
    text = plan_of(metrics=("grid_pg", "grid_pg/how_to_probe", "road", "energy_pg"), settings=("grid_pg.n=2",))
    assert "2×2 grids of toy: toy looks at all 36 images first, since the rule ranks or shuffles them all" in text
    assert "2×2 grids of toy: toy looks at 6 to 36 images first, as few as are needed" in text
    assert "correctly classified images of toy: toy looks at 10 to 36 images first, as few as are needed" in text
    assert len([line for line in text.splitlines() if "looks at" in line]) == 3


def test_what_is_stored_costs_nothing_and_a_plan_writes_nothing(plan_of, toy_run):
    asked = {"models": ("toy",), "metrics": ("energy_pg",), "settings": (), "n_samples": 10}
    assert passes(plan_of(**asked))
    assert not toy_run.root.exists()
    toy_run(**asked)
    assert "toy × ixg × energy_pg/default: nothing left to compute" in plan_of(**asked)


def test_code_that_raises_is_said_to_be_so(plan_of, toy_run, monkeypatch):
    monkeypatch.setattr(type(toy_run.dataset), "__getitem__", lambda *_: 1 / 0)
    assert "toy × ixg × energy_pg/default: cannot be timed: " in plan_of(metrics=("energy_pg",))


class _Server(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        known = self.path == "/there-12345678.pth"
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", "2500000")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.HTTPServer(("127.0.0.1", 0), _Server) as one:
        thread = threading.Thread(target=one.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()
        thread.join()


def file_at(url):
    return PublishedWeights(url, "12345678", 70.0, 90.0, 232, "a test", "none")


def test_a_server_is_asked_for_the_size_of_weights_and_nothing_is_fetched(server, tmp_path, monkeypatch):
    monkeypatch.setenv("BCOS_EVAL_CACHE", str(tmp_path))
    there, gone = f"{server}/there-12345678.pth", f"{server}/gone-12345678.pth"
    assert str(asked_about("m", file_at(there))) == f"2.5 MB to fetch from {there}, which answers"
    assert str(asked_about("m", file_at(gone))) == f"cannot be had from {gone} (HTTP 404 Not Found)"
    assert not any(tmp_path.iterdir())


def test_weights_that_are_here_are_not_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("BCOS_EVAL_CACHE", str(tmp_path))
    for given in (
        ("resnet18", None, "shapes"),
        ("resnet18", "random", "imagenet"),
        ("resnet18", "a.pth", "shapes"),
    ):
        assert missing_weights(*given) is None
    missing = missing_weights("resnet18", None, "imagenet")
    assert missing is not None
    (tmp_path / missing.file_name).write_bytes(b"fetched")
    assert missing_weights("resnet18", None, "imagenet") is None


def test_a_model_whose_weights_cannot_be_had_is_planned_all_the_same(toy_run, server, monkeypatch):
    gone = f"{server}/gone-12345678.pth"
    monkeypatch.setattr("bcos_eval.engine.run.missing_weights", lambda *_: file_at(gone))
    text = outline(
        RunRequest(models=("resnet18",), metrics=("energy_pg",), methods=("grad",), device="cpu", n_samples=2),
        toy_run.root,
        progress=Progress(quiet=True),
    )
    assert passes(text)["resnet18 × grad × energy_pg/default"] == (2, 2)
    assert text.endswith(f"weights of resnet18: cannot be had from {gone} (HTTP 404 Not Found)\n")
