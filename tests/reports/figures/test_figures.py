from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

import bcos_eval
from bcos_eval.errors import InputError
from bcos_eval.reports.figures.figures import FIGURES, draw
from bcos_eval.reports.figures.panels import MissingDataError
from bcos_eval.reports.results import Results
from bcos_eval.store.examples import TWO_MOST_LIKELY, UNIT_KIND


def weights_of(model):
    """What results call the shipped weights of a model."""
    card = Path(bcos_eval.__file__).parent / "models" / "weights" / f"{model}-shapes.json"
    return json.loads(card.read_text())["sha256"][:16]


@pytest.fixture
def store(make):
    rng = np.random.default_rng(0)
    for method in ("bcos", "lime", "ixg"):
        make.units(rng.random(9), method=method, targets_per_stimulus=9)
        make.units([0.5, 0.6], method=method, metric="energy_pg", preset="model_guidance")
        curves = rng.random((3, 5))
        make.units(curves.mean(1), method=method, metric="pixel_perturbation", preset="coda", curves=curves)
        make.examples(torch.randn(1, 1, 8, 8), method=method)
        make.aggregate(method=method)
    for method in ("gradcam", "ixg"):
        make.units(rng.random(9), method=method, model="resnet50", weights=weights_of("resnet50"))
    make.examples(torch.randn(1, 1, 8, 8), method="bcos", colour=True)
    make.examples(torch.randn(1, 2, 8, 8), method="bcos", colour=True, kind=TWO_MOST_LIKELY)
    make.examples(torch.randn(1, 1, 8, 8), method="ixg", model="resnet18")
    make.examples(torch.randn(2, 1, 8, 8), colour=True, kind=f"{UNIT_KIND}layer4.1:37 (max)")
    lines = [f"{b},{norm},0.9,grid_pg/bcos_v2,0.5,0.4,0.6,90" for b in (1, 2) for norm in ("bnu", "bnc")]
    (make.root / "scores.csv").write_text("\n".join(["b,norm,val_top1,metric,mean,low,high,n", *lines]))
    return make.root


PAGES = {name: name for name in FIGURES} | {
    name: f"{name}-shapes-bcos_resnet18" for name in ("qualitative", "agreement")
}
PAGES |= {"explanations": "explanations-shapes", "evidence": "evidence-shapes-bcos_resnet18"}
PAGES |= {"units": "units-shapes-bcos_resnet18"}
PAGES |= {"cost_quality": "cost_quality-energy_pg_model_guidance"}
PAGES |= {"comparison": "comparison-shapes-resnet18"}
PAGES["perturbation"] = "perturbation-pixel_perturbation-coda"
PAGES["aggatt"] = "aggatt-shapes-bcos_resnet18-difull_rao2022-grid2x2-rao2022-difull"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_becomes_a_pdf_and_a_png_with_the_same_bytes_each_time(store, tmp_path, name):
    first, second = (draw(Results.unchecked([store]), [name], tmp_path / folder) for folder in ("a", "b"))
    assert first[:3] == [tmp_path / "a" / f"{PAGES[name]}{suffix}" for suffix in (".pdf", ".png", ".txt")]
    assert all(path.read_text().endswith(".\n") for path in first[2::3])
    assert sorted((tmp_path / "a").iterdir()) == sorted(first)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.slow
def test_another_process_and_other_settings_of_the_user_give_the_same_bytes(store, tmp_path):
    program = (
        "import matplotlib; matplotlib.rcParams.update({'font.size': 20, 'lines.linewidth': 9}); "
        "import sys; from pathlib import Path; from bcos_eval.reports.figures.figures import draw; "
        "from bcos_eval.reports.results import Results; "
        "draw(Results.unchecked([Path(sys.argv[1])]), [], Path(sys.argv[2]))"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", program, store, tmp_path / seed], check=True, env={"PYTHONHASHSEED": seed}
        )
    for path in draw(Results.unchecked([store]), [], tmp_path / "here"):
        assert path.read_bytes() == (tmp_path / "1" / path.name).read_bytes()
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()


def test_pdfs_embed_their_fonts_as_type_42_and_carry_no_date(store, tmp_path):
    pdf, png, _ = draw(Results.unchecked([store]), ["localisation"], tmp_path)
    content = pdf.read_bytes()
    assert b"/CIDFontType2" in content
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert b"CreationDate" not in content
    with Image.open(png) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)  # stored per metre


