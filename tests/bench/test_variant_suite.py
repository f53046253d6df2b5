from __future__ import annotations

import json

import pytest
import torch

from bcos_eval.bench import variant_suite
from bcos_eval.bench.bench_table import bench_text
from bcos_eval.bench.report import BenchReport
from bcos_eval.bench.variant_suite import VARIANTS, measure_variants
from bcos_eval.cli import bench

MACHINE = {"processor": "Abacus", "cores": 2, "threads": 1, "versions": {"torch": "2.4"}}


@pytest.fixture
def without_compiler(monkeypatch):
    def refuses(_forward):
        def forward(_encoded):
            raise RuntimeError("no compiler\nfound")

        return forward

    monkeypatch.setattr(torch, "compile", refuses)


def test_variants_are_measured_against_the_default(scene, without_compiler):
    done = []
    rows = {row.variant: row for row in measure_variants("bcos", scene, 2, done.append)}
    assert sum(done) == 2 * len(VARIANTS)
    for variant in ("plain layers", "plain, channels-last"):
        assert rows[variant].max_difference <= 1e-5
    assert 1e-5 < rows["bfloat16"].max_difference < 0.2
    for row in rows.values():
        if not row.note:
            assert len(row.default_seconds) == len(row.variant_seconds) == 2
            assert row.ratio > 0


def test_some_variants_are_measured_alone(scene):
    done = []
    (row,) = measure_variants("bcos", scene, 1, done.append, ["bfloat16"])
    assert (row.variant, sum(done)) == ("bfloat16", 1)


def test_the_command_knows_the_variants():
    assert tuple(VARIANTS) == bench.VARIANTS


def test_a_variant_that_fails_leaves_a_note(scene, without_compiler):
    row = measure_variants("ixg", scene, 1)[2]
    assert (row.variant, row.note) == ("plain, torch.compile", "RuntimeError: no compiler")
    assert row.as_json()["ratio"] is None


def test_plain_layers_have_no_twin(scene):
    from bcos_eval.bcos.frozen.fusion import frozen_twin

    network = scene.networks[0]
    assert frozen_twin(network) is not None
    assert frozen_twin(variant_suite._with_plain_layers(network)) is None


def test_an_explainer_that_does_not_suit_the_network_leaves_a_note(scene):
    (row,) = measure_variants("rollout", scene, 1)
    assert row.note.startswith("method 'rollout' follows attention matrices")


def test_tables_and_json_show_rows(scene, without_compiler):
    report = BenchReport(MACHINE, {}, variants=measure_variants("ixg", scene, 1))
    assert "| plain, torch.compile |" in bench_text(report)
    assert [row["variant"] for row in json.loads(json.dumps(report.as_json()))["variants"]] == list(VARIANTS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_networks_have_the_same_summary(scene):
    row = measure_variants("bcos", scene, 1)[2]
    assert (row.variant, row.note) == ("plain, torch.compile", "")
    assert row.max_difference <= 1e-5
