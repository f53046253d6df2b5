from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from bcos_eval.contract import plugins
from bcos_eval.errors import InputError
from bcos_eval.models.registry import model_info
from bcos_eval.reports.published.values import TOP1, shipped_values, values_from_csv

ROOT = Path(__file__).parents[3]
SHIPPED = shipped_values()
HEAD = (
    "model,dataset,n_images,weights,size,method,method_settings,metric,preset,settings,quantity,value,n,source\n"
)


def test_all_tables_are_shipped():
    by_metric = {}
    for value in SHIPPED:
        by_metric.setdefault((value.metric, value.dataset), []).append(value)
    counts = {key: len(values) for key, values in by_metric.items()}
    assert counts == {
        ("grid_pg", "cifar10"): 14,
        ("grid_pg", "imagenet"): 24 * 3,
        ("pixel_deletion", "imagenet"): 1,
        ("pixel_insertion", "imagenet"): 1,
        (TOP1, "imagenet"): 34,
    }


def test_the_folder_of_results_shows_the_shipped_files():
    found = {path.name for path in (ROOT / "results" / "published").glob("*.csv")}
    assert found == {path.name for path in (ROOT / "bcos_eval/reports/published/csv").glob("*.csv")} != set()


def test_every_number_speaks_of_registered_things():
    for value in SHIPPED:
        if not value.model.startswith("coda_"):  # a network of CoDA-Nets, which is not among ours
            info = model_info(value.model)
            assert info.name == value.model
            assert value.weights in ("", info.published.sha256_prefix)
        assert value.source
        assert 0 <= value.value <= 1
        if value.metric != TOP1:
            explainer = plugins.find_explainer(value.method)
            metric = plugins.find_metric(f"{value.metric}/{value.preset}")
            assert {*value.method_settings} <= {*explainer.info.defaults}
            assert {*value.settings} <= {*metric.info.defaults}


def test_quartiles_are_those_of_the_shared_table(data_dir):
    path = data_dir.parent / "reference" / "published_grid_pg.csv"
    if not path.is_file():
        pytest.skip("the shared table is not at hand")
    with path.open(encoding="utf-8") as file:
        expected = {
            (row["model"], quantity): float(row[quantity])
            for row in csv.DictReader(file)
            for quantity in ("q25", "median", "q75")
        }
    found = {(v.model, v.quantity): v.value for v in SHIPPED if v.metric == "grid_pg" and v.dataset == "imagenet"}
    assert found == expected


def test_accuracies_are_those_of_the_official_table(data_dir):
    path = data_dir.parent / "reference" / "official_models.json"
    if not path.is_file():
        pytest.skip("the official table is not at hand")
    official = json.loads(path.read_text(encoding="utf-8"))["models"]
    expected = {
        name.removeprefix("standard_") if name.startswith("standard_") else f"bcos_{name}": info["top1"]
        for name, info in official.items()
    }
    found = {value.model: value.value * 100 for value in SHIPPED if value.metric == TOP1}
    assert found == pytest.approx(expected)


def test_an_empty_field_is_unknown():
    (value,) = values_from_csv(HEAD + "m,d,,,,ixg,,energy_pg,default,,mean,0.5,,s\n", "x.csv")
    assert (value.n_images, value.size, value.n) == (None, None, None)
    assert (value.method_settings, value.settings) == ({}, {})
    assert value.what == "energy_pg/default"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("m,d,,,,ixg,,e,p,,mode,0.5,,s", "quantity 'mode' is none of mean, q25, median, q75"),
        ("m,d,,,,ixg,,e,p,,mean,high,,s", "could not convert string to float: 'high'"),
        ("m,d,many,,,ixg,,e,p,,mean,1,,s", "invalid literal for int() with base 10: 'many'"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(row, message):
    with pytest.raises(InputError) as caught:
        list(values_from_csv(f"{HEAD}{row}\n", "mine.csv"))
    assert str(caught.value) == f"'mine.csv', line 2: {message}; correct the field."


def test_other_columns_are_refused():
    with pytest.raises(InputError, match=r"^'mine\.csv' has columns a, b; give model, dataset, .*, source\.$"):
        list(values_from_csv("a,b\n1,2\n", "mine.csv"))