def test_named_figures_are_drawn_once_each_in_the_order_given(store, tmp_path):
    written = draw(Results.unchecked([store]), ["perturbation", "localisation", "perturbation"], tmp_path)
    assert [path.name for path in written] == [
        *(f"perturbation-pixel_perturbation-coda{suffix}" for suffix in (".pdf", ".png", ".txt")),
        *(f"localisation{suffix}" for suffix in (".pdf", ".png", ".txt")),
    ]


def test_what_is_shown_can_be_chosen(store, tmp_path):
    every = Results.unchecked([store])
    some = every.only(model=["bcos_*"], method=["bcos", "ix*"], metric=["grid_pg", "energy_pg/model_guidance"])
    assert {(row["model"], row["method"], row["metric"]) for row in some.rows} == {
        ("bcos_resnet18", method, metric) for method in ("bcos", "ixg") for metric in ("grid_pg", "energy_pg")
    }
    assert set(some.units["method"]) == {one.method.name for one in some.aggregates} == {"bcos", "ixg"}
    assert {(one.identity.model, one.identity.method.name) for one in some.examples} == {
        ("bcos_resnet18", "bcos"),
        ("bcos_resnet18", "ixg"),
    }
    assert len(every.examples) > len(some.examples)
    assert every.only(model=["bcos_*"]).only(method=["ixg"]).chosen == {"model": ("bcos_*",), "method": ("ixg",)}
    page = every.only(method=["ixg"]).report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert '"method":"ixg"' in page
    assert '"method":"lime"' not in page
    assert len(some.figures("localisation")[0].axes) < len(every.figures("localisation")[0].axes)


def test_a_name_that_is_not_stored_is_refused(store):
    with pytest.raises(InputError, match=r"^unknown method in these results 'gradcan'; did you mean gradcam\?$"):
        draw(Results.unchecked([store]).only(method=["gradcan"]), [], store)


def test_an_empty_folder_is_said_to_be_empty_whatever_is_chosen(tmp_path):
    with pytest.raises(InputError, match="holds nothing to draw"):
        draw(Results.unchecked([tmp_path]).only(method=["bcos"]), [], tmp_path)


def test_comparison_draws_cut_outs_where_asked(store, tmp_path):
    draw(Results.unchecked([store]), ["comparison"], tmp_path / "plain")
    png, caption = draw(Results.unchecked([store]), ["comparison"], tmp_path / "cut", cut_out=["lime"])[1:3]
    assert png.read_bytes() != (tmp_path / "plain" / png.name).read_bytes()
    assert "Cut-outs (lime)" in " ".join(caption.read_text().split())
    with pytest.raises(InputError, match=r"unknown stored method 'limes'; did you mean lime\?"):
        draw(Results.unchecked([store]), ["comparison"], tmp_path / "wrong", cut_out=["limes"])
    assert not (tmp_path / "wrong").exists()


def test_without_names_what_has_no_data_is_left_out(make, tmp_path):
    make.units([0.5, 0.6])
    notes = []
    written = draw(Results.unchecked([make.root]), [], tmp_path / "f", note=notes.append)
    names = ("localisation", "cost_quality-grid_pg_bcos_v2")
    assert [path.name for path in written] == [
        f"{name}{end}" for name in names for end in (".pdf", ".png", ".txt")
    ]
    # What could not be drawn is said with its reason.
    assert len(notes) == len(FIGURES) - len(names)
    (reason,) = (text for text in notes if "'perturbation'" in text)
    assert reason == (
        f"note: not drawn: figure 'perturbation': '{make.root}' holds no curves; make them with "
        f"`bcos-eval run --model MODEL --metric pixel_deletion --out {make.root}`."
    )


def test_a_named_figure_without_data_is_an_error_and_nothing_is_written(make, tmp_path):
    make.units([0.5, 0.6])
    with pytest.raises(MissingDataError):
        draw(Results.unchecked([make.root]), ["localisation", "perturbation"], tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_an_unknown_name_gets_near_matches(make, tmp_path):
    meant = "localisation or accuracy_localisation or explanations"
    with pytest.raises(InputError, match=rf"^unknown figure 'localization'; did you mean {meant}\?$"):
        draw(Results.unchecked([make.root]), ["localization"], tmp_path)


def test_an_empty_store_says_what_to_run(make, tmp_path):
    message = (
        f"'{make.root}' holds nothing to draw; make scores with "
        f"`bcos-eval run --model MODEL --metric grid_pg --out {make.root}`."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        draw(Results.unchecked([make.root]), [], tmp_path)


def test_matplotlib_is_left_as_it_was(store, tmp_path):
    before = dict(mpl.rcParams)
    draw(Results.unchecked([store]), ["localisation"], tmp_path)
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
